//! How what the agent launched ended.

use std::collections::HashMap;
use std::process::ExitStatus;

use rta_shared::name::Name;
use tokio::sync::watch;

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

    /// Returns how the process `pid` that was launched for `component` ended; `None` where that is not known, or not yet.
    pub(crate) fn status_of(&self, component: &Name, pid: u32) -> Option<ExitStatus> {
        status_of(&self.0.borrow(), component, pid)
    }

    /// Waits until it is known how the process `pid` that was launched for `component` ended.
    pub(crate) async fn wait_for(&self, component: &Name, pid: u32) -> ExitStatus {
        let mut exits = self.0.subscribe();
        loop {
            if let Some(status) = status_of(&exits.borrow_and_update(), component, pid) {
                return status;
            }
            if exits.changed().await.is_err() {
                // The sender is held by this very value.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells when one has ended.
    pub(crate) fn subscribe(&self) -> watch::Receiver<HashMap<Name, (u32, ExitStatus)>> {
        self.0.subscribe()
    }

    /// Returns how the launched process of `component` ended, if it is among `pids`, which were its last.
    pub(crate) fn status_among(&self, component: &Name, pids: &[u32]) -> Option<ExitStatus> {
        self.0.borrow().get(component).filter(|(pid, _)| pids.contains(pid)).map(|(_, status)| *status)
    }
}

fn status_of(exits: &HashMap<Name, (u32, ExitStatus)>, component: &Name, pid: u32) -> Option<ExitStatus> {
    exits.get(component).filter(|(known, _)| *known == pid).map(|(_, status)| *status)
}
