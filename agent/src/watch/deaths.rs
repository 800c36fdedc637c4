//! Deaths told by pidfds: one for each matched process, readable when it has ended (pidfd_open(2)).

use std::collections::HashMap;

use rta_shared::process::ProcessId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How many are held: a process may have 1,024 files open by default (getrlimit(2)). Deaths of further ones are
/// noticed by the next pass, within a second.
const HELD: usize = 512;

/// The pidfds of the processes whose death matters.
#[derive(Debug, Default)]
pub(super) struct Deaths(HashMap<u32, (ProcessId, OwnedFd)>);

impl Deaths {
    /// Holds exactly the processes `wanted`, up to its bound. Gives those that it began to hold: they must be looked at again, since
    /// the PID may have been another's already when its pidfd was opened.
    pub(super) fn hold(&mut self, wanted: impl Iterator<Item = ProcessId>) -> Vec<u32> {
        let mut old = std::mem::take(&mut self.0);
        let mut begun = Vec::new();
        for id in wanted.take(HELD) {
            if let Some(held) = old.remove(&id.pid).filter(|(held, _)| *held == id) {
                self.0.insert(id.pid, held);
                continue;
            }
            begun.push(id.pid);
            let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { continue };
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(pidfd) => drop(self.0.insert(id.pid, (id, pidfd))),
                Err(Errno::SRCH) => {}
                // Its death is noticed by the next pass, within a second.
                Err(error) => tracing::warn!(pid = id.pid, %error, "no pidfd"),
            }
        }
        begun
    }

    /// What to wait for.
    pub(super) fn pidfds(&self) -> impl Iterator<Item = &OwnedFd> {
        self.0.values().map(|(_, pidfd)| pidfd)
    }

    /// Those that have ended; they are held no more.
    pub(super) fn take(&mut self) -> Vec<u32> {
        let pids: Vec<u32> = self.0.keys().copied().collect();
        let mut watched: Vec<PollFd<'_>> = Vec::with_capacity(pids.len());
        watched.extend(self.0.values().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN)));
        // A time of zero asks without waiting; what fails is asked again after the next wait.
        if poll(&mut watched, Some(&Timespec::default())).is_err() {
            return Vec::new();
        }
        let ended = watched.iter().zip(&pids).filter(|(watched, _)| !watched.revents().is_empty());
        let ended: Vec<u32> = ended.map(|(_, pid)| *pid).collect();
        for pid in &ended {
            self.0.remove(pid);
        }
        ended
    }
}
