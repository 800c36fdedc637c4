//! Feeds the run history: passes observations on, inquires into ends, and stores the records.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::config::{HostComponent, HostConfig, ProbeMethod};
use rta_shared::name::Name;
use rta_shared::probe::{ProbeReport, ProbeState};
use rta_shared::process::ProcessId;
use rta_shared::report::ComponentReport;
use tokio::task::{Id, JoinSet};

use crate::desired_state::DesiredStateStore;
use crate::host::procfs::is_alive;
use crate::run_history::LaunchedExits;
use crate::run_history::{
    ComponentObservation, ExitRecord, ExitStatuses, FailedStart, HostBoot, InquiryResult, RunHistory, inquire,
};

/// Keeps the run history of a host's components current.
pub(crate) struct RunRecorder {
    history: RunHistory,
    desired_state: DesiredStateStore,
    /// Exit statuses of the agent's own children.
    exits: LaunchedExits,
    /// Exit statuses of all processes, as far as the kernel reports them.
    statuses: ExitStatuses,
    inquiries: JoinSet<InquiryResult>,
    /// Running inquiries, at most one per component, since a disk may hang.
    running_inquiries: HashMap<Name, (Id, ProcessId)>,
}

impl RunRecorder {
    /// Continues with the records in `desired_state`.
    pub(crate) fn new(
        desired_state: DesiredStateStore,
        exits: LaunchedExits,
        statuses: ExitStatuses,
        boot_id: &str,
    ) -> Self {
        let seconds = sysinfo::System::boot_time().ok().and_then(|seconds| i64::try_from(seconds).ok());
        let boot = HostBoot {
            id: boot_id.to_owned(),
            at: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        };
        let history = RunHistory::new(desired_state.subscribe().read().runs, boot);
        Self {
            history,
            desired_state,
            exits,
            statuses,
            inquiries: JoinSet::new(),
            running_inquiries: HashMap::new(),
        }
    }

    /// Processes the report of a component, and adds the reason why it is stopped.
    pub(crate) fn observe(&mut self, component: &HostComponent, report: &mut ComponentReport) {
        if !report.state.is_known() {
            return;
        }
        let (exits, statuses, name) = (&self.exits, &self.statuses, &component.name);
        let ending = |pid: u32| {
            // The agent may reap its own child at any time after its end.
            let own = || Some(ExitRecord { status: exits.status_of(name, pid)?, order: u64::MAX });
            statuses.status_of(pid).or_else(own)
        };
        let observation = ComponentObservation {
            component,
            processes: &report.processes,
            hold: report.action.as_deref(),
            exit_record: &ending,
            is_alive: &is_alive,
        };
        if let Some(inquiry) = self.history.observe(&observation, Timestamp::now())
            && !self.running_inquiries.contains_key(name)
        {
            let id = inquiry.id;
            let task = self.inquiries.spawn(inquire(inquiry, self.exits.clone(), self.statuses.clone()));
            self.running_inquiries.insert(name.clone(), (task.id(), id));
        }
        if report.state.is_stopped() {
            report.down_cause = self.history.cause(name).map(Box::new);
        }
        report.exceeded_limits.extend(self.history.exceeded_restarts(component, Timestamp::now()));
        if let Some(probe) = &report.probe {
            self.history.record_probe(name, probe);
        }
        if let Some(pattern) = searched_pattern(component)
            && report.probe.as_ref().is_some_and(|probe| probe.state == ProbeState::Passing)
        {
            self.history.record_found_line(name, &pattern);
        }
    }

    /// Returns true if this agent or an earlier one found the line that the probe of `component` searches in
    /// the log, written by the run whose oldest process is `oldest`.
    pub(crate) fn is_line_found(&self, component: &HostComponent, oldest: ProcessId) -> bool {
        let pattern = searched_pattern(component);
        pattern.is_some_and(|pattern| self.history.is_line_found(&component.name, oldest, &pattern))
    }

    /// Returns the last result of the probe of `component` that an earlier agent had of the run whose oldest
    /// process is `oldest`.
    pub(crate) fn recorded_probe(&self, component: &Name, oldest: ProcessId) -> Option<ProbeReport> {
        self.history.recorded_probe(component, oldest)
    }

    /// Returns the processes of `component` that matched last. They may have ended.
    pub(crate) fn last_processes(&self, component: &Name) -> Vec<ProcessId> {
        self.history.last_processes(component)
    }

    /// Records that a start of `component` failed.
    pub(crate) fn start_failed(&mut self, component: &Name, failed: FailedStart) {
        self.history.start_failed(component, failed, Timestamp::now());
    }

    /// Removes the components that `config` does not have.
    pub(crate) fn configure(&mut self, config: &HostConfig) {
        self.history.retain(|name| config.components.iter().any(|known| known.name == *name));
    }

    /// Waits for the next inquiry to end, and processes its result. Cancel-safe.
    pub(crate) async fn apply_next_inquiry(&mut self) {
        let Some(ended) = self.inquiries.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (task, answer) = match ended {
            Ok((task, answer)) => (task, answer),
            Err(error) => {
                tracing::error!(%error, "exit inquiry panicked");
                (error.id(), InquiryResult::default())
            }
        };
        let running_inquiries = self.running_inquiries.iter().find(|(_, (id, _))| *id == task);
        let Some((component, id)) = running_inquiries.map(|(name, (_, id))| (name.clone(), *id)) else {
            return;
        };
        self.running_inquiries.remove(&component);
        self.history.apply_inquiry(&component, id, answer);
    }

    /// Stores the records if they have changed.
    pub(crate) fn store(&mut self) {
        if self.history.take_change() {
            self.desired_state.set_runs(self.history.records());
        }
    }
}

/// Returns the regex that the probe of a component searches in its log, as text.
fn searched_pattern(component: &HostComponent) -> Option<String> {
    let ProbeMethod::Log(pattern) = &component.probe.as_ref()?.question else { return None };
    Some(pattern.to_string())
}
