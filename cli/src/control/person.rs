//! The person at the terminal: what they are asked, and their Ctrl-C.

use std::io::{self, IsTerminal as _};

use rustix::termios::{QueueSelector, tcflush};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::keyboard;

/// What a person did.
#[derive(Debug)]
pub(crate) enum Heard {
    /// They pressed Ctrl-C.
    Interrupt,
    /// They answered a question with this line; empty where no more input comes.
    Answer(String),
}

/// Who can be asked, and can interrupt.
pub(crate) trait Person {
    /// Whether a question reaches anybody.
    fn can_answer(&self) -> bool;

    /// A question was just written. What was typed before it is no answer to it.
    fn asked(&mut self);

    /// The next Ctrl-C or, while `asking`, answer. May be dropped and called again: nothing is lost.
    async fn heard(&mut self, asking: bool) -> io::Result<Heard>;
}

/// Standard input and SIGINT.
#[derive(Debug)]
pub(crate) struct Operator {
    interrupts: Signal,
    can_answer: bool,
}

impl Operator {
    /// From now on SIGINT does not end the process. Where `terminal` is not set nobody sees a question.
    pub(crate) fn new(terminal: bool) -> io::Result<Self> {
        let interrupts = signal(SignalKind::interrupt())?;
        Ok(Self { interrupts, can_answer: terminal && io::stdin().is_terminal() })
    }
}

impl Person for Operator {
    fn can_answer(&self) -> bool {
        self.can_answer
    }

    fn asked(&mut self) {
        // Where that fails, what was typed before counts.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    }

    async fn heard(&mut self, asking: bool) -> io::Result<Heard> {
        tokio::select! {
            Some(()) = self.interrupts.recv() => Ok(Heard::Interrupt),
            line = line(), if asking => line.map(Heard::Answer),
            else => std::future::pending().await,
        }
    }
}

/// The next line of standard input.
async fn line() -> io::Result<String> {
    Ok(String::from_utf8_lossy(&keyboard::read().await?).into_owned())
}
