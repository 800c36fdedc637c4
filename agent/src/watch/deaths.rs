//! Deaths told by pidfds: one for each matched process, readable when it has ended (pidfd_open(2)).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rta_shared::process::ProcessId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::exit_info::exit_status;

/// How many are held: a process may have 1,024 files open by default (getrlimit(2)). Deaths of further ones are
/// noticed by the next pass, within a second.
const HELD: usize = 512;

/// How long it is asked how a process ended: until its parent has waited for it, nobody is told.
const ASKED: Duration = Duration::from_secs(10);

/// The pidfds of the processes whose death matters.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    held: HashMap<u32, (ProcessId, OwnedFd)>,
    /// Those that matter no more, most since they have ended, and since when: it is not known how.
    ended: Vec<(u32, OwnedFd, Instant)>,
}

impl Deaths {
    /// Holds exactly the processes `wanted`, up to its bound. Gives those that it began to hold: they must be looked at again, since
    /// the PID may have been another's already when its pidfd was opened.
    pub(super) fn hold(&mut self, wanted: impl Iterator<Item = ProcessId>) -> Vec<u32> {
        let mut old = std::mem::take(&mut self.held);
        let mut begun = Vec::new();
        for id in wanted.take(HELD) {
            if let Some(held) = old.remove(&id.pid).filter(|(held, _)| *held == id) {
                self.held.insert(id.pid, held);
                continue;
            }
            begun.push(id.pid);
            let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { continue };
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(pidfd) => drop(self.held.insert(id.pid, (id, pidfd))),
                Err(Errno::SRCH) => {}
                // Its death is noticed by the next pass, within a second.
                Err(error) => tracing::warn!(pid = id.pid, %error, "no pidfd"),
            }
        }
        old.into_iter().for_each(|(pid, (_, pidfd))| self.ask(pid, pidfd));
        begun
    }

    /// What to wait for: for a death, or for what is told behind it.
    pub(super) fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        let held = self.held.values().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN));
        // It is readable already; that its parent has waited for it is a hang-up, which is told unasked.
        held.chain(self.ended.iter().map(|(_, pidfd, _)| PollFd::new(pidfd, PollFlags::empty())))
    }

    /// Returns how processes ended of which that is known since this was asked last, as wait(2) tells it.
    pub(super) fn exit_statuses(&mut self) -> Vec<(u32, i32)> {
        let mut known = Vec::new();
        self.ended.retain(|(pid, pidfd, since)| match exit_status(pidfd) {
            Ok(Some(status)) => {
                known.push((*pid, status));
                false
            }
            Ok(None) => since.elapsed() < ASKED,
            // The kernel does not tell.
            Err(_) => false,
        });
        known
    }

    fn ask(&mut self, pid: u32, pidfd: OwnedFd) {
        if self.ended.len() < HELD {
            self.ended.push((pid, pidfd, Instant::now()));
        }
    }

    /// Those that have ended; they are held no more.
    pub(super) fn take(&mut self) -> Vec<u32> {
        let pids: Vec<u32> = self.held.keys().copied().collect();
        let mut watched: Vec<PollFd<'_>> = Vec::with_capacity(pids.len());
        watched.extend(self.held.values().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN)));
        // A time of zero asks without waiting; what fails is asked again after the next wait.
        if poll(&mut watched, Some(&Timespec::default())).is_err() {
            return Vec::new();
        }
        let ended = watched.iter().zip(&pids).filter(|(watched, _)| !watched.revents().is_empty());
        let ended: Vec<u32> = ended.map(|(_, pid)| *pid).collect();
        for pid in &ended {
            if let Some((_, pidfd)) = self.held.remove(pid) {
                self.ask(*pid, pidfd);
            }
        }
        ended
    }
}
