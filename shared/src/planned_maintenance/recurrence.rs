//! When planned maintenance begins: once, or on certain days. Pure.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// Number of days that are searched for a begin: more than two weekdays of the same number in two months can be
/// apart.
const SEARCHED_DAYS: i32 = 70;

/// Form of the rule, for error messages.
const RULE_FORM: &str =
    "write for example \"sat 02:00\", \"mon-fri 22:30\", \"day 04:00\" or \"first sun 02:00\"";

/// Times at which something begins, as the clocks of a time zone show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recurrence {
    /// Once, at this time.
    At(DateTime),
    /// Again and again.
    Every(DayRule),
}

/// Days on which something begins, and the time of day. As text: `sat 02:00`, `mon,thu 02:00`, `mon-fri 22:30`,
/// `day 04:00`; `first`, `second`, `third`, `fourth` or `last` before a weekday is that one of each month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayRule {
    /// For each weekday, from Monday on, whether it belongs to the rule.
    weekdays: [bool; 7],
    nth: Option<NthOfMonth>,
    time: Time,
}

/// Position of a weekday in its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NthOfMonth {
    First,
    Second,
    Third,
    Fourth,
    Last,
}

const NTH_WORDS: [(NthOfMonth, &str); 5] = [
    (NthOfMonth::First, "first"),
    (NthOfMonth::Second, "second"),
    (NthOfMonth::Third, "third"),
    (NthOfMonth::Fourth, "fourth"),
    (NthOfMonth::Last, "last"),
];

const WEEKDAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

impl Recurrence {
    /// Parses the time of a single begin, such as `2026-12-05 02:00`.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the text is no date with a time of day.
    pub fn parse_at(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let at = text.parse::<DateTime>().ok().filter(|_| text.contains(':'));
        at.map(Self::At).ok_or_else(|| {
            format!("\"{}\" is no date with a time; write for example \"2026-12-05 02:00\"", shown(text))
        })
    }

    /// Parses the rule of a repeated begin, such as `sat 02:00`.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the text is no such rule.
    pub fn parse_every(text: &str) -> Result<Self, String> {
        text.parse().map(Self::Every)
    }

    /// Returns the first begin after `after`; `None` if there is none.
    pub fn next_begin(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::At(at) => resolve_local(*at, zone).filter(|begin| *begin > after),
            Self::Every(rule) => {
                let from = zone.to_datetime(after).date();
                (-1..SEARCHED_DAYS)
                    .filter_map(|days| rule.begin_on(from.checked_add(days.days()).ok()?, zone))
                    .find(|begin| *begin > after)
            }
        }
    }

    /// Returns the last begin at or before `now`; `None` if there is none.
    pub fn last_begin(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::At(at) => resolve_local(*at, zone).filter(|begin| *begin <= now),
            Self::Every(rule) => {
                let from = zone.to_datetime(now).date();
                (-1..SEARCHED_DAYS)
                    .filter_map(|days| rule.begin_on(from.checked_sub(days.days()).ok()?, zone))
                    .find(|begin| *begin <= now)
            }
        }
    }
}

impl fmt::Display for Recurrence {
    /// Formats as `at 2026-12-05 02:00` or `every sat 02:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(f, "at {}", at.strftime("%Y-%m-%d %H:%M")),
            Self::Every(rule) => write!(f, "every {rule}"),
        }
    }
}

impl DayRule {
    /// Returns the begin on a date; `None` if there is none on it.
    fn begin_on(&self, date: Date, zone: &TimeZone) -> Option<Timestamp> {
        self.includes(date).then(|| resolve_local(date.to_datetime(self.time), zone)).flatten()
    }

    fn includes(&self, date: Date) -> bool {
        let is_weekday = WEEKDAYS
            .iter()
            .enumerate()
            .any(|(at, _)| self.weekdays.get(at) == Some(&true) && weekday_index(date.weekday()) == at);
        let day = date.day();
        let is_nth = match self.nth {
            None => true,
            Some(NthOfMonth::First) => day <= 7,
            Some(NthOfMonth::Second) => (8..=14).contains(&day),
            Some(NthOfMonth::Third) => (15..=21).contains(&day),
            Some(NthOfMonth::Fourth) => (22..=28).contains(&day),
            Some(NthOfMonth::Last) => day + 7 > date.days_in_month(),
        };
        is_weekday && is_nth
    }
}

/// Returns the moment at which clocks in `zone` show `at`: the first one if they show it twice, and the end of the
/// gap if they skip it. `None` if it is out of range.
fn resolve_local(at: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(at).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(at).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // With the offset of the time after the gap, the moment lies shortly before it.
            let earlier = after.to_timestamp(at).ok()?;
            zone.following(earlier).next().map(|transition| transition.timestamp())
        }
    }
}

fn weekday_index(weekday: Weekday) -> usize {
    usize::try_from(weekday.to_monday_zero_offset()).unwrap_or_default()
}

impl FromStr for DayRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |why: String| format!("\"{}\" is no rule of days: {why}; {RULE_FORM}", shown(text));
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let (nth, days, time) = match words.as_slice() {
            [days, time] => (None, *days, *time),
            [nth, days, time] => {
                let found = NTH_WORDS.iter().find(|(_, word)| word == nth).map(|(value, _)| *value);
                let nth = found.ok_or_else(|| {
                    invalid(format!("\"{}\" is none of first to fourth and last", shown(nth)))
                })?;
                (Some(nth), *days, *time)
            }
            _ => return Err(invalid("it is not days and a time".to_owned())),
        };
        let time = parse_time(time).map_err(&invalid)?;
        let weekdays = parse_days(days, nth.is_some()).map_err(invalid)?;
        Ok(Self { weekdays, nth, time })
    }
}

fn parse_time(text: &str) -> Result<Time, String> {
    let error = || format!("\"{}\" is no time of day", shown(text));
    let (hour, minute) = text.split_once(':').ok_or_else(error)?;
    let is_number =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    match (hour.parse(), minute.parse()) {
        (Ok(hour), Ok(minute_number)) if is_number(minute) && minute.len() == 2 => {
            Time::new(hour, minute_number, 0, 0).map_err(|_| error())
        }
        _ => Err(error()),
    }
}

fn parse_days(text: &str, is_nth: bool) -> Result<[bool; 7], String> {
    if text == "day" {
        return match is_nth {
            true => Err("a day of the month is a weekday, such as \"first sun\"".to_owned()),
            false => Ok([true; 7]),
        };
    }
    let mut weekdays = [false; 7];
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (parse_weekday(from)?, parse_weekday(to)?);
        // `fri-mon` is Friday to Monday.
        let length = (to + 7 - from) % 7;
        for offset in 0..=length {
            if let Some(day) = weekdays.get_mut((from + offset) % 7) {
                *day = true;
            }
        }
    }
    Ok(weekdays)
}

fn parse_weekday(text: &str) -> Result<usize, String> {
    let found = WEEKDAYS.iter().position(|(short, long)| text == *short || text == *long);
    found.ok_or_else(|| format!("\"{}\" is no weekday", shown(text)))
}

fn shown(text: &str) -> String {
    crate::sanitize::quoted_input(text).to_string()
}

impl fmt::Display for DayRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, word)) = NTH_WORDS.iter().find(|(nth, _)| Some(*nth) == self.nth) {
            write!(f, "{word} ")?;
        }
        let days: Vec<&str> = WEEKDAYS
            .iter()
            .zip(self.weekdays)
            .filter_map(|((short, _), is_chosen)| is_chosen.then_some(*short))
            .collect();
        match days.len() {
            7 if self.nth.is_none() => f.write_str("day")?,
            _ => f.write_str(&days.join(","))?,
        }
        write!(f, " {}", self.time.strftime("%H:%M"))
    }
}

impl TryFrom<String> for DayRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DayRule> for String {
    fn from(rule: DayRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn next(rule: &str, after: &str, count: usize) -> Vec<String> {
        let rule = Recurrence::parse_every(rule).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        (0..count)
            .map(|_| {
                at = rule.next_begin(at, &berlin()).unwrap();
                at.to_string()
            })
            .collect()
    }

    #[test]
    fn rules_are_read_and_written_in_one_form() {
        for (written, form) in [
            ("sat 02:00", "sat 02:00"),
            ("Saturday 2:00", "sat 02:00"),
            ("thu,mon 02:05", "mon,thu 02:05"),
            ("mon-fri 22:30", "mon,tue,wed,thu,fri 22:30"),
            ("fri-mon 22:30", "mon,fri,sat,sun 22:30"),
            (" day  04:00 ", "day 04:00"),
            ("last SUN 02:00", "last sun 02:00"),
            ("second mon,tue 02:00", "second mon,tue 02:00"),
        ] {
            let rule: DayRule = written.parse().unwrap();
            assert_eq!(rule.to_string(), form);
            assert_eq!(form.parse(), Ok(rule));
        }
    }

    #[test]
    fn invalid_rules_are_reported_with_their_fault() {
        for (written, fault) in [
            ("", "not days and a time"),
            ("sat", "not days and a time"),
            ("sat 25:00", "\"25:00\" is no time of day"),
            ("sat 2:0", "\"2:0\" is no time of day"),
            ("sat -1:00", "no time of day"),
            ("caturday 02:00", "\"caturday\" is no weekday"),
            ("fifth sat 02:00", "\"fifth\" is none of"),
            ("first day 02:00", "a day of the month is a weekday"),
            ("sat, 02:00", "\"\" is no weekday"),
        ] {
            let error = written.parse::<DayRule>().unwrap_err();
            assert!(error.contains(fault) && error.contains("write for example"), "{error}");
        }
        for wrong in ["2026-12-05", "tomorrow", "2026-13-05 02:00"] {
            assert!(Recurrence::parse_at(wrong).unwrap_err().contains("is no date with a time"), "{wrong}");
        }
        assert_eq!(Recurrence::parse_at("2026-12-05 02:00").unwrap().to_string(), "at 2026-12-05 02:00");
    }

    #[test]
    fn weekly_and_monthly_days_are_found() {
        assert_eq!(
            next("mon,sat 02:00", "2026-11-29T12:00:00Z", 3),
            ["2026-11-30T01:00:00Z", "2026-12-05T01:00:00Z", "2026-12-07T01:00:00Z"]
        );
        assert_eq!(
            next("first sun 02:00", "2026-11-29T12:00:00Z", 2),
            ["2026-12-06T01:00:00Z", "2027-01-03T01:00:00Z"]
        );
        assert_eq!(
            next("last sun 05:00", "2026-11-29T12:00:00Z", 2),
            ["2026-12-27T04:00:00Z", "2027-01-31T04:00:00Z"]
        );
    }

    #[test]
    fn skipped_time_begins_at_the_end_of_the_gap_and_repeated_time_once() {
        // On 2027-03-28 clocks go from 02:00 to 03:00, which is 01:00 UTC.
        assert_eq!(
            next("day 02:30", "2027-03-27T00:00:00Z", 3),
            ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]
        );
        // On 2026-10-25 clocks show 02:00 to 03:00 twice.
        assert_eq!(
            next("day 02:30", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        let once = Recurrence::parse_at("2027-03-28 02:30").unwrap();
        let begin: Timestamp = "2027-03-28T01:00:00Z".parse().unwrap();
        assert_eq!(once.next_begin(Timestamp::UNIX_EPOCH, &berlin()), Some(begin));
        assert_eq!(once.next_begin(begin, &berlin()), None);
        assert_eq!(once.last_begin(begin, &berlin()), Some(begin));
    }

    proptest! {
        /// Every begin has the rule's day and time, or follows a gap in that; none is missed, and from any moment the
        /// last begin and the next one are neighbours.
        #[test]
        fn begins_follow_each_other(
            days in "(day|(mon|tue|wed)(,(thu|fri|sat|sun))?|(first|second|third|fourth|last) (mon|sun))",
            hour in 0_i8..24, minute in 0_i8..60,
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC",
                "Africa/Cairo", "Pacific/Apia"]),
            at in 1_300_000_000_i64..2_000_000_000,
        ) {
            let text = format!("{days} {hour:02}:{minute:02}");
            let rule = Recurrence::parse_every(&text).unwrap();
            let Recurrence::Every(days) = &rule else { unreachable!() };
            let zone = TimeZone::get(zone).unwrap();
            let at = Timestamp::from_second(at).unwrap();
            let next = rule.next_begin(at, &zone).unwrap();
            let last = rule.last_begin(at, &zone).unwrap();
            prop_assert!(last <= at && at < next);
            prop_assert_eq!(rule.last_begin(next, &zone), Some(next));
            prop_assert_eq!(rule.next_begin(last, &zone), Some(next));
            let before = next.checked_sub(SignedDuration::from_nanos(1)).unwrap();
            prop_assert_eq!(rule.last_begin(before, &zone), Some(last));
            let local = zone.to_datetime(next);
            let is_exact = days.includes(local.date()) && local.time() == days.time;
            // Otherwise it is the end of a gap.
            let shift = zone.to_datetime(before).duration_until(local);
            prop_assert!(is_exact || shift > SignedDuration::from_nanos(1), "{} {}", text, local);
        }
    }
}
