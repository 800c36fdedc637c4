//! View of an action on its component's processes.

use std::collections::HashSet;
use std::sync::Arc;

use rta_shared::config::{HostComponent, HostConfig, same_parts};
use rta_shared::process::{Process, ProcessId};
use rta_shared::report::{ComponentContext, ComponentReport, State};
use tonic::Code;

use super::launch::Launched;
use super::refusal::Refusal;
use crate::state::AgentState;
use crate::watch::WatchSnapshot;

/// View of an action on its own component.
pub(crate) struct Eyes {
    worker: AgentState,
    component: HostComponent,
}

impl Eyes {
    pub(crate) fn new(worker: AgentState, component: HostComponent) -> Self {
        Self { worker, component }
    }

    /// Returns the matched processes, by a full scan that begins now.
    ///
    /// # Errors
    /// Returns an error if the processes cannot be read, or if the agent is shutting down.
    pub(crate) async fn look(&self) -> Result<ComponentReport, Refusal> {
        self.of(&*self.worker.full_scan().await?)
    }

    /// Returns the matched processes, without a full scan.
    ///
    /// # Errors
    /// Returns the same errors as [`Eyes::full_scan`].
    pub(crate) async fn glance(&self) -> Result<ComponentReport, Refusal> {
        self.of(&*self.worker.quick_check().await?)
    }

    /// Records the exit status of a launched command once it ends.
    pub(crate) fn follow_exit(&self, launched: &Launched) {
        self.worker.exits().record_exit(&self.component.name, launched.pid, launched.exits());
    }

    /// Returns the current configuration of the host.
    pub(crate) fn config(&self) -> Arc<HostConfig> {
        self.worker.config()
    }

    /// Returns the processes that matched last. They may have ended, or not match any more.
    ///
    /// # Errors
    /// Returns an error if the agent is shutting down.
    pub(crate) async fn last_processes(&self) -> Result<Vec<ProcessId>, Refusal> {
        Ok(self.worker.last_processes(&self.component.name).await?)
    }

    /// Returns the matched processes of the component and of all others.
    ///
    /// # Errors
    /// Returns the same errors as [`Eyes::full_scan`].
    pub(crate) async fn surroundings(&self, thorough: bool) -> Result<Surroundings, Refusal> {
        let sight = match thorough {
            true => self.worker.full_scan().await?,
            false => self.worker.quick_check().await?,
        };
        let report = self.of(&sight)?;
        let own: HashSet<ProcessId> = report.processes.iter().map(|process| process.id).collect();
        let all = sight.matches.iter().flat_map(|matches| matches.iter().flatten().flatten());
        let others = all.map(|process| process.id).filter(|id| !own.contains(id)).collect();
        let matched = report.processes.iter().map(|process| process.id).collect();
        Ok(Surroundings { matched, others, config: Arc::clone(&sight.config) })
    }

    fn of(&self, sight: &WatchSnapshot) -> Result<ComponentReport, Refusal> {
        let unavailable = |reason: &str| Refusal::new(Code::Unavailable, reason);
        let matches = sight.matches.as_ref().map_err(|reason| unavailable(reason))?;
        // A reload may have moved or removed the component.
        let name = &self.component.name;
        let at = sight.config.components.iter().position(|known| known.name == *name);
        let found = at.and_then(|at| Some((at, sight.config.components.get(at)?, matches.get(at)?)));
        let (at, component, matches) = found
            .ok_or_else(|| unavailable("a new configuration has taken it from this host in the meantime"))?;
        if !same_parts(&component.parts, &self.component.parts) {
            return Err(unavailable("a new configuration has changed its criteria in the meantime"));
        }
        if let Some(reason) = component.unknown_user() {
            return Err(Refusal::new(Code::FailedPrecondition, reason));
        }
        let circumstances =
            ComponentContext { unseen: sight.unreadable.reason_for(at), ..ComponentContext::default() };
        let report = ComponentReport::new(component, matches, circumstances);
        match (&report.unseen, report.state) {
            // The state is unknown, so a start or stop would be a guess.
            (Some(reason), State::Unknown) => Err(unavailable(reason)),
            _ => Ok(report),
        }
    }
}

/// Matched processes of a host from the perspective of one component.
pub(crate) struct Surroundings {
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
pub(crate) fn pids_text(pids: &[u32]) -> String {
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    format!("{} {}", if pids.len() == 1 { "pid" } else { "pids" }, list.join(", "))
}
