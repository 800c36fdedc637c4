//! The strip of one instance, and those of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rta_shared::overview::InstanceId;
use tokio::sync::OnceCell;
use tonic::Code;

use super::{Mark, Strip};
use crate::operations::Operations;
use crate::record::Noted;
use crate::target::OperationError;

/// How old the strips of all may be where nothing changed since.
const OLDEST: Duration = Duration::from_secs(60);
/// How old they may be in any case: where something changes all the time, they are not made for every look.
const YOUNG: Duration = Duration::from_secs(2);
/// The longest strip.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);
/// The strips of so many lengths are remembered.
const REMEMBERED: usize = 4;

/// The strips of all instances.
pub(crate) type Strips = Arc<HashMap<InstanceId, Strip>>;

/// The strips of all as they were made last, for each length; whoever asks for the same meanwhile waits for them.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Vec<Made>>);

#[derive(Debug)]
struct Made {
    length: SignedDuration,
    begun_at: Instant,
    /// What tells whether something was marked since.
    marked: u64,
    strips: Arc<OnceCell<Strips>>,
}

impl Remembered {
    /// Where the strips of this length are, or are to be put.
    fn of(&self, length: SignedDuration, marked: u64) -> Arc<OnceCell<Strips>> {
        // Whoever panicked with it left it whole: each change of it is one step.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|made| {
            let age = made.begun_at.elapsed();
            age < YOUNG || (age < OLDEST && made.marked == marked)
        });
        if let Some(found) = made.iter().find(|made| made.length == length) {
            return Arc::clone(&found.strips);
        }
        let strips = Arc::default();
        let surplus = (made.len() + 1).saturating_sub(REMEMBERED);
        made.drain(..surplus);
        made.push(Made { length, begun_at: Instant::now(), marked, strips: Arc::clone(&strips) });
        strips
    }
}

impl Operations {
    /// How an instance was for the last `length`.
    ///
    /// # Errors
    /// A length that is none; an instance that is not there; a record that cannot be read.
    pub(crate) async fn strip(
        &self,
        id: &InstanceId,
        length: SignedDuration,
    ) -> Result<Strip, OperationError> {
        if !self.overview().instances().any(|located| located.id() == *id) {
            return Err(OperationError::new(Code::NotFound, format!("{id} is not known")));
        }
        let noted = self.noted(length, Some(id.clone())).await?;
        let now = Timestamp::now();
        strip(&noted, id, length, now)
    }

    /// How every instance of the overview was for the last `length`. It may be a minute old, though no older than
    /// the last change, and two seconds if there are many of those.
    ///
    /// # Errors
    /// A length that is none; a record that cannot be read.
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

/// The strip of one instance; `now` is after everything was noted.
fn strip(
    noted: &Noted,
    id: &InstanceId,
    length: SignedDuration,
    now: Timestamp,
) -> Result<Strip, OperationError> {
    let marks = noted.marks.get(id).map_or::<&[Mark], _>(&[], Vec::as_slice);
    Ok(Strip::from_marks(beginning(length, now)?, now, marks, &noted.gaps))
}

/// Since when it is, if it ends now.
fn beginning(length: SignedDuration, now: Timestamp) -> Result<Timestamp, OperationError> {
    let is_one = length > SignedDuration::ZERO && length <= LONGEST;
    is_one.then(|| now.checked_sub(length).ok()).flatten().ok_or_else(|| {
        let days = LONGEST.as_hours() / 24;
        let message = format!("a history is longer than nothing, and not longer than {days}d");
        OperationError::new(Code::InvalidArgument, message)
    })
}
