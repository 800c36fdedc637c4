//! What an action works with, and which engine it is for.

use std::time::Duration;

use rta_shared::config::HostComponent;
use rta_shared::control::{ActionKind, Done};

use super::cgroup::Group;
use super::eyes::Eyes;
use super::launches::Launches;
use super::news::News;
use super::refusal::Refusal;
use super::{restart, start, stop};
use crate::systemd::{self, Systemd};

/// What an action may take beyond the times that are configured: the looks in between, and what it does at its
/// deadline.
const MARGIN: Duration = Duration::from_secs(30);

/// What an action works with.
pub(super) struct Act {
    pub(super) component: HostComponent,
    pub(super) eyes: Eyes,
    pub(super) news: News,
    /// The control group of what is started; `None` where there can be none.
    pub(super) group: Option<Group>,
    pub(super) launches: Launches,
    pub(super) systemd: Systemd,
}

impl Act {
    /// Does it.
    ///
    /// # Errors
    /// Why it was not done.
    pub(super) async fn perform(&self, kind: ActionKind) -> Result<Done, Refusal> {
        let unit = self.component.start.as_ref().and_then(|rule| Some((rule, rule.engine.unit()?)));
        if let Some((rule, unit)) = unit {
            let (systemd, component, eyes, news) = (&self.systemd, &self.component, &self.eyes, &self.news);
            let act = systemd::Act { systemd, component, rule, unit, eyes, news };
            return match kind {
                ActionKind::Start => systemd::start(&act).await,
                ActionKind::Stop => systemd::stop(&act).await,
                ActionKind::Restart => systemd::restart(&act).await,
            };
        }
        match kind {
            ActionKind::Start => start::start(self).await,
            ActionKind::Stop => stop::stop(self).await,
            ActionKind::Restart => restart::restart(self).await,
        }
    }
}

/// When an action is given up, whatever it waits for. Its own deadlines come before that, unless something hangs.
pub(super) fn limit(kind: ActionKind, component: &HostComponent) -> Duration {
    let probe = component.probe.as_ref().map_or(Duration::ZERO, |probe| probe.timeout);
    let start = component.start.as_ref().map_or(Duration::ZERO, |rule| rule.timeout + rule.settle + probe);
    let stop = component.stop.timeout;
    MARGIN
        + match kind {
            ActionKind::Start => start,
            ActionKind::Stop => stop,
            ActionKind::Restart => start + stop,
        }
}
