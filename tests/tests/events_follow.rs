//! `rta events --follow` on the real binaries: every event once and in order, whatever ends in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rta_tests::{OutputReader, TestCluster, TestConfig, binary, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Command that follows events until it is dropped.
struct Following {
    child: Child,
    lines: OutputReader,
    notices: OutputReader,
}

impl Following {
    fn start(grpc: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary("rta"));
        command.args(["--aggregator", &grpc.to_string(), "events", "--follow"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = OutputReader::collect(child.stdout.take().unwrap());
        let notices = OutputReader::collect(child.stderr.take().unwrap());
        Self { child, lines, notices }
    }

    fn events(&self) -> Vec<Value> {
        self.lines.lines().iter().map(|line| without_incident(serde_json::from_str(line).unwrap())).collect()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one host with these components, its agent, and an aggregator with a data folder.
fn start_cluster(components: &[&str]) -> TestCluster {
    let config = TestConfig::new();
    let toml: String = components.iter().map(|name| config.component_toml(name, "", "")).collect();
    TestCluster::builder(config).components(&toml).host("h", components).data().start()
}

fn recorded(cluster: &TestCluster) -> Vec<Value> {
    let output = cluster.aggregator.rta(&["events", "--json", "-n", "10000"]);
    let events: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    events.into_iter().map(without_incident).collect()
}

/// Removes the incident of an event, which becomes known after the event was sent.
fn without_incident(mut event: Value) -> Value {
    event.as_object_mut().unwrap().remove("incident");
    event
}

fn count(events: &[Value], text: &str) -> usize {
    events.iter().filter(|event| event["text"].as_str().unwrap().contains(text)).count()
}

/// Waits until the follower has printed exactly the recorded events, which contain this text so many times.
fn until_followed(following: &Following, cluster: &TestCluster, text: &str, times: usize) -> Vec<Value> {
    wait_for(&format!("{text} to be followed"), || {
        let all = recorded(cluster);
        (count(&all, text) == times && all == following.events()).then_some(all)
    })
}

fn start_app(cluster: &TestCluster) {
    wait_for("app to be started", || {
        cluster.aggregator.rta(&["start", "app"]).status.success().then_some(())
    });
}

#[test]
fn every_event_is_followed_once_in_order_over_restarts_of_the_aggregator() {
    let mut cluster = start_cluster(&["app"]);
    let following = Following::start(cluster.aggregator.grpc, &["--json", "-n", "1000"]);
    start_app(&cluster);
    until_followed(&following, &cluster, "start of app on h: 1 step done", 1);
    cluster.config.kill_component("app");
    until_followed(&following, &cluster, "app on h is down", 1);

    for (signal, times) in [(Signal::KILL, 1), (Signal::TERM, 2)] {
        start_app(&cluster);
        until_followed(&following, &cluster, "start of app on h: 1 step done", times + 1);
        until_followed(&following, &cluster, "app on h is up", times + 1);
        cluster.aggregator.stop(signal);
        cluster.config.kill_component("app");
        cluster.aggregator.start_again_at_same_addresses();
        wait_for("the follower to be connected again", || {
            let is_back = |line: &&String| line.contains("the aggregator answers again");
            (following.notices.lines().iter().filter(is_back).count() == times).then_some(())
        });
    }
    start_app(&cluster);
    let all = until_followed(&following, &cluster, "start of app on h: 1 step done", 4);
    let ids: Vec<u64> = all.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!((count(&all, "rta-aggregator ended"), count(&all, " began")), (1, 3), "{all:#?}");
    assert_eq!(count(&all, "app on h is down"), 3, "{all:#?}");
}

#[test]
fn only_matching_events_are_followed_as_lines() {
    let cluster = start_cluster(&["app", "other"]);
    let rta = |arguments: &[&str]| cluster.aggregator.rta(arguments);
    let following = Following::start(cluster.aggregator.grpc, &["--component", "app", "--kind", "step"]);
    wait_for("other to be started", || rta(&["start", "other"]).status.success().then_some(()));
    assert!(rta(&["start", "app"]).status.success());
    let lines = wait_for("the step to be followed", || {
        Some(following.lines.lines()).filter(|lines| lines.iter().any(|line| line.contains("done")))
    });
    assert!(lines.iter().all(|line| line.contains(" TEST/h/app ") && line.contains(" step ")), "{lines:#?}");

    let refused = rta(&["events", "--follow", "--host", "nowhere"]);
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("host \"nowhere\" is not known"), "{said}");
}
