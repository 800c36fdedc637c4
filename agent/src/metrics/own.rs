//! Metric families of the host and of the agent itself.

use rta_shared::metrics::{MetricKind, SampleWriter, count_value, time_value};
use rta_shared::report::{Report, WatchMode};

use super::{HostFigures, MetricFamily};

/// Labels of a host.
const HOST: &[&str] = &["environment", "host"];

/// Families, in the order in which they are written. Before the first scan has ended there are no values.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        name: "rta_host_scan_duration_seconds",
        kind: MetricKind::Gauge,
        help: "Duration of the last full scan of the processes, in seconds.",
        labels: HOST,
        collect: |figures, samples| add(figures, samples, |report| Some(report.scan.duration.as_secs_f64())),
    },
    MetricFamily {
        name: "rta_host_scanned_processes",
        kind: MetricKind::Gauge,
        help: "Number of processes that the last full scan inspected.",
        labels: HOST,
        collect: |figures, samples| add(figures, samples, |report| Some(report.scan.processes_seen.into())),
    },
    MetricFamily {
        name: "rta_host_impairments",
        kind: MetricKind::Gauge,
        help: "Number of impaired parts of the agent.",
        labels: HOST,
        collect: |figures, samples| {
            add(figures, samples, |report| {
                Some(count_value(u64::try_from(report.impairments.len()).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        name: "rta_agent_info",
        kind: MetricKind::Gauge,
        help: "1; the labels are the version of the agent, and how it watches processes (events or scans).",
        labels: &["environment", "host", "version", "watch"],
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
        name: "rta_agent_config_info",
        kind: MetricKind::Gauge,
        help: "1; the label digest identifies the configuration that the agent uses.",
        labels: &["environment", "host", "digest"],
        collect: |figures, samples| {
            let [environment, host] = figures.host_labels();
            samples.add(&[environment, host, figures.config.digest.as_str()], 1.0)
        },
    },
    MetricFamily {
        name: "rta_agent_certificate_expiry_timestamp_seconds",
        kind: MetricKind::Gauge,
        help: "End of the validity of the certificate of the agent, in seconds since 1970.",
        labels: HOST,
        collect: |figures, samples| add(figures, samples, |report| report.certificate_ends.map(time_value)),
    },
    MetricFamily {
        name: "rta_agent_watch_overruns",
        kind: MetricKind::Counter,
        help: "Number of times since the agent began that kernel events were lost; a full scan followed each.",
        labels: HOST,
        collect: |figures, samples| add(figures, samples, |report| Some(count_value(report.watch.overruns))),
    },
    MetricFamily {
        name: "rta_agent_watch_differences",
        kind: MetricKind::Counter,
        help: "Number of changes since the agent began that only a full scan found.",
        labels: HOST,
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
