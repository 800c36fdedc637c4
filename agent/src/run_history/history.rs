//! Derives from observations of components why each does not run. Pure: the time and the observations are
//! arguments.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::{ActionKind, ActionLock, Requester};
use rta_shared::config::HostComponent;
use rta_shared::down_cause::{DownCause, DownKind};
use rta_shared::format::{counted, rough_duration};
use rta_shared::limit::{ExceededLimit, LimitKind};
use rta_shared::name::Name;
use rta_shared::probe::{ProbeReport, ProbeState};
use rta_shared::process::{Process, ProcessId};
use rta_shared::sanitize::{printable, truncated};
use serde::{Deserialize, Serialize};

use super::exit_statuses::{ExitRecord, down_kind};
use super::inquiry::{ExitInquiry, InquiryResult};
use crate::logs::LogPath;

/// Time before the end of the last process within which the end of another may be its cause: workers follow
/// their master, and a wrapper follows the process that it wraps.
const RELATED_END_WINDOW: Duration = Duration::from_secs(5);
/// Maximum number of processes remembered for that.
const MAX_GONE: usize = 64;
/// Maximum number of restarts remembered: one more than a limit can allow.
const MAX_RESTARTS: usize = 61;
/// Maximum length of the reason of a failed start, in bytes.
const MAX_REASON_LENGTH: usize = 300;

/// Stored state of one component, for the next agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Time at which an agent first watched for it.
    watched_since: Timestamp,
    /// Current run; `None` if the component did not run when it was last seen.
    run: Option<RecordedRun>,
    /// Reason why the component does not run; `None` if it runs, or never ran.
    cause: Option<DownCause>,
    /// Its last run, with the processes that matched last; `None` if it runs, or never ran.
    #[serde(default)]
    last_run: Option<LastRun>,
    /// Times of its last restarts, the oldest first, without those that operators asked for.
    #[serde(default)]
    restarts: Vec<Timestamp>,
}

/// A run that is over, since nothing matches any more. Its processes may still exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LastRun {
    boot_id: String,
    processes: Vec<ProcessId>,
}

impl RunRecord {
    /// Creates the record of a component that is watched from this moment on.
    pub(crate) fn new(watched_since: Timestamp) -> Self {
        Self { watched_since, run: None, cause: None, last_run: None, restarts: Vec::new() }
    }
}

/// A run of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedRun {
    boot_id: String,
    /// Oldest process of the run.
    oldest: ProcessId,
    started_at: Option<Timestamp>,
    /// Regex that the probe searched in the log, and found in a line of this run.
    #[serde(default)]
    found_line: Option<String>,
    /// Last result of the probe; `None` without one.
    #[serde(default)]
    probe: Option<RecordedProbe>,
}

/// Result of a run's probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedProbe {
    since: Timestamp,
    /// Reason of the failure; `None`: it passes.
    failure: Option<String>,
}

impl RecordedProbe {
    fn is_same_state(&self, other: &Self) -> bool {
        (self.since, self.failure.is_some()) == (other.since, other.failure.is_some())
    }
}

/// Current boot of the host.
#[derive(Clone, Debug)]
pub(crate) struct HostBoot {
    /// Content of `/proc/sys/kernel/random/boot_id`.
    pub(crate) id: String,
    /// Time of the boot; `None` if the host does not report it.
    pub(crate) at: Option<Timestamp>,
}

/// Failed start.
#[derive(Clone, Debug)]
pub(crate) struct FailedStart {
    reason: String,
    last_log_line: Option<String>,
}

impl FailedStart {
    /// Creates the failed start from the reason and the last lines of the log, which are safe to show.
    pub(crate) fn new(reason: &str, log: &[String]) -> Self {
        Self {
            reason: truncated(&printable(reason), MAX_REASON_LENGTH).into_owned(),
            last_log_line: log.last().map(|line| truncated(line, MAX_REASON_LENGTH).into_owned()),
        }
    }
}

/// Observation of one component at one moment.
pub(crate) struct ComponentObservation<'a> {
    pub(crate) component: &'a HostComponent,
    pub(crate) processes: &'a [Process],
    /// Action that is running on the component.
    pub(crate) hold: Option<&'a ActionLock>,
    /// Returns the exit record of a process, if it is known.
    pub(crate) exit_record: &'a dyn Fn(u32) -> Option<ExitRecord>,
    /// Returns whether a process still exists.
    pub(crate) is_alive: &'a dyn Fn(ProcessId) -> bool,
}

/// Records of all components of a host.
#[derive(Debug)]
pub(crate) struct RunHistory {
    records: BTreeMap<Name, RunRecord>,
    live: HashMap<Name, LiveState>,
    boot: HostBoot,
    is_changed: bool,
}

/// State of a component that only this agent needs.
#[derive(Debug, Default)]
struct LiveState {
    /// Processes when the component was last seen, the oldest first.
    processes: Vec<ProcessId>,
    /// Processes that were gone by then, with the time at which that was noticed.
    gone: Vec<(ProcessId, Timestamp)>,
    /// Process whose end is the reason why the component is down.
    ended: Option<ProcessId>,
}

impl RunHistory {
    /// Continues with the `records` of an earlier agent.
    pub(crate) fn new(records: BTreeMap<Name, RunRecord>, boot: HostBoot) -> Self {
        Self { records, live: HashMap::new(), boot, is_changed: false }
    }

    /// Processes an observation made at `now`. Returns the inquiry to make if the component has just ended.
    pub(crate) fn observe(&mut self, seen: &ComponentObservation<'_>, now: Timestamp) -> Option<ExitInquiry> {
        let name = &seen.component.name;
        let is_first = !self.live.contains_key(name);
        let live = self.live.entry(name.clone()).or_default();
        let record = self.records.entry(name.clone()).or_insert_with(|| {
            self.is_changed = true;
            RunRecord::new(now)
        });
        let mut after = record.clone();
        let inquiry = match seen.processes.is_empty() {
            false => {
                record_running(&mut after, live, seen, &self.boot, now);
                None
            }
            true => match after.run.take() {
                Some(run) => record_end(&mut after, live, run, seen, is_first, &self.boot, now),
                None => record_still_down(&mut after, live, seen, &self.boot, now),
            },
        };
        if *record != after {
            *record = after;
            self.is_changed = true;
        }
        inquiry
    }

    /// Processes the result of the inquiry about the process `id` of `component`. Drops the result if that
    /// process is no longer the reason why the component is down.
    pub(crate) fn apply_inquiry(&mut self, component: &Name, id: ProcessId, answer: InquiryResult) {
        if self.live.get(component).is_none_or(|live| live.ended != Some(id)) {
            return;
        }
        let Some(cause) = self.records.get_mut(component).and_then(|record| record.cause.as_mut()) else {
            return;
        };
        // The action that stopped the component is the better reason.
        if matches!(cause.kind, DownKind::Stopped { .. }) {
            return;
        }
        let before = cause.clone();
        if let Some(kind) = answer.kind {
            cause.kind = kind;
        }
        cause.last_log_line = answer.last_log_line;
        self.is_changed |= *cause != before;
    }

    /// Records that a start of `component` failed at `now`. The failure is more informative than how its
    /// processes ended.
    pub(crate) fn start_failed(&mut self, component: &Name, failed: FailedStart, now: Timestamp) {
        let Some(record) = self.records.get_mut(component) else { return };
        // The process that is still there is why the start was refused, and goes on being why.
        if record.cause.as_ref().is_some_and(|cause| matches!(cause.kind, DownKind::Unmatched { .. })) {
            return;
        }
        let FailedStart { reason, last_log_line } = failed;
        record.cause = Some(DownCause { at: now, kind: DownKind::StartFailed { reason }, last_log_line });
        self.live.entry(component.clone()).or_default().ended = None;
        self.is_changed = true;
    }

    /// Returns the reason why `component`, which is stopped, does not run; `None` before its first
    /// observation.
    pub(crate) fn cause(&self, component: &Name) -> Option<DownCause> {
        let record = self.records.get(component)?;
        let never = || DownCause { at: record.watched_since, kind: DownKind::NeverSeen, last_log_line: None };
        Some(record.cause.clone().unwrap_or_else(never))
    }

    /// Returns the limit of restarts of `component`, if it is exceeded at `now`.
    pub(crate) fn exceeded_restarts(
        &self,
        component: &HostComponent,
        now: Timestamp,
    ) -> Option<ExceededLimit> {
        let limit = component.limits.restarts?;
        let begin = now.checked_sub(limit.within).unwrap_or(now);
        let restarts = &self.records.get(&component.name)?.restarts;
        let recent: Vec<Timestamp> = restarts.iter().copied().filter(|at| *at > begin).collect();
        // The first restart that was one too many.
        let since = *recent.get(usize::try_from(limit.most).ok()?)?;
        let (times, within) = (counted(recent.len(), "time"), rough_duration(limit.within.as_secs()));
        let reason = format!("was restarted {times} within {within}, more often than {}", limit.most);
        Some(ExceededLimit { kind: LimitKind::Restarts, reason, since })
    }

    /// Returns the processes of `component` that matched last, in this boot. They may have ended.
    pub(crate) fn last_processes(&self, component: &Name) -> Vec<ProcessId> {
        let live = self.live.get(component).map(|live| live.processes.clone()).unwrap_or_default();
        if !live.is_empty() {
            return live;
        }
        let last = self.records.get(component).and_then(|record| record.last_run.as_ref());
        last.filter(|run| run.boot_id == self.boot.id).map(|run| run.processes.clone()).unwrap_or_default()
    }

    /// Records that the current run of `component` wrote a line to its log that `pattern` finds.
    pub(crate) fn record_found_line(&mut self, component: &Name, pattern: &str) {
        let run = self.records.get_mut(component).and_then(|record| record.run.as_mut());
        if let Some(run) = run.filter(|run| run.found_line.as_deref() != Some(pattern)) {
            run.found_line = Some(pattern.to_owned());
            self.is_changed = true;
        }
    }

    /// Records the result of the probe of the current run of `component`; one that is pending is none.
    pub(crate) fn record_probe(&mut self, component: &Name, report: &ProbeReport) {
        let failure = match report.state {
            ProbeState::Pending => return,
            ProbeState::Passing => None,
            ProbeState::Failing => Some(truncated(&report.reason, MAX_REASON_LENGTH).into_owned()),
        };
        let probe = RecordedProbe { since: report.since, failure };
        let run = self.records.get_mut(component).and_then(|record| record.run.as_mut());
        // A reason that changes with each attempt is not stored each time.
        if let Some(run) = run.filter(|run| run.probe.as_ref().is_none_or(|last| !last.is_same_state(&probe)))
        {
            run.probe = Some(probe);
            self.is_changed = true;
        }
    }

    /// Returns the result that was recorded for the run whose oldest process is `oldest`.
    pub(crate) fn recorded_probe(&self, component: &Name, oldest: ProcessId) -> Option<ProbeReport> {
        let run = self.records.get(component).and_then(|record| record.run.as_ref())?;
        let probe = run.probe.as_ref().filter(|_| run.boot_id == self.boot.id && run.oldest == oldest)?;
        let state = if probe.failure.is_some() { ProbeState::Failing } else { ProbeState::Passing };
        Some(ProbeReport { state, since: probe.since, reason: probe.failure.clone().unwrap_or_default() })
    }

    /// Returns true if such a line was recorded for the run whose oldest process is `oldest`.
    pub(crate) fn is_line_found(&self, component: &Name, oldest: ProcessId, pattern: &str) -> bool {
        let run = self.records.get(component).and_then(|record| record.run.as_ref());
        run.is_some_and(|run| {
            run.boot_id == self.boot.id && run.oldest == oldest && run.found_line.as_deref() == Some(pattern)
        })
    }

    /// Removes the components for which `is_kept` is false.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&Name) -> bool) {
        let before = self.records.len();
        self.records.retain(|name, _| is_kept(name));
        self.live.retain(|name, _| is_kept(name));
        self.is_changed |= self.records.len() != before;
    }

    /// Returns the records to store.
    pub(crate) fn records(&self) -> &BTreeMap<Name, RunRecord> {
        &self.records
    }

    /// Returns true if the records have changed since the last call.
    pub(crate) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }
}

impl LiveState {
    /// Moves the processes for which `is_gone` is true to the gone ones, and drops old ones of these.
    fn note_gone(&mut self, is_gone: impl Fn(&ProcessId) -> bool, now: Timestamp) {
        let since = now.checked_sub(RELATED_END_WINDOW).unwrap_or(now);
        self.gone.retain(|(_, at)| *at >= since);
        let gone = self.processes.extract_if(.., |id| is_gone(id)).map(|id| (id, now));
        self.gone.extend(gone);
        self.gone.drain(..self.gone.len().saturating_sub(MAX_GONE));
    }
}

/// Updates the record of a component that runs.
fn record_running(
    record: &mut RunRecord,
    live: &mut LiveState,
    seen: &ComponentObservation<'_>,
    boot: &HostBoot,
    now: Timestamp,
) {
    let processes = seen.processes;
    if is_restart(record, live, seen, boot) {
        record_restart(&mut record.restarts, now);
    }
    live.ended = None;
    live.note_gone(|id| !processes.iter().any(|process| process.id == *id), now);
    live.processes = processes.iter().map(|process| process.id).collect();
    live.processes.sort_unstable_by_key(|id| (id.start_ticks, id.pid));
    record.cause = None;
    record.last_run = None;
    let Some(oldest) = live.processes.first().copied() else { return };
    if record.run.as_ref().is_none_or(|run| run.oldest != oldest || run.boot_id != boot.id) {
        let started_at = processes.iter().find(|process| process.id == oldest);
        let started_at = started_at.and_then(|process| process.started_at);
        record.run =
            Some(RecordedRun { boot_id: boot.id.clone(), oldest, started_at, found_line: None, probe: None });
    }
}

/// Returns true if the component runs again after an earlier run of this boot, and not since an operator
/// asked.
fn is_restart(
    record: &RunRecord,
    live: &LiveState,
    seen: &ComponentObservation<'_>,
    boot: &HostBoot,
) -> bool {
    let is_known = |id: ProcessId| live.processes.contains(&id);
    let is_again = match (&record.run, &record.last_run) {
        (Some(run), _) => {
            let stays = seen.processes.iter().any(|process| process.id == run.oldest || is_known(process.id));
            run.boot_id == boot.id && !stays
        }
        (None, Some(last)) => last.boot_id == boot.id,
        (None, None) => false,
    };
    is_again && seen.hold.is_none_or(|hold| hold.by == Requester::autostart())
}

fn record_restart(restarts: &mut Vec<Timestamp>, at: Timestamp) {
    restarts.push(at);
    restarts.drain(..restarts.len().saturating_sub(MAX_RESTARTS));
}

/// Updates the record of a component that has just ended.
fn record_end(
    record: &mut RunRecord,
    live: &mut LiveState,
    run: RecordedRun,
    seen: &ComponentObservation<'_>,
    is_first: bool,
    boot: &HostBoot,
    now: Timestamp,
) -> Option<ExitInquiry> {
    let processes = if live.processes.is_empty() {
        vec![run.oldest]
    } else {
        live.processes.iter().copied().take(MAX_GONE).collect()
    };
    record.last_run = Some(LastRun { boot_id: run.boot_id.clone(), processes });
    let mut because = |at, kind| record.cause = Some(DownCause { at, kind, last_log_line: None });
    if run.boot_id != boot.id {
        because(boot.at.unwrap_or(now), DownKind::Rebooted);
        return None;
    }
    live.note_gone(|_| true, now);
    let success = &seen.component.restart.success;
    let mut known: Vec<(ProcessId, ExitRecord)> =
        live.gone.drain(..).filter_map(|(id, _)| Some((id, (seen.exit_record)(id.pid)?))).collect();
    known.sort_by_key(|(id, ending)| (ending.order, id.start_ticks));
    // The first process that failed is the reason why the others ended.
    let first = known.iter().find(|(_, ending)| !success.is_clean(ending.status)).or(known.last());
    let (id, status) = first.map_or((run.oldest, None), |(id, ending)| (*id, Some(ending.status)));
    live.ended = Some(id);
    if let Some(hold) = stop_action(seen) {
        because(now, DownKind::Stopped { by: hold.by.clone() });
        return None;
    }
    let kind = match status {
        Some(status) => down_kind(status, success),
        None if is_first => DownKind::Unwatched,
        None => DownKind::Unknown,
    };
    because(now, kind);
    Some(exit_inquiry(seen, id, run.started_at, status, is_first))
}

/// Updates the record of a component that is still down: its exit status may have become known, or a process
/// that stopped matching may have ended.
fn record_still_down(
    record: &mut RunRecord,
    live: &LiveState,
    seen: &ComponentObservation<'_>,
    boot: &HostBoot,
    now: Timestamp,
) -> Option<ExitInquiry> {
    if let Some(cause) = &mut record.cause
        && let DownKind::Unmatched { pid } = cause.kind
    {
        let last = record.last_run.as_ref().filter(|run| run.boot_id == boot.id);
        let known = last.and_then(|run| run.processes.iter().find(|id| id.pid == pid));
        if known.is_none_or(|id| !(seen.is_alive)(*id)) {
            let ending = (seen.exit_record)(pid)
                .map(|ending| down_kind(ending.status, &seen.component.restart.success));
            *cause = DownCause { at: now, kind: ending.unwrap_or(DownKind::Unknown), last_log_line: None };
        }
        return None;
    }
    let (cause, id) = (record.cause.as_mut()?, live.ended?);
    if let Some(hold) = stop_action(seen).filter(|hold| hold.since <= cause.at) {
        // The agent itself was restarted during that stop.
        cause.kind = DownKind::Stopped { by: hold.by.clone() };
        cause.last_log_line = None;
        return None;
    }
    let ending = (seen.exit_record)(id.pid).filter(|_| cause.kind == DownKind::Unknown)?;
    cause.kind = down_kind(ending.status, &seen.component.restart.success);
    None
}

/// Returns the action that stops the component, if there is one.
fn stop_action<'a>(seen: &ComponentObservation<'a>) -> Option<&'a ActionLock> {
    seen.hold.filter(|hold| matches!(hold.kind, ActionKind::Stop | ActionKind::Restart))
}

fn exit_inquiry(
    seen: &ComponentObservation<'_>,
    id: ProcessId,
    started_at: Option<Timestamp>,
    status: Option<ExitStatus>,
    is_unwatched: bool,
) -> ExitInquiry {
    let HostComponent { name, restart, .. } = seen.component;
    ExitInquiry {
        component: name.clone(),
        id,
        started_at,
        status,
        is_unwatched,
        success: restart.success,
        log: LogPath::from_component(seen.component),
    }
}

#[cfg(test)]
mod tests;
