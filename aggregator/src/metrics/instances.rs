//! Metric families of instances, and of root causes.

use std::fmt;

use rta_shared::metrics::common::INSTANCE;
use rta_shared::metrics::{MetricDescription, SampleWriter, common, count_value, time_value, truth_value};
use rta_shared::overview::{Health, LocatedInstance};
use rta_shared::probe::ProbeState;
use rta_shared::usage::UsageTotal;

use super::{MetricFamily, PlatformFigures};
use crate::causes::{actual_root_causes, on_purpose};

/// Families, in the order in which they are written.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_instance_health",
            "1 for the health of the instance (up, degraded, unknown or down), 0 for the others.",
            &["environment", "host", "component", "health"],
        ),
        collect: |figures, samples| {
            for_each(figures, |instance, labels| {
                let words = Health::ALL.map(Health::word);
                samples.add_states(labels, words, instance.instance.health.word())
            })
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_instance_health_changed_timestamp_seconds",
            "Time since which the health is the same, in seconds since 1970.",
            INSTANCE,
        ),
        collect: |figures, samples| add_each(figures, samples, |one| one.instance.since.map(time_value)),
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_instance_maintenance",
            "1 if the instance or its host is in maintenance.",
            INSTANCE,
        ),
        collect: |figures, samples| {
            add_each(figures, samples, |one| Some(truth_value(one.instance.maintenance.is_some())))
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_instance_stopped_on_purpose",
            "1 if a plan stopped the instance and it has not run since.",
            INSTANCE,
        ),
        collect: |figures, samples| {
            add_each(figures, samples, |one| Some(truth_value(one.instance.stopped_by.is_some())))
        },
    },
    MetricFamily {
        description: common::INSTANCE_PROCESSES,
        collect: |figures, samples| {
            add_each(figures, samples, |one| {
                let processes = &one.instance.processes;
                one.instance.state.map(|_| count_value(u64::try_from(processes.len()).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_START_TIME_SECONDS,
        collect: |figures, samples| {
            add_each(figures, samples, |one| {
                let starts = one.instance.processes.iter().filter_map(|process| process.started_at);
                starts.min().map(time_value)
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_RESTARTS,
        collect: |figures, samples| {
            add_each(figures, samples, |one| {
                Some(count_value(one.instance.autostart.as_ref()?.restarts_total))
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_PROBE_STATE,
        collect: |figures, samples| {
            for_each(figures, |instance, labels| match &instance.instance.probe {
                Some(probe) => {
                    samples.add_states(labels, ProbeState::ALL.map(ProbeState::word), probe.state.word())
                }
                None => Ok(()),
            })
        },
    },
    MetricFamily {
        description: common::PROBE_DURATION_SECONDS,
        collect: |figures, samples| {
            add_each(figures, samples, |one| {
                one.instance.probe.as_ref()?;
                one.host.usage.as_ref()?.probe_seconds(&one.instance.component)
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_CPU_SECONDS,
        collect: |figures, samples| {
            add_each(figures, samples, |one| one.host.usage.as_ref()?.cpu_seconds(&one.instance.component))
        },
    },
    MetricFamily {
        description: common::INSTANCE_RESIDENT_MEMORY_BYTES,
        collect: |figures, samples| {
            add_each(figures, samples, |one| Some(count_value(usage_of(one)?.resident_bytes)))
        },
    },
    MetricFamily {
        description: common::INSTANCE_THREADS,
        collect: |figures, samples| add_each(figures, samples, |one| Some(usage_of(one)?.threads.into())),
    },
    MetricFamily {
        description: common::INSTANCE_OPEN_FILES,
        collect: |figures, samples| add_each(figures, samples, |one| Some(usage_of(one)?.open_files?.into())),
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_root_cause_affected_instances",
            "Number of other instances that a root cause affects; what never ran and is needed by nothing that runs is \
               none. A root cause that is a whole host has an empty component. planned is yes in maintenance, and after a stop on purpose.",
            &["environment", "host", "component", "health", "planned"],
        ),
        collect: |figures, samples| {
            actual_root_causes(&figures.overview).iter().try_for_each(|cause| {
                let component = cause.instance.map_or("", |instance| instance.component.as_str());
                let is_planned =
                    cause.maintenance().is_some() || cause.instance.and_then(on_purpose).is_some();
                let planned = if is_planned { "yes" } else { "no" };
                let (environment, host) = (cause.environment.name.as_str(), cause.host.name.as_str());
                let labels = [environment, host, component, cause.health().word(), planned];
                samples.add(&labels, count_value(u64::try_from(cause.affected.len()).unwrap_or_default()))
            })
        },
    },
];

/// Calls `write` with each instance and the values of its labels.
fn for_each(
    figures: &PlatformFigures,
    mut write: impl FnMut(&LocatedInstance<'_>, &[&str]) -> fmt::Result,
) -> fmt::Result {
    figures.overview.instances().try_for_each(|located| {
        let (environment, host) = (located.environment.name.as_str(), located.host.name.as_str());
        write(&located, &[environment, host, located.instance.component.as_str()])
    })
}

/// Writes a sample for each instance that has this value.
fn add_each(
    figures: &PlatformFigures,
    samples: &mut SampleWriter<'_>,
    value: impl Fn(&LocatedInstance<'_>) -> Option<f64>,
) -> fmt::Result {
    for_each(figures, |located, labels| match value(located) {
        Some(value) => samples.add(labels, value),
        None => Ok(()),
    })
}

/// Returns the usage of an instance's processes; `None` if it does not run or was not measured.
fn usage_of(located: &LocatedInstance<'_>) -> Option<UsageTotal> {
    let pids = located.instance.processes.iter().map(|process| process.id.pid);
    located.host.usage.as_ref()?.total_of(pids)
}
