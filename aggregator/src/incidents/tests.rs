//! Tests of the rules, on observations and events made up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::incident::{Incident, IncidentKind};
use rta_shared::overview::{Health, InstanceId};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::root_cause::CauseId;

use super::observation::{Observation, ObservedCause};
use super::tracker::IncidentTracker;
use crate::causes::CauseOutcome;
use crate::store::StoredIncidents;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn place(name: &str) -> CauseId {
    let (host, component) = name.split_once('/').unwrap_or((name, ""));
    let component = (!component.is_empty()).then(|| component.into());
    CauseId { environment: "E".into(), host: host.into(), component }
}

fn instance(name: &str) -> InstanceId {
    let CauseId { environment, host, component } = place(name);
    InstanceId { environment, host, component: component.unwrap() }
}

fn cause(health: Health, since: i64, affected: &[&str]) -> ObservedCause {
    ObservedCause {
        health,
        reason: "it ended".to_owned(),
        since: Some(at(since)),
        stop: None,
        is_on_purpose: false,
        maintenance: None,
        affected: affected.iter().map(|name| instance(name)).collect(),
    }
}

fn down(since: i64, affected: &[&str]) -> ObservedCause {
    cause(Health::Down, since, affected)
}

/// A platform as a tracker sees it, and everything that it recorded.
#[derive(Default)]
struct World {
    tracker: IncidentTracker,
    causes: BTreeMap<CauseId, ObservedCause>,
    undecided: Vec<CauseId>,
    /// How those are.
    states: HashMap<CauseId, ObservedCause>,
    incidents: BTreeMap<u64, Incident>,
    /// Event texts of each incident.
    events: BTreeMap<u64, Vec<String>>,
    texts: HashMap<u64, String>,
}

impl World {
    fn set(&mut self, name: &str, cause: ObservedCause) {
        self.causes.insert(place(name), cause);
    }

    fn clear(&mut self, name: &str) {
        self.causes.remove(&place(name));
    }

    fn observe(&mut self, second: i64) {
        let outcomes = self.undecided.iter().map(|id| (id.clone(), CauseOutcome::Undecided)).collect();
        let undecided = self.states.clone();
        let observation = Observation { at: at(second), causes: self.causes.clone(), outcomes, undecided };
        self.tracker.observe(&observation);
        self.collect(second);
    }

    fn event(
        &mut self,
        second: i64,
        kind: EventKind,
        name: &str,
        to: &str,
        plan: Option<(u64, &str)>,
        text: &str,
    ) {
        let id = u64::try_from(self.texts.len()).unwrap() + 1;
        self.texts.insert(id, text.to_owned());
        let place = (!name.is_empty()).then(|| place(name));
        let event = Event {
            id,
            environment: place.as_ref().map(|place| place.environment.clone()),
            host: place.as_ref().map(|place| place.host.clone()),
            component: place.and_then(|place| place.component),
            to: (!to.is_empty()).then(|| to.to_owned()),
            by: plan.map(|(_, user)| Requester { user: user.to_owned(), address: String::new() }),
            plan: plan.map(|(plan, _)| plan),
            ..Event::new(at(second), kind, text.to_owned())
        };
        self.tracker.observe_event(&Arc::new(event));
        self.collect(second);
    }

    fn health(&mut self, second: i64, name: &str, to: &str) {
        self.event(second, EventKind::Health, name, to, None, &format!("{name} {to}"));
    }

    fn collect(&mut self, second: i64) {
        self.tracker.attribute(at(second));
        let change = self.tracker.take_change();
        for incident in change.incidents {
            self.incidents.insert(incident.id, incident);
        }
        for (incident, event) in change.events {
            self.events.entry(incident).or_default().push(self.texts[&event].clone());
        }
    }

    fn restart(&mut self, second: i64) {
        let stored = StoredIncidents {
            incidents: self.incidents.values().cloned().collect(),
            last_id: self.incidents.keys().max().copied().unwrap_or(0),
            last_active: Some(at(second - 5)),
        };
        self.tracker = IncidentTracker::new(stored, at(second));
    }

    /// Returns kind, begin and end of every incident, in seconds.
    fn spans(&self) -> Vec<(IncidentKind, i64, Option<i64>)> {
        let second = |at: Timestamp| at.as_second() - 1_000_000;
        self.incidents
            .values()
            .map(|one| (one.kind, second(one.begun_at), one.ended_at.map(second)))
            .collect()
    }
}

#[test]
fn failure_with_its_consequences_is_one_incident() {
    let mut world = World::default();
    // The events come before the overview, and after it.
    world.health(10, "h/kafka", "down");
    world.set("h/kafka", down(10, &["s/detector", "s/writer"]));
    world.observe(10);
    world.health(10, "s/detector", "degraded");
    world.health(10, "s/writer", "degraded");
    world.health(12, "x/other", "degraded");
    world.clear("h/kafka");
    world.observe(70);
    for name in ["h/kafka", "s/detector", "s/writer"] {
        world.health(70, name, "up");
    }
    assert_eq!(world.spans(), [(IncidentKind::Failure, 10, Some(70))]);
    let incident = &world.incidents[&1];
    assert_eq!(incident.text, "kafka on h is down: it ended");
    assert_eq!((incident.affected, incident.affected_instances.len(), incident.begins), (2, 2, 1));
    let expected = [
        "h/kafka down",
        "s/detector degraded",
        "s/writer degraded",
        "h/kafka up",
        "s/detector up",
        "s/writer up",
    ];
    assert_eq!(world.events[&1], expected);
}

#[test]
fn stop_by_a_plan_is_one_incident_with_everything_that_follows_until_it_is_started_again() {
    let mut world = World::default();
    let ann = Some((3, "ann"));
    world.event(10, EventKind::Plan, "h/kafka", "under way", ann, "stop of kafka on h: 1 step");
    world.event(10, EventKind::Step, "h/kafka", "under way", ann, "stop begins");
    // Stopping, before the planned stop is known.
    world.set("h/kafka", cause(Health::Degraded, 11, &[]));
    world.observe(11);
    let stop =
        PlannedStop { plan: 3, by: Requester { user: "ann".to_owned(), address: String::new() }, at: at(12) };
    world
        .set("h/kafka", ObservedCause { is_on_purpose: true, stop: Some(stop), ..down(12, &["s/detector"]) });
    world.observe(12);
    world.health(12, "h/kafka", "down");
    world.health(12, "s/detector", "degraded");
    world.event(13, EventKind::Step, "h/kafka", "done", ann, "stop done");
    world.event(13, EventKind::Plan, "h/kafka", "done", ann, "stop of kafka on h: 1 step done");
    world.observe(20);
    // What ends by itself meanwhile is an incident of its own, and what the plan took down is not.
    world.set("s/detector", down(30, &[]));
    world.observe(30);
    world.clear("s/detector");
    world.observe(40);

    let bob = Some((4, "bob"));
    world.event(50, EventKind::Plan, "h/kafka", "under way", bob, "start of kafka on h: 1 step");
    world.event(50, EventKind::Step, "h/kafka", "under way", bob, "start begins");
    world.observe(51);
    world.clear("h/kafka");
    world.observe(55);
    world.health(55, "h/kafka", "up");
    world.event(57, EventKind::Step, "h/kafka", "done", bob, "start done");
    world.event(57, EventKind::Plan, "h/kafka", "done", bob, "start of kafka on h: 1 step done");
    world.observe(60);

    assert_eq!(world.spans(), [(IncidentKind::Plan, 10, Some(55)), (IncidentKind::Failure, 30, Some(40))]);
    let incident = &world.incidents[&1];
    assert_eq!(incident.text, "stop of kafka on h by ann (plan 3)");
    assert_eq!((incident.affected, &incident.plans), (1, &vec![3, 4]));
    assert_eq!(incident.persons, ["ann", "bob"]);
    let mut events = world.events[&1].clone();
    events.sort();
    let expected = [
        "h/kafka down",
        "h/kafka up",
        "s/detector degraded",
        "start begins",
        "start done",
        "start of kafka on h: 1 step",
        "start of kafka on h: 1 step done",
        "stop begins",
        "stop done",
        "stop of kafka on h: 1 step",
        "stop of kafka on h: 1 step done",
    ];
    assert_eq!(events, expected);
}

#[test]
fn restart_by_a_plan_stays_open_until_the_plan_has_ended() {
    let mut world = World::default();
    let ann = Some((3, "ann"));
    world.event(10, EventKind::Plan, "", "under way", ann, "restart of 2 instances: 2 steps");
    for (second, name) in [(11, "h/one"), (21, "h/two")] {
        world.event(second, EventKind::Step, name, "under way", ann, "restart begins");
        world.set(name, down(second, &[]));
        world.observe(second);
        world.clear(name);
        world.observe(second + 5);
        world.event(second + 6, EventKind::Step, name, "done", ann, "restart done");
    }
    assert_eq!(world.spans(), [(IncidentKind::Plan, 10, None)]);
    world.event(30, EventKind::Plan, "", "done", ann, "restart of 2 instances: 2 steps done");
    world.observe(31);
    assert_eq!(world.spans(), [(IncidentKind::Plan, 10, Some(31))]);
    assert_eq!((world.incidents[&1].begins, world.events[&1].len()), (1, 6));
}

/// Returns a world in which ann restarts kafka: it went down at second 11, and is up again, which nothing has
/// observed yet.
fn world_with_restart() -> World {
    let mut world = World::default();
    let ann = Some((3, "ann"));
    world.event(10, EventKind::Plan, "h/kafka", "under way", ann, "restart of kafka on h: 1 step");
    world.event(10, EventKind::Step, "h/kafka", "under way", ann, "restart begins");
    world.set("h/kafka", down(11, &[]));
    world.observe(11);
    world.clear("h/kafka");
    world
}

#[test]
fn what_fails_after_its_restart_is_no_effect_of_the_plan() {
    let mut world = world_with_restart();
    let ann = Some((3, "ann"));
    world.event(20, EventKind::Step, "h/kafka", "done", ann, "restart done");
    world.event(20, EventKind::Plan, "h/kafka", "done", ann, "restart of kafka on h: 1 step done");
    world.observe(20);
    world.set("h/kafka", down(24, &[]));
    world.observe(24);
    assert_eq!(world.spans(), [(IncidentKind::Plan, 10, Some(20)), (IncidentKind::Failure, 24, None)]);
}

#[test]
fn plan_whose_end_was_missed_keeps_no_incident_open() {
    let mut world = world_with_restart();
    world.tracker.end_plans(at(20));
    world.observe(20);
    assert_eq!(world.spans(), [(IncidentKind::Plan, 10, Some(20))]);
}

#[test]
fn cancelled_plan_gives_its_incident_the_title_without_its_end() {
    let mut world = World::default();
    let ann = Some((3, "ann"));
    world.event(10, EventKind::Plan, "h/kafka", "cancelled", ann, "stop of kafka on h: cancelled: 2 steps");
    world.event(10, EventKind::Step, "h/kafka", "done", ann, "stop done");
    let by = Requester { user: "ann".to_owned(), address: String::new() };
    let stop = PlannedStop { plan: 3, by, at: at(10) };
    world.set("h/kafka", ObservedCause { is_on_purpose: true, stop: Some(stop), ..down(11, &[]) });
    world.observe(11);
    assert_eq!(world.incidents[&1].text, "stop of kafka on h by ann (plan 3)");
}

#[test]
fn ends_of_many_incidents_at_once_are_all_recorded() {
    let mut world = World::default();
    let names: Vec<String> = (0..1200).map(|number| format!("h/c{number}")).collect();
    names.iter().for_each(|name| world.set(name, down(10, &[])));
    world.observe(10);
    names.iter().for_each(|name| world.clear(name));
    world.observe(20);
    assert_eq!(world.incidents.len(), 1200);
    assert!(world.incidents.values().all(|incident| incident.ended_at == Some(at(20))));
}

#[test]
fn what_flaps_is_one_incident_and_what_comes_back_much_later_is_another() {
    let mut world = World::default();
    for second in [0, 100, 200] {
        world.set("h/kafka", down(second, &[]));
        world.observe(second);
        world.clear("h/kafka");
        world.observe(second + 50);
    }
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, Some(250))]);
    assert_eq!(world.incidents[&1].begins, 3);
    world.set("h/kafka", down(2000, &[]));
    world.observe(2000);
    assert_eq!(world.spans()[1], (IncidentKind::Failure, 2000, None));
}

#[test]
fn lost_host_and_what_is_not_up_after_its_return_are_one_incident() {
    let mut world = World::default();
    world.set("h", cause(Health::Unknown, 0, &["s/detector"]));
    world.set("h", ObservedCause { since: None, ..world.causes[&place("h")].clone() });
    world.observe(5);
    world.event(5, EventKind::Host, "h", "unreachable", None, "lost");
    world.clear("h");
    world.set("h/kafka", down(60, &[]));
    world.observe(60);
    world.event(60, EventKind::Host, "h", "reachable", None, "back");
    world.health(60, "h/kafka", "down");
    world.clear("h/kafka");
    world.observe(90);
    assert_eq!(world.spans(), [(IncidentKind::Host, 5, Some(90))]);
    assert_eq!(world.events[&1], ["lost", "back", "h/kafka down"]);
    assert_eq!(world.incidents[&1].text, "host h is unknown: it ended");
    assert_eq!(world.incidents[&1].causes, [place("h"), place("h/kafka")]);
}

#[test]
fn what_fails_after_a_host_is_back_is_an_incident_of_its_own() {
    let mut world = World::default();
    world.set("h", ObservedCause { since: None, ..cause(Health::Unknown, 0, &[]) });
    world.observe(5);
    world.clear("h");
    world.observe(60);
    world.set("h/reader", down(72, &[]));
    world.observe(72);
    assert_eq!(world.spans(), [(IncidentKind::Host, 5, Some(60)), (IncidentKind::Failure, 72, None)]);
    // The time counts from the return, however often the incident was opened again.
    world.set("h/kafka", down(61, &[]));
    world.observe(80);
    assert_eq!(world.spans()[0], (IncidentKind::Host, 5, None));
    world.clear("h/kafka");
    world.observe(85);
    world.set("h/kafka", down(61, &[]));
    world.observe(100);
    assert_eq!(world.incidents.len(), 3, "its time counts from the return");
}

#[test]
fn restarted_aggregator_continues_open_incidents_and_closes_what_is_over() {
    let mut world = World::default();
    world.set("h/kafka", down(0, &["s/detector"]));
    world.set("h/spark", down(0, &[]));
    world.observe(0);
    world.restart(60);
    // Nothing is known yet.
    let all = std::mem::take(&mut world.causes);
    world.undecided = all.keys().cloned().collect();
    world.observe(61);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, None), (IncidentKind::Failure, 0, None)]);
    world.undecided.clear();
    world.causes = all;
    world.clear("h/spark");
    world.observe(62);
    world.clear("h/kafka");
    world.observe(70);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, Some(70)), (IncidentKind::Failure, 0, Some(62))]);
    assert_eq!(world.incidents[&1].end_note, None);
    let note = world.incidents[&2].end_note.clone().unwrap();
    assert!(note.starts_with("it ended while rta was not running, from "), "{note}");
    // A number is never used twice.
    world.set("h/new", down(80, &[]));
    world.observe(80);
    assert_eq!(world.incidents.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn restarted_aggregator_continues_what_flaps() {
    let mut world = World::default();
    world.set("h/kafka", down(0, &[]));
    world.observe(0);
    world.clear("h/kafka");
    world.observe(10);
    world.restart(20);
    world.set("h/kafka", down(30, &[]));
    world.observe(30);
    assert_eq!((world.spans().len(), world.incidents[&1].begins), (1, 2));
}

#[test]
fn incident_keeps_its_number_when_the_clock_is_set_and_over_a_restart() {
    let mut world = World::default();
    world.set("h/kafka", down(0, &[]));
    world.observe(0);
    for second in [-18_000, 70_000, 20] {
        world.observe(second);
        world.restart(second);
        world.observe(second);
        assert_eq!(world.spans(), [(IncidentKind::Failure, 0, None)]);
    }
    world.clear("h/kafka");
    world.observe(-60);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, Some(0))]);
}

#[test]
fn sent_notifications_are_counted_also_those_about_the_end() {
    let mut world = World::default();
    world.set("h/kafka", down(0, &["s/detector"]));
    world.observe(0);
    let mut notify = |second, name, to| world.event(second, EventKind::Notification, name, to, None, to);
    notify(1, "h/kafka", "begin");
    notify(2, "h/kafka", "failed");
    notify(3, "s/detector", "begin");
    world.clear("h/kafka");
    world.observe(10);
    world.event(40, EventKind::Notification, "h/kafka", "end", None, "end");
    world.observe(41);
    assert_eq!(world.incidents[&1].notifications, 2);
    assert_eq!(world.events[&1], ["begin", "failed", "end"]);
}

#[test]
fn what_an_incident_affected_and_is_still_not_up_keeps_it_open() {
    let mut world = World::default();
    world.set("h/kafka", down(0, &["s/detector"]));
    world.observe(0);
    world.clear("h/kafka");
    world.set("s/detector", cause(Health::Degraded, 0, &[]));
    world.observe(10);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, None)]);
    world.clear("s/detector");
    world.observe(20);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, Some(20))]);
}

#[test]
fn event_waits_for_an_incident_only_for_a_while() {
    let mut world = World::default();
    world.health(0, "h/kafka", "down");
    world.observe(1);
    assert!(world.events.is_empty());
    world.health(100, "x/other", "up");
    world.observe(101);
    assert!(SignedDuration::from_secs(101) > SignedDuration::from_mins(1));
    world.set("h/kafka", down(0, &[]));
    world.observe(102);
    assert_eq!((world.spans().len(), world.events.len()), (1, 0));
}

#[test]
fn removed_component_ends_its_incident_with_a_note() {
    let mut world = World::default();
    world.set("h/kafka", down(0, &[]));
    world.observe(0);
    let outcomes = HashMap::from([(place("h/kafka"), CauseOutcome::Removed)]);
    let (causes, undecided) = (BTreeMap::new(), HashMap::new());
    world.tracker.observe(&Observation { at: at(5), causes, outcomes, undecided });
    world.collect(5);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, Some(5))]);
    assert_eq!(world.incidents[&1].end_note.as_deref(), Some("it was removed from the configuration"));
}

#[test]
fn text_of_an_open_incident_says_how_it_is_and_at_its_end_how_it_began() {
    let mut world = World::default();
    let reason = |reason: &str| ObservedCause { reason: reason.to_owned(), ..down(0, &[]) };
    let mut see = |second, cause: Option<ObservedCause>| {
        world.clear("h/kafka");
        cause.into_iter().for_each(|cause| world.set("h/kafka", cause));
        world.observe(second);
        let Incident { text, began_as, .. } = world.incidents[&1].clone();
        (text, began_as)
    };
    let alone = |text: &str| (text.to_owned(), None);
    assert_eq!(see(0, Some(reason("it is not running"))), alone("kafka on h is down: it is not running"));
    let killed = "kafka on h is down: it is not running: ended by SIGKILL";
    assert_eq!(see(1, Some(reason("it is not running: ended by SIGKILL"))), alone(killed));
    let starting =
        ObservedCause { reason: "it is being started".to_owned(), ..cause(Health::Degraded, 2, &[]) };
    let shown = ("kafka on h is degraded: it is being started".to_owned(), Some(killed.to_owned()));
    assert_eq!(see(2, Some(starting)), shown);
    assert_eq!(see(3, None), alone(killed));
    // It comes back for another reason.
    let exited = "kafka on h is down: it is not running: exited with 1";
    assert_eq!(see(9, Some(reason("it is not running: exited with 1"))), alone(exited));
    // Somebody stops it.
    let by = Requester { user: "ann".to_owned(), address: String::new() };
    let stopped = ObservedCause {
        is_on_purpose: true,
        stop: Some(PlannedStop { plan: 3, by, at: at(10) }),
        ..down(10, &[])
    };
    let shown = ("kafka on h is down: stopped by ann (plan 3)".to_owned(), Some(exited.to_owned()));
    assert_eq!(see(10, Some(stopped)), shown);
    assert_eq!(see(20, None), alone(exited));
}

#[test]
fn limit_that_was_exceeded_by_what_is_stopped_now_is_no_text_of_an_open_incident() {
    let mut world = World::default();
    let exceeded = "it uses 5 GiB of memory, more than 4 GiB";
    world.set("h/kafka", ObservedCause { reason: exceeded.to_owned(), ..cause(Health::Degraded, 0, &[]) });
    world.observe(0);
    assert_eq!(world.incidents[&1].text, format!("kafka on h is degraded: {exceeded}"));
    world.set("h/kafka", down(5, &[]));
    world.observe(5);
    assert_eq!(world.incidents[&1].text, "kafka on h is down: it ended");
    assert_eq!(world.incidents[&1].began_as, None, "it is worse than it was");
}

#[test]
fn what_is_not_up_when_its_maintenance_is_over_has_failed() {
    let mut world = World::default();
    let maintained = ObservedCause { maintenance: Some("in maintenance: disks".to_owned()), ..down(0, &[]) };
    world.set("h/kafka", maintained.clone());
    world.observe(0);
    assert_eq!(world.incidents[&1].text, "kafka on h is down: in maintenance: disks");
    world.set("h/kafka", down(0, &[]));
    world.observe(100);
    let incident = world.incidents[&1].clone();
    assert_eq!((incident.kind, incident.begun_at), (IncidentKind::Failure, at(0)));
    assert_eq!((incident.text.as_str(), incident.began_as), ("kafka on h is down: it ended", None));
    // A failure that is maintained afterwards remains one.
    world.set("h/kafka", maintained);
    world.observe(200);
    assert_eq!(world.incidents[&1].text, "kafka on h is down: in maintenance: disks");
    world.clear("h/kafka");
    world.observe(300);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, Some(300))]);
    assert_eq!(world.incidents[&1].text, "kafka on h is down: it ended");
}

#[test]
fn what_does_not_come_back_with_its_maintained_host_has_failed() {
    let mut world = World::default();
    let maintained = |health| ObservedCause {
        since: None,
        maintenance: Some("in maintenance: reboot".to_owned()),
        ..cause(health, 0, &[])
    };
    world.set("h", maintained(Health::Unknown));
    world.observe(0);
    world.clear("h");
    world.set("h/kafka", maintained(Health::Down));
    world.observe(60);
    assert_eq!(world.spans(), [(IncidentKind::Maintenance, 0, None)]);
    world.set("h/kafka", ObservedCause { since: None, ..down(0, &[]) });
    world.observe(100);
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, None)]);
    assert_eq!(world.incidents[&1].text, "kafka on h is down: it ended");
}

#[test]
fn cancelled_plan_goes_on_until_its_end() {
    let mut world = world_with_restart();
    let ann = Some((3, "ann"));
    world.event(12, EventKind::Plan, "h/kafka", "", ann, "cancelled: 2 steps will not begin");
    world.observe(13);
    assert_eq!(world.spans(), [(IncidentKind::Plan, 10, None)], "its steps under way go on");
    assert_eq!(world.incidents[&1].text, "restart of kafka on h by ann (plan 3)");
    world.event(20, EventKind::Step, "h/kafka", "done", ann, "restart done");
    world.event(
        20,
        EventKind::Plan,
        "h/kafka",
        "cancelled",
        ann,
        "restart of kafka on h: cancelled: 1 step done",
    );
    world.observe(21);
    assert_eq!(world.spans(), [(IncidentKind::Plan, 10, Some(21))]);
}

#[test]
fn text_of_an_open_incident_is_about_what_is_left_of_it() {
    let mut world = World::default();
    let lost = || ObservedCause { since: None, ..cause(Health::Unknown, 0, &[]) };
    for host in ["h1", "h2", "h3"] {
        world.set(host, lost());
    }
    let mut see = |second, gone: &str, left: Option<&str>| {
        world.clear(gone);
        left.into_iter().for_each(|name| world.set(name, down(second, &[])));
        world.observe(second);
        world.incidents[&1].text.clone()
    };
    let all = "hosts h1, h2, h3 are unknown: it ended";
    assert_eq!(see(10, "", None), all);
    assert_eq!(see(20, "h1", None), "hosts h2, h3 are unknown: it ended");
    assert_eq!(see(30, "h2", Some("h2/kafka")), "host h3 is unknown: it ended");
    assert_eq!(see(40, "h3", None), "kafka on h2 is down: it ended");
    assert_eq!(see(50, "h2/kafka", None), all);
}

#[test]
fn what_cannot_be_seen_any_more_is_not_called_down() {
    let mut world = World::default();
    world.set("h/kafka", down(0, &[]));
    world.observe(0);
    world.clear("h/kafka");
    world.undecided = vec![place("h/kafka")];
    let unseen = ObservedCause {
        reason: "the agent on h does not answer".to_owned(),
        ..cause(Health::Unknown, 0, &[])
    };
    world.states = HashMap::from([(place("h/kafka"), unseen)]);
    world.observe(10);
    let incident = &world.incidents[&1];
    assert_eq!(incident.text, "kafka on h is unknown: the agent on h does not answer");
    assert_eq!(incident.began_as.as_deref(), Some("kafka on h is down: it ended"));
    // A restarted aggregator knows how it began.
    world.restart(20);
    (world.undecided, world.states) = (Vec::new(), HashMap::new());
    world.observe(21);
    assert_eq!(world.incidents[&1].text, "kafka on h is down: it ended");
    assert_eq!(world.spans(), [(IncidentKind::Failure, 0, Some(21))]);
}

#[test]
fn what_fails_to_start_after_its_stop_is_told_beside_the_plan() {
    let mut world = world_with_restart();
    let ann = Some((3, "ann"));
    assert_eq!(world.incidents[&1].text, "restart of kafka on h by ann (plan 3)", "the plan is under way");
    world.set("h/kafka", down(11, &[]));
    world.event(20, EventKind::Step, "h/kafka", "failed", ann, "restart failed");
    world.event(20, EventKind::Plan, "h/kafka", "failed", ann, "restart of kafka on h: 1 step failed");
    world.observe(20);
    let text = "restart of kafka on h by ann (plan 3); kafka on h is down: it ended";
    assert_eq!(world.incidents[&1].text, text);
    // What was stopped otherwise has not failed.
    world.set("h/kafka", ObservedCause { is_on_purpose: true, ..down(11, &[]) });
    world.observe(25);
    assert_eq!(world.incidents[&1].text, "restart of kafka on h by ann (plan 3)");
    world.clear("h/kafka");
    world.observe(30);
    assert_eq!(world.incidents[&1].text, "restart of kafka on h by ann (plan 3)");
}

#[test]
fn hosts_lost_at_the_same_moment_are_one_incident() {
    let mut world = World::default();
    let lost = || ObservedCause { since: None, ..cause(Health::Unknown, 0, &[]) };
    world.set("h1", lost());
    world.set("h2", lost());
    world.observe(10);
    world.set("h3", lost());
    world.observe(14);
    // Later, and elsewhere, it is another one.
    world.set("h4", lost());
    world.observe(20);
    assert_eq!(world.spans(), [(IncidentKind::Host, 10, None), (IncidentKind::Host, 20, None)]);
    assert_eq!(world.incidents[&1].text, "hosts h1, h2, h3 are unknown: it ended");
    assert_eq!(world.incidents[&2].text, "host h4 is unknown: it ended");
    let other = CauseId { environment: "F".into(), ..place("f1") };
    world.causes.insert(other, lost());
    world.observe(21);
    assert_eq!(world.incidents.len(), 3);

    // It is over when the last one is back; one that is lost again before continues it.
    world.clear("h1");
    world.clear("h2");
    world.observe(30);
    world.set("h2", lost());
    world.observe(40);
    world.clear("h2");
    world.clear("h3");
    world.observe(50);
    assert_eq!(world.spans()[0], (IncidentKind::Host, 10, Some(50)));
    assert_eq!(world.incidents[&1].causes, [place("h1"), place("h2"), place("h3")]);
}
