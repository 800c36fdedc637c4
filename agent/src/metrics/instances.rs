//! Metric families of the host's components.

use std::fmt;

use rta_shared::metrics::{MetricDescription, SampleWriter, common, count_value, time_value};
use rta_shared::probe::ProbeState;
use rta_shared::report::{ComponentReport, State};
use rta_shared::usage::{HostUsage, UsageTotal};

use super::{HostFigures, MetricFamily};

/// Families, in the order in which they are written. Each configured component has a state; other values are
/// left out while they are not known.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_instance_state",
            "1 for the state of the instance (running, partial, stopped, starting, stopping or unknown), 0 for the \
               others.",
            &["environment", "host", "component", "state"],
        ),
        collect: |figures, samples| {
            let [environment, host] = figures.host_labels();
            figures.config.components.iter().try_for_each(|component| {
                let seen = reports(figures).iter().find(|report| report.component == component.name);
                let state = seen.map_or(State::Unknown, |report| report.state);
                let labels = [environment, host, component.name.as_str()];
                samples.add_states(&labels, State::ALL.map(State::word), state.word())
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_PROCESSES,
        collect: |figures, samples| {
            add_each(figures, samples, |report| {
                Some(count_value(u64::try_from(report.processes.len()).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_START_TIME_SECONDS,
        collect: |figures, samples| {
            add_each(figures, samples, |report| {
                report.processes.iter().filter_map(|process| process.started_at).min().map(time_value)
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_RESTARTS,
        collect: |figures, samples| {
            add_each(figures, samples, |report| Some(count_value(report.autostart.as_ref()?.restarts_total)))
        },
    },
    MetricFamily {
        description: common::INSTANCE_PROBE_STATE,
        collect: |figures, samples| {
            for_each(figures, |report, labels| match &report.probe {
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
            add_each(figures, samples, |report| {
                report.probe.as_ref()?;
                usage(figures)?.probe_seconds(&report.component)
            })
        },
    },
    MetricFamily {
        description: common::INSTANCE_CPU_SECONDS,
        collect: |figures, samples| {
            add_each(figures, samples, |report| usage(figures)?.cpu_seconds(&report.component))
        },
    },
    MetricFamily {
        description: common::INSTANCE_RESIDENT_MEMORY_BYTES,
        collect: |figures, samples| {
            add_each(figures, samples, |report| Some(count_value(used(figures, report)?.resident_bytes)))
        },
    },
    MetricFamily {
        description: common::INSTANCE_THREADS,
        collect: |figures, samples| {
            add_each(figures, samples, |report| Some(used(figures, report)?.threads.into()))
        },
    },
    MetricFamily {
        description: common::INSTANCE_OPEN_FILES,
        collect: |figures, samples| {
            add_each(figures, samples, |report| Some(used(figures, report)?.open_files?.into()))
        },
    },
];

/// Returns the components as they were seen; none while the agent cannot see them.
fn reports(figures: &HostFigures) -> &[ComponentReport] {
    let report = figures.report.as_deref();
    report.and_then(|report| report.components.as_ref().ok()).map(Vec::as_slice).unwrap_or_default()
}

fn usage(figures: &HostFigures) -> Option<&HostUsage> {
    figures.usage.as_deref()
}

/// Returns the usage of a component's processes; `None` if it does not run or was not measured.
fn used(figures: &HostFigures, report: &ComponentReport) -> Option<UsageTotal> {
    usage(figures)?.total_of(report.processes.iter().map(|process| process.id.pid))
}

/// Calls `write` with each component and the values of its labels.
fn for_each(
    figures: &HostFigures,
    mut write: impl FnMut(&ComponentReport, &[&str]) -> fmt::Result,
) -> fmt::Result {
    let [environment, host] = figures.host_labels();
    reports(figures)
        .iter()
        .try_for_each(|report| write(report, &[environment, host, report.component.as_str()]))
}

/// Writes a sample for each component that has this value.
fn add_each(
    figures: &HostFigures,
    samples: &mut SampleWriter<'_>,
    value: impl Fn(&ComponentReport) -> Option<f64>,
) -> fmt::Result {
    for_each(figures, |report, labels| match value(report) {
        Some(value) => samples.add(labels, value),
        None => Ok(()),
    })
}
