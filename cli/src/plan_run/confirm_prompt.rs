//! User at the terminal: answers to questions, and Ctrl-C.

use std::io::{self, IsTerminal as _};

use rustix::termios::{QueueSelector, tcflush};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::keyboard;

/// Input from the user.
#[derive(Debug)]
pub(crate) enum UserInput {
    /// Ctrl-C.
    Interrupt,
    /// Answer to a question, as one line; empty at the end of input.
    Answer(String),
}

/// Source of answers and interrupts.
pub(crate) trait ConfirmPrompt {
    /// Returns true if a question can be answered.
    fn can_answer(&self) -> bool;

    /// Marks that a question was just written. Input typed earlier is not an answer to it.
    fn discard_typed_input(&mut self);

    /// Returns the next Ctrl-C or, while `asking`, the next answer. Cancel safe: no input is lost.
    async fn next_input(&mut self, asking: bool) -> io::Result<UserInput>;
}

/// User behind standard input and SIGINT.
#[derive(Debug)]
pub(crate) struct TerminalPrompt {
    interrupts: Signal,
    can_answer: bool,
}

impl TerminalPrompt {
    /// Creates an operator and takes over SIGINT, which no longer ends the process. If `terminal` is false,
    /// questions are not asked.
    pub(crate) fn new(terminal: bool) -> io::Result<Self> {
        let interrupts = signal(SignalKind::interrupt())?;
        Ok(Self { interrupts, can_answer: terminal && io::stdin().is_terminal() })
    }
}

impl ConfirmPrompt for TerminalPrompt {
    fn can_answer(&self) -> bool {
        self.can_answer
    }

    fn discard_typed_input(&mut self) {
        // If this fails, input typed earlier counts as the answer.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    }

    async fn next_input(&mut self, asking: bool) -> io::Result<UserInput> {
        tokio::select! {
            Some(()) = self.interrupts.recv() => Ok(UserInput::Interrupt),
            line = read_line(), if asking => line.map(UserInput::Answer),
            else => std::future::pending().await,
        }
    }
}

/// Reads the next line of standard input.
async fn read_line() -> io::Result<String> {
    Ok(String::from_utf8_lossy(&keyboard::read_input().await?).into_owned())
}
