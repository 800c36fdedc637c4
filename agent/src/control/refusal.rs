//! Error of an action: a gRPC code and a sentence.

use std::fmt::Display;

use rta_shared::action::ActionKind;
use rta_shared::name::Name;
use rta_shared::sanitize::printable;
use tonic::{Code, Status};

use crate::gone::AgentStopped;

/// Error of an action.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// Sentence without the component and the host, which [`Refusal::told`] adds.
    pub(crate) reason: String,
    /// Last lines of the log, safe to show.
    pub(crate) log: Vec<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), log: Vec::new() }
    }

    /// Adds the last lines of the log.
    pub(crate) fn with_log(self, log: Vec<String>) -> Self {
        Self { log, ..self }
    }

    /// Creates the refusal for a failure of the agent itself.
    pub(crate) fn failed(error: impl Display) -> Self {
        Self::new(Code::Internal, format!("the agent failed: {error}"))
    }

    /// Converts the refusal into a status: the sentence on the first line, then one line of the log per line.
    pub(crate) fn told(self, kind: ActionKind, component: &Name, host: &Name) -> Status {
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
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(Refusal::failed).flatten()
}

impl From<AgentStopped> for Refusal {
    fn from(_: AgentStopped) -> Self {
        Self::new(Code::Unavailable, "the agent is shutting down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_one_line_and_the_log_follows_it() {
        let refusal = Refusal::new(Code::Internal, "it ended:\nso").with_log(vec!["a".into(), "b".into()]);
        let status = refusal.told(ActionKind::Start, &Name::from("app"), &Name::from("h"));
        assert_eq!(status.message(), "start of app on h: it ended:\\nso\na\nb");
    }
}
