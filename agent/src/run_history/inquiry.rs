//! Inquiry after the end of a component: the exit status if it was not known at once, the last line of the
//! log, and whether the kernel killed the process for lack of memory.

use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::config::SuccessExitStatus;
use rta_shared::down_cause::DownKind;
use rta_shared::name::Name;
use rta_shared::process::ProcessId;

use super::exit_statuses::{ExitStatuses, down_kind};
use super::kernel_log::was_oom_killed;
use crate::host::procfs::is_alive;
use crate::logs::{LogPath, last_line};
use crate::run_history::LaunchedExits;

/// Time limit for an exit status to become known after the process was found to be gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// `SIGKILL`, which the kernel sends for lack of memory.
const KILL: i32 = 9;

/// Process whose end is to be inquired.
#[derive(Clone, Debug)]
pub(crate) struct ExitInquiry {
    pub(crate) component: Name,
    pub(crate) id: ProcessId,
    /// Start time of the run; a log that was not written since then is unrelated to it.
    pub(crate) started_at: Option<Timestamp>,
    /// Exit status, if it is known already.
    pub(crate) status: Option<ExitStatus>,
    /// True if the process ended while no agent watched, so that its exit status will not become known.
    pub(crate) is_unwatched: bool,
    pub(crate) success: SuccessExitStatus,
    pub(crate) log: Option<LogPath>,
}

/// Result of an inquiry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InquiryResult {
    /// Kind of the end; `None` if nothing new was found.
    pub(crate) kind: Option<DownKind>,
    pub(crate) last_log_line: Option<String>,
}

/// Returns true if the process still exists, and only stopped matching.
async fn process_exists(id: ProcessId) -> bool {
    // Off the runtime: a read of /proc may hang.
    tokio::task::spawn_blocking(move || is_alive(id)).await.unwrap_or(false)
}

/// Collects the available information on an end.
pub(crate) async fn inquire(
    inquiry: ExitInquiry,
    exits: LaunchedExits,
    statuses: ExitStatuses,
) -> InquiryResult {
    let ExitInquiry { component, id, started_at, status, is_unwatched, success, log } = inquiry;
    if status.is_none() && process_exists(id).await {
        let kind = DownKind::Unmatched { pid: id.pid };
        return InquiryResult { kind: Some(kind), last_log_line: None };
    }
    let reported_status = async {
        tokio::select! {
            status = exits.wait_for(&component, id.pid) => status,
            status = statuses.wait_for(id.pid) => status,
        }
    };
    let status = match status {
        None if !is_unwatched => tokio::time::timeout(PATIENCE, reported_status).await.ok(),
        known => known,
    };
    let kind = status.map(|status| down_kind(status, &success));
    let may_lack_memory = match &kind {
        Some(DownKind::Killed { signal, .. }) => *signal == KILL,
        Some(DownKind::Exited { is_clean: true, .. }) => return InquiryResult { kind, last_log_line: None },
        Some(_) => false,
        None => true,
    };
    // Off the runtime: the disk may hang.
    let read = tokio::task::spawn_blocking(move || {
        let lacked_memory = may_lack_memory && was_oom_killed(id);
        (lacked_memory, log.and_then(|log| last_line(&log, started_at)))
    });
    match read.await {
        Ok((true, last_log_line)) => {
            let kind = DownKind::Killed { signal: KILL, is_clean: false, out_of_memory: true };
            InquiryResult { kind: Some(kind), last_log_line }
        }
        Ok((false, last_log_line)) => InquiryResult { kind, last_log_line },
        Err(error) => {
            tracing::error!(%component, %error, "the end of a component cannot be looked into");
            InquiryResult { kind, last_log_line: None }
        }
    }
}
