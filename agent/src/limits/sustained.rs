//! Decides when a limit counts as exceeded, and when that is over. Pure: takes the time as a value.

use std::time::Duration;

/// Share of the limit at which it is over: a figure that stays near the limit must not change the health with
/// each measurement.
const CALM_RATIO: f64 = 0.95;
/// Longest time for which the figure must stay below that share.
const MAX_CALM_TIME: Duration = Duration::from_secs(60);
/// Longest time between two measurements that are taken for one stretch. After a longer one, such as that of
/// a suspended host, nothing is known of the time in between.
pub(super) const MAX_GAP: Duration = Duration::from_secs(60);
/// Change of the figure from which the shown one follows: each change is a new report.
const SHOWN_CHANGE: f64 = 0.1;

/// State of one limit of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SustainedState {
    /// Time of the last measurement.
    measured_at: Option<Duration>,
    /// Time since which the limit has been exceeded.
    above_since: Option<Duration>,
    /// Figure to show; `None` while the limit does not count as exceeded.
    shown: Option<f64>,
    /// Time since which the figure has been clearly below the limit.
    calm_since: Option<Duration>,
}

/// Limit that counts as exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exceeded {
    /// Time since which it has been exceeded.
    pub(super) since: Duration,
    /// Figure to show.
    pub(super) figure: f64,
}

impl SustainedState {
    /// Takes the figure measured at `now`. The limit `most` counts as exceeded once the figure has been above
    /// it for the time `hold`, and until the figure has been clearly below it for as long, a minute at most.
    pub(super) fn measure(
        &mut self,
        now: Duration,
        figure: f64,
        most: f64,
        hold: Duration,
    ) -> Option<Exceeded> {
        let is_gap = self.measured_at.is_some_and(|last| now.saturating_sub(last) > MAX_GAP);
        self.measured_at = Some(now);
        if is_gap {
            self.calm_since = None;
            if self.shown.is_none() {
                self.above_since = None;
            }
        }
        match self.shown {
            None if figure > most => {
                let since = *self.above_since.get_or_insert(now);
                if now.saturating_sub(since) >= hold {
                    self.shown = Some(figure);
                }
            }
            None => self.above_since = None,
            Some(_) if figure <= most * CALM_RATIO => {
                let since = *self.calm_since.get_or_insert(now);
                if now.saturating_sub(since) >= hold.min(MAX_CALM_TIME) {
                    *self = Self { measured_at: self.measured_at, ..Self::default() };
                }
            }
            Some(shown) => {
                self.calm_since = None;
                // What is shown is always above the limit.
                if figure > most && (figure - shown).abs() > shown * SHOWN_CHANGE {
                    self.shown = Some(figure);
                }
            }
        }
        Some(Exceeded { since: self.above_since?, figure: self.shown? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MOST: f64 = 100.0;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Measures once every 10 s. Returns the figures shown, `-` for none.
    fn trace(hold: u64, figures: &[u32]) -> String {
        let mut state = SustainedState::default();
        let measured = (0..).zip(figures).map(|(at, figure)| {
            let exceeded = state.measure(seconds(10 * at), f64::from(*figure), MOST, seconds(hold));
            exceeded.map_or("-".to_owned(), |exceeded| exceeded.figure.to_string())
        });
        measured.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn limit_fires_after_its_time_ends_below_it_and_fires_again() {
        let rows: [(u64, &[u32], &str); 8] = [
            (0, &[99, 100, 101, 90], "- - 101 -"),
            (20, &[101, 101, 101, 101], "- - 101 101"),
            // One figure at the limit restarts the time.
            (20, &[101, 101, 100, 101, 101, 101], "- - - - - 101"),
            // Near the limit it goes on; clearly below it must stay for its time.
            (10, &[101, 101, 100, 96, 101], "- 101 101 101 101"),
            (10, &[101, 101, 95, 96, 95, 95], "- 101 101 101 101 -"),
            (10, &[101, 101, 50, 50, 120, 120], "- 101 101 - - 120"),
            // The figure follows only larger changes, and never to below the limit.
            (0, &[101, 105, 112, 150, 100, 102], "101 101 112 150 150 102"),
            (600, &[200, 200, 200], "- - -"),
        ];
        for (hold, figures, expected) in rows {
            assert_eq!(trace(hold, figures), expected, "{hold} s, {figures:?}");
        }
    }

    #[test]
    fn gap_in_the_measurements_proves_nothing() {
        let mut state = SustainedState::default();
        let mut measure =
            |at| state.measure(seconds(at), 200.0, MOST, seconds(30)).map(|exceeded| exceeded.since);
        assert_eq!(measure(0), None);
        assert_eq!(measure(3600), None, "nobody knows how it was for an hour");
        assert_eq!(measure(3630), Some(seconds(3600)));
        assert_eq!(measure(9000), Some(seconds(3600)), "what has fired goes on until it is seen to be over");
    }

    proptest! {
        /// Compares the state with what the whole history says.
        #[test]
        fn limit_fires_only_for_what_was_seen(
            hold in 0_u64..40,
            steps in vec((1_u64..30, 0_u32..200), 1..80),
        ) {
            let mut state = SustainedState::default();
            let mut now = 0;
            let mut history: Vec<(u64, u32)> = Vec::new();
            let mut was_fired = false;
            for (step, figure) in steps {
                now += step;
                history.push((now, figure));
                let exceeded = state.measure(seconds(now), f64::from(figure), MOST, seconds(hold));
                if let Some(exceeded) = exceeded {
                    prop_assert!(exceeded.figure > MOST);
                    // It began with a figure above the limit, and was above it for its time.
                    let begin = history.iter().position(|(at, _)| seconds(*at) == exceeded.since).unwrap();
                    let held = history[begin..].iter().take_while(|(_, figure)| *figure > 100);
                    let last = held.last().unwrap().0;
                    prop_assert!(last - history[begin].0 >= hold);
                } else if was_fired {
                    // It ends only on a figure clearly below the limit.
                    prop_assert!(figure <= 95);
                } else {
                    let above = history.iter().rev().take_while(|(_, figure)| *figure > 100).last();
                    let held = above.map(|(at, _)| now - at);
                    prop_assert!(held.is_none_or(|held| held < hold), "it is silent after {held:?}");
                }
                was_fired = exceeded.is_some();
            }
        }
    }
}
