//! Hours and days of a route.

use jiff::Timestamp;
use jiff::civil::{self, Time};
use jiff::tz::TimeZone;

use super::super::fields::TableReader;
use super::super::source::Problems;
use crate::sanitize::printable;
use crate::suggestion::did_you_mean;
use crate::words::words;

/// Day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

words!(Weekday {
    Monday => "mon",
    Tuesday => "tue",
    Wednesday => "wed",
    Thursday => "thu",
    Friday => "fri",
    Saturday => "sat",
    Sunday => "sun",
});

impl From<civil::Weekday> for Weekday {
    fn from(day: civil::Weekday) -> Self {
        match day {
            civil::Weekday::Monday => Self::Monday,
            civil::Weekday::Tuesday => Self::Tuesday,
            civil::Weekday::Wednesday => Self::Wednesday,
            civil::Weekday::Thursday => Self::Thursday,
            civil::Weekday::Friday => Self::Friday,
            civil::Weekday::Saturday => Self::Saturday,
            civil::Weekday::Sunday => Self::Sunday,
        }
    }
}

/// Hours and days in which a route is open; by default always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteHours {
    /// Days; empty: every day.
    days: Vec<Weekday>,
    /// Begin and end of the hours; an end before the begin is on the next day.
    hours: Option<(Time, Time)>,
    time_zone: TimeZone,
}

impl Default for RouteHours {
    fn default() -> Self {
        Self { days: Vec::new(), hours: None, time_zone: TimeZone::UTC }
    }
}

impl RouteHours {
    /// Returns true if the route is open at `at`. After midnight the hours of an evening belong to its day.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let local = self.time_zone.to_datetime(at);
        let (today, time) = (local.date(), local.time());
        let on = |day: civil::Date| self.days.is_empty() || self.days.contains(&day.weekday().into());
        match self.hours {
            None => on(today),
            Some((begin, end)) if begin < end => on(today) && begin <= time && time < end,
            Some((begin, end)) => {
                (on(today) && time >= begin) || (time < end && today.yesterday().is_ok_and(on))
            }
        }
    }
}

/// Reads `days`, `hours` and `timezone`.
pub(super) fn parse_hours(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> RouteHours {
    let owner = fields.owner.clone();
    let mut days = Vec::new();
    for day in fields.texts("days", problems) {
        match Weekday::from_word(&day.value.to_lowercase()) {
            Some(day) => days.push(day),
            None => {
                let hint = did_you_mean(&day.value, Weekday::ALL.map(Weekday::word));
                let message = format!("{owner}: key \"days\": \"{}\" is no day{hint}", printable(&day.value));
                problems.report(day.place, message);
            }
        }
    }
    let hours = fields.text("hours", problems).and_then(|text| {
        let parsed = parse_range(&text.value);
        if parsed.is_none() {
            let message = format!(
                "{owner}: key \"hours\": \"{}\" is no range of times; write for example \"08:00-18:00\" or \
                 \"22:00-06:00\"",
                printable(&text.value)
            );
            problems.report(text.place, message);
        }
        parsed
    });
    let time_zone = fields.text("timezone", problems).and_then(|text| {
        let found = TimeZone::get(&text.value);
        if found.is_err() {
            let message = format!(
                "{owner}: key \"timezone\": \"{}\" is no time zone that this machine knows; write for example \
                 \"Europe/Berlin\" or \"UTC\"",
                printable(&text.value)
            );
            problems.report(text.place, message);
        }
        found.ok()
    });
    RouteHours { days, hours, time_zone: time_zone.unwrap_or(TimeZone::UTC) }
}

/// Parses `08:00-18:00`; the end may be `24:00`.
fn parse_range(text: &str) -> Option<(Time, Time)> {
    let (begin, end) = text.split_once('-')?;
    let time = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let number = |text: &str| (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten();
        match (number(hour)?, number(minute)?) {
            (24, 0) => Some(Time::midnight()),
            (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
        }
    };
    let (begin, end) = (time(begin)?, time(end)?);
    (begin != end).then_some((begin, end))
}
