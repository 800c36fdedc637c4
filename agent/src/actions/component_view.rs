//! View of an action on its component's processes.

use std::collections::HashSet;
use std::sync::Arc;

use rta_shared::config::{HostComponent, HostConfig, same_parts};
use rta_shared::process::{Process, ProcessId};
use rta_shared::report::{ComponentContext, ComponentReport, State};

use super::error::{ActionError, ActionErrorKind};
use super::launch::LaunchedCommand;
use crate::state::AgentState;
use crate::watch::WatchSnapshot;

/// View of an action on its own component.
pub(crate) struct ComponentView {
    state: AgentState,
    component: HostComponent,
}

impl ComponentView {
    pub(crate) fn new(state: AgentState, component: HostComponent) -> Self {
        Self { state, component }
    }

    /// Returns the matched processes, by a full scan that begins now.
    ///
    /// # Errors
    /// Returns an error if the processes cannot be read, or if the agent is shutting down.
    pub(crate) async fn full_scan(&self) -> Result<ComponentReport, ActionError> {
        self.report_from(&*self.state.full_scan().await?)
    }

    /// Returns the matched processes, without a full scan.
    ///
    /// # Errors
    /// Returns the same errors as [`ComponentView::full_scan`].
    pub(crate) async fn quick_check(&self) -> Result<ComponentReport, ActionError> {
        self.report_from(&*self.state.quick_check().await?)
    }

    /// Records the exit status of a launched command once it ends.
    pub(crate) fn record_exit(&self, launched: &LaunchedCommand) {
        self.state.exits().record_exit(&self.component.name, launched.pid, launched.exit_receiver());
    }

    /// Returns the current configuration of the host.
    pub(crate) fn config(&self) -> Arc<HostConfig> {
        self.state.config()
    }

    /// Returns the processes that matched last. They may have ended, or not match any more.
    ///
    /// # Errors
    /// Returns an error if the agent is shutting down.
    pub(crate) async fn last_processes(&self) -> Result<Vec<ProcessId>, ActionError> {
        Ok(self.state.last_processes(&self.component.name).await?)
    }

    /// Returns the matched processes of the component and of all others.
    ///
    /// # Errors
    /// Returns the same errors as [`ComponentView::full_scan`].
    pub(crate) async fn process_sets(&self, thorough: bool) -> Result<ProcessSets, ActionError> {
        let snapshot = match thorough {
            true => self.state.full_scan().await?,
            false => self.state.quick_check().await?,
        };
        let report = self.report_from(&snapshot)?;
        let own: HashSet<ProcessId> = report.processes.iter().map(|process| process.id).collect();
        let all = snapshot.matches.iter().flat_map(|matches| matches.iter().flatten().flatten());
        let others = all.map(|process| process.id).filter(|id| !own.contains(id)).collect();
        let matched = report.processes.iter().map(|process| process.id).collect();
        Ok(ProcessSets { matched, others, config: Arc::clone(&snapshot.config) })
    }

    fn report_from(&self, snapshot: &WatchSnapshot) -> Result<ComponentReport, ActionError> {
        let unavailable = |reason: &str| ActionError::new(ActionErrorKind::Unavailable, reason);
        let matches = snapshot.matches.as_ref().map_err(|reason| unavailable(reason))?;
        // A reload may have moved or removed the component.
        let name = &self.component.name;
        let at = snapshot.config.components.iter().position(|known| known.name == *name);
        let found = at.and_then(|at| Some((at, snapshot.config.components.get(at)?, matches.get(at)?)));
        let (at, component, matches) = found
            .ok_or_else(|| unavailable("a new configuration has taken it from this host in the meantime"))?;
        if !same_parts(&component.parts, &self.component.parts) {
            return Err(unavailable("a new configuration has changed its criteria in the meantime"));
        }
        if let Some(reason) = component.unknown_user() {
            return Err(ActionError::new(ActionErrorKind::PreconditionFailed, reason));
        }
        let circumstances =
            ComponentContext { unseen: snapshot.unreadable.reason_for(at), ..ComponentContext::default() };
        let report = ComponentReport::new(component, matches, circumstances);
        match (&report.unseen, report.state) {
            // The state is unknown, so a start or stop would be a guess.
            (Some(reason), State::Unknown) => Err(unavailable(reason)),
            _ => Ok(report),
        }
    }
}

/// Matched processes of a host from the perspective of one component.
pub(crate) struct ProcessSets {
    /// Processes of the component, sorted.
    pub(crate) matched: Vec<ProcessId>,
    /// Processes of other components that do not also match this one.
    pub(crate) others: HashSet<ProcessId>,
    /// Configuration of the match.
    pub(crate) config: Arc<HostConfig>,
}

/// Returns the PIDs of `processes`.
pub(crate) fn pids(processes: &[Process]) -> Vec<u32> {
    processes.iter().map(|process| process.id.pid).collect()
}

/// Returns a text such as `pid 7` or `pids 7, 8`.
pub(crate) fn format_pids(pids: &[u32]) -> String {
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    format!("{} {}", if pids.len() == 1 { "pid" } else { "pids" }, list.join(", "))
}
