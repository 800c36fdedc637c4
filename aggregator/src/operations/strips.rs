//! Timeline of one instance, and of all instances.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rta_shared::overview::InstanceId;
use tonic::Code;

use super::Operations;
use crate::operation_error::OperationError;
use crate::record::Noted;
use crate::strip::remembered::Strips;
use crate::strip::{Mark, Strip};

/// Maximum length of a timeline.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);

impl Operations {
    /// Returns the timeline of an instance over the last `length`.
    ///
    /// # Errors
    /// Returns an error if the length is out of range, the instance is unknown, or the record cannot be read.
    pub(crate) async fn strip(
        &self,
        id: &InstanceId,
        length: SignedDuration,
    ) -> Result<Strip, OperationError> {
        if self.overview().find(id).is_none() {
            return Err(OperationError::new(Code::NotFound, format!("{id} is not known")));
        }
        let noted = self.noted(length, Some(id.clone())).await?;
        let now = Timestamp::now();
        strip(&noted, id, length, now)
    }

    /// Returns the timelines of all instances of the overview over the last `length`. They may be cached: up
    /// to a minute if nothing changed since, and up to two seconds otherwise.
    ///
    /// # Errors
    /// Returns an error if the length is out of range or the record cannot be read.
    pub(crate) async fn strips(&self, length: SignedDuration) -> Result<Strips, OperationError> {
        let cell = self.strips.of(length, self.recorder.marked());
        let made = cell.get_or_try_init(async || {
            let noted = self.noted(length, None).await?;
            let (now, overview) = (Timestamp::now(), self.overview());
            let strips = overview.instances().map(|located| {
                let id = located.id();
                Ok((id.clone(), strip(&noted, &id, length, now)?))
            });
            strips.collect::<Result<_, OperationError>>().map(Arc::new)
        });
        made.await.cloned()
    }

    async fn noted(
        &self,
        length: SignedDuration,
        instance: Option<InstanceId>,
    ) -> Result<Noted, OperationError> {
        let since = beginning(length, Timestamp::now())?;
        let noted = self.recorder.noted(since, instance).await;
        noted.map_err(|message| OperationError::new(Code::Unavailable, message))
    }
}

/// Returns the timeline of one instance; `now` must not be before the query of `noted`.
fn strip(
    noted: &Noted,
    id: &InstanceId,
    length: SignedDuration,
    now: Timestamp,
) -> Result<Strip, OperationError> {
    let marks = noted.marks.get(id).map_or::<&[Mark], _>(&[], Vec::as_slice);
    Ok(Strip::from_marks(beginning(length, now)?, now, marks, &noted.gaps))
}

/// Returns the start of a timeline that ends now.
fn beginning(length: SignedDuration, now: Timestamp) -> Result<Timestamp, OperationError> {
    let is_one = length > SignedDuration::ZERO && length <= LONGEST;
    is_one.then(|| now.checked_sub(length).ok()).flatten().ok_or_else(|| {
        let days = LONGEST.as_hours() / 24;
        let message = format!("a history is longer than nothing, and not longer than {days}d");
        OperationError::new(Code::InvalidArgument, message)
    })
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Platform, Source, load_sources};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::keeper::Configuration;
    use crate::strip::Stretch;
    use rta_shared::impairment::ImpairmentList;
    use rta_shared::lifecycle::tasks::OwnedTasks;

    use crate::record::Record;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    /// Platform whose agents do not answer.
    fn platform() -> Platform {
        let text = r#"
            [[component]]
            name = "Kafka Server"
            criteria = [{ regex = 'kafka' }]
            [[environment]]
            name = "DEV"
            host = [
                { name = "d1", components = ["Kafka Server"], agent = "http://127.0.0.1:1" },
                { name = "d2", components = ["Kafka Server"], agent = "http://127.0.0.2:1" },
            ]
        "#;
        load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap()
    }

    fn states(strip: &Strip) -> Vec<Stretch> {
        strip.spans.iter().map(|span| span.state).collect()
    }

    #[tokio::test]
    async fn what_nobody_has_heard_of_was_never_up_for_one_and_for_all() {
        let record = Record::in_memory();
        let shutdown = CancellationToken::new();
        let configuration = Configuration::Fixed(platform());
        let (operations, task) = Operations::start(
            configuration,
            record.recorder(),
            None,
            &OwnedTasks::new(shutdown.clone()),
            &ImpairmentList::default(),
            &shutdown,
        )
        .unwrap();
        let task = tokio::spawn(task);
        let strips = operations.strips(HOUR).await.unwrap();
        assert_eq!(strips.len(), 2);
        for (id, strip) in strips.iter() {
            assert_eq!(states(strip), [Stretch::NotRecorded, Stretch::Unknown]);
            assert_eq!(strip.to.duration_since(strip.from), HOUR);
            assert_eq!(strip.uptime(), None);
            let own = operations.strip(id, HOUR).await.unwrap();
            assert_eq!(own.spans[0].to, strip.spans[0].to);
            assert_eq!(states(&own), states(strip));
        }
        let id = InstanceId { environment: "DEV".into(), host: "d1".into(), component: "kafka".into() };
        assert_eq!(operations.strip(&id, HOUR).await.unwrap_err().message, "DEV/d1/kafka is not known");
        for wrong in [SignedDuration::ZERO, LONGEST + HOUR, SignedDuration::MIN, SignedDuration::MAX] {
            let error = operations.strips(wrong).await.unwrap_err();
            assert_eq!(error.message, "a history is longer than nothing, and not longer than 90d");
        }
        shutdown.cancel();
        task.await.unwrap();
        record.close().await;
        assert!(operations.strip(strips.keys().next().unwrap(), HOUR).await.is_err());
    }
}
