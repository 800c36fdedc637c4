//! Engine of the agent itself: runs the configured commands, and signals processes.
//!
//! | module | holds |
//! |---|---|
//! | `executor` | performing the effects of the start and stop machines |
//! | `restart` | result of a stop and a start; pure |

mod executor;
mod restart;

use rta_shared::action::ActionResult;
use rta_shared::config::{CommandRule, StartEngine, StartRule};
use tokio::time::Instant;

use self::executor::StartExecutor;
use super::Engine;
use crate::actions::action_record::LaunchedSession;
use crate::actions::context::ActionContext;
use crate::actions::error::{ActionError, ActionErrorKind, run_blocking_step};
use crate::actions::launch::check_command;

/// Engine that runs commands and signals processes.
pub(super) struct CommandEngine<'a> {
    context: &'a ActionContext,
}

impl Engine for CommandEngine<'_> {
    async fn start(&self) -> Result<ActionResult, ActionError> {
        let (rule, command) = self.start_command()?;
        StartExecutor::new(self.context, rule, command).run().await
    }

    async fn stop(&self) -> Result<ActionResult, ActionError> {
        executor::run_stop(self.context).await
    }

    /// Stops and starts the component. If it could not be started again, it is not stopped.
    async fn restart(&self) -> Result<ActionResult, ActionError> {
        let began = Instant::now();
        let command = self.start_command()?.1.clone();
        let checked = run_blocking_step(move || check_command(&command).map(drop)).await;
        checked.map_err(restart::refused_error)?;
        let stopped = self.stop().await?;
        let started = self.start().await;
        restart::combine_results(&stopped, started, began.elapsed())
    }
}

impl<'a> CommandEngine<'a> {
    pub(super) fn new(context: &'a ActionContext) -> Self {
        Self { context }
    }

    /// Continues a start whose command an earlier agent launched.
    pub(super) async fn adopt_start(&self, launch: &LaunchedSession) -> Result<ActionResult, ActionError> {
        let (rule, command) = self.start_command()?;
        StartExecutor::new(self.context, rule, command).run_adopted(launch).await
    }

    /// Returns the start rule and the start command of the component.
    ///
    /// # Errors
    /// Returns an error if no start command is configured.
    fn start_command(&self) -> Result<(&'a StartRule, &'a CommandRule), ActionError> {
        let rule = self.context.component.start.as_ref().and_then(|rule| match &rule.engine {
            StartEngine::Command(command) => Some((rule, command)),
            StartEngine::Systemd(_) => None,
        });
        rule.ok_or_else(|| {
            let reason = "the configuration has no start command for it; it is watched only";
            ActionError::new(ActionErrorKind::PreconditionFailed, reason)
        })
    }
}
