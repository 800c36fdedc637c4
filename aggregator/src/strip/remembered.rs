//! The strips of all instances, as they were made last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rta_shared::overview::InstanceId;
use tokio::sync::OnceCell;

use super::Strip;

/// How old the strips of all may be where nothing changed since.
const OLDEST: Duration = Duration::from_secs(60);
/// How old they may be in any case: where something changes all the time, they are not made for every look.
const YOUNG: Duration = Duration::from_secs(2);
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
    pub(crate) fn of(&self, length: SignedDuration, marked: u64) -> Arc<OnceCell<Strips>> {
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
