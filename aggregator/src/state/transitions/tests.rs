//! Tests of the transitions.

use rta_shared::autostart::Autostart;
use rta_shared::down_cause::DownCause;
use rta_shared::overview::Overview;

use super::*;
use crate::sample_overview::sample;

fn track(tracker: &mut TransitionTracker, overview: &Overview) -> Transitions {
    track_at(tracker, &mut overview.clone(), Timestamp::UNIX_EPOCH)
}

fn track_at(tracker: &mut TransitionTracker, overview: &mut Overview, now: Timestamp) -> Transitions {
    let samples = tracker.follow_config(&overview.environments);
    let mut transitions = Transitions { samples, ..Transitions::default() };
    let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    for (at, host) in hosts.enumerate() {
        tracker.track_host(at, host, now, &mut transitions);
    }
    let hosts = overview.environments.iter_mut().flat_map(|environment| &mut environment.hosts);
    let mut at = 0..;
    for host in hosts {
        let is_host_known = host.reachable && host.error.is_none();
        for (instance, at) in host.instances.iter_mut().zip(&mut at) {
            tracker.track_instance(at, instance, is_host_known, now, &mut transitions);
        }
    }
    transitions
}

/// Tracks an overview. Returns the first values and the events.
fn texts(tracker: &mut TransitionTracker, overview: &Overview) -> Vec<String> {
    let Transitions { first_values, events, .. } = track(tracker, overview);
    let first = first_values.iter().map(|(place, value)| format!("first {place} {value}"));
    let events = events.iter().map(|event| {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
        format!("{}>{} {}", or_dash(&event.from), or_dash(&event.to), event.text)
    });
    first.chain(events).collect()
}

fn samples(tracker: &mut TransitionTracker, overview: &Overview) -> Vec<String> {
    let samples = track(tracker, overview).samples;
    samples.iter().map(|(id, state)| format!("{} {}", id.component, state.word())).collect()
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

#[test]
fn instance_has_run_once_it_was_seen_or_its_start_failed() {
    let with_cause = |kind| {
        let mut overview = sample();
        let at = Timestamp::UNIX_EPOCH;
        overview.environments[0].hosts[0].instances[0].down_cause =
            Some(Box::new(DownCause { at, kind, last_log_line: None }));
        overview
    };
    let never_ran = |tracker: &mut TransitionTracker, overview: &Overview| {
        let mut shown = overview.clone();
        track_at(tracker, &mut shown, Timestamp::UNIX_EPOCH);
        shown.environments[0].hosts[0].instances[0].never_ran
    };
    let never_seen = with_cause(DownKind::NeverSeen);
    let mut up = sample();
    up.environments[0].hosts[0].instances[0].health = Health::Up;
    let failed = with_cause(DownKind::StartFailed { reason: "no such file".to_owned() });
    for other in [up, failed] {
        let mut tracker = TransitionTracker::default();
        assert!(never_ran(&mut tracker, &never_seen));
        assert!(!never_ran(&mut tracker, &other));
        // Its agent has lost its memory.
        assert!(!never_ran(&mut tracker, &never_seen));
    }
    let mut starting = sample();
    starting.environments[0].hosts[0].instances[0].state = Some(State::Starting);
    assert!(never_ran(&mut TransitionTracker::default(), &starting));
    let (environment, host, component) = ("DEV".into(), "c9t21193".into(), "kafka server".into());
    let earlier = HashSet::from([InstanceId { environment, host, component }]);
    let mut tracker = TransitionTracker::default().with_earlier_runs(earlier);
    assert!(!never_ran(&mut tracker, &never_seen));
}

fn known(rows: &[(&str, Option<&str>, &str)]) -> TransitionTracker {
    let known = rows.iter().map(|(host, component, value)| {
        let component = component.map(Into::into);
        (HostOrInstance { environment: "DEV".into(), host: (*host).into(), component }, (*value).to_owned())
    });
    TransitionTracker::new(known.collect(), HashMap::new())
}

#[test]
fn the_first_sight_of_everything_is_no_event() {
    let mut tracker = TransitionTracker::default();
    assert!(texts(&mut tracker, &unheard()).is_empty());
    assert_eq!(
        texts(&mut tracker, &sample()),
        [
            "first host c9t21193 reachable",
            "first host c2t08978 reachable",
            "first host c2t08979 unreachable",
            "first kafka server on c9t21193 down",
            "first novelty detector on c2t08978 degraded",
        ]
    );
    assert!(texts(&mut tracker, &sample()).is_empty());
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
    let mut tracker = known(&rows);
    let once = ["up>down kafka server on c9t21193 is down: it is not running; \
                 it changed while the aggregator was not running"];
    assert!(texts(&mut tracker, &unheard()).is_empty());
    assert_eq!(texts(&mut tracker, &sample()), once);
    assert!(texts(&mut tracker, &unheard()).is_empty());
    assert!(texts(&mut tracker, &sample()).is_empty());
}

#[test]
fn a_silent_host_is_one_event_and_its_instances_keep_what_was_known() {
    let mut tracker = TransitionTracker::default();
    track(&mut tracker, &unheard());
    track(&mut tracker, &sample());
    let mut silent = sample();
    let host = &mut silent.environments[0].hosts[0];
    (host.reachable, host.error) = (false, Some("no answer".to_owned()));
    host.instances[0].health = Health::Unknown;
    assert_eq!(
        texts(&mut tracker, &silent),
        ["reachable>unreachable host c9t21193 is unreachable: no answer"]
    );
    let mut back = sample();
    back.environments[0].hosts[0].instances[0].health = Health::Up;
    back.environments[0].hosts[0].instances[0].reason.clear();
    assert_eq!(
        texts(&mut tracker, &back),
        ["unreachable>reachable host c9t21193 is reachable", "down>up kafka server on c9t21193 is up"]
    );
}

#[test]
fn what_an_agent_does_by_itself_is_recorded() {
    let autostart = |restarts, given_up| {
        let mut overview = sample();
        overview.environments[0].hosts[0].instances[0].autostart = Some(Box::new(Autostart {
            wanted: true,
            why: String::new(),
            restarts,
            next_at: None,
            given_up,
            flapping: false,
            last_end: "it was ended by SIGKILL".to_owned(),
            restarts_total: 7,
            waiting_for: String::new(),
        }));
        overview
    };
    let mut tracker = TransitionTracker::default();
    track(&mut tracker, &sample());
    assert!(texts(&mut tracker, &autostart(1, false)).is_empty());
    assert_eq!(
        texts(&mut tracker, &autostart(2, true)),
        [
            "->restarted kafka server on c9t21193 was started again by its agent (2 recently): \
             it was ended by SIGKILL",
            "->given up kafka server on c9t21193 ended too often and is not started any more until an \
             operator does: it was ended by SIGKILL"
        ]
    );
    // Includes restarts while its host was unreachable.
    assert!(texts(&mut tracker, &sample()).is_empty());
    let back = texts(&mut tracker, &autostart(3, false));
    assert_eq!(back.len(), 1, "{back:?}");
    assert!(back[0].contains("(3 recently)"), "{back:?}");
}

#[test]
fn only_differences_are_logged() {
    let mut tracker = TransitionTracker::default();
    assert!(track(&mut tracker, &sample()).changes.is_empty());
    assert!(track(&mut tracker, &sample()).changes.is_empty());
    let mut other = sample();
    let host = &mut other.environments[0].hosts[0];
    host.error = Some("no answer".to_owned());
    host.instances[0].health = Health::Unknown;
    host.instances[0].reason = "no report".to_owned();
    let place = HostOrInstance { environment: "DEV".into(), host: "c9t21193".into(), component: None };
    let instance =
        InstanceId { environment: "DEV".into(), host: "c9t21193".into(), component: "kafka server".into() };
    let (from, to, reason) = (Health::Down, Health::Unknown, "no report".to_owned());
    assert_eq!(
        track(&mut tracker, &other).changes,
        [
            StateChange::Host { host: place, error: Some("no answer".to_owned()) },
            StateChange::Health { instance, from, to, reason },
        ]
    );
}

#[test]
fn places_are_compared_with_themselves_wherever_they_are_configured() {
    let mut tracker = TransitionTracker::default();
    track(&mut tracker, &sample());
    let mut after = sample();
    after.config_digest = "other".to_owned();
    after.environments[0].hosts.remove(0);
    assert!(track(&mut tracker, &after).changes.is_empty());
    after.config_digest = "a third".to_owned();
    after.environments[0].hosts.reverse();
    after.environments[0].hosts[0].error = None;
    let changes = track(&mut tracker, &after).changes;
    assert!(
        matches!(changes.as_slice(), [StateChange::Host { host, .. }] if host.host == *"c2t08979"),
        "{changes:?}"
    );
}

#[test]
fn timeline_has_everything_once_and_then_what_changes_also_without_an_event() {
    let mut tracker = TransitionTracker::default();
    let mut overview = sample();
    assert_eq!(
        samples(&mut tracker, &overview),
        ["kafka server down", "novelty detector degraded", "cassandra unknown"]
    );
    assert!(samples(&mut tracker, &overview).is_empty());
    // Its host is unchanged; only its prerequisite became unknown. That is no event.
    let detector = &mut overview.environments[0].hosts[1].instances[0];
    detector.health = Health::Unknown;
    assert_eq!(samples(&mut tracker, &overview), ["novelty detector unknown"]);
    assert_eq!(tracker.timeline_states().len(), 3);
}

#[test]
fn what_comes_and_goes_with_the_configuration_is_part_of_the_timeline() {
    let mut tracker = TransitionTracker::default();
    track(&mut tracker, &sample());
    let mut other = sample();
    other.config_digest = "def".to_owned();
    other.environments[0].hosts.remove(0);
    assert_eq!(samples(&mut tracker, &other), ["kafka server not recorded"]);
    assert_eq!(samples(&mut tracker, &sample()), ["kafka server down"]);
}

#[test]
fn time_of_the_last_change_is_set_and_recovered() {
    let now = Timestamp::UNIX_EPOCH;
    let earlier = now - SignedDuration::from_hours(1);
    let id =
        InstanceId { environment: "DEV".into(), host: "c9t21193".into(), component: "kafka server".into() };
    let changes = HashMap::from([(id, (Health::Down, earlier))]);
    let mut tracker = TransitionTracker::new(HashMap::new(), changes);
    let mut overview = sample();
    let mut since = |overview: &mut Overview| {
        track_at(&mut tracker, overview, now);
        overview.environments[0].hosts[0].instances[0].since
    };
    assert_eq!(since(&mut overview), Some(earlier));
    overview.environments[0].hosts[0].instances[0].health = Health::Up;
    assert_eq!(since(&mut overview), Some(now));
}
