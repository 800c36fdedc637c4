//! Exit codes and failures of commands.

use std::io;

use rta_shared::sanitize::printable;
use rta_shared::selector::{SelectorError, SelectorErrorKind};

/// Success.
pub(crate) const OK: u8 = 0;
/// Exit code if a start, stop or restart was refused or incomplete; in a shell that reads a
/// pipe: if a command failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code for wrong usage or a broken configuration. clap exits with it too.
pub(crate) const USAGE: u8 = 2;
/// Exit code of `status` if something is not up.
pub(crate) const NOT_UP: u8 = 3;
/// Exit code if the aggregator did not answer or does not know a name.
pub(crate) const UNAVAILABLE: u8 = 4;

/// Failure of a command.
#[derive(Debug)]
pub(crate) enum CommandFailure {
    /// Exit code, and sentence for standard error.
    Reported(u8, String),
    /// No connection to the aggregator, or no answer in time; sentence for standard error.
    Unreachable(String),
    /// Output cannot be written. A closed pipe is not reported.
    Output(io::Error),
}

impl CommandFailure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self::Reported(code, message.into())
    }

    /// Returns the exit code and the sentence.
    pub(crate) fn into_parts(self) -> (u8, String) {
        match self {
            Self::Reported(code, message) => (code, message),
            Self::Unreachable(message) => (UNAVAILABLE, message),
            Self::Output(error) => (FAILED, format!("the output cannot be written: {error}")),
        }
    }

    /// Returns the sentence.
    pub(crate) fn message(self) -> String {
        self.into_parts().1
    }
}

impl From<SelectorError> for CommandFailure {
    fn from(error: SelectorError) -> Self {
        let code = match error.kind {
            SelectorErrorKind::Malformed => USAGE,
            SelectorErrorKind::Unknown | SelectorErrorKind::Absent => UNAVAILABLE,
            SelectorErrorKind::Several => FAILED,
        };
        Self::new(code, printable(&error.message))
    }
}

impl From<io::Error> for CommandFailure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Exit code of a command, or its failure.
pub(crate) type CommandResult = Result<u8, CommandFailure>;
