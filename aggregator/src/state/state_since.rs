//! Time of the last health change of an instance. Pure.

use jiff::{SignedDuration, Timestamp};
use rta_shared::overview::Health;

/// Present health of an instance and its start, and those of the last known health.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HealthPeriod {
    /// Health of the last evaluation, and its start if known.
    current: Option<(Health, Option<Timestamp>)>,
    /// Last health other than unknown, and its start.
    last_known: Option<(Health, Timestamp)>,
}

impl HealthPeriod {
    /// Creates the period of an instance whose last change an earlier aggregator recorded.
    pub(super) fn recovered(last_known: Option<(Health, Timestamp)>) -> Self {
        Self { current: None, last_known }
    }

    /// Returns the health of the last evaluation; `None` before the first.
    pub(super) fn health(&self) -> Option<Health> {
        self.current.map(|(health, _)| health)
    }

    /// Applies a step of the aggregator's own clock: states that began at `began` (the start of this
    /// aggregator) or later keep their age.
    pub(super) fn shift_clock(&mut self, step: SignedDuration, began: Timestamp) {
        let follow = |time: &mut Timestamp| {
            if *time >= began {
                *time = time.checked_add(step).unwrap_or(*time);
            }
        };
        self.current.iter_mut().filter_map(|(_, since)| since.as_mut()).for_each(follow);
        self.last_known.iter_mut().for_each(|(_, since)| follow(since));
    }

    /// Applies the health of an evaluation made at `now`. Returns its start if known.
    /// Another evaluation with the same health changes nothing.
    pub(super) fn update(&mut self, health: Health, now: Timestamp) -> Option<Timestamp> {
        let since = match (self.current, self.last_known) {
            (Some((before, since)), _) if before == health => return since,
            // The instance was unknown in between.
            (None | Some((Health::Unknown, _)), Some((known, since))) if known == health => Some(since),
            // The first known state may have begun long before.
            (None, _) => None,
            (Some((Health::Unknown, None)), None) => None,
            (Some(_), _) => Some(now),
        };
        self.current = Some((health, since));
        if health != Health::Unknown {
            self.last_known = Some((health, since.unwrap_or(now)));
        }
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_is_counted_from_the_change_and_over_what_could_not_be_seen() {
        use Health::{Degraded, Down, Unknown, Up};
        let mut standing = HealthPeriod::default();
        let steps = [
            (Unknown, None),
            (Up, None),
            (Down, Some(3)),
            (Down, Some(3)),
            (Unknown, Some(5)),
            (Unknown, Some(5)),
            (Down, Some(3)),
            (Degraded, Some(8)),
            (Unknown, Some(9)),
            (Up, Some(10)),
        ];
        for (second, (health, since)) in (1..).zip(steps) {
            assert_eq!(standing.update(health, at(second)), since.map(at), "{second}");
        }
    }

    #[test]
    fn clock_that_is_set_changes_no_length_of_time() {
        let standing = |since| HealthPeriod {
            current: Some((Health::Down, Some(at(since)))),
            last_known: Some((Health::Down, at(since))),
        };
        let mut periods = [standing(150), standing(50)];
        periods.iter_mut().for_each(|period| period.shift_clock(SignedDuration::from_secs(1000), at(100)));
        let times: Vec<_> =
            periods.iter().map(|period| period.current.and_then(|(_, since)| since)).collect();
        // Times recorded by an earlier aggregator are left unchanged.
        assert_eq!(times, [Some(at(1150)), Some(at(50))]);
    }

    #[test]
    fn what_an_earlier_aggregator_saw_counts_if_it_is_so_still() {
        let known = Some((Health::Down, at(7)));
        let mut same = HealthPeriod { current: None, last_known: known };
        assert_eq!(same.update(Health::Unknown, at(50)), None);
        assert_eq!(same.update(Health::Down, at(51)), Some(at(7)));
        let mut other = HealthPeriod { current: None, last_known: known };
        assert_eq!(other.update(Health::Unknown, at(50)), None);
        assert_eq!(other.update(Health::Up, at(51)), Some(at(51)));
    }
}
