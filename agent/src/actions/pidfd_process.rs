//! Processes that are held by a pidfd, so that a reused PID is never mistaken for them.

use std::os::fd::OwnedFd;

use rta_shared::process::{CommandLine, ProcessId};
use rta_shared::sanitize::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::error::{ActionError, ActionErrorKind};
use crate::host::cgroup_mount::{CgroupFreezers, FrozenCgroup};
use crate::host::process_attributes::ProcfsAttributes;
use crate::host::procfs::ProcFs;

/// Process held by a pidfd.
#[derive(Debug)]
pub(super) struct PidfdProcess {
    pub(super) id: ProcessId,
    /// True if a signal had stopped the process.
    pub(super) is_stopped: bool,
    /// Frozen control group of the process.
    pub(super) frozen: Option<FrozenCgroup>,
    pidfd: OwnedFd,
}

impl PidfdProcess {
    /// Opens a pidfd, and only then checks that the process is the intended one and still meets `is_right`,
    /// so that a reused PID is not held. Returns `None` if it is a different process, or has ended.
    pub(super) fn open_checked(
        proc: &ProcFs,
        id: ProcessId,
        freezers: &CgroupFreezers,
        is_right: impl Fn(&CommandLine, &ProcfsAttributes<'_>) -> bool,
    ) -> Result<Option<Self>, ActionError> {
        let Some(raw) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => {
                return Err(ActionError::new(
                    ActionErrorKind::Internal,
                    format!("pid {} cannot be held: {error}", id.pid),
                ));
            }
        };
        let mut line = CommandLine::new();
        let read = proc.process(id.pid).and_then(|folder| {
            let stat = folder.stat()?;
            folder.command_line(&mut line)?;
            let attributes = ProcfsAttributes::new(proc, &folder, id.pid);
            let is_it = stat.start_ticks == id.start_ticks && !stat.is_zombie && is_right(&line, &attributes);
            let frozen = attributes.control_groups().ok().and_then(|groups| freezers.find_frozen(groups));
            Ok(is_it.then_some((stat.is_stopped, frozen)))
        });
        let state = read.ok().flatten();
        Ok(state.map(|(is_stopped, frozen)| Self { id, is_stopped, frozen, pidfd }))
    }

    /// Sends a signal; a process that has ended is no error.
    pub(super) fn send_signal(&self, signal: Signal) -> Result<(), ActionError> {
        let pid = self.id.pid;
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(Errno::PERM) => Err(ActionError::new(
                ActionErrorKind::PreconditionFailed,
                format!(
                    "the agent may not signal pid {pid}; run the agent as root or as that process's user"
                ),
            )),
            Err(error) => Err(ActionError::new(
                ActionErrorKind::Internal,
                format!("pid {pid} cannot be signalled: {error}"),
            )),
        }
    }
}

/// Returns the processes that have not ended: a pidfd is readable when its process has (pidfd_open(2)).
pub(super) fn remaining_processes(processes: Vec<PidfdProcess>) -> Result<Vec<PidfdProcess>, ActionError> {
    let mut watched: Vec<PollFd<'_>> =
        processes.iter().map(|process| PollFd::new(&process.pidfd, PollFlags::IN)).collect();
    // A time of zero checks without waiting. After EINTR nothing is known, so all processes are returned.
    match poll(&mut watched, Some(&Timespec::default())) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => {
            return Err(ActionError::new(
                ActionErrorKind::Internal,
                format!("its processes cannot be waited for: {error}"),
            ));
        }
    }
    let there: Vec<bool> = watched.iter().map(|watched| watched.revents().is_empty()).collect();
    Ok(processes.into_iter().zip(there).filter_map(|(process, there)| there.then_some(process)).collect())
}

/// Returns a text such as `pid 7 (java), pid 8 (sleep)`, safe to show.
pub(super) fn name_processes(proc: &ProcFs, ids: &[ProcessId]) -> String {
    let named = ids.iter().map(|id| {
        let program = proc.process(id.pid).and_then(|folder| {
            let stat = folder.stat()?;
            Ok((stat.start_ticks == id.start_ticks).then_some(folder.program()?))
        });
        match program {
            Ok(Some(program)) => format!("pid {} ({})", id.pid, printable(&program)),
            Ok(None) | Err(_) => format!("pid {}", id.pid),
        }
    });
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::host::process_tree::ProcessTree;

    #[test]
    fn only_the_intended_process_is_signalled() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let proc = ProcFs::open().unwrap();
        let id = ProcessTree::read().unwrap().id(child.id()).unwrap();
        // The PID has been reused.
        let another = ProcessId { start_ticks: id.start_ticks - 1, ..id };
        let hold = |id, is_right: bool| {
            PidfdProcess::open_checked(&proc, id, &CgroupFreezers::read(), |_, _| is_right).unwrap()
        };
        assert!(hold(another, true).is_none());
        // The process is the same, but runs another program by now.
        assert!(hold(id, false).is_none());
        assert!(child.try_wait().unwrap().is_none());

        let processes = hold(id, true).unwrap();
        assert_eq!(name_processes(&proc, &[id, another]), format!("pid {0} (sleep), pid {0}", child.id()));
        processes.send_signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(remaining_processes(vec![processes]).unwrap().is_empty());
        assert!(hold(id, true).is_none());
    }
}
