//! What-if answers on real processes: what they promise is what is then seen.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use rta_tests::{TestCluster, TestConfig};
use rustix::process::Signal;
use serde_json::Value;

/// Starts Kafka and an idle neighbour on one host, and a detector that depends on Kafka on another; all run.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let components = [
        config.component_toml("kafka server", "", ""),
        config.component_toml("idle", "", ""),
        config.component_toml("detector", "\"kafka server\"", ""),
    ]
    .concat();
    let cluster = TestCluster::builder(config)
        .components(&components)
        .host("analytic", &["kafka server", "idle"])
        .host("storage", &["detector"])
        .start();
    cluster.aggregator.rta_success(&["start", "--all", "--yes"]);
    cluster.aggregator.wait_for_health("detector", "up");
    cluster
}

/// Returns the name, health, state and cause of each instance of an overview.
fn healths(overview: &Value) -> Vec<(Value, Value, Value, Value)> {
    let hosts = overview["environments"][0]["hosts"].as_array().into_iter().flatten();
    let instances = hosts.flat_map(|host| host["instances"].as_array().into_iter().flatten());
    instances
        .map(|one| {
            let field = |name: &str| one[name].clone();
            (field("component"), field("health"), field("state"), field("cause"))
        })
        .collect()
}

fn answer(cluster: &TestCluster, arguments: &[&str]) -> Value {
    let said = cluster.aggregator.rta_success(&[&["what-if"], arguments, &["--json"]].concat());
    serde_json::from_str(&said).unwrap()
}

#[test]
fn stop_without_dependents_is_seen_as_it_was_told() {
    let cluster = start_cluster();
    let said = cluster.aggregator.rta_success(&["what-if", "stop", "kafka server", "--no-dependencies"]);
    for expected in [
        "If kafka server on analytic were stopped:\n",
        "down      TEST/analytic/kafka server (now up): stopped by this what-if\n",
        "degraded  TEST/storage/detector (now up): kafka server on analytic is down\n",
        "now: all 3 instances up; then: 1 down, 1 degraded of 3 instances\n",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let promised = answer(&cluster, &["stop", "kafka server", "--no-dependencies"]);
    assert_eq!(cluster.aggregator.instance("kafka server")["health"], "up", "nothing was done");
    cluster.aggregator.rta_success(&["stop", "kafka server", "--no-dependencies", "--yes"]);
    cluster.aggregator.wait_for_health("detector", "degraded");
    assert_eq!(healths(&promised["overview"]), healths(&cluster.aggregator.overview()));
}

#[test]
fn stop_takes_dependents_along_and_start_brings_prerequisites() {
    let cluster = start_cluster();
    let promised = answer(&cluster, &["stop", "kafka server"]);
    let changed: Vec<&Value> =
        promised["changes"].as_array().into_iter().flatten().map(|change| &change["after"]).collect();
    assert_eq!(changed, ["down", "down"]);
    cluster.aggregator.rta_success(&["stop", "kafka server", "--yes"]);
    cluster.aggregator.wait_for_health("detector", "down");
    assert_eq!(healths(&promised["overview"]), healths(&cluster.aggregator.overview()));
    let promised = answer(&cluster, &["start", "detector"]);
    cluster.aggregator.rta_success(&["start", "detector", "--yes"]);
    cluster.aggregator.wait_for_health("detector", "up");
    assert_eq!(healths(&promised["overview"]), healths(&cluster.aggregator.overview()));
}

#[test]
fn lost_host_leaves_everything_that_needs_it_unknown() {
    let mut cluster = start_cluster();
    let promised = answer(&cluster, &["host", "analytic", "down"]);
    cluster.agents[0].stop(Signal::KILL);
    cluster.aggregator.wait_for_health("detector", "unknown");
    // The last known state of a lost host is not evaluated.
    let without_states = |overview: &Value| -> Vec<(Value, Value, Value)> {
        healths(overview).into_iter().map(|(name, health, _, cause)| (name, health, cause)).collect()
    };
    assert_eq!(without_states(&promised["overview"]), without_states(&cluster.aggregator.overview()));
}

#[test]
fn page_and_json_answer_and_refuse() {
    let cluster = start_cluster();
    let web = &cluster.aggregator.web;
    let overview = web.get("/").body;
    let link = "/what-if?action=host-down&amp;environment=TEST&amp;host=analytic";
    assert!(overview.contains(link), "{overview}");
    let page = web.get(&link.replace("&amp;", "&"));
    assert!(page.body.contains("<h1>If host analytic were down</h1>"), "{}", page.body);
    assert!(
        page.body.contains("would be unknown, is up: the agent on analytic does not answer"),
        "{}",
        page.body
    );
    let instance = web.get("/instance?environment=TEST&host=analytic&component=kafka+server").body;
    let link = "/what-if?environment=TEST&amp;host=analytic&amp;component=kafka+server&amp;action=stop";
    assert!(instance.contains(link), "{instance}");
    let json: Value =
        serde_json::from_str(&web.get("/api/v1/what-if?action=stop&component=kafka+server").body)
            .expect("the answer is JSON");
    assert_eq!(json["changes"][0]["after"], "down");
    assert_eq!(json["plan"]["steps"].as_array().map(Vec::len), Some(2));
    for (query, status) in [
        ("action=stop&component=kafak+server", 404),
        ("action=explode&component=kafka+server", 400),
        ("action=host-down&host=nowhere", 404),
        ("action=restart&component=kafka+server", 400),
    ] {
        let refused = web.get(&format!("/api/v1/what-if?{query}"));
        assert_eq!(refused.code, status, "{query}: {}", refused.body);
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert_eq!(web.get(&format!("/what-if?{query}")).code, status, "{query}");
    }
}
