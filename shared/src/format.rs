//! Times, amounts, counts and lists formatted for people.

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

/// Maximum number of names that a sentence lists.
const LISTED: usize = 20;

/// Returns the rough time from `then` to `now`: `3 s`, `5 min`, `2 h`, `4 d`. If `then` is in the future, as
/// with a clock that runs ahead, returns `0 s`.
///
/// ```
/// let then = jiff::Timestamp::UNIX_EPOCH;
/// let now = then + jiff::SignedDuration::from_secs(200);
/// assert_eq!(rta_shared::format::elapsed(then, now), "3 min");
/// ```
pub fn elapsed(then: Timestamp, now: Timestamp) -> String {
    rough_duration(now.duration_since(then).as_secs().max(0).unsigned_abs())
}

/// Returns a rough duration: `3 s`, `5 min`, `2 h`, `4 d`.
pub fn rough_duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns [`elapsed`] as a time in the past: `3 min ago`, and `just now` for the last second.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.duration_since(then).as_secs() {
        ..=1 => "just now".to_owned(),
        _ => format!("{} ago", elapsed(then, now)),
    }
}

/// Returns a measured duration: `850 µs`, `25 ms`, `1.3 s`.
pub fn precise_duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// Returns an amount of memory in decimal units: `512 MB`, `1.5 GB`.
///
/// ```
/// assert_eq!(rta_shared::format::memory(1_530_000_000), "1.5 GB");
/// ```
pub fn memory(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, rounded down: the result never exceeds the actual amount.
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1_000;
        unit += 1;
    }
    match tenths {
        0..100 => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        _ => format!("{} {}", tenths / 10, UNITS[unit]),
    }
}

/// Returns a share of one core: `12.5 %`, `180 %`.
pub fn percent(value: f64) -> String {
    if value < 99.95 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

/// Lists the first 20 of `names`, separated by `between`: `d1, d2 and 480 more`.
pub fn joined_list(names: impl IntoIterator<Item = impl Display>, between: &str) -> String {
    joined_first(LISTED, names, between)
}

/// Lists the first `most` of `names`, as [`joined_list`] does.
pub fn joined_first(most: usize, names: impl IntoIterator<Item = impl Display>, between: &str) -> String {
    let mut names = names.into_iter();
    let mut list = String::new();
    for name in names.by_ref().take(most) {
        let before = if list.is_empty() { "" } else { between };
        // Writing to a String cannot fail.
        let _ = write!(list, "{before}{name}");
    }
    match names.count() {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

/// Returns `count` with its noun: `1 host`, `2 hosts`, `2 processes`.
pub fn counted(count: usize, noun: &str) -> String {
    let ending = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn times_and_amounts_are_short_and_never_flatter() {
        let now = Timestamp::UNIX_EPOCH;
        let before = |seconds| now - SignedDuration::from_secs(seconds);
        for (seconds, expected) in [
            (-5, "just now"),
            (1, "just now"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (7_300, "2 h ago"),
            (90_000, "1 d ago"),
        ] {
            assert_eq!(ago(before(seconds), now), expected);
        }
        assert_eq!(elapsed(before(-5), now), "0 s");
        for (micros, expected) in [(0, "0 µs"), (999, "999 µs"), (25_400, "25 ms"), (1_390_000, "1.3 s")] {
            assert_eq!(precise_duration(micros), expected);
        }
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (512_900_000, "512 MB"),
            (999_999_999, "999 MB"),
            (1_000_000_000, "1.0 GB"),
            (16_700_000_000, "16 GB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(memory(bytes), expected);
        }
        assert_eq!([0.0, 12.54, 99.99, 180.4].map(percent), ["0.0 %", "12.5 %", "100 %", "180 %"]);
    }

    #[test]
    fn counts_agree_with_their_noun() {
        assert_eq!(counted(1, "process"), "1 process");
        assert_eq!(counted(0, "process"), "0 processes");
        assert_eq!(counted(3, "host"), "3 hosts");
    }
}
