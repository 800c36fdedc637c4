//! Reads the limits of what a component may use.

use std::time::Duration;

use jiff::SignedDuration;

use super::super::fields::{LONGEST, TableReader};
use super::super::model::{ByteAmount, LimitRules, OpenFilesLimit, RestartLimit, SustainedLimit};
use super::super::source::Problems;
use crate::sanitize::printable;

/// Reads `limits = { memory = "4 GiB for 5m", cpu = "90% for 10m", open_files = "80%", restarts = "3 in 1h"
/// }`.
pub(super) fn parse_limits(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> LimitRules {
    let memory =
        limit(&mut fields, "memory", "4 GiB for 5m", problems, |text| sustained(text, ByteAmount::parse));
    let cpu = limit(&mut fields, "cpu", "90% for 10m", problems, |text| sustained(text, percent));
    let open_files = limit(&mut fields, "open_files", "80%\" or \"5000 for 1m", problems, |text| {
        sustained(text, open_files)
    });
    let restarts = limit(&mut fields, "restarts", "3 in 1h", problems, restarts);
    fields.finish(problems);
    LimitRules { memory, cpu, open_files, restarts }
}

fn limit<T>(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    example: &str,
    problems: &mut Problems<'_>,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let text = fields.text(key, problems)?;
    let parsed = parse(&text.value);
    if parsed.is_none() {
        let (owner, shown) = (&fields.owner, printable(&text.value));
        let sentence =
            format!("{owner}: key \"{key}\": \"{shown}\" is no limit; write for example \"{example}\"");
        problems.report(text.place, sentence);
    }
    parsed
}

/// Parses `AMOUNT` or `AMOUNT for TIME`.
fn sustained<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<SustainedLimit<T>> {
    let (most, hold) = match text.split_once(" for ") {
        Some((most, hold)) => (most, duration(hold)?),
        None => (text, Duration::ZERO),
    };
    Some(SustainedLimit { most: parse(most.trim())?, hold })
}

fn percent(text: &str) -> Option<u32> {
    text.strip_suffix('%')?.trim().parse().ok().filter(|percent| *percent > 0)
}

fn open_files(text: &str) -> Option<OpenFilesLimit> {
    match text.ends_with('%') {
        true => percent(text).filter(|percent| *percent <= 100).map(OpenFilesLimit::Percent),
        false => text.parse().ok().map(OpenFilesLimit::Count),
    }
}

/// Parses `COUNT in TIME`.
fn restarts(text: &str) -> Option<RestartLimit> {
    let (most, within) = text.split_once(" in ")?;
    let within = duration(within).filter(|within| *within >= Duration::from_secs(1))?;
    Some(RestartLimit { most: most.trim().parse().ok().filter(|most| *most <= MAX_RESTARTS)?, within })
}

/// Maximum number of restarts in a limit: so many are remembered.
const MAX_RESTARTS: u32 = 60;

fn duration(text: &str) -> Option<Duration> {
    let duration = text.trim().parse::<SignedDuration>().ok()?;
    Duration::try_from(duration).ok().filter(|duration| *duration <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_they_are_written() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let cpu = |text| sustained(text, percent).map(|limit| (limit.most, limit.hold));
        assert_eq!(cpu("90% for 10m"), Some((90, minutes(10))));
        assert_eq!(cpu("250 %"), Some((250, minutes(0))));
        for invalid in ["90", "0%", "-1%", "90% for", "90% for x", "90% for 25h", "% for 1m", "90%for 1m"] {
            assert_eq!(cpu(invalid), None, "{invalid}");
        }
        assert_eq!(open_files("80%"), Some(OpenFilesLimit::Percent(80)));
        assert_eq!(open_files("5000"), Some(OpenFilesLimit::Count(5000)));
        assert_eq!(open_files("101%"), None);
        assert_eq!(restarts("3 in 1h"), Some(RestartLimit { most: 3, within: minutes(60) }));
        assert_eq!(restarts("0 in 24h").map(|limit| limit.most), Some(0));
        for invalid in ["3", "3 in 0s", "x in 1h", "61 in 1h", "3 in 25h", "-1 in 1h"] {
            assert_eq!(restarts(invalid), None, "{invalid}");
        }
    }
}
