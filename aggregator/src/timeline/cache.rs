//! Cache of the timelines of all instances.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rta_shared::overview::InstanceId;
use tokio::sync::OnceCell;

use super::Timeline;

/// Maximum age of an entry if nothing changed since.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Minimum lifetime of an entry: with constant changes, timelines are not computed for every request.
const MIN_AGE: Duration = Duration::from_secs(2);
/// Maximum number of cached lengths.
const MAX_ENTRIES: usize = 4;

/// Timelines of all instances.
pub(crate) type TimelineMap = Arc<HashMap<InstanceId, Timeline>>;

/// Latest timelines of all instances, for each length. Concurrent requests for the same length wait for one
/// computation.
#[derive(Debug, Default)]
pub(crate) struct TimelineCache(Mutex<Vec<CacheEntry>>);

#[derive(Debug)]
struct CacheEntry {
    length: SignedDuration,
    begun_at: Instant,
    /// Value of the change counter of the event store at the computation.
    sample_count: u64,
    timelines: Arc<OnceCell<TimelineMap>>,
}

impl TimelineCache {
    /// Returns the cell that holds, or is to hold, the timelines of this length.
    pub(crate) fn entry_for(&self, length: SignedDuration, sample_count: u64) -> Arc<OnceCell<TimelineMap>> {
        // A panic while the lock is held leaves the list intact: each change of it is one step.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|made| {
            let age = made.begun_at.elapsed();
            age < MIN_AGE || (age < MAX_AGE && made.sample_count == sample_count)
        });
        if let Some(found) = made.iter().find(|made| made.length == length) {
            return Arc::clone(&found.timelines);
        }
        let timelines = Arc::default();
        let surplus = (made.len() + 1).saturating_sub(MAX_ENTRIES);
        made.drain(..surplus);
        made.push(CacheEntry {
            length,
            begun_at: Instant::now(),
            sample_count,
            timelines: Arc::clone(&timelines),
        });
        timelines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strips_of_a_few_lengths_are_remembered_each_once() {
        let remembered = TimelineCache::default();
        let hours = SignedDuration::from_hours;
        let first = remembered.entry_for(hours(1), 7);
        assert!(Arc::ptr_eq(&first, &remembered.entry_for(hours(1), 7)));
        assert!(!Arc::ptr_eq(&first, &remembered.entry_for(hours(2), 7)));
        for length in 3..20 {
            remembered.entry_for(hours(length), 7);
        }
        assert_eq!(remembered.0.lock().unwrap().len(), MAX_ENTRIES);
        assert!(!Arc::ptr_eq(&first, &remembered.entry_for(hours(1), 7)));
    }
}
