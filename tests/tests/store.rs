//! The aggregator's store in PostgreSQL, on the real binaries and a real server.

use rta_tests::{PostgresServer, ServerProcess, TestCluster, TestConfig, run_binary, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Starts one host with `app`, and an aggregator with this store.
fn start_cluster(store: &str) -> TestCluster {
    let config = TestConfig::new();
    let components = config.component_toml("app", "", "");
    let builder = TestCluster::builder(config).components(&components).host("h", &["app"]);
    let cluster = builder.aggregator_arguments(["--store", store]).start();
    wait_for_host(&cluster);
    cluster
}

fn wait_for_host(cluster: &TestCluster) {
    cluster.aggregator.wait_for_host("the host to be heard of", |host| host["reachable"] == true);
}

/// Waits until this number of changes of `app` from `from` to `to` is recorded.
fn wait_until_recorded(cluster: &TestCluster, from: &str, to: &str, times: usize) {
    let events = ["events", "--component", "app", "--kind", "health", "--json"];
    wait_for(&format!("{from} to {to} to be recorded"), || {
        let events: Value = serde_json::from_slice(&cluster.aggregator.rta(&events).stdout).ok()?;
        let fits = |event: &&Value| event["from"] == from && event["to"] == to;
        (events.as_array()?.iter().filter(fits).count() == times).then_some(())
    });
}

fn kill_app(cluster: &TestCluster) {
    cluster.config.kill_component("app");
    wait_for("it to be gone", || cluster.config.find_process("app").is_none().then_some(()));
}

/// Returns the message of the store's impairment.
fn impairment(cluster: &TestCluster) -> Option<String> {
    let overview = cluster.aggregator.overview();
    let store = overview["impairments"].as_array()?.iter().find(|one| one["part"] == "store")?;
    Some(store["message"].as_str()?.to_owned())
}

#[test]
fn outage_of_the_database_is_shown_and_loses_nothing() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.create_database();
    let mut cluster = start_cluster(&url);
    cluster.aggregator.rta_success(&["start", "app"]);
    wait_until_recorded(&cluster, "down", "up", 1);

    server.stop();
    let message = wait_for("the impairment", || impairment(&cluster));
    assert!(message.starts_with("events are not recorded since ") && message.contains(&url), "{message}");
    let status = String::from_utf8(cluster.aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains("events are not recorded since "), "{status}");
    let check = String::from_utf8(cluster.aggregator.rta(&["check"]).stdout).unwrap();
    assert!(check.contains("events are not recorded since "), "{check}");
    assert!(cluster.aggregator.web.get("/").body.contains("events are not recorded since "));
    // Monitoring goes on.
    kill_app(&cluster);
    cluster.aggregator.wait_for_host("app to be down", |host| host["instances"][0]["health"] == "down");

    server.start_again();
    wait_until_recorded(&cluster, "up", "down", 1);
    wait_for("the impairment to end", || impairment(&cluster).is_none().then_some(()));
    cluster.aggregator.stop(Signal::KILL);
    cluster.aggregator.start_again();
    wait_for_host(&cluster);
    cluster.aggregator.rta_success(&["refresh"]);
    wait_until_recorded(&cluster, "up", "down", 1);
    wait_until_recorded(&cluster, "down", "up", 1);
}

#[test]
fn second_aggregator_on_a_database_refuses_and_no_password_is_visible() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.create_database();
    let with_password = url.replacen("rta@", "rta:s3cret@", 1);
    let cluster = start_cluster(&with_password);
    let pid = cluster.aggregator.process.pid();
    let command_line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(
        command_line.contains("--store\0postgres://rta@") && !command_line.contains("s3cret"),
        "{command_line}"
    );
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "rta-aggregator\n");

    let config = cluster.config.folder();
    let arguments = ["--config", config.to_str().unwrap(), "--store", &with_password];
    let ports = ["--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut second = ServerProcess::start("rta-aggregator", arguments.iter().chain(&ports));
    assert_eq!(second.wait().code(), Some(1));
    let log = second.log().join("\n");
    let expected = format!("pid {pid}) records there");
    assert!(log.contains("another rta-aggregator (") && log.contains(&expected), "{log}");
    assert!(!log.contains("s3cret") && !cluster.aggregator.process.log().join("\n").contains("s3cret"));
}

#[test]
fn record_is_copied_from_sqlite_to_postgresql() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.create_database();
    let config = TestConfig::new();
    let sqlite = format!("sqlite:{}", config.path("data").display());
    let components = config.component_toml("app", "", "");
    let builder = TestCluster::builder(config).components(&components).host("h", &["app"]);
    let mut cluster = builder.aggregator_arguments(["--store", &sqlite]).start();
    wait_for_host(&cluster);
    cluster.aggregator.rta_success(&["start", "app"]);
    wait_until_recorded(&cluster, "down", "up", 1);
    let migrate = || run_binary("rta", ["store", "migrate", "--from", &sqlite, "--to", &url]);
    let refused = migrate();
    let reported = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && reported.contains("records there; end it first"), "{reported}");

    cluster.aggregator.stop(Signal::TERM);
    let copied = migrate();
    let reported = String::from_utf8_lossy(&copied.stdout);
    let is_copied = reported.contains("events") && reported.contains("rows are copied");
    assert!(copied.status.success() && is_copied, "{copied:?}");
    let refused = migrate();
    let reported = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && reported.contains("it is not empty"), "{reported}");
    let number = server.run_sql(&url, "SELECT count(*) FROM events");
    assert!(number.parse::<u32>().unwrap() > 3, "{number}");
}
