//! Metric families of the host's components.

use std::fmt;

use rta_shared::metrics::{MetricKind, SampleWriter, count_value, time_value};
use rta_shared::probe::ProbeState;
use rta_shared::report::{ComponentReport, State};
use rta_shared::usage::{HostUsage, UsageTotal};

use super::{HostFigures, MetricFamily};

/// Labels of an instance.
const INSTANCE: &[&str] = &["environment", "host", "component"];

/// Families, in the order in which they are written. Each configured component has a state; other values are
/// left out while they are not known.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        name: "rta_instance_state",
        kind: MetricKind::Gauge,
        help: "1 for the state of the instance (running, partial, stopped, starting, stopping or unknown), 0 for the \
               others.",
        labels: &["environment", "host", "component", "state"],
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
        name: "rta_instance_processes",
        kind: MetricKind::Gauge,
        help: "Number of matched processes.",
        labels: INSTANCE,
        collect: |figures, samples| {
            add_each(figures, samples, |report| {
                Some(count_value(u64::try_from(report.processes.len()).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        name: "rta_instance_start_time_seconds",
        kind: MetricKind::Gauge,
        help: "Start of the oldest matched process, in seconds since 1970.",
        labels: INSTANCE,
        collect: |figures, samples| {
            add_each(figures, samples, |report| {
                report.processes.iter().filter_map(|process| process.started_at).min().map(time_value)
            })
        },
    },
    MetricFamily {
        name: "rta_instance_restarts",
        kind: MetricKind::Counter,
        help: "Number of automatic starts by the agent since it began, failed ones included.",
        labels: INSTANCE,
        collect: |figures, samples| {
            add_each(figures, samples, |report| Some(count_value(report.autostart.as_ref()?.restarts_total)))
        },
    },
    MetricFamily {
        name: "rta_instance_probe_state",
        kind: MetricKind::Gauge,
        help: "1 for the state of the probe (pending, passing or failing), 0 for the others.",
        labels: &["environment", "host", "component", "state"],
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
        name: "rta_probe_duration_seconds",
        kind: MetricKind::Gauge,
        help: "Duration of the last attempt of the probe, in seconds.",
        labels: INSTANCE,
        collect: |figures, samples| {
            add_each(figures, samples, |report| {
                report.probe.as_ref()?;
                usage(figures)?.probe_seconds(&report.component)
            })
        },
    },
    MetricFamily {
        name: "rta_instance_cpu_seconds",
        kind: MetricKind::Counter,
        help: "CPU time that the processes have used since the agent began to watch them, in seconds.",
        labels: INSTANCE,
        collect: |figures, samples| {
            add_each(figures, samples, |report| usage(figures)?.cpu_seconds(&report.component))
        },
    },
    MetricFamily {
        name: "rta_instance_resident_memory_bytes",
        kind: MetricKind::Gauge,
        help: "Resident memory of the processes; pages that they share count for each of them.",
        labels: INSTANCE,
        collect: |figures, samples| {
            add_each(figures, samples, |report| Some(count_value(used(figures, report)?.resident_bytes)))
        },
    },
    MetricFamily {
        name: "rta_instance_threads",
        kind: MetricKind::Gauge,
        help: "Number of threads of the processes.",
        labels: INSTANCE,
        collect: |figures, samples| {
            add_each(figures, samples, |report| Some(used(figures, report)?.threads.into()))
        },
    },
    MetricFamily {
        name: "rta_instance_open_files",
        kind: MetricKind::Gauge,
        help: "Number of open files of the processes.",
        labels: INSTANCE,
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
