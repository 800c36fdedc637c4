//! Rate limit for sign-ins: recent wrong passwords and the delays that follow from them.
//!
//! The answer to a wrong attempt is delayed by the number of wrong attempts before it, and the next attempt
//! on the same account from the same network is checked a little later. No attempt is refused for that
//! reason: a correct password is accepted as soon as it is checked, no matter what others have tried.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong attempts on an account from one network without a delay: people mistype.
const FREE_ATTEMPTS: u32 = 5;
/// Wrong attempts from one network, on any account, without a delay.
const FREE_NETWORK_ATTEMPTS: u32 = 30;
/// Maximum delay of the answer to a wrong attempt, well below the time limit of a request.
const MAX_ANSWER_DELAY: Duration = Duration::from_secs(8);
/// Maximum time between two checks of one account from one network: five guesses a second.
const MAX_CHECK_GAP: Duration = Duration::from_millis(200);
/// Maximum wait caused by these gaps: if many attempts wait, gaps are shorter, since one of them may be
/// correct.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Time without an attempt after which earlier ones are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);
/// Maximum number of accounts and networks that are tracked; beyond it the least recent are forgotten.
const MAX_TRACKED: usize = 10_000;

/// Network and account of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SignInOrigin {
    network: IpAddr,
    /// `None`: the account does not exist. All unknown names count as one account, so that many names get no
    /// more attention than one.
    account: Option<String>,
}

impl SignInOrigin {
    pub(crate) fn new(address: IpAddr, account: Option<&str>) -> Self {
        Self { network: network(address), account: account.map(str::to_owned) }
    }

    /// Returns the account; `None`: it does not exist.
    pub(crate) fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    pub(crate) fn network(&self) -> IpAddr {
        self.network
    }
}

/// Returns the network of a client: the address itself, or the first 64 bits of an IPv6 address, which is
/// what one customer or one machine is given (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        address => address,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LimiterKey {
    Origin(SignInOrigin),
    Network(IpAddr),
}

/// Recent wrong attempts.
#[derive(Debug, Default)]
pub(crate) struct SignInRateLimiter(HashMap<LimiterKey, FailedAttempts>);

#[derive(Clone, Copy, Debug)]
struct FailedAttempts {
    count: u32,
    last: Instant,
}

impl SignInRateLimiter {
    /// Counts an attempt before it is checked. It counts as wrong until [`SignInRateLimiter::forget_failures`] is called, so
    /// that concurrent attempts cannot avoid the delays.
    pub(crate) fn count_attempt(&mut self, origin: &SignInOrigin, now: Instant) {
        let keys = [LimiterKey::Origin(origin.clone()), LimiterKey::Network(origin.network)];
        self.make_room(keys.len(), now);
        for key in keys {
            let failures = self.0.entry(key).or_insert(FailedAttempts { count: 0, last: now });
            if now.duration_since(failures.last) >= FORGET_AFTER {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// Forgets the wrong attempts on an account from a network after its owner signed in. Those on other
    /// accounts stay.
    pub(crate) fn forget_failures(&mut self, origin: &SignInOrigin) {
        self.0.remove(&LimiterKey::Origin(origin.clone()));
        if let Some(failures) = self.0.get_mut(&LimiterKey::Network(origin.network)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    /// Returns the time between the arrival of a wrong attempt and its answer.
    pub(crate) fn answer_delay(&self, origin: &SignInOrigin) -> Duration {
        let of_origin = self.excess(&LimiterKey::Origin(origin.clone()), FREE_ATTEMPTS);
        let of_network = self.excess(&LimiterKey::Network(origin.network), FREE_NETWORK_ATTEMPTS);
        let pause = |excess: u32| match excess {
            0 => Duration::ZERO,
            more => Duration::from_millis(250 << more.min(8)).min(MAX_ANSWER_DELAY),
        };
        pause(of_origin).max(pause(of_network))
    }

    /// Returns the time from which the next attempt may be checked while `waiting` attempts wait; `None`: at
    /// once.
    pub(crate) fn next_check_at(&self, origin: &SignInOrigin, waiting: usize) -> Option<Instant> {
        let key = LimiterKey::Origin(origin.clone());
        let gap = match self.excess(&key, FREE_ATTEMPTS) {
            0 => return None,
            more => Duration::from_millis(12 << more.min(8)).min(MAX_CHECK_GAP),
        };
        let shortest = MAX_WAIT / u32::try_from(waiting).unwrap_or(u32::MAX).max(1);
        Some(self.0.get(&key)?.last + gap.min(shortest))
    }

    /// Returns the number of attempts beyond the free ones.
    fn excess(&self, key: &LimiterKey, free: u32) -> u32 {
        self.0.get(key).map_or(0, |failures| failures.count.saturating_sub(free))
    }

    fn make_room(&mut self, needed: usize, now: Instant) {
        if self.0.len() + needed > MAX_TRACKED {
            self.0.retain(|_, failures| now.duration_since(failures.last) < FORGET_AFTER);
        }
        while self.0.len() + needed > MAX_TRACKED {
            let oldest = self.0.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(account: &str, address: &str) -> SignInOrigin {
        SignInOrigin::new(address.parse().unwrap(), Some(account))
    }

    #[test]
    fn wrong_attempts_are_answered_later_and_later_and_a_right_one_ends_that() {
        let (mut attempts, start) = (SignInRateLimiter::default(), Instant::now());
        let ann = from("ann", "10.0.0.7");
        let mut pauses = Vec::new();
        for _ in 0..12 {
            attempts.count_attempt(&ann, start);
            pauses.push(attempts.answer_delay(&ann).as_millis());
        }
        assert_eq!(pauses, [0, 0, 0, 0, 0, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(attempts.next_check_at(&ann, 1), Some(start + MAX_CHECK_GAP));
        assert_eq!(attempts.next_check_at(&ann, 200), Some(start + Duration::from_millis(50)));
        // Other accounts in that network, and ann elsewhere, are not delayed.
        for other in [from("bob", "10.0.0.7"), from("ann", "10.0.0.8")] {
            assert_eq!(
                (attempts.answer_delay(&other), attempts.next_check_at(&other, 1)),
                (Duration::ZERO, None)
            );
        }
        attempts.forget_failures(&ann);
        assert_eq!((attempts.answer_delay(&ann), attempts.next_check_at(&ann, 1)), (Duration::ZERO, None));
    }

    #[test]
    fn many_wrong_attempts_of_a_network_delay_its_wrong_answers_and_no_check() {
        let (mut attempts, start) = (SignInRateLimiter::default(), Instant::now());
        for at in 0..40 {
            attempts.count_attempt(&from(&at.to_string(), "2001:db8::1"), start);
        }
        let neighbour = from("ann", "2001:db8::2");
        assert_eq!(
            (attempts.answer_delay(&neighbour), attempts.next_check_at(&neighbour, 9)),
            (MAX_ANSWER_DELAY, None)
        );
        assert_eq!(attempts.answer_delay(&from("ann", "2001:db8:0:1::1")), Duration::ZERO);
        // After a quarter of an hour they are forgotten.
        attempts.count_attempt(&neighbour, start + FORGET_AFTER);
        assert_eq!(attempts.answer_delay(&neighbour), Duration::ZERO);
        assert_eq!(from("ann", "::ffff:10.0.0.1"), from("ann", "10.0.0.1"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (mut attempts, start) = (SignInRateLimiter::default(), Instant::now());
        for at in 0..=u32::try_from(MAX_TRACKED / 2).unwrap() {
            let origin = SignInOrigin::new(IpAddr::V4(at.into()), None);
            attempts.count_attempt(&origin, start + Duration::from_millis(at.into()));
        }
        assert_eq!(attempts.0.len(), MAX_TRACKED);
        assert!(!attempts.0.contains_key(&LimiterKey::Network(IpAddr::V4(0.into()))));
    }
}
