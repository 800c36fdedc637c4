//! Planned maintenance on the real binaries: its windows begin by themselves, over restarts of the aggregator.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::process::Command;

use rta_tests::{TestCluster, TestConfig, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Starts a host with `app`, and an aggregator that keeps its data.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let app = config.component_toml("app", "", "");
    let cluster = TestCluster::builder(config).components(&app).host("h", &["app"]).data().start();
    wait_for_host(&cluster);
    cluster
}

fn wait_for_host(cluster: &TestCluster) {
    cluster.aggregator.wait_for_host("the host to be heard of", |host| host["reachable"] == true);
}

/// Returns the time in so many seconds, in UTC.
fn utc_time_in(seconds: u32) -> String {
    let argument = format!("{seconds} seconds");
    let output = Command::new("date").args(["-u", "-d", &argument, "+%Y-%m-%d %H:%M:%S"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn plan_once(cluster: &TestCluster, at: &str, target: &[&str]) -> String {
    let plan =
        ["maintenance", "plan", "--at", at, "--for", "1h", "--time-zone", "UTC", "--reason", "patches"];
    cluster.aggregator.rta_success(&[&plan, target].concat())
}

fn list(cluster: &TestCluster) -> Value {
    serde_json::from_str(&cluster.aggregator.rta_success(&["maintenance", "list", "--json"])).unwrap()
}

fn active(cluster: &TestCluster) -> usize {
    list(cluster)["maintenance"].as_array().unwrap().len()
}

fn maintenance_events(cluster: &TestCluster) -> String {
    cluster.aggregator.rta_success(&["events", "--kind", "maintenance"])
}

#[test]
fn window_begins_by_itself_and_its_early_end_survives_a_restart() {
    let mut cluster = start_cluster();
    let said = plan_once(&cluster, &utc_time_in(2), &["--host", "h"]);
    assert!(said.starts_with("1 TEST/h: at ") || said.starts_with("1 h: at "), "{said}");
    wait_for("the window to begin", || (active(&cluster) == 1).then_some(()));
    assert_eq!(list(&cluster)["planned"].as_array().unwrap().len(), 0);
    cluster.aggregator.rta_success(&["maintenance", "off", "--host", "h"]);
    cluster.aggregator.stop(Signal::KILL);
    cluster.aggregator.start_again();
    wait_for_host(&cluster);
    assert_eq!(active(&cluster), 0);
    let events = maintenance_events(&cluster);
    assert_eq!(events.lines().filter(|line| line.contains(" began")).count(), 1, "{events}");
    assert_eq!(events.lines().filter(|line| line.contains(" ended")).count(), 1, "{events}");
}

#[test]
fn aggregator_that_starts_within_a_window_begins_it_for_its_rest() {
    let mut cluster = start_cluster();
    let at = utc_time_in(3);
    plan_once(&cluster, &at, &["app"]);
    assert_eq!(active(&cluster), 0);
    cluster.aggregator.stop(Signal::KILL);
    wait_for("the window's begin to pass", || (utc_time_in(0) > at).then_some(()));
    cluster.aggregator.start_again();
    wait_for_host(&cluster);
    let listed = list(&cluster);
    assert_eq!(listed["maintenance"][0]["component"], "app", "{listed}");
    // It ends an hour after its planned begin.
    let end = listed["maintenance"][0]["until"].as_str().unwrap();
    assert!(end[14..19] == at[14..19], "{end} {at}");
    assert_eq!(cluster.aggregator.rta(&["check"]).status.code(), Some(0));
}

#[test]
fn recurring_plan_is_shown_everywhere_survives_a_restart_and_is_cancelled() {
    let mut cluster = start_cluster();
    let every = ["maintenance", "plan", "--every", "sat 02:30", "--for", "2h"];
    let said = cluster
        .aggregator
        .rta_success(&[&every[..], &["--host", "h", "--time-zone", "Europe/Berlin"]].concat());
    assert!(said.contains("every sat 02:30 Europe/Berlin for 2h") && said.contains("from Sat 20"), "{said}");
    let refused = cluster.aggregator.rta(&[&every[..], &["--host", "h", "--time-zone", "Mars"]].concat());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("\"Mars\" is not known"));
    cluster.aggregator.stop(Signal::KILL);
    cluster.aggregator.start_again();
    wait_for_host(&cluster);
    let page = cluster.aggregator.web.get("/maintenance").body;
    assert!(page.contains("every sat 02:30 Europe/Berlin for 2h"), "{page}");
    // The page's forms do the same.
    let form = "environment=&host=h&component=&every=day+04%3A00&at=&length=30m&time_zone=&reason=page";
    assert_eq!(cluster.aggregator.web.post("/maintenance/plan", form).code, 303);
    let listed = list(&cluster);
    assert_eq!(listed["planned"][1]["every"], "day 04:00", "{listed}");
    assert_eq!(cluster.aggregator.web.post("/maintenance/cancel", "id=2").code, 303);
    assert_eq!(cluster.aggregator.web.post("/maintenance/begin", "host=h&length=1h").code, 303);
    assert_eq!(active(&cluster), 1);
    assert_eq!(cluster.aggregator.web.post("/maintenance/end", "host=h").code, 303);
    assert_eq!(active(&cluster), 0);
    let wrong = cluster.aggregator.web.post("/maintenance/plan", "host=h&every=sat&length=2h");
    assert!(wrong.code == 400 && wrong.body.contains("is no rule of days"), "{wrong:?}");
    let said = cluster.aggregator.rta_success(&["maintenance", "cancel", "1"]);
    assert!(said.starts_with("cancelled 1: "), "{said}");
    assert_eq!(list(&cluster)["planned"].as_array().unwrap().len(), 0);
    let gone = cluster.aggregator.rta(&["maintenance", "cancel", "1"]);
    assert!(String::from_utf8(gone.stderr).unwrap().contains("no planned maintenance 1"));
}
