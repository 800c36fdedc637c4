//! Error of an action: its kind and a sentence.

use std::fmt::Display;

use rta_shared::action::ActionKind;
use rta_shared::name::Name;
use rta_shared::sanitize::printable;
use tonic::{Code, Status};

use crate::watch::AgentStopped;

/// Kind of an [`ActionError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActionErrorKind {
    /// Another action or a change of the processes stands in its way; a later attempt may succeed.
    Conflict,
    /// It was given up before it had an effect.
    Cancelled,
    /// Its time limit passed.
    TimedOut,
    /// The state of the component, its configuration or its own command does not allow a success.
    PreconditionFailed,
    /// The processes cannot be seen or watched, or the agent is shutting down.
    Unavailable,
    /// The agent or the host's systemd failed.
    Internal,
}

impl From<ActionErrorKind> for Code {
    fn from(kind: ActionErrorKind) -> Self {
        match kind {
            ActionErrorKind::Conflict => Self::Aborted,
            ActionErrorKind::Cancelled => Self::Cancelled,
            ActionErrorKind::TimedOut => Self::DeadlineExceeded,
            ActionErrorKind::PreconditionFailed => Self::FailedPrecondition,
            ActionErrorKind::Unavailable => Self::Unavailable,
            ActionErrorKind::Internal => Self::Internal,
        }
    }
}

/// Error of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionError {
    pub(crate) kind: ActionErrorKind,
    /// Sentence without the component and the host, which [`ActionError::into_status`] adds.
    pub(crate) reason: String,
    /// Last lines of the log, safe to show.
    pub(crate) log: Vec<String>,
}

impl ActionError {
    pub(crate) fn new(kind: ActionErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), log: Vec::new() }
    }

    /// Adds the last lines of the log.
    pub(crate) fn with_log(self, log: Vec<String>) -> Self {
        Self { log, ..self }
    }

    /// Creates the error for a failure of the agent itself.
    pub(crate) fn internal(error: impl Display) -> Self {
        Self::new(ActionErrorKind::Internal, format!("the agent failed: {error}"))
    }

    /// Converts the error into a status: the sentence on the first line, then one line of the log per line.
    pub(crate) fn into_status(self, kind: ActionKind, component: &Name, host: &Name) -> Status {
        let mut message = format!("{kind} of {component} on {host}: {}", printable(&self.reason));
        for line in &self.log {
            message.push('\n');
            message.push_str(line);
        }
        Status::new(self.kind.into(), message)
    }
}

/// Runs blocking `work` off the runtime: a read of /proc or of a disk may hang.
///
/// # Errors
/// Returns an error if `work` fails or panics.
pub(crate) async fn run_blocking_step<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    tokio::task::spawn_blocking(work).await.map_err(ActionError::internal).flatten()
}

impl From<AgentStopped> for ActionError {
    fn from(_: AgentStopped) -> Self {
        Self::new(ActionErrorKind::Unavailable, "the agent is shutting down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_is_one_line_and_log_follows() {
        let error = ActionError::new(ActionErrorKind::Internal, "it ended:\nso")
            .with_log(vec!["a".into(), "b".into()]);
        let status = error.into_status(ActionKind::Start, &Name::from("app"), &Name::from("h"));
        assert_eq!(status.message(), "start of app on h: it ended:\\nso\na\nb");
    }
}
