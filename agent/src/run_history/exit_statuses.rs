//! Exit statuses of processes from the kernel's events, independent of their parents.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;

use rta_shared::config::SuccessExitStatus;
use rta_shared::down_cause::DownKind;
use tokio::sync::watch;

/// Maximum number of kept records. Far fewer than there are PIDs: if the ends of all processes are recorded,
/// no record belongs to an earlier process with the same PID.
const MAX_RECORDS: usize = 4096;

/// Exit statuses of the processes that ended last on the host; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ExitStatuses(Arc<watch::Sender<ExitLog>>);

#[derive(Debug, Default)]
struct ExitLog {
    kept: VecDeque<(u32, ExitRecord)>,
    /// Number of records ever made.
    count: u64,
}

/// Exit status of one process, and its position among all ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitRecord {
    pub(crate) status: ExitStatus,
    /// Position; greater for a process that ended later.
    pub(crate) order: u64,
}

impl ExitStatuses {
    /// Creates an empty log.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(ExitLog::default())))
    }

    /// Records that the process `pid` ended with `status`, in the form of wait(2).
    pub(crate) fn record_status(&self, pid: u32, status: i32) {
        self.0.send_modify(|statuses| {
            if statuses.kept.len() >= MAX_RECORDS {
                statuses.kept.pop_front();
            }
            statuses.count += 1;
            let ending = ExitRecord { status: ExitStatus::from_raw(status), order: statuses.count };
            statuses.kept.push_back((pid, ending));
        });
    }

    /// Drops the record of an earlier process that had the PID `pid`. If only ends of matched processes are
    /// recorded, a record may be older than the PID's next use.
    pub(crate) fn forget(&self, pid: u32) {
        self.0.send_if_modified(|log| {
            let before = log.kept.len();
            log.kept.retain(|(known, _)| *known != pid);
            log.kept.len() != before
        });
    }

    /// Returns the record of the process `pid`; `None` if there is none, or none yet.
    pub(crate) fn status_of(&self, pid: u32) -> Option<ExitRecord> {
        find_record(&self.0.borrow(), pid)
    }

    /// Waits for the exit status of the process `pid`.
    pub(crate) async fn wait_for(&self, pid: u32) -> ExitStatus {
        let mut statuses = self.0.subscribe();
        loop {
            if let Some(ending) = find_record(&statuses.borrow_and_update(), pid) {
                return ending.status;
            }
            if statuses.changed().await.is_err() {
                // The sender is held by this value itself.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn find_record(statuses: &ExitLog, pid: u32) -> Option<ExitRecord> {
    statuses.kept.iter().rev().find(|(known, _)| *known == pid).map(|(_, ending)| *ending)
}

/// Returns the kind of an end with this exit status, judged by a component's rule.
pub(crate) fn down_kind(status: ExitStatus, success: &SuccessExitStatus) -> DownKind {
    let is_clean = success.is_clean(status);
    match (status.code(), status.signal()) {
        (Some(status), _) => DownKind::Exited { status, is_clean },
        (None, Some(signal)) => DownKind::Killed { signal, is_clean, out_of_memory: false },
        (None, None) => DownKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_end_of_a_pid_counts_and_old_ones_are_dropped() {
        let statuses = ExitStatuses::new();
        statuses.record_status(7, 9);
        statuses.record_status(7, 3 << 8);
        assert_eq!(
            statuses.status_of(7),
            Some(ExitRecord { status: ExitStatus::from_raw(3 << 8), order: 2 })
        );
        statuses.forget(7);
        assert_eq!(statuses.status_of(7), None);
        statuses.record_status(7, 1);
        for _ in 0..MAX_RECORDS {
            statuses.record_status(8, 0);
        }
        assert_eq!((statuses.status_of(7), statuses.0.borrow().kept.len()), (None, MAX_RECORDS));
    }
}
