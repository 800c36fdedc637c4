//! Reasons why a stop fails, and the sentences on them.

use std::time::Duration;

use rta_shared::process::ProcessId;

use super::KILL_TIMEOUT;
use crate::actions::component_view::format_pids;
use crate::actions::error::{ActionError, ActionErrorKind};
use crate::actions::external_supervisor::ExternalSupervisor;

/// Reason why processes are left after a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::actions) enum StopFailure {
    /// The agent may signal none of them.
    Denied(ActionError),
    /// They did not end in time, and the configuration forbids SIGKILL.
    TimedOut {
        limit: Duration,
        /// Signal or command that was to end them.
        means: String,
        /// Sentence on those that are frozen.
        frozen: Option<String>,
    },
    /// They did not end by SIGKILL.
    Unkillable {
        /// Sentence on those that are frozen.
        frozen: Option<String>,
    },
    /// The processes were ended, and others came in their place: ended processes do not come back.
    Restarted {
        ended: Vec<u32>,
        /// Processes that match now.
        matched: Vec<ProcessId>,
        /// Program that was known to start the component before the stop.
        supervisor: Option<ExternalSupervisor>,
    },
}

impl StopFailure {
    /// Returns the error for the caller. `names` are the remaining processes with their names; `starter` is
    /// what starts the present processes, as far as that can be determined.
    pub(in crate::actions) fn into_error(
        self,
        names: &str,
        starter: Option<ExternalSupervisor>,
    ) -> ActionError {
        match self {
            Self::Denied(error) => {
                let reason = format!("{}; still there: {names}", error.reason);
                ActionError { reason, ..error }
            }
            Self::TimedOut { limit, means, frozen } => {
                let seconds = limit.as_secs();
                let mut reason = format!(
                    "{names} did not end within {seconds} s of {means}, and kill = false in its configuration"
                );
                if let Some(why) = frozen {
                    reason.push_str(&format!("; {why}"));
                }
                ActionError::new(ActionErrorKind::TimedOut, reason)
            }
            Self::Unkillable { frozen } => {
                let seconds = KILL_TIMEOUT.as_secs();
                let why = frozen.unwrap_or_else(|| "the kernel holds it, perhaps on a disk".to_owned());
                let reason = format!("{names} did not end within {seconds} s of SIGKILL; {why}");
                ActionError::new(ActionErrorKind::TimedOut, reason)
            }
            Self::Restarted { ended, supervisor, .. } => {
                let ended = format_pids(&ended);
                let by = starter
                    .or(supervisor)
                    .map_or_else(|| "something else starts it".to_owned(), |by| by.to_string());
                let reason = format!("it was ended ({ended}), but {names} came in its place: {by}");
                ActionError::new(ActionErrorKind::Conflict, reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_one_sentence_with_the_remaining_processes() {
        let limit = Duration::from_secs(30);
        let means = "SIGTERM".to_owned();
        let frozen = Some("pid 7 is frozen".to_owned());
        let restarted =
            |supervisor| StopFailure::Restarted { ended: vec![5, 6], matched: vec![], supervisor };
        let rows = [
            (
                StopFailure::Denied(ActionError::new(
                    ActionErrorKind::PreconditionFailed,
                    "the agent may not",
                )),
                None,
                "the agent may not; still there: pid 7 (java)",
            ),
            (
                StopFailure::TimedOut { limit, means: means.clone(), frozen: None },
                None,
                "pid 7 (java) did not end within 30 s of SIGTERM, and kill = false in its configuration",
            ),
            (
                StopFailure::TimedOut { limit, means, frozen: frozen.clone() },
                None,
                "pid 7 (java) did not end within 30 s of SIGTERM, and kill = false in its configuration; \
                 pid 7 is frozen",
            ),
            (
                StopFailure::Unkillable { frozen: None },
                None,
                "pid 7 (java) did not end within 5 s of SIGKILL; the kernel holds it, perhaps on a disk",
            ),
            (
                StopFailure::Unkillable { frozen },
                None,
                "pid 7 (java) did not end within 5 s of SIGKILL; pid 7 is frozen",
            ),
            (
                restarted(None),
                None,
                "it was ended (pids 5, 6), but pid 7 (java) came in its place: something else starts it",
            ),
            (
                restarted(Some(ExternalSupervisor::Cron)),
                None,
                "it was ended (pids 5, 6), but pid 7 (java) came in its place: cron starts it; take it out \
                 of its crontab",
            ),
            (
                restarted(Some(ExternalSupervisor::Cron)),
                Some(ExternalSupervisor::Agent { pid: None }),
                "it was ended (pids 5, 6), but pid 7 (java) came in its place: another rta-agent runs it; \
                 stop it through that one",
            ),
        ];
        for (failure, starter, expected) in rows {
            assert_eq!(failure.into_error("pid 7 (java)", starter).reason, expected);
        }
    }
}
