//! Rate-limited logging of refused callers, who must not be able to fill the disk.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sanitize::printable;

/// Minimum interval between two log messages about refusals.
const QUIET: Duration = Duration::from_secs(10);

/// Rate-limited log of refusals: a caller who retries endlessly does not fill the disk.
#[derive(Debug, Default)]
pub struct RefusalLog {
    /// Time of the last log message, and the number of refusals suppressed since.
    last: Mutex<(Option<Instant>, u64)>,
}

impl RefusalLog {
    /// Logs that `from` was refused for `reason`, with the message `what`, or counts it for the next log
    /// message.
    pub fn log_refusal(&self, what: &str, from: &dyn Display, reason: &str) {
        if let Some(unsaid) = self.admit(Instant::now()) {
            let (from, reason) = (from.to_string(), printable(reason).to_string());
            tracing::warn!(from = %printable(&from), reason, more = unsaid, "{what}");
        }
    }

    /// Returns the number of refusals suppressed before this one; `None` if this one is suppressed too.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, unsaid) = &mut *last;
        if at.is_some_and(|at| now.duration_since(at) < QUIET) {
            *unsaid += 1;
            return None;
        }
        *at = Some(now);
        Some(std::mem::take(unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_now_and_then_with_how_many_there_were() {
        let refusals = RefusalLog::default();
        let begin = Instant::now();
        assert_eq!(refusals.admit(begin), Some(0));
        assert_eq!(refusals.admit(begin), None);
        assert_eq!(refusals.admit(begin + QUIET / 2), None);
        assert_eq!(refusals.admit(begin + QUIET), Some(2));
    }
}
