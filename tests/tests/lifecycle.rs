//! Agent and aggregator with unread logs, and their notifications to a supervisor.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rta_shared::timing::MAX_AGENT_SILENCE;
use rta_tests::{ServerProcess, TestCluster, TestConfig, binary, wait_for};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::Value;

/// Starts an aggregator and the agent, with further arguments, of one host with `app`, which is restarted
/// automatically.
fn start_cluster(config: TestConfig, agent_arguments: &[&str]) -> TestCluster {
    let app = config.component_toml("app", "", "");
    let rule = "restart = { when = \"always\", backoff = \"100ms\", limit = 100 }\nwanted = \"running\"";
    let app = app.replacen("name = \"app\"\n", &format!("name = \"app\"\n{rule}\n"), 1);
    let cluster = TestCluster::builder(config)
        .components(&app)
        .host("h", &["app"])
        .agent_arguments(agent_arguments)
        .start();
    cluster.aggregator.wait_for_health("app", "up");
    cluster
}

/// Kills `app`, and waits until it has been restarted and the aggregator shows that.
fn lose_app(cluster: &TestCluster) {
    let old = cluster.config.find_process("app").unwrap();
    cluster.config.kill_component("app");
    // After several restarts it is "flapping"; only the arrival of updates matters here.
    cluster.aggregator.wait_for_instance("app", "to be brought back", |instance| {
        instance["state"] == "running" && instance["pids"][0] != old
    });
}

/// Asserts that the shown state stays correct without readers of the logs, and that both
/// programs stop on request.
fn assert_correct_until_stopped(mut cluster: TestCluster) {
    lose_app(&cluster);
    lose_app(&cluster);
    let output = cluster.aggregator.rta(&["stop", "app"]);
    assert!(output.status.success(), "{output:?}");
    cluster.aggregator.wait_for_health("app", "down");
    assert_eq!(cluster.aggregator.web.get("/readyz").code, 200);
    cluster.agents[0].process.signal(Signal::TERM);
    assert_eq!(cluster.agents[0].process.wait().code(), Some(0));
    cluster.aggregator.wait_for_host("the host to be unknown", |host| {
        host["reachable"] == false && host["instances"][0]["health"] == "unknown"
    });
    cluster.aggregator.process.signal(Signal::TERM);
    assert_eq!(cluster.aggregator.process.wait().code(), Some(0));
}

#[test]
fn closed_logs_freeze_nothing_and_are_reported() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    cluster.agents[0].process.close_log();
    cluster.aggregator.process.close_log();
    lose_app(&cluster);
    lose_app(&cluster);
    cluster.aggregator.wait_for_host("the agent's log to be reported", |host| {
        host["impairments"].as_array().is_some_and(|all| all.iter().any(|one| one["part"] == "log"))
    });
    let status = String::from_utf8(cluster.aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains("warning: h: the log cannot be written to standard error"), "{status}");
    let check = wait_for("the aggregator's log to be reported", || {
        let output = cluster.aggregator.rta(&["check"]);
        let line = String::from_utf8(output.stdout).unwrap();
        let notices = "; the log cannot be written to standard error: Broken pipe";
        (line.starts_with("RTA WARNING - ") && line.contains(notices)).then_some(output.status.code())
    });
    assert_eq!(check, Some(1));
    assert_correct_until_stopped(cluster);
}

#[test]
fn full_log_pipes_freeze_nothing() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    cluster.agents[0].process.stall_log();
    cluster.aggregator.process.stall_log();
    // More than a pipe holds: each request to reload is logged.
    for program in [&cluster.agents[0].process, &cluster.aggregator.process] {
        for _ in 0..400 {
            program.signal(Signal::HUP);
            cluster.aggregator.web.get("/healthz");
        }
    }
    assert_correct_until_stopped(cluster);
}

#[test]
fn full_state_disk_is_told_to_whoever_stops_something_and_forgets_nothing_later() {
    let config = TestConfig::new();
    let state = config.path("state");
    std::fs::create_dir(&state).unwrap();
    let mut cluster = start_cluster(config, &["--state", state.to_str().unwrap()]);
    // Writes to this file find the disk full.
    let new = state.join("agent.json.new");
    wait_for("no writing to be under way", || std::os::unix::fs::symlink("/dev/full", &new).ok());
    let output = cluster.aggregator.rta(&["stop", "app"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("app: stopped in "), "{said}");
    assert!(
        said.contains("it was not stored, and a restart of rta-agent loses it: ")
            && said.contains("No space left"),
        "{said}"
    );
    let is_impaired = |host: &Value| {
        host["impairments"].as_array().is_some_and(|all| all.iter().any(|one| one["part"] == "state"))
    };
    cluster.aggregator.wait_for_host("the state folder to be reported", is_impaired);
    let check = String::from_utf8(cluster.aggregator.rta(&["check"]).stdout).unwrap();
    assert!(check.contains("TEST/h: ") && check.contains("agent.json cannot be written"), "{check}");

    std::fs::remove_file(&new).unwrap();
    let said = String::from_utf8(cluster.aggregator.rta(&["stop", "app"]).stdout).unwrap();
    assert!(!said.contains("not kept"), "{said}");
    cluster.aggregator.wait_for_host("the state folder to be well again", |host| !is_impaired(host));
    // The next agent remembers that the component must stay stopped.
    cluster.agents[0].process.signal(Signal::KILL);
    cluster.agents[0].process.wait();
    let kept = std::fs::read_to_string(state.join("agent.json")).unwrap();
    assert!(kept.contains("\"stopped\""), "{kept}");
}

/// Returns true if a process catches a signal, according to /proc.
fn catches(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    caught & (1 << (signal.as_raw() - 1)) != 0
}

#[test]
fn program_that_hangs_in_its_beginning_ends_when_it_is_asked_to() {
    let config = TestConfig::new();
    // A read of the configuration that never ends, as on a hung disk.
    mkfifoat(CWD, config.folder().join("hangs.toml"), Mode::RWXU).unwrap();
    let folder = config.folder();
    for name in ["rta-agent", "rta-aggregator"] {
        let mut program = ServerProcess::start(name, ["--config", folder.to_str().unwrap()]);
        wait_for("it to catch signals", || catches(program.pid(), Signal::TERM).then_some(()));
        program.signal(Signal::TERM);
        assert_eq!(program.wait().code(), Some(1));
        let notices = wait_for("its last message", || {
            let log = program.log();
            log.iter().any(|line| line.contains("orderly end took longer than 4 s")).then_some(log)
        });
        assert!(notices.iter().any(|line| line.contains("shutting down")), "{notices:?}");
    }
}

#[test]
fn aggregator_that_did_not_run_for_a_while_loses_no_agent() {
    let config = TestConfig::new();
    let components = ["one", "two"].map(|name| config.component_toml(name, "", "")).concat();
    let earlier = ["one", "two"].map(|name| config.start_stand_in(name));
    let cluster = TestCluster::builder(config)
        .components(&components)
        .host("h1", &["one"])
        .host("h2", &["two"])
        .data()
        .start();
    let aggregator = &cluster.aggregator;
    ["one", "two"].iter().for_each(|name| drop(aggregator.wait_for_health(name, "up")));
    aggregator.process.signal(Signal::STOP);
    // A process that is stopped cannot be told that time has passed.
    std::thread::sleep(MAX_AGENT_SILENCE * 2);
    cluster.config.kill_component("two");
    aggregator.process.signal(Signal::CONT);
    let told = wait_for("the event of the pause", || {
        let mut events = aggregator.events("kind=aggregator").into_iter();
        events.find(|event| event["to"] == "resumed")
    });
    assert!(told["text"].as_str().unwrap().starts_with("the aggregator did not run for 6 s: "), "{told}");
    // What happened meanwhile is seen, and nothing else.
    aggregator.wait_for_health("two", "down");
    assert_eq!(aggregator.wait_for_health("one", "up")["health"], "up");
    let is_lost = |event: &&Value| event["to"] == "unreachable" || event["to"] == "unknown";
    let events = aggregator.events("limit=1000");
    assert_eq!(events.iter().find(is_lost), None, "{events:#?}");
    let answer = aggregator.web.get("/api/v1/incidents").body;
    let incidents: Value = serde_json::from_str(&answer).unwrap();
    let kinds: Vec<&Value> =
        incidents["incidents"].as_array().unwrap().iter().map(|incident| &incident["kind"]).collect();
    assert!(kinds.iter().all(|kind| **kind == "failure"), "{answer}");
    // An agent that is silent afterwards is lost.
    cluster.agents[0].process.signal(Signal::STOP);
    aggregator.wait_for_overview("the host to be unknown", |overview| {
        overview["environments"][0]["hosts"][0]["reachable"] == false
    });
    cluster.agents[0].process.signal(Signal::CONT);
    for mut child in earlier {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn supervisor_is_told_of_readiness_life_and_end() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let socket = config.path("notify");
    let notified = UnixDatagram::bind(&socket).unwrap();
    let mut command = Command::new(binary("rta-agent"));
    command.arg("--config").arg(config.folder()).args(["--host", "h", "--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "2000000");
    let mut agent = ServerProcess::spawn(command);
    agent.address("address");
    let notices = || {
        let mut message = [0; 1024];
        let length = notified.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    assert_eq!(notices(), "READY=1");
    assert_eq!(notices(), "WATCHDOG=1");
    assert_eq!(notices(), "WATCHDOG=1");
    agent.signal(Signal::TERM);
    while notices() != "STOPPING=1" {}
    assert_eq!(agent.wait().code(), Some(0));
}
