//! Standard input, read without a thread that would still wait when nobody does any more: such a one would take
//! the next line that is meant for another reader.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
