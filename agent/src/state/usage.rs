//! The task that measures resource usage, and compares it with the limits of the components.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::{HostComponent, HostConfig};
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::run_blocking;
use rta_shared::limit::LimitKind;
use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::report::{ComponentReport, Report};
use rta_shared::usage::{HostUsage, ProbeDuration};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::host::cpu_times::CpuTimes;
use crate::host::usage::{UsageSampler, open_file_limit};
use crate::limits::{LimitFindings, LimitReports, LimitTracker, MeasuredUsage, unchecked_sentence};
use crate::probe::ProbeDurations;

/// Interval between two measurements of resource usage.
const USAGE_INTERVAL: Duration = Duration::from_secs(5);

/// Measures resource usage every few seconds, and compares it with the limits of the components. A limit that
/// cannot be checked is an impairment.
pub(super) async fn sample_usage(
    mut reports: watch::Receiver<Option<Arc<Report>>>,
    config: watch::Receiver<Arc<HostConfig>>,
    probe_durations: watch::Receiver<ProbeDurations>,
    publisher: watch::Sender<Option<Arc<HostUsage>>>,
    limits: watch::Sender<LimitReports>,
    impairments: ImpairmentList,
) {
    let (mut sampler, mut cpu_times) = (UsageSampler::new(), CpuTimes::default());
    let (mut tracker, began) = (LimitTracker::default(), Instant::now());
    let mut pace = tokio::time::interval(USAGE_INTERVAL);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    if reports.wait_for(Option::is_some).await.is_err() {
        return;
    }
    loop {
        let mut used = sampler;
        pace.tick().await;
        let (config, report) = (Arc::clone(&config.borrow()), reports.borrow().clone());
        let seen = report.as_deref().and_then(|report| report.components.as_ref().ok());
        let all = seen.map(|seen| process_ids(seen));
        let seen = seen.map(Vec::as_slice).unwrap_or_default();
        let find = |name: &Name| config.components.iter().find(|component| component.name == *name);
        // A report of the configuration before may have other components.
        let known: Vec<(&HostComponent, &ComponentReport)> =
            seen.iter().filter_map(|report| Some((find(&report.component)?, report))).collect();
        let limited = known.iter().filter(|(component, _)| component.limits.has_open_files_share());
        let limited: Vec<u32> =
            limited.flat_map(|(_, report)| report.processes.iter().map(|process| process.id.pid)).collect();
        let (used, times, mut usage, open_file_limits) = run_blocking(move || {
            let processes = all.iter().flatten().flat_map(|(_, processes)| processes);
            let mut usage = used.measure(&processes.map(|id| id.pid).collect::<Vec<_>>());
            if let Some(components) = all {
                usage.cpu_times = cpu_times.add(&components, |pid| used.cpu_seconds(pid));
            }
            let open: HashMap<u32, u64> =
                limited.into_iter().filter_map(|pid| Some((pid, open_file_limit(pid)?))).collect();
            (used, cpu_times, usage, open)
        })
        .await;
        (sampler, cpu_times) = (used, times);
        usage.probe_durations = last_durations(&known, &probe_durations.borrow());
        let measured =
            MeasuredUsage { usage: &usage, open_file_limits: &open_file_limits, at: began.elapsed() };
        let LimitFindings { exceeded, unchecked } = tracker.measure(known, measured);
        impairments.set(ImpairedPart::Limits, unchecked_sentence(&unchecked));
        limits.send_if_modified(|current| {
            let is_changed = *current != exceeded;
            if is_changed {
                log_limits(current, &exceeded);
                *current = exceeded;
            }
            is_changed
        });
        publisher.send_replace(Some(Arc::new(usage)));
    }
}

/// Returns the matched processes of each component.
fn process_ids(components: &[ComponentReport]) -> Vec<(Name, Vec<ProcessId>)> {
    let ids = |component: &ComponentReport| component.processes.iter().map(|process| process.id).collect();
    components.iter().map(|component| (component.component.clone(), ids(component))).collect()
}

/// Returns the duration of the last attempt of each probe.
fn last_durations(
    known: &[(&HostComponent, &ComponentReport)],
    durations: &ProbeDurations,
) -> Vec<ProbeDuration> {
    let probed = known.iter().filter(|(_, report)| report.probe.is_some());
    let last = probed.filter_map(|(component, _)| {
        let seconds = durations.get(&component.name)?.as_secs_f64();
        Some(ProbeDuration { component: component.name.clone(), seconds })
    });
    last.collect()
}

/// Logs each limit that begins or ends to be exceeded.
fn log_limits(before: &LimitReports, after: &LimitReports) {
    let has = |reports: &LimitReports, component: &Name, kind: LimitKind| {
        reports.get(component).is_some_and(|limits| limits.iter().any(|limit| limit.kind == kind))
    };
    for (component, limit) in after.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one))) {
        if !has(before, component, limit.kind) {
            tracing::warn!(%component, limit = %limit.kind, reason = limit.reason, "a limit is exceeded");
        }
    }
    for (component, limit) in before.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one))) {
        if !has(after, component, limit.kind) {
            tracing::info!(%component, limit = %limit.kind, "a limit is not exceeded any more");
        }
    }
}
