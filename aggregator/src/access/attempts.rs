//! How soon a password may be tried again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many wrong attempts are everybody's.
const FREE: u32 = 5;
/// The longest that has to be waited: nobody is locked out for good by somebody else's attempts.
const LONGEST: Duration = Duration::from_secs(60);
/// After so long without an attempt, those before are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// How many names and addresses are remembered; of more, the longest ago are forgotten.
const MOST: usize = 10_000;

/// Whose attempts are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// Of a name from one address: nobody is kept out by what others try elsewhere.
    Name {
        name: String,
        address: String,
    },
    Address(String),
}

/// The wrong attempts of late.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<Who, Failed>);

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    last: Instant,
}

impl Attempts {
    /// How long has to be waited before the next attempt.
    pub(super) fn wait(&self, who: &[Who], now: Instant) -> Option<Duration> {
        let waits = who.iter().filter_map(|who| self.0.get(who)).map(|failed| {
            let pause = match failed.times.checked_sub(FREE) {
                None => Duration::ZERO,
                Some(more) => Duration::from_secs(1 << more.min(6)).min(LONGEST),
            };
            (failed.last + pause).saturating_duration_since(now)
        });
        waits.max().filter(|wait| !wait.is_zero())
    }

    /// An attempt was wrong.
    pub(super) fn fail(&mut self, who: &[Who], now: Instant) {
        if self.0.len() + who.len() > MOST {
            self.0.retain(|_, failed| now.duration_since(failed.last) < FORGOTTEN);
        }
        while self.0.len() + who.len() > MOST {
            let Some(oldest) =
                self.0.iter().min_by_key(|(_, failed)| failed.last).map(|(who, _)| who.clone())
            else {
                break;
            };
            self.0.remove(&oldest);
        }
        for who in who {
            let failed = self.0.entry(who.clone()).or_insert(Failed { times: 0, last: now });
            if now.duration_since(failed.last) >= FORGOTTEN {
                failed.times = 0;
            }
            failed.times = failed.times.saturating_add(1);
            failed.last = now;
        }
    }

    /// They were right.
    pub(super) fn forget(&mut self, who: &[Who]) {
        for who in who {
            self.0.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(name: &str, address: &str) -> [Who; 2] {
        [Who::Name { name: name.to_owned(), address: address.to_owned() }, Who::Address(address.to_owned())]
    }

    #[test]
    fn the_wait_grows_to_a_minute_and_ends_when_the_right_one_comes() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let ann = from("ann", "10.0.0.7");
        let mut waits = Vec::new();
        for _ in 0..14 {
            attempts.fail(&ann, start);
            waits.push(attempts.wait(&ann, start).map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        // Who tries other names from there waits, too; ann is let in from elsewhere.
        assert!(attempts.wait(&from("bob", "10.0.0.7"), start).is_some());
        assert_eq!(attempts.wait(&from("ann", "10.0.0.8"), start), None);
        assert_eq!(attempts.wait(&ann, start + LONGEST), None);
        attempts.fail(&ann, start + FORGOTTEN);
        assert_eq!(attempts.wait(&ann, start + FORGOTTEN), None);
        attempts.forget(&ann);
        assert!(attempts.0.is_empty());
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for at in 0..=MOST as u64 {
            attempts.fail(&[Who::Address(at.to_string())], start + Duration::from_millis(at));
        }
        assert_eq!(attempts.0.len(), MOST);
        assert!(!attempts.0.contains_key(&Who::Address("0".into())));
    }
}
