//! Incidents on real programs: a stop, a crash and a restart of the aggregator in the middle of one.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::process::Child;

use rta_tests::{TestAggregator, TestCluster, TestConfig, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Processes that ran before rta did.
struct Earlier(Vec<Child>);

impl Drop for Earlier {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have been killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts one host with `base`, `left` and `right`, which need it, and `apart`, all of which run; and with
/// `spare`, which never ran and cannot be started.
fn start_cluster() -> (TestCluster, Earlier) {
    let config = TestConfig::new();
    let names = ["base", "left", "right", "apart"];
    let components = names.map(|name| {
        let needs = if ["left", "right"].contains(&name) { "\"base\"" } else { "" };
        config.component_toml(name, needs, "")
    });
    let spare = config.scripted_component_toml("spare", "exit 3", "");
    let earlier = Earlier(names.iter().map(|name| config.start_stand_in(name)).collect());
    let all = [&names[..], &["spare"]].concat();
    let components = components.concat() + &spare;
    let cluster = TestCluster::builder(config).components(&components).host("h", &all).data().start();
    cluster.aggregator.wait_until_ready();
    for name in names {
        cluster.aggregator.wait_for_health(name, "up");
    }
    (cluster, earlier)
}

/// Returns the incidents that the query selects, the newest first.
fn incidents(aggregator: &TestAggregator, query: &str) -> Vec<Value> {
    let answer = aggregator.web.get(&format!("/api/v1/incidents?{query}"));
    assert_eq!(answer.code, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    answer["incidents"].as_array().unwrap().clone()
}

/// Waits until the only incident meets a condition, and returns it with its events.
fn wait_for_incident(aggregator: &TestAggregator, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || {
        let found = incidents(aggregator, "");
        assert!(found.len() <= 1, "one cause is one incident: {found:#?}");
        let id = found.first()?["id"].as_u64().unwrap();
        let answer = aggregator.web.get(&format!("/api/v1/incidents/{id}"));
        let details: Value = serde_json::from_str(&answer.body).unwrap();
        is_met(&details).then_some(details)
    })
}

fn has_event(details: &Value, kind: &str, component: &str, to: &str) -> bool {
    details["events"].as_array().unwrap().iter().any(|event| {
        event["kind"] == kind
            && event["to"] == to
            && (component.is_empty() || event["component"] == component)
    })
}

#[test]
fn stop_of_what_others_need_is_one_incident_until_it_is_started_again() {
    let (cluster, _earlier) = start_cluster();
    let aggregator = &cluster.aggregator;
    aggregator.wait_for_health("spare", "down");
    assert_eq!(incidents(aggregator, ""), [] as [Value; 0], "it never ran, and nobody asked for it");
    aggregator.rta_success(&["stop", "base", "--yes", "--no-dependencies"]);
    let open = wait_for_incident(aggregator, "both to be affected", |details| {
        details["incident"]["affected"] == 2 && has_event(details, "health", "right", "degraded")
    });
    let incident = &open["incident"];
    assert_eq!(incident["kind"], "plan");
    assert!(incident["text"].as_str().unwrap().starts_with("stop of base on h by "), "{incident}");
    assert_eq!((&incident["ended_at"], incident["causes"].as_array().unwrap().len()), (&Value::Null, 1));
    let person = incident["persons"][0].as_str().unwrap().to_owned();
    assert_eq!(incidents(aggregator, "open=true&environment=TEST").len(), 1);
    assert_eq!(incidents(aggregator, "person=nobody").len(), 0);
    let line = aggregator.rta_success(&["incidents", "--open"]);
    assert!(line.lines().count() == 1 && line.contains("2 instances affected"), "{line}");
    let page = aggregator.web.get("/incidents").body;
    assert!(page.contains("stop of base on h by ") && page.contains("2 instances affected"), "{page}");

    aggregator.rta_success(&["start", "base"]);
    let over = wait_for_incident(aggregator, "the end of the start", |details| {
        !details["incident"]["ended_at"].is_null()
            && has_event(details, "health", "base", "up")
            && has_event(details, "health", "right", "up")
            && details["events"].as_array().unwrap().iter().any(|event| {
                event["kind"] == "plan"
                    && event["to"] == "done"
                    && event["plan"] == details["incident"]["plans"][1]
            })
    });
    let incident = &over["incident"];
    assert_eq!(incident["plans"].as_array().unwrap().len(), 2, "{incident}");
    assert_eq!(incident["persons"].as_array().unwrap().len(), 1, "{incident}");
    assert!(incident["begun_at"].as_str() < incident["ended_at"].as_str());
    for (kind, component, to) in [
        ("plan", "", "under way"),
        ("step", "base", "under way"),
        ("step", "base", "done"),
        ("health", "base", "down"),
        ("health", "left", "degraded"),
        ("health", "left", "up"),
    ] {
        assert!(has_event(&over, kind, component, to), "{kind} {component} {to}: {over:#}");
    }

    // The events are found by plan, person and incident.
    let plan = &incident["plans"][0];
    let id = &incident["id"];
    let count = |query: &str| aggregator.events(query).len();
    assert!(aggregator.events(&format!("plan={plan}")).iter().all(|event| event["plan"] == *plan));
    assert!(count(&format!("plan={plan}")) >= 4);
    assert!(count(&format!("person={person}")) > count(&format!("plan={plan}")));
    assert_eq!(count(&format!("incident={id}")), over["events"].as_array().unwrap().len());
    let shown =
        aggregator.rta_success(&["events", "--incident", &id.to_string(), "--plan", &plan.to_string()]);
    assert!(shown.contains("stop of base") && !shown.contains("start of base"), "{shown}");
    let shown = aggregator.rta_success(&["incidents", &id.to_string()]);
    assert!(shown.contains("affected       2 instances: TEST/h/left, TEST/h/right"), "{shown}");
    assert_eq!(aggregator.rta(&["incidents", "99"]).status.code(), Some(4));
    let numbers = aggregator.events(&format!("incident={id}"));
    assert!(numbers.iter().all(|event| event["incident"] == *id), "{numbers:#?}");
    let listed = aggregator.rta_success(&["events", "--incident", &id.to_string(), "--json"]);
    assert!(
        listed.contains(&format!("\"incident\":{id}")) || listed.contains(&format!("\"incident\": {id}")),
        "{listed}"
    );

    // A start that somebody asked for, and that failed.
    assert!(!aggregator.rta(&["start", "spare", "--yes"]).status.success());
    wait_for("the failed start to be an incident", || {
        let open = incidents(aggregator, "open=true");
        open.first().filter(|one| one["causes"][0]["component"] == "spare").map(drop)
    });
}

#[test]
fn crash_is_one_incident_that_a_restarted_aggregator_continues() {
    let (mut cluster, mut earlier) = start_cluster();
    cluster.config.kill_component("base");
    earlier.0[0].wait().unwrap();
    let open = wait_for_incident(&cluster.aggregator, "both to be affected", |details| {
        details["incident"]["affected"] == 2 && has_event(details, "health", "base", "down")
    });
    assert_eq!(open["incident"]["kind"], "failure");
    assert!(open["incident"]["text"].as_str().unwrap().starts_with("base on h is down"), "{open:#}");
    assert_eq!(open["incident"]["persons"], Value::Array(vec![]));

    for signal in [Signal::KILL, Signal::TERM] {
        cluster.aggregator.stop(signal);
        cluster.aggregator.start_again();
        cluster.aggregator.wait_until_ready();
        cluster.aggregator.wait_for_health("base", "down");
        // Until its host has reported, it is not known how it is.
        let is_known = |details: &Value| details["incident"]["text"] == open["incident"]["text"];
        let continued = wait_for_incident(&cluster.aggregator, "the same incident", is_known);
        for key in ["id", "begun_at", "ended_at", "began_as"] {
            assert_eq!(continued["incident"][key], open["incident"][key], "{key}");
        }
    }
    cluster.aggregator.rta_success(&["start", "base"]);
    let over = wait_for_incident(&cluster.aggregator, "its end", |details| {
        !details["incident"]["ended_at"].is_null() && has_event(details, "health", "base", "up")
    });
    assert_eq!((&over["incident"]["end_note"], &over["incident"]["begins"]), (&Value::Null, &1.into()));
    assert_eq!(over["incident"]["plans"].as_array().unwrap().len(), 1);

    // It ends while no aggregator runs.
    cluster.config.kill_component("left");
    earlier.0[1].wait().unwrap();
    wait_for("the second incident", || incidents(&cluster.aggregator, "").get(1).is_some().then_some(()));
    cluster.aggregator.stop(Signal::KILL);
    earlier.0.push(cluster.config.start_stand_in("left"));
    cluster.aggregator.start_again();
    cluster.aggregator.wait_for_health("left", "up");
    let over = wait_for("its end", || {
        let second = incidents(&cluster.aggregator, "").remove(0);
        (!second["ended_at"].is_null()).then_some(second)
    });
    let note = over["end_note"].as_str().unwrap();
    assert!(note.starts_with("it ended while rta was not running, from "), "{note}");
    assert_eq!(incidents(&cluster.aggregator, "").len(), 2);
}
