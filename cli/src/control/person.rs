//! User at the terminal: answers to questions, and Ctrl-C.

use std::io::{self, IsTerminal as _};

use rustix::termios::{QueueSelector, tcflush};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::keyboard;

/// Input from the user.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Ctrl-C.
    Interrupt,
    /// Answer to a question, as one line; empty at the end of input.
    Answer(String),
}

/// Source of answers and interrupts.
pub(crate) trait Person {
    /// Returns true if a question can be answered.
    fn can_answer(&self) -> bool;

    /// Marks that a question was just written. Input typed earlier is not an answer to it.
    fn asked(&mut self);

    /// Returns the next Ctrl-C or, while `asking`, the next answer. Cancel safe: no input is lost.
    async fn heard(&mut self, asking: bool) -> io::Result<Heard>;
}

/// User behind standard input and SIGINT.
#[derive(Debug)]
pub(crate) struct Operator {
    interrupts: Signal,
    can_answer: bool,
}

impl Operator {
    /// Creates an operator and takes over SIGINT, which no longer ends the process. If `terminal` is false,
    /// questions are not asked.
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
        // If this fails, input typed earlier counts as the answer.
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

/// Reads the next line of standard input.
async fn line() -> io::Result<String> {
    Ok(String::from_utf8_lossy(&keyboard::read().await?).into_owned())
}
