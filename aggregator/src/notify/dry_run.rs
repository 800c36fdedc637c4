//! Dry run: replays recorded events through the rules. Pure.
//!
//! Events do not have all that an overview has. A health event names its root cause in its text; the
//! affected instances are those whose last event names it. A period before the first event of an instance
//! has the health that the event says it had before.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use rta_shared::config::Labels;
use rta_shared::config::notify::{Channel, ChannelKind, CommandChannel, NotifyConfig, Route, Severity};
use rta_shared::event::{Event, EventKind};
use rta_shared::name::Name;
use rta_shared::overview::Health;
use rta_shared::plan::StepState;
use rta_shared::root_cause::CauseId;

use super::cause::{Affected, Cause, CauseSnapshot, MAX_NAMED, Quiet};
use super::machine::NotifyState;
use super::message::{Message, Outgoing};

/// Kinds of the events that [`replay`] looks at.
pub(crate) const REPLAYED_KINDS: [EventKind; 4] =
    [EventKind::Health, EventKind::Host, EventKind::Maintenance, EventKind::Step];

/// Channel of those root causes of which nobody would be told.
const NOBODY: &str = "";

/// Message that would have been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DryRunMessage {
    /// `None`: nobody would have been told.
    pub(crate) channel: Option<String>,
    pub(crate) message: Message,
}

/// Returns the messages that `events`, the oldest first, would have made until `until`, on these hosts.
pub(crate) fn replay(
    config: &NotifyConfig,
    hosts: &ConfiguredHosts,
    events: &[Event],
    until: Timestamp,
) -> Vec<DryRunMessage> {
    let config = with_nobody(config);
    let mut places = RecordedPlaces {
        hosts,
        places: BTreeMap::new(),
        maintained: HashMap::new(),
        acted_on: HashSet::new(),
    };
    let mut state = NotifyState::default();
    let mut messages = Vec::new();
    let mut now = events.first().map_or(until, |event| event.at);
    for (at, event) in events.iter().enumerate() {
        // What is due before this event.
        while let Some(due) = state.next_due(&config, now).filter(|due| *due < event.at) {
            now = due;
            messages.extend(state.advance(&config, &places.snapshot(), now));
        }
        now = event.at.max(now);
        places.apply(event);
        let is_last_of_its_time = events.get(at + 1).is_none_or(|next| next.at > event.at);
        if is_last_of_its_time {
            messages.extend(state.advance(&config, &places.snapshot(), now));
        }
    }
    while let Some(due) = state.next_due(&config, now).filter(|due| *due < until) {
        now = due;
        messages.extend(state.advance(&config, &places.snapshot(), now));
    }
    without_told(messages)
}

/// Adds a channel that receives everything, to find what no other channel receives.
fn with_nobody(config: &NotifyConfig) -> NotifyConfig {
    let mut config = config.clone();
    let command = CommandChannel { command: Vec::new(), timeout: std::time::Duration::ZERO };
    config.channels.push(Channel { name: NOBODY.to_owned(), kind: ChannelKind::Command(command) });
    // First, because a route may be the last one.
    config.routes.insert(0, Route { channels: vec![NOBODY.to_owned()], ..Route::default() });
    config
}

/// Removes the messages to nobody about what somebody was told of, too.
fn without_told(messages: Vec<Outgoing>) -> Vec<DryRunMessage> {
    let notified: HashSet<String> =
        messages.iter().filter(|one| one.channel != NOBODY).map(|one| one.message.incident.clone()).collect();
    let messages = messages.into_iter().filter_map(|Outgoing { channel, message }| {
        let channel = (channel != NOBODY).then_some(channel);
        let is_shown = channel.is_some() || !notified.contains(&message.incident);
        is_shown.then_some(DryRunMessage { channel, message })
    });
    messages.collect()
}

/// Host in the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfiguredHost {
    pub(crate) role: Option<Name>,
    pub(crate) components: Vec<Name>,
    /// Labels of the host, and of its components.
    pub(crate) labels: Labels,
    pub(crate) component_labels: HashMap<Name, Labels>,
}

/// Hosts of the configuration, by environment and name.
pub(crate) type ConfiguredHosts = HashMap<(Name, Name), ConfiguredHost>;

/// Hosts and instances as the events left them.
#[derive(Debug)]
struct RecordedPlaces<'h> {
    hosts: &'h ConfiguredHosts,
    places: BTreeMap<CauseId, RecordedPlace>,
    maintained: HashMap<CauseId, String>,
    /// Instances on which a step of a plan is under way.
    acted_on: HashSet<CauseId>,
}

#[derive(Debug)]
struct RecordedPlace {
    health: Health,
    since: Timestamp,
    reason: String,
    cause: Option<CauseId>,
}

impl RecordedPlaces<'_> {
    fn apply(&mut self, event: &Event) {
        let (Some(environment), Some(host)) = (&event.environment, &event.host) else { return };
        let id = CauseId {
            environment: environment.clone(),
            host: host.clone(),
            component: event.component.clone(),
        };
        let to = event.to.as_deref().unwrap_or_default();
        match event.kind {
            EventKind::Maintenance if to == "on" => drop(self.maintained.insert(id, event.text.clone())),
            EventKind::Maintenance => drop(self.maintained.remove(&id)),
            EventKind::Step if to == StepState::UnderWay.word() => drop(self.acted_on.insert(id)),
            EventKind::Step => drop(self.acted_on.remove(&id)),
            EventKind::Host => {
                let health = if to == "reachable" { Health::Up } else { Health::Unknown };
                self.set(id, health, event);
            }
            EventKind::Health => {
                if let Some(health) = Health::from_word(to) {
                    self.set(id, health, event);
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, id: CauseId, health: Health, event: &Event) {
        let (reason, cause) = reason_and_cause(&event.text);
        self.places.insert(id, RecordedPlace { health, since: event.at, reason, cause });
    }

    fn snapshot(&self) -> CauseSnapshot {
        let mut affected: HashMap<&CauseId, Affected> = HashMap::new();
        for (id, place) in &self.places {
            let Some(cause) = place.cause.as_ref().filter(|_| place.health != Health::Up) else { continue };
            let entry = affected.entry(cause).or_default();
            entry.count += 1;
            match place.health {
                Health::Degraded => entry.degraded += 1,
                Health::Unknown => entry.unknown += 1,
                Health::Down => entry.down += 1,
                Health::Up => {}
            }
            if entry.names.len() < MAX_NAMED {
                entry.names.push(id.to_string());
            }
        }
        let roots =
            self.places.iter().filter(|(_, place)| place.health != Health::Up && place.cause.is_none());
        let causes = roots.map(|(id, place)| {
            let severity = match (&id.component, place.health) {
                (None, _) | (_, Health::Down) => Severity::Critical,
                _ => Severity::Warning,
            };
            let on_purpose = place.reason.starts_with("stopped by ");
            let quiet = match self.maintenance_of(id) {
                Some(text) => Some(Quiet::Maintenance(text.clone())),
                None => on_purpose.then(|| Quiet::OnPurpose(place.reason.clone())),
            };
            let host =
                self.hosts.get(&(id.environment.clone(), id.host.clone())).cloned().unwrap_or_default();
            let own = id.component.as_ref().and_then(|component| host.component_labels.get(component));
            let labels = own.cloned().unwrap_or(host.labels);
            let cause = Cause {
                id: id.clone(),
                role: host.role,
                health: place.health,
                severity: if matches!(quiet, Some(Quiet::OnPurpose(_))) { Severity::Info } else { severity },
                reason: place.reason.clone(),
                since: Some(place.since),
                labels,
                runbook: None,
                affected: affected.get(id).cloned().unwrap_or_default(),
                components: if id.component.is_none() { host.components } else { Vec::new() },
                quiet,
                is_acted_on: self.acted_on.contains(id),
            };
            (id.clone(), cause)
        });
        CauseSnapshot { causes: causes.collect(), ..CauseSnapshot::default() }
    }

    /// Returns the text of the maintenance of an instance or its host.
    fn maintenance_of(&self, id: &CauseId) -> Option<&String> {
        let host = CauseId { component: None, ..id.clone() };
        self.maintained.get(id).or_else(|| self.maintained.get(&host))
    }
}

/// Splits the text of a health event: `kafka on h is down: <reason> (cause: DEV/z/zoo)`.
fn reason_and_cause(text: &str) -> (String, Option<CauseId>) {
    let reason = text.split_once(": ").map_or("", |(_, reason)| reason);
    let Some((before, rest)) = reason.rsplit_once(" (cause: ") else { return (reason.to_owned(), None) };
    let cause = rest.split_once(')').and_then(|(cause, _)| {
        let mut names = cause.splitn(3, '/');
        Some(CauseId {
            environment: names.next()?.into(),
            host: names.next()?.into(),
            component: Some(names.next()?.into()),
        })
    });
    (before.to_owned(), cause)
}

#[cfg(test)]
mod tests {
    use super::super::machine::tests::config;
    use super::*;

    fn event(second: i64, kind: EventKind, component: Option<&str>, to: &str, text: &str) -> Event {
        Event {
            environment: Some("DEV".into()),
            host: Some("h".into()),
            component: component.map(Into::into),
            to: Some(to.to_owned()),
            ..Event::new(Timestamp::from_second(second).unwrap(), kind, text.to_owned())
        }
    }

    fn health(second: i64, component: &str, to: &str, rest: &str) -> Event {
        let text = format!("{component} on h is {to}{rest}");
        event(second, EventKind::Health, Some(component), to, &text)
    }

    fn notified(config_text: &str, events: &[Event]) -> Vec<(i64, String, String)> {
        assert!(events.iter().all(|event| REPLAYED_KINDS.contains(&event.kind)), "others are not read");
        let host = ConfiguredHost { role: Some("broker".into()), ..ConfiguredHost::default() };
        let hosts = HashMap::from([(("DEV".into(), "h".into()), host)]);
        replay(&config(config_text), &hosts, events, Timestamp::from_second(900).unwrap())
            .into_iter()
            .map(|one| {
                let channel = one.channel.unwrap_or_else(|| "nobody".to_owned());
                (one.message.at.as_second(), channel, one.message.summary)
            })
            .collect()
    }

    #[test]
    fn recorded_outage_is_told_as_it_would_have_been() {
        let events = [
            health(100, "kafka", "down", ": it is not running"),
            health(100, "detector", "degraded", ": kafka is down (cause: DEV/h/kafka)"),
            health(400, "kafka", "up", ""),
            health(400, "detector", "up", ""),
        ];
        let to_ops = "[[route]]\nchannels = [\"ops\"]\nrole = [\"broker\"]";
        let expected = [
            (130, "ops", "kafka on h (DEV) is down; 1 instance degraded by it"),
            (430, "ops", "kafka on h (DEV) has recovered after 5 min"),
        ];
        let expected = expected.map(|(at, channel, text)| (at, channel.to_owned(), text.to_owned()));
        assert_eq!(notified(to_ops, &events), expected);
        let to_none = "[[route]]\nchannels = [\"ops\"]\nenvironment = [\"ITG\"]";
        let expected = expected.map(|(at, _, text)| (at, "nobody".to_owned(), text));
        assert_eq!(notified(to_none, &events), expected);
    }

    #[test]
    fn maintenance_and_deliberate_stops_are_silent_in_the_past_too() {
        let events = [
            event(0, EventKind::Maintenance, None, "on", "maintenance of host h began"),
            health(100, "kafka", "down", ": it is not running"),
            health(400, "kafka", "up", ""),
            event(500, EventKind::Maintenance, None, "off", "maintenance of host h ended"),
            health(600, "zoo", "down", ": stopped by ann (plan 3)"),
        ];
        assert_eq!(notified("[[route]]\nchannels = [\"ops\"]", &events), []);
    }

    #[test]
    fn restart_by_a_plan_is_silent_in_the_past_too() {
        let step = |second, to| event(second, EventKind::Step, Some("kafka"), to, "");
        let events = [
            step(100, "under way"),
            health(101, "kafka", "down", ": it is stopping"),
            health(190, "kafka", "up", ""),
            step(191, "done"),
            step(300, "under way"),
            health(301, "kafka", "down", ": it is stopping"),
            step(400, "failed"),
        ];
        let notified = notified("[[route]]\nchannels = [\"ops\"]", &events);
        let times: Vec<i64> = notified.iter().map(|(at, _, _)| *at).collect();
        // What is still down thirty seconds after the step has failed.
        assert_eq!(times.len(), 1);
        assert!((400..=430).contains(&times[0]), "{times:?}");
    }

    #[test]
    fn lost_host_is_one_message() {
        let events = [
            event(100, EventKind::Host, None, "unreachable", "host h is unreachable: no answer"),
            event(400, EventKind::Host, None, "reachable", "host h is reachable"),
        ];
        let notified = notified("[[route]]\nchannels = [\"ops\"]", &events);
        let texts: Vec<&str> = notified.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(texts, ["host h (DEV) is unknown", "host h (DEV) has recovered after 5 min"]);
    }
}
