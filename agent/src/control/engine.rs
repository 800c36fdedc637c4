//! Selects the engine of an action: the agent's own commands and signals, or systemd.

use rta_shared::action::{ActionKind, ActionResult};

use super::act::Act;
use super::refusal::Refusal;
use super::systemd_engine::{self, UnitAction};
use super::{restart, start, stop};

/// Performs `kind` with the component's engine.
///
/// # Errors
/// Returns an error if the action was not done, with the reason.
pub(super) async fn perform(act: &Act, kind: ActionKind) -> Result<ActionResult, Refusal> {
    let unit = act.component.start.as_ref().and_then(|rule| Some((rule, rule.engine.unit()?)));
    if let Some((rule, unit)) = unit {
        let (systemd, component, eyes, news) = (&act.systemd, &act.component, &act.eyes, &act.news);
        let asked = UnitAction { systemd, component, rule, unit, eyes, news };
        return match kind {
            ActionKind::Start => systemd_engine::start(&asked).await,
            ActionKind::Stop => systemd_engine::stop(&asked).await,
            ActionKind::Restart => systemd_engine::restart(&asked).await,
        };
    }
    match kind {
        ActionKind::Start => start::start(act).await,
        ActionKind::Stop => stop::stop(act).await,
        ActionKind::Restart => restart::restart(act).await,
    }
}
