//! Intervals and time limits that two of agent, aggregator and command must agree on.
//!
//! Who waits for another one waits longer than that one may take; the assertions below fail to compile
//! otherwise. Of an action, the aggregator waits longer than the agent acts. Otherwise it would report a
//! failure for an action that its agent still carries out, and perhaps completes.

use std::time::Duration;

use crate::action::ActionKind;
use crate::config::{Component, HostComponent, ProbeRule, StartRule, StopRule};
use crate::template::Form;

/// Interval between two heartbeats of an agent: it sends one if its report has not changed since.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Silence after which the aggregator counts an agent as lost: one heartbeat may be missing. Together with
/// the delay of the page, a lost host is unknown within 5 seconds.
pub const MAX_AGENT_SILENCE: Duration = Duration::from_secs(3);
/// Time for which an agent delays its first report until the first probe results, so that a component that
/// ran all along is not reported as starting after a restart of the agent.
pub const FIRST_PROBES_TIMEOUT: Duration = Duration::from_secs(1);
const _: () = assert!(2 * HEARTBEAT_INTERVAL.as_millis() < MAX_AGENT_SILENCE.as_millis());
const _: () = assert!(
    FIRST_PROBES_TIMEOUT.as_millis() + HEARTBEAT_INTERVAL.as_millis() < MAX_AGENT_SILENCE.as_millis()
);

/// Interval between two updates of remote prerequisites from the aggregator to an agent, if nothing changes.
pub const PREREQUISITES_INTERVAL: Duration = Duration::from_secs(20);
/// Time for which an agent uses an update of remote prerequisites. Two updates in a row may be lost.
pub const PREREQUISITES_VALIDITY: Duration = Duration::from_secs(60);
const _: () = assert!(2 * PREREQUISITES_INTERVAL.as_millis() < PREREQUISITES_VALIDITY.as_millis());

/// Time for which an agent waits for its disk before it answers without confirmation of the storage.
pub const STORAGE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for which the aggregator waits for an agent's answer to maintenance and prerequisites.
pub const NOTICE_TIMEOUT: Duration = Duration::from_secs(3);
const _: () = assert!(STORAGE_TIMEOUT.as_millis() < NOTICE_TIMEOUT.as_millis());

/// Time for which the aggregator waits for an agent's scan.
pub const SCAN_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for which a command waits for the aggregator's answer.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const _: () = assert!(SCAN_TIMEOUT.as_millis() < RESPONSE_TIMEOUT.as_millis());

/// Time for which the aggregator waits for an agent's reload of its configuration.
pub const AGENT_RELOAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a command waits for a reload: agents reload at the same time, but earlier reloads finish
/// first.
pub const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
const _: () = assert!(AGENT_RELOAD_TIMEOUT.as_millis() < RELOAD_TIMEOUT.as_millis());

/// Interval and time limit of a client's HTTP/2 pings, which detect a connection left dangling by a network
/// cut, so that a stream does not seem to stand still and the next call opens a new connection.
pub const CLIENT_PING_INTERVAL: Duration = Duration::from_secs(2);
/// Interval and time limit of a server's HTTP/2 pings, which end the connections of vanished clients.
pub const SERVER_PING_INTERVAL: Duration = Duration::from_secs(20);
/// Silence after which a server closes a connection: its client has answered no ping.
pub const MAX_CLIENT_SILENCE: Duration = SERVER_PING_INTERVAL.saturating_mul(3);
const _: () = assert!(CLIENT_PING_INTERVAL.as_millis() < MAX_CLIENT_SILENCE.as_millis());

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
        let start = if kind.starts() { self.start } else { Duration::ZERO };
        let stop = if kind.stops() { self.stop } else { Duration::ZERO };
        start + stop
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
            for kind in ActionKind::ALL {
                assert!(aggregator.patience(kind) > agent.limit(kind));
                rows.push(seconds(agent.limit(kind)));
            }
        }
        let settle = seconds(StopRule::SETTLE);
        assert_eq!(rows, [30, 60 + settle, 60 + settle, 357, 159, 486]);
    }
}
