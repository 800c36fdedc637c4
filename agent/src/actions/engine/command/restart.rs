//! Result of a restart, which is a stop and a start.

use std::time::Duration;

use rta_shared::action::{ActionOutcome, ActionResult};

use crate::actions::component_view::format_pids;
use crate::actions::error::{ActionError, ActionErrorKind};

/// Creates the error for a component that was not stopped, since its command cannot be run.
pub(super) fn refused_error(error: ActionError) -> ActionError {
    let reason = format!("it could not be started again, so it was not stopped: {}", error.reason);
    ActionError { reason, ..error }
}

/// Returns the result of a restart that took this time.
///
/// # Errors
/// Returns an error if the component was not started, or not by this restart.
pub(super) fn combine_results(
    stopped: &ActionResult,
    started: Result<ActionResult, ActionError>,
    took: Duration,
) -> Result<ActionResult, ActionError> {
    let started = started.map_err(|error| match stopped.outcome {
        ActionOutcome::AlreadyStopped => error,
        _ => ActionError { reason: format!("it was stopped, and then: {}", error.reason), ..error },
    })?;
    if started.outcome == ActionOutcome::AlreadyRunning {
        let who = format_pids(&started.pids);
        let reason = format!("when it was stopped, something else started it ({who})");
        return Err(ActionError::new(ActionErrorKind::Conflict, reason));
    }
    Ok(ActionResult { outcome: ActionOutcome::Restarted, pids: started.pids, took, warning: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_names_the_part_that_failed() {
        let part = |outcome| ActionResult { outcome, pids: vec![7], took: Duration::ZERO, warning: None };
        let failed = || Err(ActionError::new(ActionErrorKind::Internal, "it ended again"));
        let rows = [
            (ActionOutcome::Stopped, Ok(part(ActionOutcome::Started)), "restarted in 2.0 s (pid 7)"),
            (ActionOutcome::AlreadyStopped, Ok(part(ActionOutcome::Started)), "restarted in 2.0 s (pid 7)"),
            (
                ActionOutcome::Killed,
                Ok(part(ActionOutcome::AlreadyRunning)),
                "when it was stopped, something else started it (pid 7)",
            ),
            (ActionOutcome::Stopped, failed(), "it was stopped, and then: it ended again"),
            (ActionOutcome::AlreadyStopped, failed(), "it ended again"),
        ];
        for (stopped, started, expected) in rows {
            let result = combine_results(&part(stopped), started, Duration::from_secs(2));
            let text = result.map_or_else(|error| error.reason, |done| done.to_string());
            assert_eq!(text, expected);
        }
    }
}
