//! Holds a forked child before its exec until it is on record which process it is.
//!
//! The agent may be killed at any moment. Without a gate there would be a moment at which a command runs
//! without a record: the next agent would not find it, and would start a second one. With the gate:
//!
//! | the agent is killed | the child | the next agent |
//! |---|---|---|
//! | before the fork | does not exist | finds no launch, and there is none |
//! | after the fork, before the record | detects that, and ends without exec | as above |
//! | after the record, before the gate is open | the same | finds an ended process, waits for its deadline |
//! | after the gate is open | runs the command | finds the running process, and adopts it |
//!
//! The record is written by another thread than the one that forks, since the standard library returns from a
//! spawn only after the exec.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// Byte that opens the gate, and byte that makes the child end.
const GO: u8 = 1;
const END: u8 = 0;

/// Agent side of a gate. Dropping it without opening it makes the child end.
#[derive(Debug)]
pub(super) struct SpawnGate {
    child: PipeReader,
    answer: PipeWriter,
    is_answered: bool,
}

/// Child side of a gate; created before the fork.
#[derive(Debug)]
pub(super) struct ChildGate {
    parent: PipeWriter,
    answer: PipeReader,
    /// Pidfd of the agent. The end of the agent's pipe is not sufficient, since processes forked at the same
    /// time hold copies of the pipe.
    agent: OwnedFd,
}

/// Creates both sides of a gate.
///
/// # Errors
/// Returns an error if no descriptors are left.
pub(super) fn spawn_gate() -> io::Result<(SpawnGate, ChildGate)> {
    let (child, parent) = io::pipe()?;
    let (answer_reader, answer) = io::pipe()?;
    let agent = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok((SpawnGate { child, answer, is_answered: false }, ChildGate { parent, answer: answer_reader, agent }))
}

impl SpawnGate {
    /// Waits for the child and returns its PID, which cannot be reused as long as the gate is closed. Returns
    /// `None` if there was no child, or if it ended.
    pub(super) fn wait(&mut self) -> Option<u32> {
        let mut pid = [0; size_of::<i32>()];
        self.child.read_exact(&mut pid).ok()?;
        u32::try_from(i32::from_ne_bytes(pid)).ok()
    }

    /// Lets the child continue to its exec.
    ///
    /// # Errors
    /// Returns an error if the child has ended.
    pub(super) fn open(mut self) -> io::Result<()> {
        self.is_answered = true;
        self.answer.write_all(&[GO])
    }
}

impl Drop for SpawnGate {
    fn drop(&mut self) {
        if !self.is_answered {
            // An error means that the child has ended, or that there was none.
            let _ = self.answer.write_all(&[END]);
        }
    }
}

impl ChildGate {
    /// Sends the PID to the agent, and waits until the agent opens the gate. For the child between fork and
    /// exec: makes system calls alone, allocates nothing and takes no lock.
    ///
    /// # Errors
    /// Returns an error if the agent has ended, or if it makes the child end.
    pub(super) fn pass(&self) -> io::Result<()> {
        let pid = getpid().as_raw_nonzero().get().to_ne_bytes();
        // Writes of up to PIPE_BUF bytes are atomic (pipe(7)).
        rustix::io::write(&self.parent, &pid)?;
        let mut watched = [
            PollFd::new(&self.answer, PollFlags::IN),
            PollFd::from_borrowed_fd(self.agent.as_fd(), PollFlags::IN),
        ];
        loop {
            match poll(&mut watched, None) {
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let mut answer = [END];
            // The agent may have answered and then ended: the answer counts.
            if watched[0].revents().contains(PollFlags::IN) {
                rustix::io::read(&self.answer, &mut answer)?;
            }
            return match answer {
                [GO] => Ok(()),
                _ => Err(Errno::CANCELED.into()),
            };
        }
    }
}
