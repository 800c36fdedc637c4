//! Metric families of hosts and their agents.

use std::fmt;
use std::time::Duration;

use rta_shared::metrics::common::HOST;
use rta_shared::metrics::{MetricDescription, SampleWriter, common, count_value, time_value, truth_value};
use rta_shared::overview::{AgentOverview, HostOverview};
use rta_shared::report::WatchMode;

use super::{MetricFamily, PlatformFigures};

/// Families, in the order in which they are written. Figures of an agent that is not reachable are left out,
/// except the time of its last message.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_host_reachable",
            "1 if the agent of the host answers and its report is fresh.",
            HOST,
        ),
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(truth_value(host.reachable && host.error.is_none())))
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_host_maintenance",
            "1 if the whole host is in maintenance.",
            HOST,
        ),
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(truth_value(host.maintenance.is_some())))
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_host_last_seen_timestamp_seconds",
            "Time up to which the state of the host is known, in seconds since 1970.",
            HOST,
        ),
        collect: |figures, samples| add_each(figures, samples, |host| host.seen_at().map(time_value)),
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_host_clock_skew_seconds",
            "How far the clock of the host is ahead of the clock of the aggregator, in seconds.",
            HOST,
        ),
        collect: |figures, samples| {
            add_each(figures, samples, |host| {
                let millis = agent(host)?.clock_ahead_millis?;
                let seconds = Duration::from_millis(millis.unsigned_abs()).as_secs_f64();
                Some(if millis < 0 { -seconds } else { seconds })
            })
        },
    },
    MetricFamily {
        description: common::HOST_SCAN_DURATION_SECONDS,
        collect: |figures, samples| {
            add_each(figures, samples, |host| {
                Some(Duration::from_micros(agent(host)?.scan_micros).as_secs_f64())
            })
        },
    },
    MetricFamily {
        description: common::HOST_SCANNED_PROCESSES,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(agent(host)?.processes_seen.into()))
        },
    },
    MetricFamily {
        description: common::HOST_IMPAIRMENTS,
        collect: |figures, samples| {
            add_each(figures, samples, |host| {
                agent(host)?;
                Some(count_value(u64::try_from(host.impairments.len()).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        description: common::AGENT_INFO,
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
        description: common::AGENT_CONFIG_INFO,
        collect: |figures, samples| {
            for_each(figures, |host, labels| match agent(host) {
                Some(agent) => samples.add(&[labels, &[agent.config_digest.as_str()]].concat(), 1.0),
                None => Ok(()),
            })
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_agent_config_differs",
            "1 if the configuration of the agent differs from the configuration of the aggregator.",
            HOST,
        ),
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(truth_value(agent(host)?.config_differs)))
        },
    },
    MetricFamily {
        description: common::AGENT_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS,
        collect: |figures, samples| {
            add_each(figures, samples, |host| agent(host)?.certificate_ends.map(time_value))
        },
    },
    MetricFamily {
        description: common::AGENT_WATCH_OVERRUNS,
        collect: |figures, samples| {
            add_each(figures, samples, |host| Some(count_value(agent(host)?.watch.overruns)))
        },
    },
    MetricFamily {
        description: common::AGENT_WATCH_DIFFERENCES,
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
