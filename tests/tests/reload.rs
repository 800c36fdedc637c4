//! Reloads of the configuration on the real binaries: a valid one takes effect at once, an invalid one
//! changes nothing and is reported, and no process is touched.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::process::Stdio;

use rta_tests::{OutputReader, TestAgent, TestCluster, TestConfig, binary, run_binary, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Starts host `one` with the component `app`, its agent, and an aggregator.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let app = config.component_toml("app", "", "");
    TestCluster::builder(config).components(&app).host("one", &["app"]).start()
}

/// Starts `app` and returns its processes.
fn start_app(cluster: &TestCluster) -> Vec<u32> {
    cluster.aggregator.rta_success(&["start", "app", "--host", "one"]);
    let processes = cluster.config.processes();
    assert_eq!(processes.len(), 1);
    processes
}

/// Returns the TOML of the environment TEST and its first host.
fn host(name: &str, components: &str, agent: SocketAddr) -> String {
    format!("[[environment]]\nname = \"TEST\"\n{}", one_more(name, components, agent))
}

fn one_more(name: &str, components: &str, agent: SocketAddr) -> String {
    format!(
        "[[environment.host]]\nname = \"{name}\"\ncomponents = [{components}]\nagent = \"http://{agent}\"\n"
    )
}

fn names(overview: &Value) -> Vec<String> {
    let hosts = overview["environments"][0]["hosts"].as_array().unwrap();
    let names = hosts.iter().flat_map(|host| {
        let instances = host["instances"].as_array().unwrap().iter();
        instances.map(move |instance| {
            format!("{}/{}", host["name"].as_str().unwrap(), instance["component"].as_str().unwrap())
        })
    });
    names.collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_hangup_makes_the_aggregator_take_hosts_and_components_and_touches_no_process() {
    let cluster = start_cluster();
    let before = start_app(&cluster);
    cluster
        .aggregator
        .wait_for_overview("app to be up", |overview| overview["environments"][0]["health"] == "up");

    // The new host comes first: the known state of the other host must stay with that host.
    let components =
        cluster.config.component_toml("app", "", "") + &cluster.config.component_toml("other", "", "");
    cluster.config.write("components.toml", &components);
    let one = cluster.agents[0].address;
    let hosts = |two: SocketAddr| host("two", "\"other\"", two) + &one_more("one", "\"app\"", one);
    // The agent's port is not known before it listens.
    cluster.config.write("hosts.toml", &hosts(SocketAddr::from(([127, 0, 0, 1], 1))));
    let two = TestAgent::start(&cluster.config, "two", &[""; 0]);
    cluster.config.write("hosts.toml", &hosts(two.address));
    two.reload();
    cluster.aggregator.process.signal(Signal::HUP);
    let overview = cluster.aggregator.wait_for_overview("both hosts to be heard of", |overview| {
        names(overview) == ["two/other", "one/app"]
            && overview["environments"][0]["hosts"][0]["instances"][0]["state"] == "stopped"
    });
    let app = &overview["environments"][0]["hosts"][1]["instances"][0];
    assert_eq!((&app["health"], &app["pids"][0]), (&"up".into(), &before[0].into()));
    assert_eq!(cluster.config.processes(), before);
    let log = cluster.aggregator.process.log().join("\n");
    assert!(log.contains(r#"environment \"TEST\": host two added"#), "{log}");

    // An added component can be started; a removed one is forgotten but keeps running.
    assert!(cluster.aggregator.rta(&["start", "other"]).status.success());
    let both = cluster.config.processes();
    assert_eq!(both.len(), 2);
    cluster.config.write("hosts.toml", &host("one", "\"app\"", cluster.agents[0].address));
    cluster.aggregator.process.signal(Signal::HUP);
    cluster.aggregator.wait_for_overview("the host to be gone", |overview| names(overview) == ["one/app"]);
    assert_eq!(cluster.config.processes(), both);
    let gone = cluster.aggregator.rta(&["stop", "other"]);
    assert!(text(&gone.stderr).contains("\"other\" is not on any host"), "{gone:?}");
    drop(two);
}

#[test]
fn a_reload_by_the_command_tells_each_place_what_changed() {
    let cluster = start_cluster();
    let before = start_app(&cluster);
    cluster.config.write(
        "hosts.toml",
        &(host("one", "\"app\"", cluster.agents[0].address) + "variables = { level = \"info\" }\n"),
    );
    let digest = cluster.aggregator.overview()["config_digest"].clone();
    let reload = cluster.aggregator.rta(&["config", "reload"]);
    let said = text(&reload.stdout);
    // The agent's own components are the same with and without the variable.
    assert_eq!(said, "aggregator: reloaded\n  host one: variables changed: level\nTEST/one: unchanged\n");
    assert_eq!(reload.status.code(), Some(0), "{reload:?}");
    assert_ne!(cluster.aggregator.overview()["config_digest"], digest);
    let again = text(&cluster.aggregator.rta(&["config", "reload"]).stdout);
    assert_eq!(again, "aggregator: unchanged\nTEST/one: unchanged\n");
    assert_eq!(cluster.config.processes(), before);

    let mut shell = std::process::Command::new(binary("rta"))
        .args(["--aggregator", &cluster.aggregator.grpc.to_string(), "shell"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = OutputReader::collect(shell.stdout.take().unwrap());
    use std::io::Write as _;
    shell.stdin.take().unwrap().write_all(b"config reload\n").unwrap();
    let status = wait_for("the shell to end", || shell.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    wait_for("the reload to be told", || {
        out.lines().contains(&"aggregator: unchanged".to_owned()).then_some(())
    });
}

#[test]
fn two_reloads_at_once_are_done_one_after_the_other() {
    let cluster = start_cluster();
    cluster.config.write("more.toml", "# one more file\n");
    let aggregator = cluster.aggregator.grpc.to_string();
    let reloads: Vec<_> = (0..2)
        .map(|_| {
            std::process::Command::new(binary("rta"))
                .args(["--aggregator", &aggregator, "config", "reload"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut said: Vec<String> =
        reloads.into_iter().map(|reload| text(&reload.wait_with_output().unwrap().stdout)).collect();
    said.sort();
    assert!(said[0].starts_with("aggregator: reloaded\n  only how it is written changed"), "{said:?}");
    assert!(said[1].starts_with("aggregator: unchanged\n"), "{said:?}");
}

#[test]
fn a_broken_configuration_keeps_the_old_one_and_is_told_on_every_surface() {
    let cluster = start_cluster();
    let before = start_app(&cluster);
    let sound = cluster
        .aggregator
        .wait_for_overview("app to be up", |overview| overview["environments"][0]["health"] == "up");
    let right = std::fs::read_to_string(cluster.config.folder().join("hosts.toml")).unwrap();
    cluster.config.write("hosts.toml", &(right.clone() + "rol = \"x\"\n[[environment.host]]\nnam = \"y\"\n"));
    let reload = cluster.aggregator.rta(&["config", "reload"]);
    assert_eq!(reload.status.code(), Some(1));
    let said = text(&reload.stdout);
    let problem = "hosts.toml:7:1: host \"one\": key \"rol\" is not known; did you mean \"role\"?";
    assert!(said.starts_with("aggregator: NOT reloaded, the old configuration goes on\n"), "{said}");
    assert!(said.contains(problem) && said.contains("TEST/one: "), "{said}");

    let overview = cluster.aggregator.overview();
    assert_eq!(overview["config_digest"], sound["config_digest"]);
    assert!(overview["config_error"].as_str().unwrap().lines().count() > 1, "{overview}");
    assert_eq!(names(&overview), ["one/app"]);
    let page = cluster.aggregator.web.get("/").body;
    assert!(page.contains("The configuration on disk is invalid; the previous one stays in use:"), "{page}");
    assert!(
        page.contains("hosts.toml:7:1: host &quot;one&quot;: key &quot;rol&quot; is not known"),
        "{page}"
    );
    let status = cluster.aggregator.rta(&["status"]);
    assert_eq!(status.status.code(), Some(0), "what runs is up all the same");
    let said = text(&status.stdout);
    assert!(said.contains(
        "warning: the aggregator's configuration on disk is invalid; the previous one stays in use: "
    ));
    assert!(said.contains(problem), "{said}");
    assert_eq!(cluster.config.processes(), before);

    // The error disappears with the next valid configuration, even if it is the old one.
    cluster.config.write("hosts.toml", &right);
    cluster.aggregator.process.signal(Signal::HUP);
    cluster
        .aggregator
        .wait_for_overview("the error to be gone", |overview| overview["config_error"].is_null());
    assert!(!cluster.aggregator.web.get("/").body.contains("The configuration on disk is invalid"));
    assert_eq!(cluster.config.processes(), before);
}

#[test]
fn an_agent_with_another_configuration_is_shown_as_differing() {
    let cluster = start_cluster();
    // The agent started with another address in this file; only the aggregator reloads it.
    let before = cluster.aggregator.wait_for_overview("the aggregator's first overview", |overview| {
        overview["config_digest"].is_string()
    });
    cluster.config.write("more.toml", "# one more file\n");
    cluster.aggregator.process.signal(Signal::HUP);
    let overview = cluster.aggregator.wait_for_overview("the agent to differ from the new one", |overview| {
        overview["config_digest"] != before["config_digest"]
            && overview["environments"][0]["hosts"][0]["agent"]["config_differs"] == true
    });
    let digest = overview["config_digest"].as_str().unwrap();
    let own = overview["environments"][0]["hosts"][0]["agent"]["config_digest"].as_str().unwrap();
    let page = cluster.aggregator.web.get("/").body;
    let expected = format!("another configuration ({own}) than the aggregator ({digest})");
    assert!(page.contains(&expected), "{expected}\n{page}");
    let said = text(&cluster.aggregator.rta(&["status"]).stdout);
    let expected = "warning: 1 agent on another configuration than the aggregator's: one (";
    assert!(said.contains(expected), "{said}");
    let said = text(&cluster.aggregator.rta(&["status", "--verbose"]).stdout);
    for expected in [
        format!("configuration {own}, NOT the aggregator's {digest}"),
        "TEST/one\n  agent ".to_owned(),
        ", watching by ".to_owned(),
        "last full scan ".to_owned(),
    ] {
        assert!(said.contains(&expected), "{expected}\n{said}");
    }
}

#[test]
fn a_start_under_way_goes_on_through_a_reload() {
    let config = TestConfig::new();
    // It settles for a second, long enough for the reload to happen in between.
    let slow = config.component_toml("slow", "", "").replace("settle = \"0s\"", "settle = \"1s\"");
    let cluster = TestCluster::builder(config).components(&slow).host("one", &["slow"]).start();
    let grpc = cluster.aggregator.grpc.to_string();
    let starting = std::process::Command::new(binary("rta"))
        .args(["--aggregator", &grpc, "start", "slow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the process to be launched", || (cluster.config.processes().len() == 1).then_some(()));
    let processes = cluster.config.processes();
    // By then even the host's name has changed.
    cluster.config.write("hosts.toml", &host("renamed", "\"slow\"", cluster.agents[0].address));
    cluster.aggregator.process.signal(Signal::HUP);
    wait_for("the reload", || {
        cluster
            .aggregator
            .process
            .log()
            .iter()
            .any(|line| line.contains("configuration loaded"))
            .then_some(())
    });
    let output = starting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("started in"), "{output:?}");
    assert_eq!(cluster.config.processes(), processes);
}

#[test]
fn an_aggregator_that_is_not_there_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = run_binary("rta", ["--aggregator", &nobody, "config", "reload"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stderr).contains("is rta-aggregator running there?"), "{output:?}");
}
