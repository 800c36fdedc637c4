//! Conditions beyond that a process exists: lines of the present run in the log, and limits of what is used.

use rta_tests::{TestCluster, TestConfig};
use serde_json::Value;

/// Returns true if the reason of an instance contains `text`.
fn has_reason(text: &str) -> impl Fn(&Value) -> bool {
    move |instance| instance["reason"].as_str().is_some_and(|reason| reason.contains(text))
}

#[test]
fn readiness_is_a_line_of_the_present_run_only() {
    let config = TestConfig::new();
    // It says that it is up when the file is there.
    let gate = config.path("gate");
    let script = format!(
        "until test -e '{}'; do sleep 0.05; done; echo up; exec $stand_in --token=app-$token",
        gate.display()
    );
    // The shell is the component until it becomes the stand-in.
    let script =
        format!("exec -a x bash -c \"stand_in=$stand_in; token=$token; {script}\" x \"--token=app-$token\"");
    let more = "[component.probe]\nlog = '^up$'\ninterval = '1s'\ngrace = '0s'\nfailures = 1";
    let app = config.scripted_component_toml("app", &script, more);
    let cluster = TestCluster::builder(config).components(&app).host("h", &["app"]).start();
    std::fs::write(&gate, "").expect("the file can be written");
    cluster.aggregator.rta_success(&["start", "app"]);
    cluster.aggregator.wait_for_health("app", "up");
    // The log has the line of the first run, and the second run does not get so far.
    std::fs::remove_file(&gate).expect("the file can be removed");
    cluster.config.kill_component("app");
    cluster.aggregator.wait_for_health("app", "down");
    let failed = cluster.aggregator.rta(&["start", "app"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(said.contains("this run has not written '^up$'"), "{said}");
    let untold = has_reason("log '^up$': this run has not written '^up$', nor anything else");
    cluster
        .aggregator
        .wait_for_instance("app", "not ready", |app| app["health"] == "degraded" && untold(app));
    std::fs::write(&gate, "").expect("the file can be written");
    cluster.aggregator.wait_for_health("app", "up");
}

#[test]
fn exceeded_limit_degrades_with_the_figure_and_restarts_nothing() {
    let config = TestConfig::new();
    let limits =
        "[component.limits]\nmemory = '1 kB'\ncpu = '10000%'\nopen_files = '1'\nrestarts = '0 in 1h'";
    let app = config.component_toml("app", "", limits);
    let cluster = TestCluster::builder(config).components(&app).host("h", &["app"]).start();
    cluster.aggregator.rta_success(&["start", "app"]);
    let pid = cluster.config.find_process("app");
    let is_told = has_reason("kB of memory, above 1 kB since ");
    let app = cluster
        .aggregator
        .wait_for_instance("app", "above its limits", |app| app["health"] == "degraded" && is_told(app));
    let reason = app["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(" files open in pid ") && reason.contains(", above 1 since "), "{reason}");
    assert!(!reason.contains("of a core") && !reason.contains("restarted"), "{reason}");
    assert_eq!(cluster.config.find_process("app"), pid, "it goes on");
    // It starts again without an operator, which is once too often.
    cluster.config.kill_component("app");
    cluster.aggregator.wait_for_health("app", "down");
    let mut child = cluster.config.start_stand_in("app");
    let is_told = has_reason("was restarted 1 time within 1 h, more often than 0 since ");
    cluster.aggregator.wait_for_instance("app", "restarted too often", is_told);
    child.kill().expect("it can be killed");
    child.wait().expect("it can be waited for");
}
