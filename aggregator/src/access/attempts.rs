//! Rate limit for sign-ins: recent wrong passwords and the delays that follow from them.
//!
//! The answer to a wrong attempt is delayed by the number of wrong attempts before it, and the next attempt
//! on the same account from the same network is checked a little later. No attempt is refused for that
//! reason: a correct password is accepted as soon as it is checked, no matter what others have tried.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong attempts on an account from one network without a delay: people mistype.
const FREE: u32 = 5;
/// Wrong attempts from one network, on any account, without a delay.
const FREE_OF_NETWORK: u32 = 30;
/// Maximum delay of the answer to a wrong attempt, well below the time limit of a request.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Maximum time between two checks of one account from one network: five guesses a second.
const LONGEST_GAP: Duration = Duration::from_millis(200);
/// Maximum wait caused by these gaps: if many attempts wait, gaps are shorter, since one of them may be
/// correct.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Time without an attempt after which earlier ones are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// Maximum number of accounts and networks that are tracked; beyond it the least recent are forgotten.
const MOST: usize = 10_000;

/// Network and account of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    network: IpAddr,
    /// `None`: the account does not exist. All unknown names count as one account, so that many names get no
    /// more attention than one.
    account: Option<String>,
}

impl Origin {
    pub(super) fn new(address: IpAddr, account: Option<&str>) -> Self {
        Self { network: network(address), account: account.map(str::to_owned) }
    }

    pub(super) fn network(&self) -> IpAddr {
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
enum Key {
    Origin(Origin),
    Network(IpAddr),
}

/// Recent wrong attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<Key, Failures>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Attempts {
    /// Counts an attempt before it is checked. It counts as wrong until [`Attempts::succeeded`] is called, so
    /// that concurrent attempts cannot avoid the delays.
    pub(super) fn begin(&mut self, origin: &Origin, now: Instant) {
        let keys = [Key::Origin(origin.clone()), Key::Network(origin.network)];
        self.make_room(keys.len(), now);
        for key in keys {
            let failures = self.0.entry(key).or_insert(Failures { count: 0, last: now });
            if now.duration_since(failures.last) >= FORGOTTEN {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// Forgets the wrong attempts on an account from a network after its owner signed in. Those on other
    /// accounts stay.
    pub(super) fn succeeded(&mut self, origin: &Origin) {
        self.0.remove(&Key::Origin(origin.clone()));
        if let Some(failures) = self.0.get_mut(&Key::Network(origin.network)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    /// Returns the time between the arrival of a wrong attempt and its answer.
    pub(super) fn pause(&self, origin: &Origin) -> Duration {
        let of_origin = self.excess(&Key::Origin(origin.clone()), FREE);
        let of_network = self.excess(&Key::Network(origin.network), FREE_OF_NETWORK);
        let pause = |excess: u32| match excess {
            0 => Duration::ZERO,
            more => Duration::from_millis(250 << more.min(8)).min(LONGEST_PAUSE),
        };
        pause(of_origin).max(pause(of_network))
    }

    /// Returns the time from which the next attempt may be checked while `waiting` attempts wait; `None`: at
    /// once.
    pub(super) fn due(&self, origin: &Origin, waiting: usize) -> Option<Instant> {
        let key = Key::Origin(origin.clone());
        let gap = match self.excess(&key, FREE) {
            0 => return None,
            more => Duration::from_millis(12 << more.min(8)).min(LONGEST_GAP),
        };
        let shortest = LONGEST_WAIT / u32::try_from(waiting).unwrap_or(u32::MAX).max(1);
        Some(self.0.get(&key)?.last + gap.min(shortest))
    }

    /// Returns the number of attempts beyond the free ones.
    fn excess(&self, key: &Key, free: u32) -> u32 {
        self.0.get(key).map_or(0, |failures| failures.count.saturating_sub(free))
    }

    fn make_room(&mut self, needed: usize, now: Instant) {
        if self.0.len() + needed > MOST {
            self.0.retain(|_, failures| now.duration_since(failures.last) < FORGOTTEN);
        }
        while self.0.len() + needed > MOST {
            let oldest = self.0.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(account: &str, address: &str) -> Origin {
        Origin::new(address.parse().unwrap(), Some(account))
    }

    #[test]
    fn wrong_attempts_are_answered_later_and_later_and_a_right_one_ends_that() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let ann = from("ann", "10.0.0.7");
        let mut pauses = Vec::new();
        for _ in 0..12 {
            attempts.begin(&ann, start);
            pauses.push(attempts.pause(&ann).as_millis());
        }
        assert_eq!(pauses, [0, 0, 0, 0, 0, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(attempts.due(&ann, 1), Some(start + LONGEST_GAP));
        assert_eq!(attempts.due(&ann, 200), Some(start + Duration::from_millis(50)));
        // Other accounts in that network, and ann elsewhere, are not delayed.
        for other in [from("bob", "10.0.0.7"), from("ann", "10.0.0.8")] {
            assert_eq!((attempts.pause(&other), attempts.due(&other, 1)), (Duration::ZERO, None));
        }
        attempts.succeeded(&ann);
        assert_eq!((attempts.pause(&ann), attempts.due(&ann, 1)), (Duration::ZERO, None));
    }

    #[test]
    fn many_wrong_attempts_of_a_network_delay_its_wrong_answers_and_no_check() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for at in 0..40 {
            attempts.begin(&from(&at.to_string(), "2001:db8::1"), start);
        }
        let neighbour = from("ann", "2001:db8::2");
        assert_eq!((attempts.pause(&neighbour), attempts.due(&neighbour, 9)), (LONGEST_PAUSE, None));
        assert_eq!(attempts.pause(&from("ann", "2001:db8:0:1::1")), Duration::ZERO);
        // After a quarter of an hour they are forgotten.
        attempts.begin(&neighbour, start + FORGOTTEN);
        assert_eq!(attempts.pause(&neighbour), Duration::ZERO);
        assert_eq!(from("ann", "::ffff:10.0.0.1"), from("ann", "10.0.0.1"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for at in 0..=u32::try_from(MOST / 2).unwrap() {
            let origin = Origin::new(IpAddr::V4(at.into()), None);
            attempts.begin(&origin, start + Duration::from_millis(at.into()));
        }
        assert_eq!(attempts.0.len(), MOST);
        assert!(!attempts.0.contains_key(&Key::Network(IpAddr::V4(0.into()))));
    }
}
