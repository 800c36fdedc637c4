//! Selects the engine of an action: the agent's own commands and signals, or systemd.

pub(super) mod command;
mod systemd;

use rta_shared::action::{ActionKind, ActionResult};

use self::command::{restart, start_component, stop_component};
use self::systemd::UnitAction;
use super::context::ActionContext;
use super::error::ActionError;

/// Performs `kind` with the component's engine.
///
/// # Errors
/// Returns an error if the action was not done, with the reason.
pub(super) async fn perform_action(
    context: &ActionContext,
    kind: ActionKind,
) -> Result<ActionResult, ActionError> {
    let unit = context.component.start.as_ref().and_then(|rule| Some((rule, rule.engine.unit()?)));
    if let Some((rule, unit)) = unit {
        let (systemd, component, view, progress) =
            (&context.systemd, &context.component, &context.view, &context.progress);
        let asked = UnitAction { systemd, component, rule, unit, view, progress };
        return match kind {
            ActionKind::Start => systemd::start_unit(&asked).await,
            ActionKind::Stop => systemd::stop_unit(&asked).await,
            ActionKind::Restart => systemd::restart_unit(&asked).await,
        };
    }
    match kind {
        ActionKind::Start => start_component(context).await,
        ActionKind::Stop => stop_component(context).await,
        ActionKind::Restart => restart::restart_component(context).await,
    }
}
