//! Thresholds of a Nagios plugin: ranges in the syntax of its guidelines, for the numbers that `rta check`
//! prints (<https://nagios-plugins.org/doc/guidelines.html#THRESHOLDFORMAT>).

use std::fmt;
use std::str::FromStr;

use rta_shared::overview::Health;

/// Range of acceptable numbers, or with `@` of numbers that raise an alert.
///
/// | text | alerts |
/// |---|---|
/// | `10` | below 0 or above 10 |
/// | `10:` | below 10 |
/// | `~:10` | above 10 |
/// | `10:20` | below 10 or above 20 |
/// | `@10:20` | from 10 to 20, both included |
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertRange {
    text: String,
    from: f64,
    to: f64,
    is_inside: bool,
}

impl AlertRange {
    /// Returns true if `value` raises an alert.
    pub(crate) fn alerts(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value) == self.is_inside
    }
}

impl fmt::Display for AlertRange {
    /// Formats the range as it was written, as required in performance data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for AlertRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const HINT: &str = "write a range such as 10, 10:, ~:10, 10:20 or @10:20";
        let (range, is_inside) = text.strip_prefix('@').map_or((text, false), |range| (range, true));
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
            text.parse::<f64>()
                .ok()
                .filter(|_| is_plain)
                .ok_or_else(|| format!("\"{text}\" is no number; {HINT}"))
        };
        let (from, to) = range.split_once(':').unwrap_or(("", range));
        let from = match from {
            "~" => f64::NEG_INFINITY,
            "" => 0.0,
            from => number(from)?,
        };
        let to = match to {
            "" if range.ends_with(':') => f64::INFINITY,
            to => number(to)?,
        };
        if from > to {
            return Err(format!("\"{range}\" ends before it begins; {HINT}"));
        }
        Ok(Self { text: text.to_owned(), from, to, is_inside })
    }
}

/// Threshold for one of the numbers: `degraded=2`, or `2` for the number of down instances.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HealthThreshold {
    pub(crate) label: Health,
    pub(crate) range: AlertRange,
}

impl FromStr for HealthThreshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((label, range)) = text.split_once('=') else {
            return Ok(Self { label: Health::Down, range: text.parse()? });
        };
        let known = Health::ALL.into_iter().find(|health| health.to_string() == label);
        let label = known.ok_or_else(|| {
            let known = Health::ALL.map(|health| health.to_string()).join(", ");
            format!("\"{label}\" is none of {known}")
        })?;
        Ok(Self { label, range: range.parse()? })
    }
}

/// Thresholds for warning and critical status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AlertThresholds {
    pub(crate) warning: Vec<HealthThreshold>,
    pub(crate) critical: Vec<HealthThreshold>,
}

impl AlertThresholds {
    /// Returns the ranges of a number: warning, critical.
    pub(crate) fn ranges_of(&self, health: Health) -> (Option<&AlertRange>, Option<&AlertRange>) {
        // The last occurrence wins, as for other flags.
        let last = |thresholds: &[HealthThreshold]| {
            thresholds.iter().rposition(|threshold| threshold.label == health)
        };
        (
            last(&self.warning).and_then(|at| self.warning.get(at)).map(|threshold| &threshold.range),
            last(&self.critical).and_then(|at| self.critical.get(at)).map(|threshold| &threshold.range),
        )
    }

    /// Returns true if a threshold was given for this number.
    pub(crate) fn has_threshold(&self, health: Health) -> bool {
        self.ranges_of(health) != (None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_alert_as_the_guidelines_say() {
        let rows: [(&str, &[i32], &[i32]); 8] = [
            ("10", &[-1, 11], &[0, 10]),
            ("10:", &[9, -1], &[10, 1000]),
            ("~:10", &[11], &[-1000, 10]),
            ("10:20", &[9, 21], &[10, 20]),
            ("@10:20", &[10, 20], &[9, 21]),
            ("@0", &[0], &[1, -1]),
            ("0", &[1], &[0]),
            ("-2:-1", &[0, -3], &[-2, -1]),
        ];
        for (text, alert, fine) in rows {
            let range: AlertRange = text.parse().unwrap();
            assert_eq!(range.to_string(), text);
            assert!(alert.iter().all(|value| range.alerts(f64::from(*value))), "{text}");
            assert!(fine.iter().all(|value| !range.alerts(f64::from(*value))), "{text}");
        }
        for wrong in ["", "@", "x", "1:x", "20:10", "~", "~:", "nan", "1e3", "inf", "10:20:30", "5:~"] {
            let refused = wrong.parse::<AlertRange>().is_err();
            // Only a bare "~:" is a range: it never alerts.
            assert_eq!(refused, wrong != "~:", "{wrong}");
        }
    }

    #[test]
    fn thresholds_name_their_number_or_mean_those_that_are_down() {
        let down: HealthThreshold = "2".parse().unwrap();
        assert_eq!((down.label, down.range.to_string().as_str()), (Health::Down, "2"));
        let degraded: HealthThreshold = "degraded=@1:".parse().unwrap();
        assert_eq!((degraded.label, degraded.range.to_string().as_str()), (Health::Degraded, "@1:"));
        assert!(
            "slow=2"
                .parse::<HealthThreshold>()
                .unwrap_err()
                .contains("is none of up, degraded, unknown, down")
        );
        let thresholds = AlertThresholds {
            warning: vec!["1".parse().unwrap(), "3".parse().unwrap()],
            critical: vec![degraded],
        };
        let (warning, critical) = thresholds.ranges_of(Health::Down);
        assert_eq!((warning.map(ToString::to_string), critical), (Some("3".to_owned()), None));
        assert!(thresholds.has_threshold(Health::Degraded) && !thresholds.has_threshold(Health::Up));
    }
}
