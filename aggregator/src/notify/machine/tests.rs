use std::collections::HashMap;

use jiff::SignedDuration;
use rta_shared::config::Source;
use rta_shared::config::notify::load_notify_source;

use super::*;

/// Returns a configuration with these channels, whose other content is `text`.
pub(in crate::notify) fn config(text: &str) -> NotifyConfig {
    let mut whole = text.to_owned();
    for name in ["ops", "boss", "chat"] {
        whole.push_str(&format!(
            "\n[[channel]]\nname = \"{name}\"\nwebhook = {{ url = \"http://127.0.0.1:9/x\" }}\n"
        ));
    }
    load_notify_source(Source { name: "notify.toml".to_owned(), text: whole }).unwrap()
}

/// Returns the root cause that an instance is down.
pub(in crate::notify) fn cause(component: &str) -> Cause {
    Cause {
        id: CauseId { environment: "DEV".into(), host: "h".into(), component: Some(component.into()) },
        role: None,
        health: Health::Down,
        severity: Severity::Critical,
        reason: "it is not running".to_owned(),
        since: None,
        labels: BTreeMap::new(),
        runbook: None,
        affected: Affected::default(),
        components: Vec::new(),
        quiet: None,
        is_acted_on: false,
    }
}

const ALL_TO_OPS: &str = "[[route]]\nchannels = [\"ops\"]\n";

/// Notifier with a clock that only moves on request.
struct Scene {
    config: NotifyConfig,
    state: NotifyState,
    now: Timestamp,
    /// States of what is not over and no root cause.
    undecided: HashMap<CauseId, CauseState>,
}

impl Scene {
    fn new(text: &str) -> Self {
        let (state, now) = (NotifyState::default(), Timestamp::UNIX_EPOCH);
        Self { config: config(text), state, now, undecided: HashMap::new() }
    }

    /// Takes in these root causes after some seconds. Returns the kinds of the messages, with the numbers of
    /// affected instances.
    fn see(&mut self, seconds: i64, causes: &[Cause]) -> Vec<(MessageKind, usize)> {
        let messages = self.messages(seconds, causes, &[]);
        messages.into_iter().map(|one| (one.message.kind, one.message.affected.count)).collect()
    }

    fn messages(
        &mut self,
        seconds: i64,
        causes: &[Cause],
        outcomes: &[(CauseId, CauseOutcome)],
    ) -> Vec<Outgoing> {
        self.now += SignedDuration::from_secs(seconds);
        let snapshot = CauseSnapshot {
            causes: causes.iter().map(|cause| (cause.id.clone(), cause.clone())).collect(),
            outcomes: outcomes.iter().cloned().collect(),
            undecided: self.undecided.clone(),
        };
        self.state.advance(&self.config, &snapshot, self.now)
    }
}

fn affecting(count: usize) -> Cause {
    Cause { affected: Affected { count, degraded: count, ..Affected::default() }, ..cause("kafka") }
}

#[test]
fn stored_state_names_its_fields_as_earlier_versions_did() {
    let mut scene = Scene::new(&format!("for = \"0s\"\n{ALL_TO_OPS}"));
    assert_eq!(scene.see(0, &[affecting(10)]), [(MessageKind::Begin, 10)]);
    let stored = serde_json::to_value(&scene.state).unwrap();
    assert_eq!(stored["tracked"][0]["told"]["ops"]["is_flapping"], false, "{stored}");
}

#[test]
fn outage_is_one_message_after_its_delay_and_one_at_its_end() {
    let mut scene = Scene::new(&format!("for = \"30s\"\nend_delay = \"10s\"\n{ALL_TO_OPS}"));
    let down = [affecting(200)];
    assert!(scene.see(0, &down).is_empty());
    assert!(scene.see(29, &down).is_empty());
    let messages = scene.messages(1, &down, &[]);
    let message = &messages[0].message;
    assert_eq!((messages.len(), messages[0].channel.as_str(), message.kind), (1, "ops", MessageKind::Begin));
    assert_eq!(message.summary, "kafka on h (DEV) is down; 200 instances degraded by it");
    assert!(scene.see(60, &down).is_empty());
    assert!(scene.see(1, &[]).is_empty());
    assert!(scene.see(9, &[]).is_empty());
    let messages = scene.messages(1, &[], &[]);
    let message = &messages[0].message;
    assert_eq!((message.kind, message.end_reason), (MessageKind::End, Some(EndReason::Recovered)));
    assert_eq!(message.summary, "kafka on h (DEV) has recovered after 1 min");
    assert!(scene.see(600, &[]).is_empty() && scene.state == NotifyState::default());
}

#[test]
fn short_outage_is_no_message() {
    let mut scene = Scene::new(&format!("for = \"30s\"\n{ALL_TO_OPS}"));
    assert!(scene.see(0, &[cause("kafka")]).is_empty());
    assert!(scene.see(29, &[]).is_empty());
    assert!(scene.see(1000, &[]).is_empty());
}

#[test]
fn growth_is_an_update_only_if_it_is_marked_and_not_too_often() {
    let mut scene = Scene::new(&format!("for = \"0s\"\n{ALL_TO_OPS}"));
    assert_eq!(scene.see(0, &[affecting(10)]), [(MessageKind::Begin, 10)]);
    assert!(scene.see(1, &[affecting(19)]).is_empty());
    assert_eq!(scene.see(1, &[affecting(20)]), [(MessageKind::Update, 20)]);
    assert!(scene.see(1, &[affecting(100)]).is_empty());
    assert_eq!(scene.see(600, &[affecting(100)]), [(MessageKind::Update, 100)]);
    let mut scene = Scene::new(&format!("for = \"0s\"\ngrowth = 0\n{ALL_TO_OPS}"));
    scene.see(0, &[affecting(10)]);
    assert!(scene.see(1, &[affecting(1000)]).is_empty());
}

#[test]
fn more_severe_cause_is_an_update() {
    let mut scene = Scene::new(&format!("for = \"0s\"\n{ALL_TO_OPS}"));
    let degraded = Cause { health: Health::Degraded, severity: Severity::Warning, ..cause("kafka") };
    scene.see(0, &[degraded]);
    let messages = scene.messages(1, &[cause("kafka")], &[]);
    let message = &messages[0].message;
    assert_eq!((message.kind, message.previous_severity), (MessageKind::Update, Some(Severity::Warning)));
    assert_eq!(
        (message.severity, message.summary.as_str()),
        (Severity::Critical, "kafka on h (DEV) is down now")
    );
    assert_eq!(scene.state.open_messages(&scene.config, "ops")[0].severity, Severity::Critical);
}

#[test]
fn reminder_comes_at_its_interval() {
    let mut scene = Scene::new(&format!("for = \"0s\"\nrepeat = \"1h\"\n{ALL_TO_OPS}"));
    scene.see(0, &[cause("kafka")]);
    assert!(scene.see(3599, &[cause("kafka")]).is_empty());
    assert_eq!(scene.see(1, &[cause("kafka")]), [(MessageKind::Repeat, 0)]);
    assert!(scene.see(3599, &[cause("kafka")]).is_empty());
}

#[test]
fn thirty_flaps_in_ten_minutes_are_three_messages() {
    for text in [
        "for = \"0s\"\nend_delay = \"0s\"\n",
        "for = \"0s\"\nend_delay = \"30s\"\n",
        "for = \"5s\"\nend_delay = \"5s\"\n",
        "",
    ] {
        let mut scene = Scene::new(&format!("{text}{ALL_TO_OPS}"));
        let mut kinds = Vec::new();
        for _ in 0..30 {
            for second in 0..20 {
                let causes = if second < 10 { vec![cause("kafka")] } else { vec![] };
                kinds.extend(scene.see(1, &causes).into_iter().map(|(kind, _)| kind));
            }
        }
        assert!(kinds.len() <= 3 && kinds.contains(&MessageKind::Flapping), "{text} {kinds:?}");
        for _ in 0..20 {
            kinds.extend(scene.see(60, &[]).into_iter().map(|(kind, _)| kind));
        }
        assert_eq!(kinds.last(), Some(&MessageKind::End), "{text}");
        assert!(scene.state == NotifyState::default(), "{text}");
    }
}

#[test]
fn what_stays_down_after_flapping_is_told() {
    let mut scene = Scene::new(&format!("for = \"0s\"\nend_delay = \"0s\"\n{ALL_TO_OPS}"));
    for _ in 0..5 {
        scene.see(1, &[cause("kafka")]);
        scene.see(1, &[]);
    }
    assert!(scene.see(1, &[cause("kafka")]).is_empty());
    assert_eq!(scene.see(600, &[cause("kafka")]), [(MessageKind::Repeat, 0)]);
    assert_eq!(scene.see(1, &[]), [(MessageKind::End, 0)]);
}

#[test]
fn maintenance_and_deliberate_stops_are_silent() {
    let maintained = Cause { quiet: Some(Quiet::Maintenance("disks".to_owned())), ..cause("kafka") };
    let stopped = Cause {
        quiet: Some(Quiet::OnPurpose("stopped by ann".to_owned())),
        severity: Severity::Info,
        ..cause("kafka")
    };
    for (quiet, reason) in
        [(maintained, EndReason::Maintenance), (stopped.clone(), EndReason::StoppedOnPurpose)]
    {
        let mut scene = Scene::new(&format!("for = \"10s\"\n{ALL_TO_OPS}"));
        assert!(scene.see(0, std::slice::from_ref(&quiet)).is_empty());
        assert!(scene.see(1000, std::slice::from_ref(&quiet)).is_empty());
        // The delay begins when it is over.
        assert!(scene.see(1, &[cause("kafka")]).is_empty());
        assert_eq!(scene.see(10, &[cause("kafka")]), [(MessageKind::Begin, 0)]);
        let messages = scene.messages(1, std::slice::from_ref(&quiet), &[]);
        assert_eq!((messages.len(), messages[0].message.end_reason), (1, Some(reason)));
        assert!(scene.see(1000, &[quiet]).is_empty());
        assert!(scene.see(1, &[]).is_empty());
    }
    let mut scene = Scene::new(&format!("for = \"0s\"\nstopped_on_purpose = true\n{ALL_TO_OPS}"));
    assert_eq!(scene.messages(0, &[stopped], &[])[0].message.severity, Severity::Info);
}

#[test]
fn action_under_way_delays_the_first_message() {
    let mut scene = Scene::new(&format!("for = \"10s\"\n{ALL_TO_OPS}"));
    let acted_on = Cause { is_acted_on: true, ..cause("kafka") };
    assert!(scene.see(0, std::slice::from_ref(&acted_on)).is_empty());
    assert!(scene.see(100, &[acted_on]).is_empty());
    assert!(scene.see(9, &[cause("kafka")]).is_empty());
    assert_eq!(scene.see(1, &[cause("kafka")]), [(MessageKind::Begin, 0)]);
}

#[test]
fn restarts_by_people_are_no_flapping_and_hide_no_outage() {
    let mut scene = Scene::new(&format!(
        "for = \"10s\"\nend_delay = \"1s\"\nflapping = {{ begins = 3, within = \"10m\" }}\n{ALL_TO_OPS}"
    ));
    let acted_on = Cause { is_acted_on: true, ..cause("kafka") };
    for _ in 0..9 {
        assert!(scene.see(2, std::slice::from_ref(&acted_on)).is_empty());
        assert!(scene.see(2, &[]).is_empty());
    }
    assert!(scene.see(2, &[cause("kafka")]).is_empty());
    assert_eq!(scene.see(10, &[cause("kafka")]), [(MessageKind::Begin, 0)]);
    // What is still down after an action has failed, as any other.
    assert!(scene.see(10, &[]).is_empty());
    assert_eq!(scene.see(1, &[]), [(MessageKind::End, 0)]);
    assert!(scene.see(1000, std::slice::from_ref(&acted_on)).is_empty());
    assert!(scene.see(1, &[cause("kafka")]).is_empty());
    assert_eq!(scene.see(10, &[cause("kafka")]), [(MessageKind::Begin, 0)]);
}

#[test]
fn unknown_host_ends_nothing() {
    let mut scene = Scene::new(&format!("for = \"0s\"\nend_delay = \"0s\"\n{ALL_TO_OPS}"));
    scene.see(0, &[cause("kafka")]);
    let outcomes = [(cause("kafka").id, CauseOutcome::Undecided)];
    assert!(scene.messages(9000, &[], &outcomes).is_empty());
    let messages = scene.messages(1, &[], &[(cause("kafka").id, CauseOutcome::Removed)]);
    assert_eq!(messages[0].message.end_reason, Some(EndReason::Removed));
}

#[test]
fn open_notification_says_how_it_is_now() {
    let mut scene = Scene::new(&format!("for = \"0s\"\nend_delay = \"60s\"\n{ALL_TO_OPS}"));
    let summary = |scene: &Scene| -> Vec<String> {
        let open = scene.state.open_messages(&scene.config, "ops");
        open.into_iter().map(|message| message.summary).collect()
    };
    scene.see(0, &[affecting(2)]);
    assert_eq!(summary(&scene), ["kafka on h (DEV) is down; 2 instances degraded by it"]);
    scene.see(1, &[Cause { health: Health::Degraded, ..cause("kafka") }]);
    assert_eq!(summary(&scene), ["kafka on h (DEV) is degraded"]);
    // Its host is lost.
    let unseen = CauseState { health: Health::Unknown, reason: "the agent does not answer".to_owned() };
    scene.undecided = HashMap::from([(cause("kafka").id, unseen)]);
    assert!(scene.messages(1, &[], &[(cause("kafka").id, CauseOutcome::Undecided)]).is_empty());
    assert_eq!(summary(&scene), ["kafka on h (DEV) is unknown"]);
    // It is well again; a message follows once that has lasted.
    scene.undecided.clear();
    assert!(scene.see(1, &[]).is_empty());
    assert_eq!(summary(&scene), ["kafka on h (DEV) is up"]);
    assert_eq!(scene.see(60, &[]), [(MessageKind::End, 0)]);
    assert!(summary(&scene).is_empty());
}

#[test]
fn route_that_opens_later_is_told_then() {
    let mut scene = Scene::new(&format!(
        "for = \"0s\"\n{ALL_TO_OPS}[[route]]\nchannels = [\"boss\"]\nhours = \"08:00-18:00\"\n"
    ));
    let channels =
        |messages: Vec<Outgoing>| -> Vec<String> { messages.into_iter().map(|one| one.channel).collect() };
    assert_eq!(channels(scene.messages(0, &[cause("kafka")], &[])), ["ops"]);
    assert_eq!(channels(scene.messages(8 * 3600, &[cause("kafka")], &[])), ["boss", "ops"]);
    // At night the boss also receives the message of the end.
    assert!(scene.messages(11 * 3600, &[], &[]).is_empty());
    assert_eq!(channels(scene.messages(60, &[], &[])), ["boss", "ops"]);
}

#[test]
fn clock_that_is_set_back_delays_at_most() {
    let mut scene = Scene::new(&format!("for = \"30s\"\n{ALL_TO_OPS}"));
    scene.see(9000, &[cause("kafka")]);
    assert!(scene.see(-8000, &[cause("kafka")]).is_empty());
    assert_eq!(scene.see(30, &[cause("kafka")]), [(MessageKind::Begin, 0)]);
}

#[test]
fn incident_keeps_its_name_when_the_clock_is_set_and_over_a_restart() {
    let mut scene = Scene::new(&format!("for = \"0s\"\nend_delay = \"0s\"\nrepeat = \"1h\"\n{ALL_TO_OPS}"));
    let down = [cause("kafka")];
    let begin = scene.messages(90_000, &down, &[]).remove(0).message;
    for hours in [-5, 20, -12] {
        let more = scene.messages(hours * 3600, &down, &[]);
        assert!(more.iter().all(|one| one.message.incident == begin.incident), "{more:?}");
        scene.state = serde_json::from_str(&serde_json::to_string(&scene.state).unwrap()).unwrap();
        let open = scene.state.open_messages(&scene.config, "ops").remove(0);
        assert_eq!(open.incident, begin.incident, "{hours}");
    }
    let end = scene.messages(1, &[], &[]).remove(0).message;
    assert_eq!((end.kind, end.incident), (MessageKind::End, begin.incident.clone()));
    let next = scene.messages(1, &down, &[]).remove(0).message;
    assert_ne!(next.incident, begin.incident);
}

#[test]
fn next_message_is_due_when_it_says() {
    let mut scene = Scene::new(&format!("for = \"30s\"\nrepeat = \"1h\"\n{ALL_TO_OPS}"));
    scene.see(0, &[cause("kafka")]);
    let due = scene.state.next_due(&scene.config, scene.now);
    assert_eq!(due, Some(scene.now + SignedDuration::from_secs(30)));
    scene.see(30, &[cause("kafka")]);
    assert!(scene.state.next_due(&scene.config, scene.now).is_some());
    assert_eq!(NotifyState::default().next_due(&scene.config, scene.now), None);
}
