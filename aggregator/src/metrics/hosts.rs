//! Metric families of hosts and their agents.

use std::fmt;
use std::time::Duration;

use rta_shared::metrics::{MetricKind, SampleWriter, count_value, time_value, truth_value};
use rta_shared::overview::{AgentOverview, HostOverview};
use rta_shared::report::WatchMode;

use super::{MetricFamily, PlatformFigures};

/// Labels of a host.
const HOST: &[&str] = &["environment", "host"];

/// Families, in the order in which they are written. Figures of an agent that is not reachable are left out,
/// except the time of its last message.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        name: "rta_host_reachable",
        kind: MetricKind::Gauge,
        help: "1 if the agent of the host answers and its report is fresh.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(truth_value(host.reachable && host.error.is_none())))
        },
    },
    MetricFamily {
        name: "rta_host_maintenance",
        kind: MetricKind::Gauge,
        help: "1 if the whole host is in maintenance.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(truth_value(host.maintenance.is_some())))
        },
    },
    MetricFamily {
        name: "rta_host_last_seen_timestamp_seconds",
        kind: MetricKind::Gauge,
        help: "Time up to which the state of the host is known, in seconds since 1970.",
        labels: HOST,
        collect: |figures, samples| add_each(figures, samples, |host| host.seen_at().map(time_value)),
    },
    MetricFamily {
        name: "rta_host_clock_skew_seconds",
        kind: MetricKind::Gauge,
        help: "How far the clock of the host is ahead of the clock of the aggregator, in seconds.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| {
                let millis = agent(host)?.clock_ahead_millis?;
                let seconds = Duration::from_millis(millis.unsigned_abs()).as_secs_f64();
                Some(if millis < 0 { -seconds } else { seconds })
            })
        },
    },
    MetricFamily {
        name: "rta_host_scan_duration_seconds",
        kind: MetricKind::Gauge,
        help: "Duration of the last full scan of the processes, in seconds.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| {
                Some(Duration::from_micros(agent(host)?.scan_micros).as_secs_f64())
            })
        },
    },
    MetricFamily {
        name: "rta_host_scanned_processes",
        kind: MetricKind::Gauge,
        help: "Number of processes that the last full scan inspected.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(agent(host)?.processes_seen.into()))
        },
    },
    MetricFamily {
        name: "rta_host_impairments",
        kind: MetricKind::Gauge,
        help: "Number of impaired parts of the agent, and 1 more if the clock of the host is wrong.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| {
                agent(host)?;
                Some(count_value(u64::try_from(host.impairments.len()).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        name: "rta_agent_info",
        kind: MetricKind::Gauge,
        help: "1; the labels are the version of the agent, and how it watches processes (events or scans).",
        labels: &["environment", "host", "version", "watch"],
        collect: |figures, samples| {
            for_each(figures, |host, labels| {
                let Some(agent) = agent(host) else { return Ok(()) };
                let watch = match agent.watch.mode {
                    WatchMode::Events => "events",
                    WatchMode::Scans => "scans",
                };
                samples.add(&[labels, &[agent.version.as_str(), watch]].concat(), 1.0)
            })
        },
    },
    MetricFamily {
        name: "rta_agent_config_info",
        kind: MetricKind::Gauge,
        help: "1; the label digest identifies the configuration that the agent uses.",
        labels: &["environment", "host", "digest"],
        collect: |figures, samples| {
            for_each(figures, |host, labels| match agent(host) {
                Some(agent) => samples.add(&[labels, &[agent.config_digest.as_str()]].concat(), 1.0),
                None => Ok(()),
            })
        },
    },
    MetricFamily {
        name: "rta_agent_config_differs",
        kind: MetricKind::Gauge,
        help: "1 if the configuration of the agent differs from the configuration of the aggregator.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(truth_value(agent(host)?.config_differs)))
        },
    },
    MetricFamily {
        name: "rta_agent_certificate_expiry_timestamp_seconds",
        kind: MetricKind::Gauge,
        help: "End of the validity of the certificate of the agent, in seconds since 1970.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| agent(host)?.certificate_ends.map(time_value))
        },
    },
    MetricFamily {
        name: "rta_agent_watch_overruns",
        kind: MetricKind::Counter,
        help: "Number of times since the agent began that kernel events were lost; a full scan followed each.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(count_value(agent(host)?.watch.overruns)))
        },
    },
    MetricFamily {
        name: "rta_agent_watch_differences",
        kind: MetricKind::Counter,
        help: "Number of changes since the agent began that only a full scan found.",
        labels: HOST,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(count_value(agent(host)?.watch.differences)))
        },
    },
];

/// Returns the agent of a host, if what it reported is fresh.
fn agent(host: &HostOverview) -> Option<&AgentOverview> {
    host.agent.as_ref().filter(|_| host.reachable)
}

/// Calls `write` with each host and the values of its labels.
fn for_each(
    figures: &PlatformFigures,
    mut write: impl FnMut(&HostOverview, &[&str]) -> fmt::Result,
) -> fmt::Result {
    figures.overview.environments.iter().try_for_each(|environment| {
        let mut hosts = environment.hosts.iter();
        hosts.try_for_each(|host| write(host, &[environment.name.as_str(), host.name.as_str()]))
    })
}

/// Writes a sample for each host that has this value.
fn add_each(
    figures: &PlatformFigures,
    samples: &mut SampleWriter<'_>,
    value: impl Fn(&HostOverview) -> Option<f64>,
) -> fmt::Result {
    for_each(figures, |host, labels| match value(host) {
        Some(value) => samples.add(labels, value),
        None => Ok(()),
    })
}
