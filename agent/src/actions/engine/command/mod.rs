//! Engine of the agent itself: runs the configured commands, and signals processes.
//!
//! | module | holds |
//! |---|---|
//! | `executor` | performing the effects of the start and stop machines |
//! | `restart` | stop and start |

mod executor;
pub(super) mod restart;

use rta_shared::action::ActionResult;
use rta_shared::config::{CommandRule, HostComponent, StartEngine, StartRule};
use tonic::Code;

use self::executor::StartExecutor;
use crate::actions::context::ActionContext;
use crate::actions::error::ActionError;
use crate::actions::launch_record::LaunchedSession;

/// Starts a component. If it runs already, nothing is launched.
pub(super) async fn start_component(context: &ActionContext) -> Result<ActionResult, ActionError> {
    let (rule, command) = start_command(&context.component)?;
    StartExecutor::new(context, rule, command).run().await
}

/// Continues a start whose command an earlier agent launched: waits for the rest of its time until the
/// component is stable, and ends the launched processes if they do not become the component.
///
/// # Errors
/// Returns an error if the component does not become stable.
pub(crate) async fn adopt_start(
    context: &ActionContext,
    launch: &LaunchedSession,
) -> Result<ActionResult, ActionError> {
    let (rule, command) = start_command(&context.component)?;
    StartExecutor::new(context, rule, command).run_adopted(launch).await
}

/// Stops a component. If none of its processes exists, nothing is signalled.
pub(super) async fn stop_component(context: &ActionContext) -> Result<ActionResult, ActionError> {
    executor::run_stop(context).await
}

/// Returns the start rule and the start command of a component.
///
/// # Errors
/// Returns an error if no start command is configured.
fn start_command(component: &HostComponent) -> Result<(&StartRule, &CommandRule), ActionError> {
    let rule = component.start.as_ref().and_then(|rule| match &rule.engine {
        StartEngine::Command(command) => Some((rule, command)),
        StartEngine::Systemd(_) => None,
    });
    rule.ok_or_else(|| {
        let reason = "the configuration has no start command for it; it is watched only";
        ActionError::new(Code::FailedPrecondition, reason)
    })
}
