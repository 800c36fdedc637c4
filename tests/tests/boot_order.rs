//! Automatic starts wait for dependencies, on the same host and on others.

use rta_tests::{ChildProcesses, TestCluster, TestConfig};
use serde_json::Value;

/// Restart rule whose limit is reached within moments.
const WANTED: &str =
    "wanted = \"running\"\nrestart = { when = \"on-failure\", backoff = \"100ms\", limit = 2 }";

fn launch_count(config: &TestConfig, component: &str) -> usize {
    let counted = std::fs::read_to_string(config.path(&format!("{component}.launches")));
    counted.unwrap_or_default().lines().count()
}

/// Returns a component that counts its launches and then runs `becomes`.
fn counted(config: &TestConfig, name: &str, needs: &str, becomes: &str) -> String {
    let count = config.path(&format!("{name}.launches"));
    let script = format!("echo launched >> {}\n{becomes}", count.display());
    let component = config.scripted_component_toml(name, &script, "");
    component.replacen("depends_on = []", &format!("depends_on = [{needs}]"), 1).replacen(
        "criteria = ",
        &format!("{WANTED}\ncriteria = "),
        1,
    )
}

/// After a boot everything is wanted at once. A component with a dependency on its own host is launched when
/// the dependency is up, and not given up for an early attempt.
#[test]
fn what_is_wanted_comes_up_after_what_it_needs() {
    let config = TestConfig::new();
    let gate = config.path("gate");
    let gate = gate.display();
    let kafka = format!("while ! [ -e {gate} ]; do sleep 0.05; done\nexec $stand_in --token=kafka-$token");
    // The process exits without Kafka.
    let writer = format!("[ -e {gate} ] || exit 1\nexec $stand_in --token=writer-$token");
    let components =
        counted(&config, "kafka", "", &kafka) + &counted(&config, "writer", "\"kafka\"", &writer);
    let cluster =
        TestCluster::builder(config).components(&components).host("h", &["writer", "kafka"]).start();
    let kafka =
        cluster.aggregator.wait_for_instance("kafka", "a launch", |kafka| kafka["state"] == "starting");
    assert_eq!(kafka["reason"], "it is being started");
    let waiting = cluster
        .aggregator
        .wait_for_instance("writer", "a wait", |writer| writer["autostart"]["waiting_for"] == "kafka");
    assert_eq!(waiting["reason"], "it is not running: never seen running; waiting for kafka");
    assert_eq!(launch_count(&cluster.config, "writer"), 0);
    std::fs::write(cluster.config.path("gate"), "").unwrap();
    let writer =
        cluster.aggregator.wait_for_instance("writer", "its turn", |writer| writer["health"] == "up");
    assert_eq!((&writer["autostart"]["restarts"], launch_count(&cluster.config, "writer")), (&1.into(), 1));
    assert_eq!(writer["autostart"]["waiting_for"], "");
}

/// Only the aggregator knows dependencies on other hosts, and informs the agent.
#[test]
fn what_is_wanted_waits_for_another_host() {
    let config = TestConfig::new();
    let writer = counted(&config, "writer", "\"kafka\"", "exec $stand_in --token=writer-$token");
    let components = config.component_toml("kafka", "", "") + &writer;
    let cluster = TestCluster::builder(config)
        .components(&components)
        .host("w", &["writer"])
        .host("k", &["kafka"])
        .start();
    let waits = |why: &'static str| {
        move |writer: &Value| {
            let reason = writer["reason"].as_str().unwrap_or_default();
            reason.starts_with(&format!("it is not running: {why}"))
                && reason.ends_with("; waiting for kafka on k")
                && writer["autostart"]["next_at"].is_null()
        }
    };
    cluster.aggregator.wait_for_instance("writer", "a wait", waits("never seen running"));
    let status = cluster.aggregator.rta(&["status"]);
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains("waiting for kafka on k"), "{said}");
    assert_eq!(launch_count(&cluster.config, "writer"), 0);

    let mut children = ChildProcesses::default();
    children.adopt(cluster.config.start_stand_in("kafka"));
    cluster.aggregator.wait_for_instance("writer", "its turn", |writer| writer["health"] == "up");
    assert_eq!(launch_count(&cluster.config, "writer"), 1);
    // A running component is not touched when Kafka ends; if it ends then, its restart waits for Kafka.
    drop(children);
    cluster.aggregator.wait_for_instance("writer", "to miss it", |writer| writer["health"] == "degraded");
    cluster.config.kill_component("writer");
    cluster.aggregator.wait_for_instance("writer", "a wait", waits("ended by SIGKILL"));
    assert_eq!(launch_count(&cluster.config, "writer"), 1);
    let mut children = ChildProcesses::default();
    children.adopt(cluster.config.start_stand_in("kafka"));
    cluster.aggregator.wait_for_instance("writer", "its turn", |writer| writer["health"] == "up");
    assert_eq!(launch_count(&cluster.config, "writer"), 2);
}
