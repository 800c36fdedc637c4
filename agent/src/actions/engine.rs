//! Selects the engine of an action: the agent's own commands and signals, or systemd.

use rta_shared::action::{ActionKind, ActionResult};

use super::context::ActionContext;
use super::error::ActionError;
use super::systemd::{self, UnitAction};
use super::{restart, start, stop};

/// Performs `kind` with the component's engine.
///
/// # Errors
/// Returns an error if the action was not done, with the reason.
pub(super) async fn perform_action(
    act: &ActionContext,
    kind: ActionKind,
) -> Result<ActionResult, ActionError> {
    let unit = act.component.start.as_ref().and_then(|rule| Some((rule, rule.engine.unit()?)));
    if let Some((rule, unit)) = unit {
        let (systemd, component, eyes, news) = (&act.systemd, &act.component, &act.view, &act.progress);
        let asked = UnitAction { systemd, component, rule, unit, view: eyes, progress: news };
        return match kind {
            ActionKind::Start => systemd::start_unit(&asked).await,
            ActionKind::Stop => systemd::stop_unit(&asked).await,
            ActionKind::Restart => systemd::restart_unit(&asked).await,
        };
    }
    match kind {
        ActionKind::Start => start::start_component(act).await,
        ActionKind::Stop => stop::stop_component(act).await,
        ActionKind::Restart => restart::restart_component(act).await,
    }
}
