//! Standard input: its modes as a terminal, and what is typed, read without a thread that would still wait when nobody does any more: such a one would take
//! the next line that is meant for another reader.

use std::io::{self, IsTerminal as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// How long a thread waits at most, and how often one is begun.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What is typed next: a line, or a key where keys come one by one; empty where no more comes. May be dropped and
/// called again: nothing is lost.
pub(crate) async fn read() -> io::Result<Vec<u8>> {
    while !tokio::task::spawn_blocking(is_ready).await.map_err(io::Error::other)?? {}
    let mut typed = vec![0; 4096];
    let length = rustix::io::read(io::stdin(), &mut typed)?;
    typed.truncate(length);
    Ok(typed)
}

/// Whether something can be read; waits for it for a turn.
fn is_ready() -> io::Result<bool> {
    let stdin = io::stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&TURN)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The terminal of standard input in another mode, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    before: Termios,
}

impl Held {
    /// Takes `modes` from the terminal; `None` where standard input is none.
    pub(crate) fn without(modes: LocalModes) -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(io::stdin())?;
        let mut held = before.clone();
        held.local_modes -= modes;
        tcsetattr(io::stdin(), OptionalActions::Now, &held)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Where the terminal has gone there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
