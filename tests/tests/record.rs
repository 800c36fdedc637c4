//! Event store and maintenance on the real binaries, over restarts and damage.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use rta_tests::{ClusterBuilder, ServerProcess, TestCluster, TestConfig, WebClient, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Describes one host with `app` and `other`, and an aggregator that keeps its data. Adds `rule` to the table
/// of `app`.
fn describe_cluster(rule: &str) -> ClusterBuilder {
    let config = TestConfig::new();
    let app = config.component_toml("app", "", "");
    let app = app.replacen("name = \"app\"\n", &format!("name = \"app\"\n{rule}\n"), 1);
    let components = app + &config.component_toml("other", "", "");
    TestCluster::builder(config).components(&components).host("h", &["app", "other"]).data()
}

/// Starts the cluster, and waits until the host's state is known.
fn start_cluster(builder: ClusterBuilder) -> TestCluster {
    let cluster = builder.start();
    wait_for_host(&cluster);
    cluster
}

fn wait_for_host(cluster: &TestCluster) {
    cluster.aggregator.wait_for_host("the host to be heard of", |host| host["reachable"] == true);
}

fn kill_app(cluster: &TestCluster) {
    cluster.config.kill_component("app");
    wait_for("it to be gone", || cluster.config.find_process("app").is_none().then_some(()));
}

fn start_next_aggregator(cluster: &mut TestCluster) {
    cluster.aggregator.start_again();
    wait_for_host(cluster);
}

/// Returns the number of recorded changes of `app` from `from` to `to`.
fn count_changes(cluster: &TestCluster, from: &str, to: &str) -> usize {
    let events = ["events", "--component", "app", "--kind", "health", "--json"];
    let events: Value = serde_json::from_str(&cluster.aggregator.rta_success(&events)).unwrap();
    let events = events.as_array().unwrap();
    events.iter().filter(|event| event["from"] == from && event["to"] == to).count()
}

fn wait_until_recorded(cluster: &TestCluster, from: &str, to: &str, times: usize) {
    wait_for(&format!("{from} to {to} to be recorded"), || {
        (count_changes(cluster, from, to) == times).then_some(())
    });
}

#[test]
fn changes_and_actions_are_recorded_and_an_outage_of_the_aggregator_hides_none() {
    let mut cluster = start_cluster(describe_cluster(""));
    cluster.aggregator.rta_success(&["start", "app"]);
    wait_until_recorded(&cluster, "down", "up", 1);
    kill_app(&cluster);
    wait_until_recorded(&cluster, "up", "down", 1);
    let said = cluster.aggregator.rta_success(&["events"]);
    assert!(said.contains("up -> down: app on h is down: it is not running"), "{said}");
    assert!(said.contains("start of app on h: 1 step done") && said.contains("from 127.0.0.1)"), "{said}");
    let page = cluster.aggregator.web.get("/events?component=app").body;
    assert!(page.contains("app on h is down: it is not running"), "{page}");

    // The next aggregator knows the earlier state, and records a change that happened in between once.
    cluster.aggregator.rta_success(&["start", "app"]);
    wait_until_recorded(&cluster, "down", "up", 2);
    cluster.aggregator.stop(Signal::KILL);
    kill_app(&cluster);
    start_next_aggregator(&mut cluster);
    wait_until_recorded(&cluster, "up", "down", 2);
    cluster.aggregator.rta_success(&["refresh"]);
    assert_eq!((count_changes(&cluster, "down", "up"), count_changes(&cluster, "up", "down")), (2, 2));
}

#[test]
fn a_damaged_record_is_kept_aside_and_monitoring_goes_on() {
    let builder = describe_cluster("");
    let data = builder.config().path("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("rta.db"), "this is no database ".repeat(500)).unwrap();
    let cluster = start_cluster(builder);
    let said = wait_for("the damage to be told", || {
        Some(cluster.aggregator.rta_success(&["events"])).filter(|said| said.contains("could not be used"))
    });
    assert!(said.contains("rta.db.corrupt-"), "{said}");
    cluster.aggregator.rta_success(&["start", "app"]);
    wait_until_recorded(&cluster, "down", "up", 1);
    let kept =
        std::fs::read_dir(&data).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    assert_eq!(kept.filter(|name| name.starts_with("rta.db.corrupt-")).count(), 1);
}

#[test]
fn a_folder_that_cannot_be_used_is_told_and_monitoring_goes_on() {
    let builder = describe_cluster("");
    std::fs::write(builder.config().path("data"), "a file, no folder").unwrap();
    let cluster = start_cluster(builder);
    let impairment = &cluster.aggregator.overview()["impairments"][0];
    assert_eq!(impairment["part"], "store");
    let error = impairment["message"].as_str().unwrap().to_owned();
    assert!(error.contains("data"), "{error}");
    let status = String::from_utf8(cluster.aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains(&error), "{status}");
    let check = String::from_utf8(cluster.aggregator.rta(&["check"]).stdout).unwrap();
    assert!(check.contains(&error), "{check}");
    assert!(cluster.aggregator.web.get("/").body.contains(error.split(':').next().unwrap()));
    cluster.aggregator.rta_success(&["start", "app"]);
    wait_until_recorded(&cluster, "down", "up", 1);
}

#[test]
fn deleted_data_folder_is_written_again_and_nothing_is_lost() {
    let mut cluster = start_cluster(describe_cluster(""));
    cluster.aggregator.rta_success(&["start", "app"]);
    wait_until_recorded(&cluster, "down", "up", 1);
    let data = cluster.config.path("data");
    std::fs::remove_dir_all(&data).unwrap();
    wait_for("it to be written again", || data.join("rta.db").exists().then_some(()));
    kill_app(&cluster);
    wait_until_recorded(&cluster, "up", "down", 1);
    cluster.aggregator.stop(Signal::KILL);
    start_next_aggregator(&mut cluster);
    assert_eq!((count_changes(&cluster, "down", "up"), count_changes(&cluster, "up", "down")), (1, 1));
    let events = cluster.aggregator.rta_success(&["events", "--kind", "aggregator"]);
    assert!(events.contains("was deleted or replaced while it was open"), "{events}");
}

#[test]
fn second_aggregator_on_a_data_folder_refuses_unless_it_is_read_only() {
    let cluster = start_cluster(describe_cluster(""));
    let (config, data) = (cluster.config.folder(), cluster.config.path("data"));
    let arguments = ["--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let ports = ["--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut second = ServerProcess::start("rta-aggregator", arguments.iter().chain(&ports));
    assert_eq!(second.wait().code(), Some(1));
    let expected = format!("another rta-aggregator (pid {}) records there", cluster.aggregator.process.pid());
    assert!(second.log().iter().any(|line| line.contains(&expected)), "{:?}", second.log());
    let mut second =
        ServerProcess::start("rta-aggregator", arguments.iter().chain(&ports).chain(&["--read-only"]));
    let web = WebClient(second.address("web"));
    let overview: Value = serde_json::from_str(&web.get("/api/v1/overview").body).unwrap();
    assert!(overview["impairments"][0]["message"].as_str().unwrap().contains(&expected), "{overview}");
}

#[test]
fn maintenance_is_shown_everywhere_keeps_check_quiet_and_ends_by_itself() {
    let mut cluster = start_cluster(describe_cluster(""));
    cluster.aggregator.rta_success(&["start", "other"]);
    let check = cluster.aggregator.rta(&["check"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    let said = cluster.aggregator.rta_success(&["maintenance", "on", "app", "--reason", "new <disks>"]);
    assert!(said.contains("TEST/h/app: in maintenance: new <disks>"), "{said}");
    let check = cluster.aggregator.rta(&["check"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(String::from_utf8(check.stdout).unwrap().contains("1 in maintenance"));
    let app = &cluster.aggregator.overview()["environments"][0]["hosts"][0]["instances"][0];
    assert_eq!((&app["health"], &app["maintenance"]["reason"]), (&"down".into(), &"new <disks>".into()));
    assert!(cluster.aggregator.web.get("/").body.contains("in maintenance: new &lt;disks&gt;"));
    let status = String::from_utf8(cluster.aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains("(in maintenance: new <disks>"), "{status}");

    // Maintenance survives the aggregator, and can be ended.
    cluster.aggregator.stop(Signal::KILL);
    start_next_aggregator(&mut cluster);
    assert_eq!(cluster.aggregator.rta(&["check"]).status.code(), Some(0));
    cluster.aggregator.rta_success(&["maintenance", "off", "app"]);
    assert_eq!(cluster.aggregator.rta(&["check"]).status.code(), Some(2));
    cluster.aggregator.rta_success(&["maintenance", "on", "--host", "h", "--for", "1s"]);
    wait_for("the maintenance to end", || {
        (cluster.aggregator.rta(&["check"]).status.code() == Some(2)).then_some(())
    });
    let events = wait_for("the end to be recorded", || {
        Some(cluster.aggregator.rta_success(&["events", "--kind", "maintenance"]))
            .filter(|events| events.contains("its time is over"))
    });
    assert_eq!(events.lines().count(), 4, "{events}");
}

#[test]
fn an_aggregator_that_lost_its_record_does_not_end_what_it_knows_nothing_of() {
    let mut cluster = start_cluster(describe_cluster("restart = { when = \"always\", backoff = \"100ms\" }"));
    let why = |cluster: &TestCluster| {
        cluster.aggregator.rta_success(&["refresh"]);
        let app = &cluster.aggregator.overview()["environments"][0]["hosts"][0]["instances"][0];
        app["autostart"]["why"].as_str().unwrap_or_default().to_owned()
    };
    cluster.aggregator.rta_success(&["start", "app"]);
    cluster.aggregator.rta_success(&["maintenance", "on", "app"]);
    wait_for("the agent to know", || why(&cluster).contains("in maintenance").then_some(()));
    cluster.aggregator.stop(Signal::KILL);
    std::fs::remove_dir_all(cluster.config.path("data")).unwrap();
    start_next_aggregator(&mut cluster);
    kill_app(&cluster);
    wait_for("it to be seen", || {
        cluster.aggregator.rta_success(&["refresh"]);
        (cluster.aggregator.overview()["environments"][0]["hosts"][0]["instances"][0]["health"] == "down")
            .then_some(())
    });
    assert!(why(&cluster).contains("in maintenance"), "{}", why(&cluster));
    assert!(cluster.config.find_process("app").is_none());
    // An operator's decision replaces it.
    cluster.aggregator.rta_success(&["maintenance", "off", "app"]);
    wait_for("it to be started again", || cluster.config.find_process("app"));
}
