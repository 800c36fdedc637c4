//! Limits of what a component may use before it counts as degraded.

use std::fmt;
use std::time::Duration;

/// Limits of a component. A limit that is exceeded makes it degraded, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitRules {
    /// Resident memory of all its processes.
    pub memory: Option<SustainedLimit<ByteAmount>>,
    /// CPU time of all its processes, in percent of one core.
    pub cpu: Option<SustainedLimit<u32>>,
    /// Open files of one of its processes.
    pub open_files: Option<SustainedLimit<OpenFilesLimit>>,
    /// Restarts.
    pub restarts: Option<RestartLimit>,
}

impl LimitRules {
    /// Returns true if open files are limited by a share of what each process may open.
    pub fn has_open_files_share(&self) -> bool {
        self.open_files.is_some_and(|limit| matches!(limit.most, OpenFilesLimit::Percent(_)))
    }
}

/// Limit that must be exceeded for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SustainedLimit<T> {
    /// Amount that may be reached, and not exceeded.
    pub most: T,
    /// Time for which it must be exceeded without a break to count.
    pub hold: Duration,
}

/// Amount of memory, in the unit in which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteAmount {
    /// Number of bytes.
    pub bytes: u64,
    /// Unit.
    pub unit: ByteUnit,
}

/// Unit of memory: its name and its number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteUnit {
    /// Name: `GiB`.
    pub name: &'static str,
    /// Number of bytes.
    pub bytes: u64,
}

impl ByteUnit {
    /// All units.
    pub const ALL: [Self; 9] = [
        Self { name: "B", bytes: 1 },
        Self { name: "kB", bytes: 1_000 },
        Self { name: "MB", bytes: 1_000_000 },
        Self { name: "GB", bytes: 1_000_000_000 },
        Self { name: "TB", bytes: 1_000_000_000_000 },
        Self { name: "KiB", bytes: 1 << 10 },
        Self { name: "MiB", bytes: 1 << 20 },
        Self { name: "GiB", bytes: 1 << 30 },
        Self { name: "TiB", bytes: 1 << 40 },
    ];
}

impl ByteAmount {
    /// Parses an amount such as `4 GiB` or `512MB`.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, name) = text.split_at(end);
        let unit = ByteUnit::ALL.into_iter().find(|unit| unit.name.eq_ignore_ascii_case(name.trim()))?;
        let bytes = number.parse::<f64>().ok()? * unit.bytes as f64;
        // The conversion of a float to an integer saturates.
        (bytes >= 1.0 && bytes < u64::MAX as f64).then_some(Self { bytes: bytes.round() as u64, unit })
    }

    /// Formats `bytes` in the unit of this amount, so that the two can be compared: `4.3 GiB`.
    pub fn format_alike(self, bytes: u64) -> String {
        let unit = self.unit;
        let number = |bytes: u64| bytes as f64 / unit.bytes as f64;
        if unit.bytes == 1 {
            return format!("{bytes} B");
        }
        // Another digit if the two would look the same.
        let [short, limit] = [bytes, self.bytes].map(|bytes| format!("{:.1}", number(bytes)));
        let shown =
            if short == limit && bytes != self.bytes { format!("{:.3}", number(bytes)) } else { short };
        format!("{shown} {}", unit.name)
    }
}

impl fmt::Display for ByteAmount {
    /// Writes `4 GiB`, `1.5 GB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.bytes as f64 / self.unit.bytes as f64, self.unit.name)
    }
}

/// Limit of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFilesLimit {
    /// Number of files.
    Count(u32),
    /// Percent of the process's own soft limit, from 1 to 100.
    Percent(u32),
}

impl fmt::Display for OpenFilesLimit {
    /// Writes `5000` or `80 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

/// Limit of restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    /// Number of restarts that may happen within the window.
    pub most: u32,
    /// Window.
    pub within: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_parsed_and_shown_in_their_unit() {
        let rows = [
            ("4 GiB", Some((4 << 30, "4 GiB"))),
            ("512MB", Some((512_000_000, "512 MB"))),
            ("1.5 gb", Some((1_500_000_000, "1.5 GB"))),
            ("100 B", Some((100, "100 B"))),
            ("4", None),
            ("4 G", None),
            ("GiB", None),
            ("-1 GiB", None),
            ("0 GiB", None),
            ("99999999999 TiB", None),
            ("1.2.3 GiB", None),
        ];
        for (text, expected) in rows {
            let amount = ByteAmount::parse(text);
            assert_eq!(amount.map(|amount| amount.bytes), expected.map(|(bytes, _)| bytes), "{text}");
            assert_eq!(amount.map(|amount| amount.to_string()).as_deref(), expected.map(|(_, text)| text));
        }
        let limit = ByteAmount::parse("4 GiB").unwrap();
        assert_eq!(limit.format_alike(4_617_089_843), "4.3 GiB");
        // The figure never looks like the limit that it exceeds.
        assert_eq!(limit.format_alike((4 << 30) + 10_000_000), "4.009 GiB");
    }
}
