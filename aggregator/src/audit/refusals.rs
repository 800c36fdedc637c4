//! Number of refusals that are written: nobody who is refused may fill the disk. Pure.

use std::time::{Duration, Instant};

/// Interval for which refusals are counted.
const INTERVAL: Duration = Duration::from_secs(60);
/// Number of refusals that are written one by one in an interval.
const MAX_WRITTEN: u64 = 100;

/// Limit of the refusals that are written.
#[derive(Debug, Default)]
pub(super) struct RefusalLimit {
    began: Option<Instant>,
    written: u64,
    /// Number of refusals that were not written, since the last one that was.
    unwritten: u64,
}

impl RefusalLimit {
    /// Returns the number of refusals that were not written before this one; `None` if this one is not written
    /// either.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= INTERVAL) {
            (self.began, self.written) = (Some(now), 0);
        }
        if self.written >= MAX_WRITTEN {
            self.unwritten = self.unwritten.saturating_add(1);
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_of_refusals_is_written_as_a_number() {
        let (mut limit, begin) = (RefusalLimit::default(), Instant::now());
        let written = (0..1000).filter(|_| limit.admit(begin) == Some(0)).count();
        assert_eq!(written, 100);
        assert_eq!(limit.admit(begin + INTERVAL), Some(900));
        assert_eq!(limit.admit(begin + INTERVAL), Some(0));
    }
}
