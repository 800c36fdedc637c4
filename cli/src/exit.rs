//! How commands end.

use std::io;

use rta_shared::selector::{SelectorError, SelectorErrorKind};
use rta_shared::text::printable;

/// All is well.
pub(crate) const OK: u8 = 0;
/// A start, stop or restart was refused or not wholly done; in a pipe-driven shell: one of the commands failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage, or a broken configuration. clap ends with it too.
pub(crate) const USAGE: u8 = 2;
/// `status`: something is not up.
pub(crate) const NOT_UP: u8 = 3;
/// The aggregator did not answer, or does not know a name.
pub(crate) const CANNOT_TELL: u8 = 4;

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A sentence for standard error, and the exit code.
    Told(u8, String),
    /// There is no connection to the aggregator, or it does not answer in time: a sentence for standard error.
    Unreachable(String),
    /// The output cannot be written; a reader that has seen enough is no error.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self::Told(code, message.into())
    }

    /// The exit code and the sentence.
    pub(crate) fn into_parts(self) -> (u8, String) {
        match self {
            Self::Told(code, message) => (code, message),
            Self::Unreachable(message) => (CANNOT_TELL, message),
            Self::Output(error) => (FAILED, format!("the output cannot be written: {error}")),
        }
    }

    /// The sentence.
    pub(crate) fn message(self) -> String {
        self.into_parts().1
    }
}

impl From<SelectorError> for Failure {
    fn from(error: SelectorError) -> Self {
        let code = match error.kind {
            SelectorErrorKind::Malformed => USAGE,
            SelectorErrorKind::Unknown | SelectorErrorKind::Absent => CANNOT_TELL,
            SelectorErrorKind::Several => FAILED,
        };
        Self::new(code, printable(&error.message))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// An exit code, or why there is none.
pub(crate) type Outcome = Result<u8, Failure>;
