//! Standard input: terminal modes, and cancellable reads. A blocking reader thread would keep waiting after
//! its read is dropped, and take the next line, which is meant for another reader.

use std::io::{self, IsTerminal as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Maximum time that a thread waits for input before the next one takes over.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Reads the next input: a line, or a key if the terminal is not in line mode; empty at the end of input.
/// Cancel safe: no input is lost.
pub(crate) async fn read_input() -> io::Result<Vec<u8>> {
    while !tokio::task::spawn_blocking(is_ready).await.map_err(io::Error::other)?? {}
    let mut typed = vec![0; 4096];
    let length = rustix::io::read(io::stdin(), &mut typed)?;
    typed.truncate(length);
    Ok(typed)
}

/// Returns true if input is available; waits up to [`POLL_INTERVAL`] for it.
fn is_ready() -> io::Result<bool> {
    let stdin = io::stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&POLL_INTERVAL)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Changed terminal modes of standard input, restored on drop.
#[derive(Debug)]
pub(crate) struct TerminalMode {
    before: Termios,
}

impl TerminalMode {
    /// Disables `modes` of the terminal; `None` if standard input is not a terminal.
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

impl Drop for TerminalMode {
    fn drop(&mut self) {
        // If the terminal has gone there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
