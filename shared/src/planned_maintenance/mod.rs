//! Planned maintenance: its windows, and which of them is due. Pure.
//!
//! | module | holds |
//! |---|---|
//! | `recurrence` | when it begins: once, or on certain days |

mod recurrence;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::action::Requester;
use crate::selector::Selector;

pub use recurrence::{DayRule, Recurrence};

/// Number of windows that are compared to find out whether they overlap: a week has seven days.
const COMPARED_WINDOWS: usize = 10;
/// Difference by which a stored time may lie in the future before it counts as wrong.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(24);

/// Maintenance that begins by itself, once or repeatedly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMaintenance {
    /// ID, which is never used twice.
    pub id: u64,
    /// Environment; empty: any.
    pub environment: String,
    /// Host; empty: any.
    pub host: String,
    /// Component; empty: whole hosts.
    pub component: String,
    /// True for all instances or hosts that match.
    pub all: bool,
    /// When it begins.
    #[serde(flatten)]
    pub recurrence: Recurrence,
    /// Duration of each window, in seconds.
    pub length_seconds: u32,
    /// Time zone in which `recurrence` is read, by its name in the IANA database.
    pub time_zone: String,
    /// Reason; empty if none was given.
    pub reason: String,
    /// Requester.
    pub by: Requester,
    /// Time of the request.
    pub created_at: Timestamp,
    /// Begin of the last window that began or was missed; before the first one, `created_at`.
    pub handled: Timestamp,
}

/// Time from the begin to the end of one maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MaintenanceWindow {
    /// Begin.
    pub begin: Timestamp,
    /// End.
    pub end: Timestamp,
}

/// Window that has begun since the last check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueWindow {
    /// It has begun and is not over.
    Current(MaintenanceWindow),
    /// It is over: nobody began it while it lasted.
    Missed(MaintenanceWindow),
}

/// Planned maintenance as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpcomingMaintenance {
    /// The plan.
    #[serde(flatten)]
    pub planned: PlannedMaintenance,
    /// Next windows, the earliest first.
    pub next: Vec<MaintenanceWindow>,
    /// Reason why the next one cannot begin, as a sentence; `None` if it can.
    pub problem: Option<String>,
}

impl PlannedMaintenance {
    /// Returns the names of the hosts or instances.
    pub fn selector(&self) -> Selector {
        let Self { environment, host, component, .. } = self;
        Selector { environment: environment.clone(), host: host.clone(), component: component.clone() }
    }

    /// Returns the time zone.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if this host does not know it.
    pub fn zone(&self) -> Result<TimeZone, String> {
        TimeZone::get(&self.time_zone).map_err(|_| unknown_zone(&self.time_zone))
    }

    /// Returns the duration of each window.
    pub fn length(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.length_seconds))
    }

    fn window(&self, begin: Timestamp) -> Option<MaintenanceWindow> {
        Some(MaintenanceWindow { begin, end: begin.checked_add(self.length()).ok()? })
    }

    /// Returns the next `count` windows that begin after `after`; fewer if there are no more.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if this host does not know the time zone.
    pub fn next_windows(&self, after: Timestamp, count: usize) -> Result<Vec<MaintenanceWindow>, String> {
        let zone = self.zone()?;
        let first = self.recurrence.next_begin(after.max(self.handled), &zone);
        let begins = std::iter::successors(first, |begin| self.recurrence.next_begin(*begin, &zone));
        Ok(begins.take(count).map_while(|begin| self.window(begin)).collect())
    }

    /// Returns the latest window that has begun at `now` and was not handled; `None` if there is none. The caller
    /// handles it, and then calls [`PlannedMaintenance::mark_handled`].
    ///
    /// # Errors
    /// Returns an error, as a sentence, if this host does not know the time zone.
    pub fn due_window(&self, now: Timestamp) -> Result<Option<DueWindow>, String> {
        let last = self.recurrence.last_begin(now, &self.zone()?);
        let window = last.filter(|begin| *begin > self.handled).and_then(|begin| self.window(begin));
        Ok(window.map(|window| match now < window.end {
            true => DueWindow::Current(window),
            false => DueWindow::Missed(window),
        }))
    }

    /// Marks a window and all earlier ones as handled.
    pub fn mark_handled(&mut self, begin: Timestamp) {
        self.handled = self.handled.max(begin);
    }

    /// Corrects a time of the last handled window that lies far in the future: the clock was wrong then, and no
    /// window would begin until that time.
    pub fn correct_clock(&mut self, now: Timestamp) {
        if self.handled.duration_since(now) > CLOCK_TOLERANCE {
            self.handled = now;
        }
    }

    /// Returns Ok if at least one window begins after `now`, and none begins before the one before it has ended.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if that is not so, or if this host does not know the time zone.
    pub fn check(&self, now: Timestamp) -> Result<(), String> {
        if self.next_windows(now, 1)?.is_empty() {
            return Err(format!("{} {} has passed", self.recurrence, self.time_zone));
        }
        // Without changes of the clocks, so that a window of a day fits each day.
        let in_utc = Self { time_zone: "UTC".to_owned(), ..self.clone() };
        let windows = in_utc.next_windows(now, COMPARED_WINDOWS)?;
        match windows.windows(2).any(|pair| matches!(pair, [a, b] if a.end > b.begin)) {
            true => Err(format!(
                "{} for {} would begin again before it has ended; plan it shorter, or begin maintenance without an end",
                self.recurrence,
                self.length_text()
            )),
            false => Ok(()),
        }
    }

    /// Returns the duration as text: `2h`, `1h 30m`.
    pub fn length_text(&self) -> String {
        let (hours, minutes, seconds) =
            (self.length_seconds / 3600, self.length_seconds / 60 % 60, self.length_seconds % 60);
        let parts = [(hours, "h"), (minutes, "m"), (seconds, "s")];
        let parts = parts.iter().filter(|(number, _)| *number > 0);
        parts.map(|(number, unit)| format!("{number}{unit}")).collect::<Vec<_>>().join(" ")
    }

    /// Returns the names of its hosts or instances as text: `ITG/h1/kafka server`, `ITG`, `everything`.
    pub fn place(&self) -> String {
        let names = [&self.environment, &self.host, &self.component].map(String::as_str);
        let named: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        match named.is_empty() {
            true => "everything".to_owned(),
            false => named.join("/"),
        }
    }

    /// Returns the plan as text: `every sat 02:00 Europe/Berlin for 2h: patches (ann)`.
    pub fn sentence(&self) -> String {
        let mut sentence = format!("{} {} for {}", self.recurrence, self.time_zone, self.length_text());
        if !self.reason.is_empty() {
            sentence.push_str(": ");
            sentence.push_str(&self.reason);
        }
        if !self.by.user.is_empty() {
            sentence.push_str(&format!(" ({})", self.by.user));
        }
        sentence
    }
}

fn unknown_zone(name: &str) -> String {
    format!(
        "the time zone \"{}\" is not known on the aggregator's host; write a name such as Europe/Berlin, and check \
         that the time zone data (package tzdata) is installed",
        crate::sanitize::quoted_input(name)
    )
}

/// Formats a time as the clocks of a time zone show it: `Sat 2026-12-05 02:00 CET`; in UTC if this host does not
/// know the zone.
pub fn local_time(at: Timestamp, time_zone: &str) -> String {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    at.to_zoned_datetime(zone).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn planned(recurrence: Recurrence, hours: u32, created_at: &str) -> PlannedMaintenance {
        PlannedMaintenance {
            id: 3,
            environment: "ITG".to_owned(),
            host: String::new(),
            component: String::new(),
            all: false,
            recurrence,
            length_seconds: hours * 3600,
            time_zone: "Europe/Berlin".to_owned(),
            reason: "patches".to_owned(),
            by: Requester { user: "ann".to_owned(), address: String::new() },
            created_at: at(created_at),
            handled: at(created_at),
        }
    }

    fn weekly() -> PlannedMaintenance {
        planned(Recurrence::parse_every("sat 02:00").unwrap(), 2, "2026-11-29T12:00:00Z")
    }

    #[test]
    fn window_is_due_once_late_or_missed() {
        let mut weekly = weekly();
        let window = MaintenanceWindow { begin: at("2026-12-05T01:00:00Z"), end: at("2026-12-05T03:00:00Z") };
        assert_eq!(weekly.due_window(at("2026-12-05T00:59:59Z")), Ok(None));
        assert_eq!(weekly.due_window(window.begin), Ok(Some(DueWindow::Current(window))));
        assert_eq!(weekly.due_window(at("2026-12-05T02:59:59Z")), Ok(Some(DueWindow::Current(window))));
        assert_eq!(weekly.due_window(window.end), Ok(Some(DueWindow::Missed(window))));
        weekly.mark_handled(window.begin);
        assert_eq!(weekly.due_window(at("2026-12-05T02:00:00Z")), Ok(None));
        assert_eq!(weekly.next_windows(window.begin, 1).unwrap()[0].begin, at("2026-12-12T01:00:00Z"));
    }

    #[test]
    fn time_far_in_the_future_does_not_block_the_windows() {
        let mut weekly = weekly();
        weekly.mark_handled(at("2036-12-05T01:00:00Z"));
        weekly.correct_clock(at("2026-12-04T12:00:00Z"));
        assert!(matches!(weekly.due_window(at("2026-12-05T01:00:00Z")), Ok(Some(DueWindow::Current(_)))));
        // A small correction does not repeat a window.
        weekly.mark_handled(at("2026-12-05T01:00:00Z"));
        weekly.correct_clock(at("2026-12-05T00:59:00Z"));
        assert_eq!(weekly.due_window(at("2026-12-05T01:00:00Z")), Ok(None));
    }

    #[test]
    fn plans_without_a_window_or_with_overlapping_ones_are_refused() {
        let now = at("2026-11-29T12:00:00Z");
        assert_eq!(weekly().check(now), Ok(()));
        let created = "2026-11-29T12:00:00Z";
        let past = planned(Recurrence::parse_at("2026-11-29 12:59").unwrap(), 2, created);
        assert_eq!(past.check(now), Err("at 2026-11-29 12:59 Europe/Berlin has passed".to_owned()));
        let daily = |hours| planned(Recurrence::parse_every("day 02:00").unwrap(), hours, created);
        assert_eq!(daily(24).check(now), Ok(()));
        assert!(daily(25).check(now).unwrap_err().starts_with("every day 02:00 for 25h would begin again"));
        let nowhere = PlannedMaintenance { time_zone: "Mars/Base".to_owned(), ..weekly() };
        assert!(nowhere.check(now).unwrap_err().contains("\"Mars/Base\" is not known"));
    }

    #[test]
    fn plan_is_told_and_stored_in_words() {
        let weekly = weekly();
        assert_eq!(weekly.sentence(), "every sat 02:00 Europe/Berlin for 2h: patches (ann)");
        assert_eq!(weekly.place(), "ITG");
        assert_eq!(local_time(at("2026-12-05T01:00:00Z"), "Europe/Berlin"), "Sat 2026-12-05 02:00 CET");
        let json = serde_json::to_string(&weekly).unwrap();
        assert!(json.contains(r#""every":"sat 02:00""#), "{json}");
        assert_eq!(serde_json::from_str::<PlannedMaintenance>(&json).unwrap(), weekly);
        let once = planned(Recurrence::parse_at("2026-12-05 02:00").unwrap(), 1, "2026-11-29T12:00:00Z");
        let json = serde_json::to_string(&once).unwrap();
        assert!(json.contains(r#""at":"2026-12-05T02:00:00""#), "{json}");
        assert_eq!(serde_json::from_str::<PlannedMaintenance>(&json).unwrap(), once);
    }

    proptest! {
        /// However rarely somebody looks, each window is due at most once, in order, and each one that a look fell
        /// into began.
        #[test]
        fn each_window_is_due_once(
            steps in prop::collection::vec(1_i64..400_000, 1..60), hours in 1_u32..24,
            days in "(day|sat|mon,thu)", hour in 0..24_i8,
        ) {
            let rule = Recurrence::parse_every(&format!("{days} {hour:02}:30")).unwrap();
            let mut plan = planned(rule, hours, "2027-03-20T00:00:00Z");
            let mut now = plan.created_at;
            let mut begun = Vec::new();
            for step in steps {
                now += SignedDuration::from_secs(step);
                let due = plan.due_window(now).unwrap();
                let inside = plan.recurrence.last_begin(now, &plan.zone().unwrap())
                    .filter(|begin| *begin > plan.created_at && now < *begin + plan.length());
                if let Some(DueWindow::Current(window) | DueWindow::Missed(window)) = due {
                    prop_assert!(window.begin <= now && begun.last() < Some(&window.begin));
                    prop_assert_eq!(matches!(due, Some(DueWindow::Current(_))), inside.is_some());
                    begun.push(window.begin);
                    plan.mark_handled(window.begin);
                }
                prop_assert!(inside.is_none_or(|begin| begun.contains(&begin)));
            }
        }
    }
}
