//! Time limits that an agent and the aggregator must agree on.
//!
//! The aggregator waits longer than the agent acts. Otherwise it would report a failure for an action that its agent
//! still carries out, and perhaps completes.

use std::time::Duration;

use crate::action::ActionKind;
use crate::config::{Component, HostComponent, ProbeRule, StartRule, StopRule};
use crate::template::Form;

/// Time that an action may take beyond the configured times: looks at the processes, and what happens at its deadline.
const ACTION_MARGIN: Duration = Duration::from_secs(30);
/// Time from the agent's own limit until its answer has arrived: the action was noted before it, and the host is
/// scanned after it.
const ANSWER_MARGIN: Duration = Duration::from_secs(20);

/// Configured times of a component on which the limits of its actions depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionTimes {
    start: Duration,
    stop: Duration,
}

impl ActionTimes {
    fn new<F: Form>(start: Option<&StartRule<F>>, probe: Option<&ProbeRule<F>>, stop: &StopRule<F>) -> Self {
        let probe = probe.map_or(Duration::ZERO, |probe| probe.timeout);
        Self {
            start: start.map_or(Duration::ZERO, |start| start.timeout + start.settle + probe),
            stop: stop.timeout + stop.settle.unwrap_or(StopRule::SETTLE),
        }
    }

    fn configured(self, kind: ActionKind) -> Duration {
        match kind {
            ActionKind::Start => self.start,
            ActionKind::Stop => self.stop,
            ActionKind::Restart => self.start + self.stop,
        }
    }

    /// Returns the time after which an agent gives up an action, whatever it waits for. The action's own deadlines come
    /// before that, unless something hangs.
    pub fn limit(self, kind: ActionKind) -> Duration {
        self.configured(kind) + ACTION_MARGIN
    }

    /// Returns the time for which the aggregator waits for an agent's answer: longer than [`ActionTimes::limit`].
    pub fn patience(self, kind: ActionKind) -> Duration {
        self.limit(kind) + ANSWER_MARGIN
    }
}

impl From<&HostComponent> for ActionTimes {
    fn from(component: &HostComponent) -> Self {
        Self::new(component.start.as_ref(), component.probe.as_ref(), &component.stop)
    }
}

impl From<&Component> for ActionTimes {
    fn from(component: &Component) -> Self {
        Self::new(component.start.as_ref(), component.probe.as_ref(), &component.stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load_sources};

    #[test]
    fn aggregator_waits_longer_than_the_agent_acts_whatever_is_configured() {
        let text = "[[component]]\nname = \"plain\"\ncriteria = [{ regex = 'plain' }]\n\
             [[component]]\nname = \"slow\"\ncriteria = [{ regex = 'slow' }]\n\
             start = { command = [\"/bin/slow\"], timeout = \"5m\", settle = \"20s\" }\n\
             stop = { timeout = \"2m\", settle = \"9s\" }\nprobe = { tcp = \"127.0.0.1:1\", timeout = \"7s\" }\n\
             [[environment]]\nname = \"DEV\"\nhost = [{ name = \"h\", components = [\"plain\", \"slow\"] }]\n";
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
        let platform = load_sources(&[source]).unwrap();
        let host = platform.host_config(platform.find_host("h").unwrap(), &[]).unwrap();
        let seconds = |time: Duration| time.as_secs();
        let mut rows = Vec::new();
        for (component, of_host) in platform.components.iter().zip(&host.components) {
            let (aggregator, agent) = (ActionTimes::from(component), ActionTimes::from(of_host));
            assert_eq!(aggregator, agent, "{}", component.name);
            for kind in [ActionKind::Start, ActionKind::Stop, ActionKind::Restart] {
                assert!(aggregator.patience(kind) > agent.limit(kind));
                rows.push(seconds(agent.limit(kind)));
            }
        }
        let settle = seconds(StopRule::SETTLE);
        assert_eq!(rows, [30, 60 + settle, 60 + settle, 357, 159, 486]);
    }
}
