//! Timeline of one instance, and of all instances.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rta_shared::overview::InstanceId;
use tonic::Code;

use super::Operations;
use crate::operation_error::OperationError;
use crate::store::TimelineRows;
use crate::timeline::cache::TimelineMap;
use crate::timeline::{Timeline, TimelineSample};

/// Maximum length of a timeline.
pub(crate) const MAX_LENGTH: SignedDuration = SignedDuration::from_hours(90 * 24);

impl Operations {
    /// Returns the timeline of an instance over the last `length`.
    ///
    /// # Errors
    /// Returns an error if the length is out of range, the instance is unknown, or the event store cannot be read.
    pub(crate) async fn timeline(
        &self,
        id: &InstanceId,
        length: SignedDuration,
    ) -> Result<Timeline, OperationError> {
        if self.overview().find(id).is_none() {
            return Err(OperationError::new(Code::NotFound, format!("{id} is not known")));
        }
        let rows = self.timeline_rows(length, Some(id.clone())).await?;
        let now = Timestamp::now();
        build_timeline(&rows, id, length, now)
    }

    /// Returns the timelines of all instances of the overview over the last `length`. They may be cached: up
    /// to a minute if nothing changed since, and up to two seconds otherwise.
    ///
    /// # Errors
    /// Returns an error if the length is out of range or the event store cannot be read.
    pub(crate) async fn timelines(&self, length: SignedDuration) -> Result<TimelineMap, OperationError> {
        let cell = self.timeline_cache.entry_for(length, self.store.sample_count());
        let made = cell.get_or_try_init(async || {
            let rows = self.timeline_rows(length, None).await?;
            let (now, overview) = (Timestamp::now(), self.overview());
            let timelines = overview.instances().map(|located| {
                let id = located.id();
                Ok((id.clone(), build_timeline(&rows, &id, length, now)?))
            });
            timelines.collect::<Result<_, OperationError>>().map(Arc::new)
        });
        made.await.cloned()
    }

    async fn timeline_rows(
        &self,
        length: SignedDuration,
        instance: Option<InstanceId>,
    ) -> Result<TimelineRows, OperationError> {
        let since = timeline_start(length, Timestamp::now())?;
        let rows = self.store.query_timeline(since, instance).await;
        rows.map_err(|message| OperationError::new(Code::Unavailable, message))
    }
}

/// Returns the timeline of one instance; `now` must not be before the query of `query_timeline`.
fn build_timeline(
    rows: &TimelineRows,
    id: &InstanceId,
    length: SignedDuration,
    now: Timestamp,
) -> Result<Timeline, OperationError> {
    let marks = rows.samples.get(id).map_or::<&[TimelineSample], _>(&[], Vec::as_slice);
    Ok(Timeline::from_samples(timeline_start(length, now)?, now, marks, &rows.gaps))
}

/// Returns the start of a timeline that ends now.
fn timeline_start(length: SignedDuration, now: Timestamp) -> Result<Timestamp, OperationError> {
    let is_one = length > SignedDuration::ZERO && length <= MAX_LENGTH;
    is_one.then(|| now.checked_sub(length).ok()).flatten().ok_or_else(|| {
        let days = MAX_LENGTH.as_hours() / 24;
        let message = format!("a history is longer than nothing, and not longer than {days}d");
        OperationError::new(Code::InvalidArgument, message)
    })
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Platform, Source, load_sources};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::api::OperationOptions;
    use crate::config_manager::ConfigSource;
    use crate::timeline::TimelineState;
    use rta_shared::impairment::ImpairmentList;
    use rta_shared::lifecycle::tasks::OwnedTasks;

    use crate::events::EventBus;
    use crate::store::EventStore;

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

    fn states(timeline: &Timeline) -> Vec<TimelineState> {
        timeline.spans.iter().map(|span| span.state).collect()
    }

    #[tokio::test]
    async fn what_nobody_has_heard_of_was_never_up_for_one_and_for_all() {
        let record = EventStore::in_memory();
        let shutdown = CancellationToken::new();
        let configuration = ConfigSource::Fixed(platform());
        let (operations, task) = Operations::start(
            configuration,
            EventBus::new(record.handle()),
            None,
            OperationOptions::default(),
            &OwnedTasks::new(shutdown.clone()),
            &ImpairmentList::default(),
            &shutdown,
        )
        .unwrap();
        let task = tokio::spawn(task);
        let timelines = operations.timelines(HOUR).await.unwrap();
        assert_eq!(timelines.len(), 2);
        for (id, timeline) in timelines.iter() {
            assert_eq!(states(timeline), [TimelineState::NotRecorded, TimelineState::Unknown]);
            assert_eq!(timeline.to.duration_since(timeline.from), HOUR);
            assert_eq!(timeline.uptime(), None);
            let own = operations.timeline(id, HOUR).await.unwrap();
            assert_eq!(own.spans[0].to, timeline.spans[0].to);
            assert_eq!(states(&own), states(timeline));
        }
        let id = InstanceId { environment: "DEV".into(), host: "d1".into(), component: "kafka".into() };
        assert_eq!(operations.timeline(&id, HOUR).await.unwrap_err().message, "DEV/d1/kafka is not known");
        for wrong in [SignedDuration::ZERO, MAX_LENGTH + HOUR, SignedDuration::MIN, SignedDuration::MAX] {
            let error = operations.timelines(wrong).await.unwrap_err();
            assert_eq!(error.message, "a history is longer than nothing, and not longer than 90d");
        }
        shutdown.cancel();
        task.await.unwrap();
        record.close().await;
        assert!(operations.timeline(timelines.keys().next().unwrap(), HOUR).await.is_err());
    }
}
