//! Exit statuses of the commands that the agent launched.

use std::collections::HashMap;
use std::process::ExitStatus;

use rta_shared::name::Name;
use tokio::sync::watch;

/// Exit status of each component's launched process; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LaunchedExits(watch::Sender<HashMap<Name, (u32, ExitStatus)>>);

impl LaunchedExits {
    /// Creates an empty collection.
    pub(crate) fn new() -> Self {
        Self(watch::channel(HashMap::new()).0)
    }

    /// Records the exit status of the process `pid`, launched for `component`, once it ends; drops that of an
    /// earlier one. Must be called within a runtime.
    pub(crate) fn record_exit(
        &self,
        component: &Name,
        pid: u32,
        mut exit: watch::Receiver<Option<ExitStatus>>,
    ) {
        self.0.send_if_modified(|exits| exits.remove(component).is_some());
        let (exits, component) = (self.0.clone(), component.clone());
        tokio::spawn(async move {
            // Without an exit status the process could not be waited for, which is logged.
            let Ok(Some(status)) = exit.wait_for(Option::is_some).await.map(|status| *status) else { return };
            exits.send_modify(|exits| {
                exits.insert(component, (pid, status));
            });
        });
    }

    /// Returns the exit status of the process `pid` that was launched for `component`; `None` if it is not
    /// known, or not yet.
    pub(crate) fn status_of(&self, component: &Name, pid: u32) -> Option<ExitStatus> {
        status_of(&self.0.borrow(), component, pid)
    }

    /// Waits for the exit status of the process `pid` that was launched for `component`.
    pub(crate) async fn wait_for(&self, component: &Name, pid: u32) -> ExitStatus {
        let mut exits = self.0.subscribe();
        loop {
            if let Some(status) = status_of(&exits.borrow_and_update(), component, pid) {
                return status;
            }
            if exits.changed().await.is_err() {
                // The sender is held by this value itself.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns a receiver that is notified when a launched process ends.
    pub(crate) fn subscribe(&self) -> watch::Receiver<HashMap<Name, (u32, ExitStatus)>> {
        self.0.subscribe()
    }

    /// Returns the exit status of the launched process of `component`, if its PID is in `pids`, the last ones
    /// of the component.
    pub(crate) fn status_among(&self, component: &Name, pids: &[u32]) -> Option<ExitStatus> {
        self.0.borrow().get(component).filter(|(pid, _)| pids.contains(pid)).map(|(_, status)| *status)
    }
}

fn status_of(exits: &HashMap<Name, (u32, ExitStatus)>, component: &Name, pid: u32) -> Option<ExitStatus> {
    exits.get(component).filter(|(known, _)| *known == pid).map(|(_, status)| *status)
}
