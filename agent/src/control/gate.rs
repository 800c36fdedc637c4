//! Holds a forked child before its exec until it is on record which process it is.
//!
//! The agent may be killed at any instant. Without a gate there is one at which a command runs that no file knows
//! of: the next agent sees nothing, and starts a second one. With it:
//!
//! | the agent is killed | the child | the next agent |
//! |---|---|---|
//! | before the fork | is not there | knows of no launch, and there is none |
//! | after the fork, before the record is in place | sees the end of the agent, and ends without exec | as above |
//! | after that, before the gate is opened | the same | finds the record of a process that ended, and waits for nothing more than its deadline |
//! | after the gate was opened | runs the command | finds the record of the process, and adopts it |
//!
//! The record is written by another thread of the agent than the one that forks, since the standard library returns
//! from a spawn only after the exec.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// What opens the gate, and what makes the child end.
const GO: u8 = 1;
const END: u8 = 0;

/// The agent's side of a gate. Dropping it without opening it makes the child end.
#[derive(Debug)]
pub(super) struct Gate {
    child: PipeReader,
    answer: PipeWriter,
    is_answered: bool,
}

/// The child's side of a gate; it is made before the fork.
#[derive(Debug)]
pub(super) struct ChildGate {
    parent: PipeWriter,
    answer: PipeReader,
    /// The agent itself: the end of its pipe is of no use, since whatever it forks at the same time holds copies.
    agent: OwnedFd,
}

/// Makes both sides of a gate.
///
/// # Errors
/// No descriptors are left.
pub(super) fn gate() -> io::Result<(Gate, ChildGate)> {
    let (child, parent) = io::pipe()?;
    let (answer_reader, answer) = io::pipe()?;
    let agent = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok((Gate { child, answer, is_answered: false }, ChildGate { parent, answer: answer_reader, agent }))
}

impl Gate {
    /// Waits for the child, and returns its PID, which is its own as long as the gate is closed; `None` where there
    /// was no child, or it ended.
    pub(super) fn wait(&mut self) -> Option<u32> {
        let mut pid = [0; size_of::<i32>()];
        self.child.read_exact(&mut pid).ok()?;
        u32::try_from(i32::from_ne_bytes(pid)).ok()
    }

    /// Lets the child go on to its exec.
    ///
    /// # Errors
    /// The child has ended.
    pub(super) fn open(mut self) -> io::Result<()> {
        self.is_answered = true;
        self.answer.write_all(&[GO])
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if !self.is_answered {
            // An error says that the child has ended, or that there was none.
            let _ = self.answer.write_all(&[END]);
        }
    }
}

impl ChildGate {
    /// Tells the agent who this is, and waits until it opens the gate. For the child between fork and exec: it
    /// makes system calls alone, allocates nothing and takes no lock.
    ///
    /// # Errors
    /// The agent has ended, or does not want the child to go on.
    pub(super) fn pass(&self) -> io::Result<()> {
        let pid = getpid().as_raw_nonzero().get().to_ne_bytes();
        // No more than PIPE_BUF bytes are written whole (pipe(7)).
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
