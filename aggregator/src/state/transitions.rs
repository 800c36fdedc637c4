//! Memory of the state before: compares what is evaluated with its evaluation before. Pure.
//!
//! The log, the events, the time of the last health change and the timelines all follow from the comparison.
//! Events alone do not suffice for a timeline: neither the first state of an instance is an event, nor a
//! change to unknown that is caused by its host or by a prerequisite elsewhere.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use rta_shared::down_cause::DownKind;
use rta_shared::event::{Event, EventKind};
use rta_shared::overview::{EnvironmentOverview, Health, HostOverview, InstanceId, InstanceOverview};
use rta_shared::report::State;
use rta_shared::sanitize::printable;
use rta_shared::snapshot::Snapshot;

use crate::state::state_since::HealthPeriod;
use crate::store::HostOrInstance;
use crate::timeline::TimelineState;

/// State of every host and instance at the last evaluation, and their last known values. Those survive a
/// restart of the aggregator, so that a change in the meantime is recorded once, and an unchanged value is
/// not recorded.
#[derive(Debug, Default)]
pub(crate) struct TransitionTracker {
    /// Hosts and instances in the configuration's order, which is that of an evaluation.
    hosts: Vec<TrackedHost>,
    instances: Vec<TrackedInstance>,
    /// Last known values of places that are not among those.
    absent: HashMap<HostOrInstance, KnownValue>,
    /// Last health changes that an earlier aggregator recorded, until the first evaluation.
    earlier_changes: HashMap<InstanceId, (Health, Timestamp)>,
    /// Instances that an earlier aggregator saw run, until the first evaluation.
    earlier_runs: HashSet<InstanceId>,
}

#[derive(Debug)]
struct TrackedHost {
    place: HostOrInstance,
    /// Reachability and error; `None` before the first evaluation.
    contact: Option<(bool, Option<String>)>,
    known: Option<KnownValue>,
}

#[derive(Debug)]
struct TrackedInstance {
    id: InstanceId,
    period: HealthPeriod,
    /// True once it ran, or a start of it failed. Agents without a state folder forget that when they end.
    has_run: bool,
    known: Option<KnownValue>,
    /// Restart count by its agent, and whether the agent gave up, as last reported.
    restarts: Option<(u32, bool)>,
    /// `None` before the first evaluation.
    timeline: Option<TimelineState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownValue {
    value: String,
    /// True if the value comes from an earlier aggregator.
    is_earlier: bool,
}

/// Differences between an evaluation and the one before it, in the configuration's order. Hosts and instances
/// in only one of them have timeline samples alone: the change of the configuration was recorded.
#[derive(Debug, Default)]
pub(crate) struct Transitions {
    /// Differences for the log.
    pub(crate) changes: Vec<StateChange>,
    /// Events to record.
    pub(crate) events: Vec<Event>,
    /// First known values, without an event.
    pub(crate) first_values: Vec<(HostOrInstance, String)>,
    /// Instances whose timeline state changed, new ones included. Removed instances become "not recorded".
    pub(crate) samples: Vec<(InstanceId, TimelineState)>,
}

/// Difference for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateChange {
    /// Health of an instance.
    Health { instance: InstanceId, from: Health, to: Health, reason: String },
    /// Reachability of a host, or its error.
    Host { host: HostOrInstance, error: Option<String> },
    /// Restart count of an instance by its agent, or whether the agent gave up.
    Autostart { instance: InstanceId, restarts: u32, given_up: bool, end: String },
}

impl StateChange {
    /// Logs the difference as one line.
    pub(crate) fn log(&self) {
        match self {
            Self::Health { instance, from, to, reason } => {
                let (from, to) = (from.word(), to.word());
                tracing::info!(%instance, from, to, reason, "health changed");
            }
            Self::Host { host, error } => match error {
                Some(error) => tracing::warn!(host = %host.host, error, "host unknown"),
                None => tracing::info!(host = %host.host, "host reachable"),
            },
            Self::Autostart { instance, restarts, given_up, end } => {
                tracing::info!(%instance, restarts, given_up, %end, "kept running by its agent");
            }
        }
    }
}

impl TransitionTracker {
    /// Creates a tracker with the values and the last health changes that an earlier aggregator recorded.
    pub(crate) fn new(
        known: HashMap<HostOrInstance, String>,
        earlier_changes: HashMap<InstanceId, (Health, Timestamp)>,
    ) -> Self {
        let earlier = |(place, value)| (place, KnownValue { value, is_earlier: true });
        Self { absent: known.into_iter().map(earlier).collect(), earlier_changes, ..Self::default() }
    }

    /// Adds the instances that an earlier aggregator saw run.
    pub(crate) fn with_earlier_runs(self, earlier_runs: HashSet<InstanceId>) -> Self {
        Self { earlier_runs, ..self }
    }

    /// Compares the host at a position with its last evaluation. This one was made at `now`.
    pub(crate) fn track_host(
        &mut self,
        at: usize,
        host: &HostOverview,
        now: Timestamp,
        transitions: &mut Transitions,
    ) {
        if let Some(tracked) = self.hosts.get_mut(at) {
            tracked.track(host, now, transitions);
        }
    }

    /// Compares the instance at a position with its last evaluation. This one was made at `now`. Sets the
    /// time of the last health change. To leave out an instance that has not changed makes no difference.
    pub(crate) fn track_instance(
        &mut self,
        at: usize,
        instance: &mut InstanceOverview,
        is_host_known: bool,
        now: Timestamp,
        transitions: &mut Transitions,
    ) {
        if let Some(tracked) = self.instances.get_mut(at) {
            tracked.track(instance, is_host_known, now, transitions);
        }
    }

    /// Returns the timeline states of all instances.
    pub(crate) fn timeline_states(&self) -> Vec<(InstanceId, TimelineState)> {
        self.instances.iter().filter_map(|tracked| Some((tracked.id.clone(), tracked.timeline?))).collect()
    }

    /// Applies a step of the aggregator's own clock; see [`HealthPeriod::shift_clock`].
    pub(crate) fn shift_clock(&mut self, step: SignedDuration, began: Timestamp) {
        self.instances.iter_mut().for_each(|tracked| tracked.period.shift_clock(step, began));
    }

    /// Brings hosts and instances into the order of the evaluations under another configuration. Returns the
    /// samples of the removed instances.
    pub(crate) fn follow_config(
        &mut self,
        environments: &[Snapshot<EnvironmentOverview>],
    ) -> Vec<(InstanceId, TimelineState)> {
        let hosts = std::mem::take(&mut self.hosts).into_iter();
        let mut hosts: HashMap<HostOrInstance, TrackedHost> =
            hosts.map(|tracked| (tracked.place.clone(), tracked)).collect();
        let instances = std::mem::take(&mut self.instances).into_iter();
        let mut instances: HashMap<InstanceId, TrackedInstance> =
            instances.map(|tracked| (tracked.id.clone(), tracked)).collect();
        let earlier_changes = std::mem::take(&mut self.earlier_changes);
        let earlier_runs = std::mem::take(&mut self.earlier_runs);
        for environment in environments {
            for host in &environment.hosts {
                let (environment, name) = (environment.name.clone(), host.name.clone());
                let place = HostOrInstance { environment: environment.clone(), host: name, component: None };
                let tracked = hosts.remove(&place);
                self.hosts.push(tracked.unwrap_or_else(|| TrackedHost {
                    contact: None,
                    known: self.absent.remove(&place),
                    place,
                }));
                for instance in &host.instances {
                    let (environment, host) = (environment.clone(), host.name.clone());
                    let id = InstanceId { environment, host, component: instance.component.clone() };
                    let tracked = instances.remove(&id);
                    self.instances.push(tracked.unwrap_or_else(|| TrackedInstance {
                        period: HealthPeriod::recovered(earlier_changes.get(&id).copied()),
                        has_run: earlier_runs.contains(&id),
                        known: self.absent.remove(&instance_place(&id)),
                        restarts: None,
                        timeline: None,
                        id,
                    }));
                }
            }
        }
        let hosts = hosts.into_values().filter_map(|tracked| Some((tracked.place, tracked.known?)));
        self.absent.extend(hosts);
        let removed = instances.into_iter().map(|(id, tracked)| {
            self.absent.extend(tracked.known.map(|known| (instance_place(&id), known)));
            (id, TimelineState::NotRecorded)
        });
        removed.collect()
    }
}

impl TrackedHost {
    fn track(&mut self, now: &HostOverview, at: Timestamp, transitions: &mut Transitions) {
        let is_same = self
            .contact
            .as_ref()
            .is_some_and(|(reachable, error)| *reachable == now.reachable && *error == now.error);
        if is_same {
            return;
        }
        if self.contact.replace((now.reachable, now.error.clone())).is_none() {
            return;
        }
        transitions.changes.push(StateChange::Host { host: self.place.clone(), error: now.error.clone() });
        let value = match (now.reachable, &now.error) {
            (true, None) => "reachable",
            (true, Some(_)) => "unknown",
            (false, Some(_)) => "unreachable",
            // No report has arrived yet.
            (false, None) => return,
        };
        let place = &self.place;
        let text = match &now.error {
            Some(error) => format!("{place} is {value}: {error}"),
            None => format!("{place} is {value}"),
        };
        track_value(&mut self.known, EventKind::Host, place.clone(), value, at, text, transitions);
    }
}

impl TrackedInstance {
    fn track(
        &mut self,
        now: &mut InstanceOverview,
        is_host_known: bool,
        at: Timestamp,
        transitions: &mut Transitions,
    ) {
        let before = self.period.health();
        now.since = self.period.update(now.health, at);
        let ended = now.down_cause.as_ref().map(|cause| &cause.kind);
        self.has_run |= matches!(now.health, Health::Up | Health::Degraded)
            || ended.is_some_and(|kind| *kind != DownKind::NeverSeen);
        now.never_ran = !self.has_run && is_yet_to_run(now);
        if let Some(from) = before.filter(|before| *before != now.health) {
            let (instance, to, reason) = (self.id.clone(), now.health, now.reason.clone());
            transitions.changes.push(StateChange::Health { instance, from, to, reason });
            self.track_health(now, is_host_known, at, transitions);
        }
        self.track_autostart(now, before.is_some(), at, transitions);
        let timeline = TimelineState::of_instance(now);
        if self.timeline.replace(timeline) != Some(timeline) {
            transitions.samples.push((self.id.clone(), timeline));
        }
    }

    fn track_health(
        &mut self,
        now: &InstanceOverview,
        is_host_known: bool,
        at: Timestamp,
        transitions: &mut Transitions,
    ) {
        // If a whole host is unknown, the host's event covers its instances, and their last known values stay
        // until the host answers again. An outage of a thousand hosts is a thousand events.
        if now.health == Health::Unknown && !(is_host_known && now.cause.is_none()) {
            return;
        }
        let place = instance_place(&self.id);
        let mut text = format!("{place} is {}", now.health);
        if !now.reason.is_empty() {
            text = format!("{text}: {}", now.reason);
        }
        if let Some(cause) = &now.cause {
            text = format!("{text} (cause: {cause})");
        }
        track_value(&mut self.known, EventKind::Health, place, now.health.word(), at, text, transitions);
    }

    /// Adds the agent's restarts since its last report, including those made while the host was unreachable.
    fn track_autostart(
        &mut self,
        now: &InstanceOverview,
        is_compared: bool,
        at: Timestamp,
        transitions: &mut Transitions,
    ) {
        let Some(autostart) = &now.autostart else { return };
        let (restarts, given_up) = (autostart.restarts, autostart.given_up);
        let before = self.restarts.replace((restarts, given_up));
        if before == Some((restarts, given_up)) {
            return;
        }
        let end = printable(&autostart.last_end).into_owned();
        if is_compared {
            let (instance, end) = (self.id.clone(), end.clone());
            transitions.changes.push(StateChange::Autostart { instance, restarts, given_up, end });
        }
        // The restarts in a first report may be long past.
        let Some((restarts_before, given_up_before)) = before else { return };
        let place = instance_place(&self.id);
        let reason = if end.is_empty() { end } else { format!(": {end}") };
        let mut add = |to: &str, text: String| {
            let (kind, place) = (EventKind::Autostart, place.clone());
            transitions.events.push(new_event(kind, place, at, None, to, text));
        };
        if restarts > restarts_before {
            let text = format!("{place} was started again by its agent ({restarts} recently){reason}");
            add("restarted", text);
        }
        if given_up && !given_up_before {
            let text =
                format!("{place} ended too often and is not started any more until an operator does{reason}");
            add("given up", text);
        }
    }
}

/// Returns true if the instance is down and was not seen to run by its agent, or is being started.
pub(crate) fn is_yet_to_run(instance: &InstanceOverview) -> bool {
    let is_never_seen = instance.down_cause.as_ref().is_some_and(|cause| cause.kind == DownKind::NeverSeen);
    instance.health == Health::Down && (is_never_seen || instance.state == Some(State::Starting))
}

/// Adds an event if a value differs from the last known one.
fn track_value(
    known: &mut Option<KnownValue>,
    kind: EventKind,
    place: HostOrInstance,
    value: &str,
    at: Timestamp,
    text: String,
    transitions: &mut Transitions,
) {
    let now = KnownValue { value: value.to_owned(), is_earlier: false };
    let Some(before) = known.replace(now) else {
        transitions.first_values.push((place, value.to_owned()));
        return;
    };
    if before.value == value {
        return;
    }
    let text = match before.is_earlier {
        true => format!("{text}; it changed while the aggregator was not running"),
        false => text,
    };
    transitions.events.push(new_event(kind, place, at, Some(before.value), value, text));
}

fn instance_place(id: &InstanceId) -> HostOrInstance {
    let InstanceId { environment, host, component } = id.clone();
    HostOrInstance { environment, host, component: Some(component) }
}

fn new_event(
    kind: EventKind,
    place: HostOrInstance,
    at: Timestamp,
    from: Option<String>,
    to: &str,
    text: String,
) -> Event {
    let HostOrInstance { environment, host, component } = place;
    Event {
        environment: Some(environment),
        host: Some(host),
        component,
        from,
        to: Some(to.to_owned()),
        ..Event::new(at, kind, text)
    }
}
