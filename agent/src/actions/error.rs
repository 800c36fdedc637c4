//! Error of an action: a gRPC code and a sentence.

use std::fmt::Display;

use rta_shared::action::ActionKind;
use rta_shared::name::Name;
use rta_shared::sanitize::printable;
use tonic::{Code, Status};

use crate::watch::AgentStopped;

/// Error of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionError {
    pub(crate) code: Code,
    /// Sentence without the component and the host, which [`ActionError::into_status`] adds.
    pub(crate) reason: String,
    /// Last lines of the log, safe to show.
    pub(crate) log: Vec<String>,
}

impl ActionError {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), log: Vec::new() }
    }

    /// Adds the last lines of the log.
    pub(crate) fn with_log(self, log: Vec<String>) -> Self {
        Self { log, ..self }
    }

    /// Creates the error for a failure of the agent itself.
    pub(crate) fn internal(error: impl Display) -> Self {
        Self::new(Code::Internal, format!("the agent failed: {error}"))
    }

    /// Converts the error into a status: the sentence on the first line, then one line of the log per line.
    pub(crate) fn into_status(self, kind: ActionKind, component: &Name, host: &Name) -> Status {
        let mut message = format!("{kind} of {component} on {host}: {}", printable(&self.reason));
        for line in &self.log {
            message.push('\n');
            message.push_str(line);
        }
        Status::new(self.code, message)
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
        Self::new(Code::Unavailable, "the agent is shutting down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_is_one_line_and_log_follows() {
        let error = ActionError::new(Code::Internal, "it ended:\nso").with_log(vec!["a".into(), "b".into()]);
        let status = error.into_status(ActionKind::Start, &Name::from("app"), &Name::from("h"));
        assert_eq!(status.message(), "start of app on h: it ended:\\nso\na\nb");
    }
}
