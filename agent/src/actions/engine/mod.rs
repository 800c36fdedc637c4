//! Engines: the mechanisms that start and stop components.
//!
//! | module | holds |
//! |---|---|
//! | `command` | commands and signals of the agent itself |
//! | `systemd` | units of systemd |

mod command;
mod systemd;

use rta_shared::action::{ActionKind, ActionResult};

use self::command::CommandEngine;
use self::systemd::SystemdEngine;
use super::action_record::LaunchedSession;
use super::context::ActionContext;
use super::error::ActionError;

/// Mechanism that starts and stops one component. Each action reports its progress, and returns an error with
/// the reason if it was not done.
trait Engine {
    /// Starts the component and waits until it is stable. If it runs already, nothing is started.
    fn start(&self) -> impl Future<Output = Result<ActionResult, ActionError>> + Send;

    /// Stops the component and waits until it is gone. If it does not run, nothing is stopped.
    fn stop(&self) -> impl Future<Output = Result<ActionResult, ActionError>> + Send;

    /// Stops the component, if it runs, and starts it.
    fn restart(&self) -> impl Future<Output = Result<ActionResult, ActionError>> + Send;
}

/// Performs `kind` with the component's engine.
///
/// # Errors
/// Returns an error if the action was not done, with the reason.
pub(super) async fn perform_action(
    context: &ActionContext,
    kind: ActionKind,
) -> Result<ActionResult, ActionError> {
    let unit = context.component.start.as_ref().and_then(|rule| Some((rule, rule.engine.unit()?)));
    match unit {
        Some((rule, unit)) => perform_with(&SystemdEngine::new(context, rule, unit), kind).await,
        None => perform_with(&CommandEngine::new(context), kind).await,
    }
}

async fn perform_with(engine: &impl Engine, kind: ActionKind) -> Result<ActionResult, ActionError> {
    match kind {
        ActionKind::Start => engine.start().await,
        ActionKind::Stop => engine.stop().await,
        ActionKind::Restart => engine.restart().await,
    }
}

/// Continues a start whose command an earlier agent launched: waits for the rest of its time until the
/// component is stable, and ends the launched processes if they do not become the component.
///
/// # Errors
/// Returns an error if the component does not become stable.
pub(super) async fn adopt_start(
    context: &ActionContext,
    launch: &LaunchedSession,
) -> Result<ActionResult, ActionError> {
    CommandEngine::new(context).adopt_start(launch).await
}
