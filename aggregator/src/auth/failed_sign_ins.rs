//! Failed sign-ins to record: the first one at once, further ones of the same account and network as a number
//! for each interval. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::rate_limit::SignInOrigin;

/// Interval for which further failures are counted before they are recorded.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of origins that are tracked, of attempts on existing accounts and with other names; further
/// ones are only logged. It bounds the events in an interval. Attempts with made-up names leave room for the
/// others.
const MAX_TRACKED_ACCOUNTS: usize = 256;
const MAX_TRACKED_OTHERS: usize = 64;

/// Number of failed sign-ins since the last report, by account and network.
#[derive(Debug, Default)]
pub(crate) struct FailedSignIns(HashMap<SignInOrigin, usize>);

impl FailedSignIns {
    /// Counts a failure. Returns true if it is the first one: it is recorded at once, and an interval begins.
    pub(crate) fn count_failure(&mut self, origin: &SignInOrigin) -> bool {
        if let Some(count) = self.0.get_mut(origin) {
            *count = count.saturating_add(1);
            return false;
        }
        let is_account = origin.account().is_some();
        let limit = if is_account { MAX_TRACKED_ACCOUNTS } else { MAX_TRACKED_OTHERS };
        let is_tracked =
            self.0.keys().filter(|other| other.account().is_some() == is_account).count() < limit;
        if is_tracked {
            self.0.insert(origin.clone(), 0);
        }
        is_tracked
    }

    /// Ends an interval, and begins the next one. Returns the number of failures in it; `None` if there was
    /// none, and the intervals are over.
    pub(crate) fn end_interval(&mut self, origin: &SignInOrigin) -> Option<usize> {
        let count = self.0.get_mut(origin).map(std::mem::take).filter(|count| *count > 0);
        if count.is_none() {
            self.0.remove(origin);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn first_failure_is_recorded_at_once_and_further_ones_as_a_number() {
        let ann = SignInOrigin::new("10.0.0.7".parse().unwrap(), Some("ann"));
        let mut failures = FailedSignIns::default();
        assert!(failures.count_failure(&ann));
        assert!(!failures.count_failure(&ann) && !failures.count_failure(&ann));
        assert_eq!(failures.end_interval(&ann), Some(2));
        assert!(!failures.count_failure(&ann));
        assert_eq!((failures.end_interval(&ann), failures.end_interval(&ann)), (Some(1), None));
        assert!(failures.count_failure(&ann));
    }

    #[test]
    fn only_so_many_origins_are_tracked() {
        let mut failures = FailedSignIns::default();
        let origin = |number: u32| SignInOrigin::new(IpAddr::V4(number.into()), None);
        let first = (0..2000).filter(|number| failures.count_failure(&origin(*number))).count();
        assert_eq!((first, failures.0.len()), (MAX_TRACKED_OTHERS, MAX_TRACKED_OTHERS));
        // Made-up names do not hide attempts on an account.
        let ann = SignInOrigin::new("10.0.0.7".parse().unwrap(), Some("ann"));
        assert!(failures.count_failure(&ann));
    }
}
