//! Times at which lines of logs were written, as the lines themselves say. Pure.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use regex::Regex;

/// Maximum number of bytes before the end of the time.
const MAX_POSITION: usize = 80;

/// Year, month, day and time of day, as most loggers write them, with the offset from UTC if there is one.
/// Spark writes only two digits of the year.
static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let regex = r"(?:^|[^0-9])(\d{4}|\d\d)[-/](\d\d)[-/](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?";
    Regex::new(regex).ok()
});

/// Returns the time near the beginning of `line`, in whole seconds; `None` if there is none. A time without
/// an offset is in `zone`.
pub(super) fn line_time(line: &str, zone: &TimeZone) -> Option<Timestamp> {
    let begin = &line[..line.floor_char_boundary(MAX_POSITION)];
    let found = TIME.as_ref()?.captures(begin)?;
    let number = |at: usize| found.get(at)?.as_str().parse::<i8>().ok();
    let year = found.get(1)?.as_str();
    let century = if year.len() == 2 { 2000 } else { 0 };
    let year = year.parse::<i16>().ok()?.checked_add(century)?;
    let time = DateTime::new(year, number(2)?, number(3)?, number(4)?, number(5)?, number(6)?, 0).ok()?;
    match found.get(7) {
        None => zone.to_timestamp(time).ok(),
        Some(offset) => parse_offset(offset.as_str())?.to_timestamp(time).ok(),
    }
}

fn parse_offset(text: &str) -> Option<Offset> {
    let Some(sign) = text.chars().next().filter(|sign| *sign != 'Z') else { return Some(Offset::UTC) };
    let digits = text[1..].replace(':', "");
    let minutes = digits.get(..2)?.parse::<i32>().ok()? * 60 + digits.get(2..)?.parse::<i32>().ok()?;
    Offset::from_seconds(if sign == '-' { -60 * minutes } else { 60 * minutes }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_common_loggers_are_read() {
        let zone = TimeZone::fixed(Offset::constant(2));
        let rows = [
            (
                "[2026-11-29 09:30:01,123] INFO [KafkaServer id=0] started (kafka.server.KafkaServer)",
                "07:30:01",
            ),
            ("2026-11-29 09:30:01,123 [myid:1] - INFO  [main:NIOServerCnxnFactory@94] - binding", "07:30:01"),
            ("26/11/29 09:30:01 INFO Master: I have been elected leader! New state: ALIVE", "07:30:01"),
            ("INFO  [main] 2026-11-29 09:30:01,123 CassandraDaemon.java:522 - Startup complete", "07:30:01"),
            ("2026-11-29T09:30:01.5Z started", "09:30:01"),
            ("{\"time\":\"2026-11-29T09:30:01+05:30\"}", "04:00:01"),
            ("2026-11-29T09:30:01-0100 x", "10:30:01"),
        ];
        for (line, expected) in rows {
            let time = line_time(line, &zone).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(time.to_string(), format!("2026-11-29T{expected}Z"), "{line}");
        }
        let none = ["started", "2026-13-29 09:30:01 x", "09:30:01 x", "", "1234567-11-29 09:30:01"];
        for line in none {
            assert_eq!(line_time(line, &zone), None, "{line}");
        }
        assert_eq!(line_time(&format!("{}2026-11-29 09:30:01", "é".repeat(60)), &zone), None);
    }
}
