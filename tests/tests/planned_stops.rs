//! Instances stopped on purpose by a plan: requester, persistence over restarts, and starting
//! them again by plan number.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use rta_tests::{TestAggregator, TestCluster, TestConfig, binary, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Starts one host with `base`, `middle`, which depends on it, `top`, which depends on `middle`, and `apart`;
/// all of them run. `middle` stops once its gate is open; `base` does not start if it is broken.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let gated = format!(
        "[component.stop]\ntimeout = \"50s\"\ncommand = [\"/bin/sh\", \"-c\", '''touch {asked}; \
         while [ ! -e {gate} ]; do [ -d {folder} ] || exit 1; sleep 0.05; done; exit 1''']",
        asked = config.path("asked").display(),
        gate = config.path("gate").display(),
        folder = config.folder().display(),
    );
    let base = format!(
        "test ! -e {} || exit 3\nexec $stand_in --token=base-$token",
        config.path("broken").display()
    );
    let components = [
        config.scripted_component_toml("base", &base, ""),
        config.component_toml("middle", "\"base\"", &gated),
        config.component_toml("top", "\"middle\"", ""),
        config.component_toml("apart", "", ""),
    ];
    let cluster = TestCluster::builder(config)
        .components(&components.concat())
        .host("h", &["base", "middle", "top", "apart"])
        .data()
        .start();
    cluster.aggregator.wait_until_ready();
    // The agent read the configuration before it contained the agent's port; the difference
    // would raise a warning.
    wait_for("the agent to read the configuration", || {
        cluster.aggregator.rta(&["config", "reload"]).status.success().then_some(())
    });
    cluster.aggregator.rta_success(&["start", "--all", "--yes"]);
    cluster
}

fn open_gate(cluster: &TestCluster) {
    std::fs::write(cluster.config.path("gate"), "").unwrap();
}

/// Starts stopping `base`, and returns once `middle` has been asked to stop.
fn begin_to_stop(cluster: &TestCluster) -> Child {
    begin(cluster, "stop")
}

/// Begins a stop or a restart of `base`, and returns once `middle` has been asked to stop.
fn begin(cluster: &TestCluster, action: &str) -> Child {
    let child = Command::new(binary("rta"))
        .args(["--aggregator", &cluster.aggregator.grpc.to_string(), action, "base", "--yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("middle to be asked", || cluster.config.path("asked").exists().then_some(()));
    assert!(cluster.config.find_process("top").is_none() && cluster.config.find_process("base").is_some());
    child
}

/// Ends the aggregator with this signal, and starts the next one.
fn replace_aggregator(cluster: &mut TestCluster, signal: Signal) {
    cluster.aggregator.stop(signal);
    cluster.aggregator.start_again();
    cluster.aggregator.wait_until_ready();
}

/// Returns the instances that plans stopped on purpose, each with its stop.
fn stopped_instances(aggregator: &TestAggregator) -> BTreeMap<String, Value> {
    let stops = aggregator
        .instances()
        .into_iter()
        .map(|instance| (instance["component"].as_str().unwrap().to_owned(), instance["stopped_by"].clone()));
    let mut stops: BTreeMap<String, Value> = stops.filter(|(_, stop)| !stop.is_null()).collect();
    // The store keeps times to the microsecond; they are compared to the second.
    for stop in stops.values_mut() {
        stop["at"] = stop["at"].as_str().unwrap()[..19].into();
    }
    stops
}

fn wait_until_seen(aggregator: &TestAggregator, component: &str, state: &str) {
    aggregator.wait_for_instance(component, "to be seen", |instance| instance["state"] == state);
}

fn names(stopped: &BTreeMap<String, Value>) -> Vec<&str> {
    stopped.keys().map(String::as_str).collect()
}

#[test]
fn planned_stop_outlives_the_aggregator_and_is_started_again_by_its_plan() {
    let mut cluster = start_cluster();
    open_gate(&cluster);
    cluster.aggregator.rta_success(&["stop", "base", "--yes"]);
    let stopped = stopped_instances(&cluster.aggregator);
    assert_eq!(names(&stopped), ["base", "middle", "top"]);
    let (plan, user) =
        (stopped["base"]["plan"].clone(), stopped["base"]["by"]["user"].as_str().unwrap().to_owned());
    assert!(stopped.values().all(|stop| stop["plan"] == plan && stop["by"]["user"] == user.as_str()));
    assert!(!user.is_empty());

    let answer = cluster.aggregator.rta(&["check"]);
    let line = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(answer.status.code(), Some(1), "{line}");
    let expected = format!("RTA WARNING - 3 down of 4 instances: base on TEST/h is down, stopped by {user} ");
    assert!(line.starts_with(&expected) && line.contains(&format!(" (plan {plan}) |")), "{line}");

    // An unrelated end is still a failure.
    cluster.config.kill_component("apart");
    wait_until_seen(&cluster.aggregator, "apart", "stopped");
    assert_eq!(cluster.aggregator.rta(&["check"]).status.code(), Some(2));

    replace_aggregator(&mut cluster, Signal::TERM);
    assert_eq!(stopped_instances(&cluster.aggregator), stopped);
    replace_aggregator(&mut cluster, Signal::KILL);
    assert_eq!(stopped_instances(&cluster.aggregator), stopped);

    let status = String::from_utf8(cluster.aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains("TEST: 4 down of 4 instances; 3 stopped on purpose"), "{status}");
    assert!(status.contains(&format!("base on h is down: stopped by {user} ")), "{status}");
    assert!(status.contains(&format!("(plan {plan}); 2 that need it are down too: ")), "{status}");
    assert!(status.contains("apart on h is down: it is not running: ended "), "{status}");
    let again = format!("To start again the 3 that plan {plan} stopped: rta start --stopped-by {plan}\n");
    assert!(status.contains(&again), "{status}");
    // The aggregator that knew the plan's steps has ended, but the remaining effect of the plan is known.
    let page = cluster.aggregator.web.get(&format!("/plan?id={plan}"));
    assert_eq!(page.code, 200);
    assert!(page.body.contains("Start these 3 again"), "{}", page.body);

    let refused = cluster.aggregator.rta(&["stop", "--stopped-by", &plan.to_string()]);
    assert!(!refused.status.success());
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("what a plan has stopped can only be started again"), "{refused}");

    cluster.aggregator.rta_success(&["start", "--stopped-by", &plan.to_string()]);
    let states =
        ["base", "middle", "top", "apart"].map(|name| cluster.aggregator.instance(name)["state"].clone());
    assert_eq!(states, ["running", "running", "running", "stopped"]);
    assert!(stopped_instances(&cluster.aggregator).is_empty());
    let nothing = cluster.aggregator.rta(&["start", "--stopped-by", &plan.to_string()]);
    let nothing = String::from_utf8(nothing.stderr).unwrap();
    assert!(
        nothing.contains(&format!("nothing that plan {plan} has stopped is still as it left it")),
        "{nothing}"
    );
    // A later end is not attributed to the plan, not even by the next aggregator.
    cluster.config.kill_component("top");
    wait_until_seen(&cluster.aggregator, "top", "stopped");
    replace_aggregator(&mut cluster, Signal::KILL);
    assert_eq!(cluster.aggregator.instance("top")["state"], "stopped");
    assert!(stopped_instances(&cluster.aggregator).is_empty());
}

#[test]
fn plan_that_is_cut_off_marks_what_it_had_stopped_until_that_runs_again() {
    let mut cluster = start_cluster();
    let mut rta = begin_to_stop(&cluster);
    cluster.aggregator.stop(Signal::KILL);
    rta.kill().unwrap();
    rta.wait().unwrap();
    open_gate(&cluster);
    wait_for("middle to end", || cluster.config.find_process("middle").is_none().then_some(()));

    cluster.aggregator.start_again();
    cluster.aggregator.wait_until_ready();
    let stopped = wait_for("the plan to be closed", || {
        Some(stopped_instances(&cluster.aggregator)).filter(|stopped| stopped.contains_key("middle"))
    });
    assert_eq!(names(&stopped), ["middle", "top"]);
    assert_eq!(stopped["middle"]["plan"], stopped["top"]["plan"]);
    assert_eq!(stopped["middle"]["by"], stopped["top"]["by"]);
    assert_eq!(cluster.aggregator.instance("base")["state"], "running");

    // Started outside of rta, and then ended.
    let mut played = cluster.config.start_stand_in("middle");
    wait_until_seen(&cluster.aggregator, "middle", "running");
    played.kill().unwrap();
    played.wait().unwrap();
    wait_until_seen(&cluster.aggregator, "middle", "stopped");
    assert_eq!(names(&stopped_instances(&cluster.aggregator)), ["top"]);
    let middle = cluster.aggregator.instance("middle");
    assert!(middle["reason"].as_str().unwrap().starts_with("it is not running: ended"), "{middle}");
    replace_aggregator(&mut cluster, Signal::KILL);
    assert_eq!(names(&stopped_instances(&cluster.aggregator)), ["top"]);
}

#[test]
fn what_ended_by_itself_before_its_step_was_not_stopped_by_the_plan() {
    let cluster = start_cluster();
    let mut rta = begin_to_stop(&cluster);
    cluster.config.kill_component("base");
    wait_until_seen(&cluster.aggregator, "base", "stopped");
    open_gate(&cluster);
    assert!(rta.wait().unwrap().success());
    assert_eq!(names(&stopped_instances(&cluster.aggregator)), ["middle", "top"]);
    let base = cluster.aggregator.instance("base");
    assert!(base["reason"].as_str().unwrap().starts_with("it is not running: ended"), "{base}");
    assert_eq!(base["cause"], Value::Null);
    let check = cluster.aggregator.rta(&["check"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
}

#[test]
fn restart_that_is_cut_off_or_fails_marks_what_it_had_stopped() {
    let mut cluster = start_cluster();
    let mut child = begin(&cluster, "restart");
    cluster.aggregator.stop(Signal::KILL);
    open_gate(&cluster);
    child.kill().unwrap();
    child.wait().unwrap();
    cluster.aggregator.start_again();
    cluster.aggregator.wait_until_ready();
    wait_until_seen(&cluster.aggregator, "middle", "stopped");
    let marked = |aggregator: &TestAggregator| {
        wait_for("what it stopped to be marked", || {
            Some(stopped_instances(aggregator)).filter(|stopped| names(stopped) == ["middle", "top"])
        })
    };
    let plan = marked(&cluster.aggregator)["top"]["plan"].to_string();
    cluster.aggregator.rta_success(&["start", "--stopped-by", &plan, "--yes"]);
    assert_eq!(names(&stopped_instances(&cluster.aggregator)), [] as [&str; 0]);

    // What is restarted does not come up again.
    std::fs::write(cluster.config.path("broken"), "").unwrap();
    let failed = cluster.aggregator.rta(&["restart", "base", "--yes"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    marked(&cluster.aggregator);
}
