//! How what the agent launched ended.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rta_shared::config::SuccessExitStatus;
use rta_shared::name::Name;
use tokio::sync::watch;

use super::policy::End;

/// How each component's launched process ended; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Exits(watch::Sender<HashMap<Name, (u32, ExitStatus)>>);

impl Exits {
    /// Without any.
    pub(crate) fn new() -> Self {
        Self(watch::channel(HashMap::new()).0)
    }

    /// Notes how the process `pid`, launched for `component`, ends; what was known of an earlier one is
    /// forgotten. Must be called within a runtime.
    pub(crate) fn follow(&self, component: &Name, pid: u32, mut exit: watch::Receiver<Option<ExitStatus>>) {
        self.0.send_if_modified(|exits| exits.remove(component).is_some());
        let (exits, component) = (self.0.clone(), component.clone());
        tokio::spawn(async move {
            // Without an exit it could not be waited for, which is logged.
            let Ok(Some(status)) = exit.wait_for(Option::is_some).await.map(|status| *status) else { return };
            exits.send_modify(|exits| {
                exits.insert(component, (pid, status));
            });
        });
    }

    /// Tells when one has ended.
    pub(crate) fn subscribe(&self) -> watch::Receiver<HashMap<Name, (u32, ExitStatus)>> {
        self.0.subscribe()
    }

    /// How the launched process of `component` ended, if it is among `pids`, which were its last; `success` says
    /// which ends are no failures.
    pub(crate) fn of(&self, component: &Name, pids: &[u32], success: &SuccessExitStatus) -> Option<End> {
        let exits = self.0.borrow();
        let (_, status) = exits.get(component).filter(|(pid, _)| pids.contains(pid))?;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit status {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => format!("with {status}"),
        };
        Some(End { is_well: success.is_clean(*status), how })
    }
}
