//! Cache of the timelines of all instances.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rta_shared::overview::InstanceId;
use tokio::sync::OnceCell;

use super::Strip;

/// Maximum age of an entry if nothing changed since.
const OLDEST: Duration = Duration::from_secs(60);
/// Minimum lifetime of an entry: with constant changes, timelines are not computed for every request.
const YOUNG: Duration = Duration::from_secs(2);
/// Maximum number of cached lengths.
const REMEMBERED: usize = 4;

/// Timelines of all instances.
pub(crate) type Strips = Arc<HashMap<InstanceId, Strip>>;

/// Latest timelines of all instances, for each length. Concurrent requests for the same length wait for one
/// computation.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Vec<Made>>);

#[derive(Debug)]
struct Made {
    length: SignedDuration,
    begun_at: Instant,
    /// Value of the change counter of the record at the computation.
    marked: u64,
    strips: Arc<OnceCell<Strips>>,
}

impl Remembered {
    /// Returns the cell that holds, or is to hold, the timelines of this length.
    pub(crate) fn of(&self, length: SignedDuration, marked: u64) -> Arc<OnceCell<Strips>> {
        // A panic while the lock is held leaves the list intact: each change of it is one step.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strips_of_a_few_lengths_are_remembered_each_once() {
        let remembered = Remembered::default();
        let hours = SignedDuration::from_hours;
        let first = remembered.of(hours(1), 7);
        assert!(Arc::ptr_eq(&first, &remembered.of(hours(1), 7)));
        assert!(!Arc::ptr_eq(&first, &remembered.of(hours(2), 7)));
        for length in 3..20 {
            remembered.of(hours(length), 7);
        }
        assert_eq!(remembered.0.lock().unwrap().len(), REMEMBERED);
        assert!(!Arc::ptr_eq(&first, &remembered.of(hours(1), 7)));
    }
}
