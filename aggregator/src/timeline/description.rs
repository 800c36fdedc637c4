//! Description of a timeline as a sentence for readers who cannot see it, and its share of uptime as a
//! number.

use jiff::SignedDuration;
use rta_shared::format::counted;

use super::{Timeline, TimelineState};

/// Explanation of the number.
pub(crate) const UPTIME_EXPLANATION: &str = "Share of the time in which it ran, up or degraded. Maintenance, and what is unknown \
                                  or was not recorded, do not count";

/// Formats as `99.98 %`; rounded down, so that 100 % means never down. `-` if nothing is known.
pub(crate) fn format_uptime(uptime: Option<f64>) -> String {
    match uptime {
        None => "-".to_owned(),
        Some(percent) if percent >= 100.0 => "100 %".to_owned(),
        Some(percent) if percent >= 99.0 => format!("{:.2} %", (percent * 100.0).floor() / 100.0),
        Some(percent) => format!("{:.1} %", (percent * 10.0).floor() / 10.0),
    }
}

/// Formats as `up 97.2 %, down 40 min in 2 outages, unknown 3 min`.
pub(crate) fn describe_timeline(timeline: &Timeline) -> String {
    let mut parts = match timeline.uptime() {
        Some(_) => vec![format!("up {}", format_uptime(timeline.uptime()))],
        None => vec!["uptime not known".to_owned()],
    };
    for state in TimelineState::ALL.into_iter().rev().filter(|state| *state != TimelineState::Up) {
        let (total, times) = (timeline.total_time(state), timeline.count_spans(state));
        match state {
            _ if times == 0 => {}
            TimelineState::Down => {
                parts.push(format!("down {} in {}", format_length(total), counted(times, "outage")));
            }
            state => parts.push(format!("{} {}", state.word(), format_length(total))),
        }
    }
    parts.join(", ")
}

/// Formats as `under 1 s`, `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`: rounded down to two units at most.
pub(crate) fn format_length(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |great: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{great} {unit}"),
        small => format!("{great} {unit} {small} {small_unit}"),
    };
    match seconds {
        ..1 => "under 1 s".to_owned(),
        1..60 => format!("{seconds} s"),
        60..600 => two(minutes, "min", seconds % 60, "s"),
        600..3600 => format!("{minutes} min"),
        3600..86_400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::TimelineSample;
    use super::*;

    #[test]
    fn only_what_never_was_down_has_the_whole_of_it() {
        for (uptime, expected) in [
            (None, "-"),
            (Some(0.0), "0.0 %"),
            (Some(97.29), "97.2 %"),
            (Some(99.999_9), "99.99 %"),
            (Some(100.0), "100 %"),
        ] {
            assert_eq!(format_uptime(uptime), expected);
        }
    }

    #[test]
    fn lengths_have_what_matters() {
        let lengths = [0, 59, 60, 95, 3599, 3600, 12_000, 86_400, 190_000];
        let texts = lengths.map(|seconds| format_length(SignedDuration::from_secs(seconds)));
        assert_eq!(
            texts,
            ["under 1 s", "59 s", "1 min", "1 min 35 s", "59 min", "1 h", "3 h 20 min", "1 d", "2 d 4 h"]
        );
    }

    #[test]
    fn the_sentence_tells_the_worst_first_and_nothing_that_was_not() {
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let sample = |minutes, state| TimelineSample { at: at(minutes), state };
        let samples = [
            sample(0, TimelineState::Up),
            sample(500, TimelineState::Down),
            sample(520, TimelineState::Up),
            sample(900, TimelineState::Unknown),
            sample(903, TimelineState::Down),
            sample(923, TimelineState::Degraded),
            sample(1433, TimelineState::Maintenance),
        ];
        let timeline = Timeline::from_samples(at(0), at(1440), &samples, &[]);
        assert_eq!(
            describe_timeline(&timeline),
            "up 97.2 %, down 40 min in 2 outages, degraded 8 h 30 min, unknown 3 min, maintenance 7 min"
        );
        let nothing = Timeline::from_samples(at(0), at(60), &[], &[]);
        assert_eq!(describe_timeline(&nothing), "uptime not known, not recorded 1 h");
    }
}
