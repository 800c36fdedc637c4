//! Metric families of the host and of the agent itself.

use rta_shared::metrics::{SampleWriter, common, count_value, time_value};
use rta_shared::report::{Report, WatchMode};

use super::{HostFigures, MetricFamily};

/// Families, in the order in which they are written. Before the first scan has ended there are no values.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        description: common::HOST_SCAN_DURATION_SECONDS,
        collect: |figures, samples| add(figures, samples, |report| Some(report.scan.duration.as_secs_f64())),
    },
    MetricFamily {
        description: common::HOST_SCANNED_PROCESSES,
        collect: |figures, samples| add(figures, samples, |report| Some(report.scan.processes_seen.into())),
    },
    MetricFamily {
        description: common::HOST_IMPAIRMENTS,
        collect: |figures, samples| {
            add(figures, samples, |report| {
                Some(count_value(u64::try_from(report.impairments.len()).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        description: common::AGENT_INFO,
        collect: |figures, samples| {
            let Some(report) = &figures.report else { return Ok(()) };
            let watch = match report.watch.mode {
                WatchMode::Events => "events",
                WatchMode::Scans => "scans",
            };
            let [environment, host] = figures.host_labels();
            samples.add(&[environment, host, report.agent_version.as_str(), watch], 1.0)
        },
    },
    MetricFamily {
        description: common::AGENT_CONFIG_INFO,
        collect: |figures, samples| {
            let [environment, host] = figures.host_labels();
            samples.add(&[environment, host, figures.config.digest.as_str()], 1.0)
        },
    },
    MetricFamily {
        description: common::AGENT_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS,
        collect: |figures, samples| add(figures, samples, |report| report.certificate_ends.map(time_value)),
    },
    MetricFamily {
        description: common::AGENT_WATCH_OVERRUNS,
        collect: |figures, samples| add(figures, samples, |report| Some(count_value(report.watch.overruns))),
    },
    MetricFamily {
        description: common::AGENT_WATCH_DIFFERENCES,
        collect: |figures, samples| {
            add(figures, samples, |report| Some(count_value(report.watch.differences)))
        },
    },
];

/// Writes the sample of the host, if it has this value.
fn add(
    figures: &HostFigures,
    samples: &mut SampleWriter<'_>,
    value: impl Fn(&Report) -> Option<f64>,
) -> std::fmt::Result {
    match figures.report.as_deref().and_then(value) {
        Some(value) => samples.add(&figures.host_labels(), value),
        None => Ok(()),
    }
}
