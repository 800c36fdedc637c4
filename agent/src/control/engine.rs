//! Which engine an action is for: the agent's own commands and signals, or systemd.

use std::time::Duration;

use rta_shared::config::{HostComponent, StopRule};
use rta_shared::control::{ActionKind, Done};

use super::act::Act;
use super::refusal::Refusal;
use super::systemd_engine::{self, UnitAction};
use super::{restart, start, stop};

/// What an action may take beyond the times that are configured: the looks in between, and what it does at its
/// deadline.
const MARGIN: Duration = Duration::from_secs(30);

/// Does `kind` by the component's engine.
///
/// # Errors
/// Why it was not done.
pub(super) async fn perform(act: &Act, kind: ActionKind) -> Result<Done, Refusal> {
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

/// When an action is given up, whatever it waits for. Its own deadlines come before that, unless something hangs.
pub(super) fn limit(kind: ActionKind, component: &HostComponent) -> Duration {
    let probe = component.probe.as_ref().map_or(Duration::ZERO, |probe| probe.timeout);
    let start = component.start.as_ref().map_or(Duration::ZERO, |rule| rule.timeout + rule.settle + probe);
    let stop = component.stop.timeout + component.stop.settle.unwrap_or(StopRule::SETTLE);
    MARGIN
        + match kind {
            ActionKind::Start => start,
            ActionKind::Stop => stop,
            ActionKind::Restart => start + stop,
        }
}
