//! Text formats of metrics, and the choice by the client's `Accept` header.

use prometheus_client::encoding::prometheus_text;

/// Text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// Prometheus text format 0.0.4, which every tool reads.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl ExpositionFormat {
    /// Returns the format that a client prefers; without a preference the Prometheus format.
    pub fn from_accept(accept: &str) -> Self {
        let weight = |format: Self| accept.split(',').filter_map(|range| format.weight(range)).max();
        let (prometheus, open) = (weight(Self::Prometheus), weight(Self::OpenMetrics));
        if open > prometheus { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Returns the value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Returns how much a media range of an `Accept` header prefers this format, in thousandths; `None` if it
    /// does not name the format or excludes it.
    fn weight(self, range: &str) -> Option<u32> {
        let mut parameters = range.split(';').map(str::trim);
        let media_type = parameters.next()?.to_ascii_lowercase();
        let (expected, version) = match self {
            Self::Prometheus => ("text/plain", "0.0.4"),
            Self::OpenMetrics => ("application/openmetrics-text", "1.0.0"),
        };
        if media_type != expected {
            return None;
        }
        let mut weight = 1000;
        for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                // Another version is another format.
                "version" if value.trim().trim_matches('"') != version => return None,
                "q" => {
                    let share: f64 = value.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share))?;
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it is between 0 and 1000"
                    )]
                    {
                        weight = (share * 1000.0).round() as u32;
                    }
                }
                _ => {}
            }
        }
        (weight > 0).then_some(weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_follows_the_preference_of_the_client() {
        use ExpositionFormat::{OpenMetrics, Prometheus};
        // Prometheus 2.42 and 3.1.
        let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                   application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                   text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let rows = [
            (old, OpenMetrics),
            (new, OpenMetrics),
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Prometheus),
            ("text/plain", Prometheus),
            ("Application/OpenMetrics-Text ; Version=1.0.0", OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Prometheus),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.6", Prometheus),
            ("application/openmetrics-text;q=0", Prometheus),
            ("application/openmetrics-text;q=x", Prometheus),
            ("application/openmetrics-text, text/plain", Prometheus),
        ];
        for (accept, expected) in rows {
            assert_eq!(ExpositionFormat::from_accept(accept), expected, "{accept}");
        }
    }
}
