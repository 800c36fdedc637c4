//! Restarts a component: a stop and a start.

use rta_shared::action::{ActionOutcome, ActionResult};
use tokio::time::Instant;
use tonic::Code;

use crate::actions::component_view::format_pids;
use crate::actions::context::ActionContext;
use crate::actions::engine::command::{start_command, start_component, stop_component};
use crate::actions::error::{ActionError, run_blocking_step};
use crate::actions::launch::check_command;

/// Restarts a component. If it could not be started again, it is not stopped.
pub(crate) async fn restart_component(context: &ActionContext) -> Result<ActionResult, ActionError> {
    let began = Instant::now();
    let (_, command) = start_command(&context.component)?;
    let command = command.clone();
    run_blocking_step(move || check_command(&command).map(drop)).await.map_err(|error| ActionError {
        reason: format!("it could not be started again, so it was not stopped: {}", error.reason),
        ..error
    })?;
    let stopped = stop_component(context).await?;
    let started = start_component(context).await.map_err(|error| match stopped.outcome {
        ActionOutcome::AlreadyStopped => error,
        _ => ActionError { reason: format!("it was stopped, and then: {}", error.reason), ..error },
    })?;
    if started.outcome == ActionOutcome::AlreadyRunning {
        let who = format_pids(&started.pids);
        let reason = format!("when it was stopped, something else started it ({who})");
        return Err(ActionError::new(Code::Aborted, reason));
    }
    Ok(ActionResult {
        outcome: ActionOutcome::Restarted,
        pids: started.pids,
        took: began.elapsed(),
        warning: None,
    })
}
