//! An action's view of its component's processes.

use std::sync::Arc;

use rta_shared::process::Process;
use rta_shared::report::Report;
use tonic::Code;

use crate::refusal::Refusal;
use crate::worker::Worker;

/// An action's view of its own component.
pub(crate) struct Eyes {
    worker: Worker,
    /// The component's position in the configuration.
    at: usize,
}

impl Eyes {
    pub(crate) fn new(worker: Worker, at: usize) -> Self {
        Self { worker, at }
    }

    /// The processes that match now, by a scan that begins now.
    ///
    /// # Errors
    /// The processes cannot be seen, or the agent is shutting down.
    pub(crate) async fn look(&self) -> Result<Vec<Process>, Refusal> {
        let report: Arc<Report> = self.worker.scan().await?;
        match &report.components {
            Ok(components) => {
                Ok(components.get(self.at).map(|component| component.processes.clone()).unwrap_or_default())
            }
            Err(reason) => Err(Refusal::new(Code::Unavailable, reason.clone())),
        }
    }
}

/// The PIDs of `processes`.
pub(crate) fn pids(processes: &[Process]) -> Vec<u32> {
    processes.iter().map(|process| process.id.pid).collect()
}

/// `pid 7` or `pids 7, 8`.
pub(crate) fn pids_text(pids: &[u32]) -> String {
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    format!("{} {}", if pids.len() == 1 { "pid" } else { "pids" }, list.join(", "))
}
