//! Errors of operations.

use rta_shared::selector::{SelectorError, SelectorErrorKind};
use tonic::Code;

/// Failure of an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OperationError {
    /// Equivalent gRPC code.
    pub code: Code,
    /// Sentence for a person.
    pub message: String,
}

impl OperationError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<SelectorError> for OperationError {
    fn from(error: SelectorError) -> Self {
        let code = match error.kind {
            SelectorErrorKind::Unknown | SelectorErrorKind::Absent => Code::NotFound,
            SelectorErrorKind::Malformed | SelectorErrorKind::Several => Code::InvalidArgument,
        };
        Self::new(code, error.message)
    }
}

pub(crate) fn not_found(message: String) -> OperationError {
    OperationError::new(Code::NotFound, message)
}
