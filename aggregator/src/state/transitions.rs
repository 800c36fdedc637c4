//! Conversion of changes into events: compares each change with the last known value.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::overview::{Health, HostOverview, LocatedInstance};

use crate::state::overview_diff::{OverviewChange, last_end_text};
use crate::store::HostOrInstance;

/// Last known value of every instance and host. It survives a restart of the aggregator, so that a change in
/// the meantime is recorded once, and an unchanged value is not recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransitionTracker {
    known: HashMap<HostOrInstance, KnownValue>,
    /// Restart count of each instance by its agent, and whether the agent gave up.
    autostarts: HashMap<HostOrInstance, (u32, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownValue {
    value: String,
    /// True if the value comes from an earlier aggregator.
    is_earlier: bool,
}

/// Result of a change.
#[derive(Debug)]
pub(crate) enum Transition {
    /// Event to record.
    Event(Box<Event>),
    /// First known value of a place, without an event.
    FirstValue(HostOrInstance, String),
}

impl TransitionTracker {
    /// Creates a tracker with the values that an earlier aggregator recorded.
    pub(crate) fn new(known: HashMap<HostOrInstance, String>) -> Self {
        let earlier = |(place, value)| (place, KnownValue { value, is_earlier: true });
        Self { known: known.into_iter().map(earlier).collect(), autostarts: HashMap::new() }
    }

    /// Converts a change at the moment `at`; empty if there is nothing new.
    pub(crate) fn track_change(&mut self, change: &OverviewChange<'_>, at: Timestamp) -> Vec<Transition> {
        match change {
            OverviewChange::Health { now, .. } => self.track_health(*now, at).into_iter().collect(),
            OverviewChange::Host { now, environment } => {
                let place = HostOrInstance {
                    environment: (*environment).clone(),
                    host: now.name.clone(),
                    component: None,
                };
                self.track_host(place, now, at).into_iter().collect()
            }
            OverviewChange::Autostart(now) => self.track_autostart(*now, at),
        }
    }

    /// Returns the agent's restarts since its last report, including those made while the host was
    /// unreachable.
    fn track_autostart(&mut self, now: LocatedInstance<'_>, at: Timestamp) -> Vec<Transition> {
        let Some(autostart) = &now.instance.autostart else { return Vec::new() };
        let (restarts, given_up) = (autostart.restarts, autostart.given_up);
        let before = self.autostarts.insert(instance_place(now), (restarts, given_up));
        // The restarts in a first report may be long past.
        let Some((restarts_before, given_up_before)) = before else { return Vec::new() };
        let transition = |to, text| {
            Transition::Event(Box::new(new_event(
                EventKind::Autostart,
                instance_place(now),
                at,
                None,
                to,
                text,
            )))
        };
        let mut notes = Vec::new();
        if restarts > restarts_before {
            let text = format!(
                "{} was started again by its agent ({restarts} recently){}",
                instance_place(now),
                reason_suffix(now)
            );
            notes.push(transition("restarted", text));
        }
        if given_up && !given_up_before {
            let text = format!(
                "{} ended too often and is not started any more until an operator does{}",
                instance_place(now),
                reason_suffix(now)
            );
            notes.push(transition("given up", text));
        }
        notes
    }

    fn track_health(&mut self, now: LocatedInstance<'_>, at: Timestamp) -> Option<Transition> {
        let instance = now.instance;
        // If a whole host is unknown, the host's event covers its instances, and their last known values stay
        // until the host answers again. An outage of a thousand hosts is a thousand events.
        let is_of_its_own = now.host.reachable && now.host.error.is_none() && instance.cause.is_none();
        if instance.health == Health::Unknown && !is_of_its_own {
            return None;
        }
        let place = instance_place(now);
        let mut text = format!("{place} is {}", instance.health);
        if !instance.reason.is_empty() {
            text = format!("{text}: {}", instance.reason);
        }
        if let Some(cause) = &instance.cause {
            text = format!("{text} (cause: {cause})");
        }
        self.track_value(EventKind::Health, place, instance.health.word(), at, text)
    }

    fn track_host(&mut self, place: HostOrInstance, now: &HostOverview, at: Timestamp) -> Option<Transition> {
        let value = match (now.reachable, &now.error) {
            (true, None) => "reachable",
            (true, Some(_)) => "unknown",
            (false, Some(_)) => "unreachable",
            // No report has arrived yet.
            (false, None) => return None,
        };
        let text = match &now.error {
            Some(error) => format!("{place} is {value}: {error}"),
            None => format!("{place} is {value}"),
        };
        self.track_value(EventKind::Host, place, value, at, text)
    }

    fn track_value(
        &mut self,
        kind: EventKind,
        place: HostOrInstance,
        value: &str,
        at: Timestamp,
        text: String,
    ) -> Option<Transition> {
        let known = KnownValue { value: value.to_owned(), is_earlier: false };
        let Some(before) = self.known.insert(place.clone(), known) else {
            return Some(Transition::FirstValue(place, value.to_owned()));
        };
        if before.value == value {
            return None;
        }
        let text = match before.is_earlier {
            true => format!("{text}; it changed while the aggregator was not running"),
            false => text,
        };
        Some(Transition::Event(Box::new(new_event(kind, place, at, Some(before.value), value, text))))
    }
}

fn instance_place(located: LocatedInstance<'_>) -> HostOrInstance {
    HostOrInstance {
        environment: located.environment.name.clone(),
        host: located.host.name.clone(),
        component: Some(located.instance.component.clone()),
    }
}

fn reason_suffix(located: LocatedInstance<'_>) -> String {
    let end = last_end_text(located);
    if end.is_empty() { end } else { format!(": {end}") }
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
        id: 0,
        at,
        kind,
        environment: Some(environment),
        host: Some(host),
        component,
        from,
        to: Some(to.to_owned()),
        text,
        by: None,
        plan: None,
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::autostart::Autostart;
    use rta_shared::overview::Overview;

    use super::*;
    use crate::state::overview_diff::diff_overviews;
    use crate::web::page::tests::sample;

    fn notes(chronicle: &mut TransitionTracker, before: &Overview, now: &Overview) -> Vec<Transition> {
        let changes = diff_overviews(before, now);
        changes.iter().flat_map(|change| chronicle.track_change(change, Timestamp::UNIX_EPOCH)).collect()
    }

    fn texts(notes: &[Transition]) -> Vec<String> {
        let text = |transition: &Transition| match transition {
            Transition::Event(event) => {
                let or_dash = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
                format!("{}>{} {}", or_dash(&event.from), or_dash(&event.to), event.text)
            }
            Transition::FirstValue(place, value) => format!("first {place} {value}"),
        };
        notes.iter().map(text).collect()
    }

    /// Returns the sample before any report of its hosts.
    fn unheard() -> Overview {
        let mut overview = sample();
        for host in &mut overview.environments[0].hosts {
            (host.reachable, host.error) = (false, None);
            for instance in &mut host.instances {
                (instance.health, instance.cause) = (Health::Unknown, None);
            }
        }
        overview
    }

    fn known(rows: &[(&str, Option<&str>, &str)]) -> TransitionTracker {
        let known = rows.iter().map(|(host, component, value)| {
            let component = component.map(Into::into);
            (
                HostOrInstance { environment: "DEV".into(), host: (*host).into(), component },
                (*value).to_owned(),
            )
        });
        TransitionTracker::new(known.collect())
    }

    #[test]
    fn the_first_sight_of_everything_is_no_event() {
        let mut chronicle = TransitionTracker::default();
        assert_eq!(
            texts(&notes(&mut chronicle, &unheard(), &sample())),
            [
                "first host c9t21193 reachable",
                "first host c2t08978 reachable",
                "first host c2t08979 unreachable",
                "first kafka server on c9t21193 down",
                "first novelty detector on c2t08978 degraded",
            ]
        );
        assert!(notes(&mut chronicle, &sample(), &sample()).is_empty());
    }

    #[test]
    fn what_changed_while_the_aggregator_was_not_running_is_recorded_once() {
        let rows = [
            ("c9t21193", None, "reachable"),
            ("c9t21193", Some("kafka server"), "up"),
            ("c2t08978", None, "reachable"),
            ("c2t08978", Some("novelty detector"), "degraded"),
            ("c2t08979", None, "unreachable"),
            ("c2t08979", Some("cassandra"), "up"),
        ];
        let mut chronicle = known(&rows);
        let once = ["up>down kafka server on c9t21193 is down: it is not running; \
                     it changed while the aggregator was not running"];
        assert_eq!(texts(&notes(&mut chronicle, &unheard(), &sample())), once);
        assert!(texts(&notes(&mut chronicle, &unheard(), &sample())).is_empty());
    }

    #[test]
    fn a_silent_host_is_one_event_and_its_instances_keep_what_was_known() {
        let mut chronicle = TransitionTracker::default();
        notes(&mut chronicle, &unheard(), &sample());
        let mut silent = sample();
        let host = &mut silent.environments[0].hosts[0];
        (host.reachable, host.error) = (false, Some("no answer".to_owned()));
        host.instances[0].health = Health::Unknown;
        assert_eq!(
            texts(&notes(&mut chronicle, &sample(), &silent)),
            ["reachable>unreachable host c9t21193 is unreachable: no answer"]
        );
        let mut back = sample();
        back.environments[0].hosts[0].instances[0].health = Health::Up;
        back.environments[0].hosts[0].instances[0].reason.clear();
        assert_eq!(
            texts(&notes(&mut chronicle, &silent, &back)),
            ["unreachable>reachable host c9t21193 is reachable", "down>up kafka server on c9t21193 is up"]
        );
    }

    #[test]
    fn what_an_agent_does_by_itself_is_recorded() {
        let autostart = |restarts, given_up| {
            let mut overview = sample();
            overview.environments[0].hosts[0].instances[0].autostart = Some(Autostart {
                wanted: true,
                why: String::new(),
                restarts,
                next_at: None,
                given_up,
                flapping: false,
                last_end: "it was ended by SIGKILL".to_owned(),
                waiting_for: String::new(),
            });
            overview
        };
        let mut chronicle = TransitionTracker::default();
        assert!(notes(&mut chronicle, &sample(), &autostart(1, false)).is_empty());
        assert_eq!(
            texts(&notes(&mut chronicle, &autostart(1, false), &autostart(2, true))),
            [
                "->restarted kafka server on c9t21193 was started again by its agent (2 recently): \
                 it was ended by SIGKILL",
                "->given up kafka server on c9t21193 ended too often and is not started any more until an \
                 operator does: it was ended by SIGKILL"
            ]
        );
        // Includes restarts while its host was unreachable.
        assert!(notes(&mut chronicle, &autostart(2, true), &sample()).is_empty());
        let back = texts(&notes(&mut chronicle, &sample(), &autostart(3, false)));
        assert_eq!(back.len(), 1, "{back:?}");
        assert!(back[0].contains("(3 recently)"), "{back:?}");
    }
}
