//! Detects the end of matched processes by pidfds, which are readable when the process has ended
//! (pidfd_open(2)).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rta_shared::process::ProcessId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::exit_info::exit_status;

/// Maximum number of held pidfds: a process may have 1,024 files open by default (getrlimit(2)). The end of
/// further processes is noticed by the next pass, within a second.
const MAX_PIDFDS: usize = 512;

/// Time limit for reading an exit status: it is available only after the parent has waited for the process.
const EXIT_STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// Pidfds of the watched processes.
#[derive(Debug, Default)]
pub(super) struct ExitPidfds {
    held: HashMap<u32, (ProcessId, OwnedFd)>,
    /// Processes that are no longer watched, mostly since they have ended, with that time; their exit status
    /// is not known.
    ended: Vec<(u32, OwnedFd, Instant)>,
}

impl ExitPidfds {
    /// Holds exactly the processes `wanted`, up to [`MAX_PIDFDS`]. Returns those that are newly held: they
    /// must be checked again, since the PID may already have been reused when its pidfd was opened.
    pub(super) fn watch(&mut self, wanted: impl Iterator<Item = ProcessId>) -> Vec<u32> {
        let mut old = std::mem::take(&mut self.held);
        let mut begun = Vec::new();
        for id in wanted.take(MAX_PIDFDS) {
            if let Some(held) = old.remove(&id.pid).filter(|(held, _)| *held == id) {
                self.held.insert(id.pid, held);
                continue;
            }
            begun.push(id.pid);
            let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { continue };
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(pidfd) => drop(self.held.insert(id.pid, (id, pidfd))),
                Err(Errno::SRCH) => {}
                // The end of the process is noticed by the next pass, within a second.
                Err(error) => tracing::warn!(pid = id.pid, %error, "no pidfd"),
            }
        }
        old.into_iter().for_each(|(pid, (_, pidfd))| self.await_exit_status(pid, pidfd));
        begun
    }

    /// Returns the pidfds to wait for: those of running processes, and those whose exit status is pending.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let held = self.held.values().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN));
        // It is readable already. When the parent waits for the process, poll reports a hang-up, which needs
        // no request.
        held.chain(self.ended.iter().map(|(_, pidfd, _)| PollFd::new(pidfd, PollFlags::empty())))
    }

    /// Returns the exit statuses, in the form of wait(2), that have become known since the last call.
    pub(super) fn exit_statuses(&mut self) -> Vec<(u32, i32)> {
        let mut known = Vec::new();
        self.ended.retain(|(pid, pidfd, since)| match exit_status(pidfd) {
            Ok(Some(status)) => {
                known.push((*pid, status));
                false
            }
            Ok(None) => since.elapsed() < EXIT_STATUS_TIMEOUT,
            // The kernel does not provide the status.
            Err(_) => false,
        });
        known
    }

    fn await_exit_status(&mut self, pid: u32, pidfd: OwnedFd) {
        if self.ended.len() < MAX_PIDFDS {
            self.ended.push((pid, pidfd, Instant::now()));
        }
    }

    /// Returns the processes that have ended, and stops watching them.
    pub(super) fn take_ended(&mut self) -> Vec<u32> {
        let pids: Vec<u32> = self.held.keys().copied().collect();
        let mut watched: Vec<PollFd<'_>> = Vec::with_capacity(pids.len());
        watched.extend(self.held.values().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN)));
        // A time of zero checks without waiting; after an error the next wait checks again.
        if poll(&mut watched, Some(&Timespec::default())).is_err() {
            return Vec::new();
        }
        let ended = watched.iter().zip(&pids).filter(|(watched, _)| !watched.revents().is_empty());
        let ended: Vec<u32> = ended.map(|(_, pid)| *pid).collect();
        for pid in &ended {
            if let Some((_, pidfd)) = self.held.remove(pid) {
                self.await_exit_status(*pid, pidfd);
            }
        }
        ended
    }
}
