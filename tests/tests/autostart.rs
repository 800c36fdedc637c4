//! Automatic restarts by the agent.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::process::Command;
use std::time::{Duration, Instant};

use rta_shared::proto::v1;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use rta_tests::{ChildProcesses, ServerProcess, TestConfig, request_target, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use tonic::Status;
use tonic::transport::Channel;

type Client = AgentServiceClient<Channel>;

/// Creates a configuration with one host `h` that carries `app`, with `rule` in its table.
fn config(rule: &str) -> TestConfig {
    let config = TestConfig::new();
    write(&config, &config.component_toml("app", "", ""), rule);
    config
}

fn write(config: &TestConfig, component: &str, rule: &str) {
    let text = component.replacen("name = \"app\"\n", &format!("name = \"app\"\n{rule}\n"), 1);
    let host = "[[environment]]\nname = \"TEST\"\nhost = [{ name = \"h\", components = [\"app\"] }]\n";
    config.write("site.toml", &(text + host));
}

/// Starts an agent that keeps its state in the test's folder.
async fn agent(config: &TestConfig) -> (ServerProcess, Client) {
    let state = config.path("state");
    let (agent, address) = config.start_agent_with("h", "127.0.0.1:0", &["--state", state.to_str().unwrap()]);
    (agent, Client::connect(format!("http://{address}")).await.unwrap())
}

/// Kills the agent with SIGKILL and starts another one.
async fn next_agent(config: &TestConfig, mut agent: ServerProcess) -> (ServerProcess, Client) {
    agent.signal(Signal::KILL);
    agent.wait();
    self::agent(config).await
}

fn ann() -> Option<v1::Requester> {
    Some(v1::Requester { user: "ann".to_owned(), address: String::new() })
}

async fn act(client: &mut Client, kind: v1::ActionKind) -> Result<(), Status> {
    let target = request_target(client).await;
    let component = "app".to_owned();
    let request = v1::AgentServiceActRequest {
        kind: kind.into(),
        component,
        by: ann(),
        target,
        request_id: String::new(),
    };
    let mut events = client.act(request).await?.into_inner();
    while events.message().await?.is_some() {}
    Ok(())
}

async fn start(client: &mut Client) -> Result<(), Status> {
    act(client, v1::ActionKind::Start).await
}

async fn stop(client: &mut Client) -> Result<(), Status> {
    act(client, v1::ActionKind::Stop).await
}

async fn maintain(client: &mut Client, maintenance: &[(&str, Option<u64>)]) {
    let maintenance = maintenance.iter().map(|(component, seconds)| v1::AgentMaintenance {
        component: (*component).to_owned(),
        remaining: seconds.map(|seconds| Duration::from_secs(seconds).try_into().unwrap()),
    });
    let target = request_target(client).await;
    let request = v1::AgentServiceSetMaintenanceRequest { maintenance: maintenance.collect(), target };
    client.set_maintenance(request).await.unwrap();
}

/// Waits until the report on `app` meets `is_it`; returns its PIDs and autostart state.
async fn until(
    client: &mut Client,
    is_it: impl Fn(v1::State, &v1::Autostart) -> bool,
) -> (Vec<u32>, v1::Autostart) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
        assert_eq!(report.error, "");
        let app = &report.components[0];
        let pids: Vec<u32> = app.processes.iter().map(|process| process.pid).collect();
        if let Some(autostart) = &app.autostart
            && is_it(app.state(), autostart)
        {
            return (pids, autostart.clone());
        }
        assert!(Instant::now() < deadline, "waited in vain: {report:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills every process of the test.
fn kill(config: &TestConfig) {
    for pid in config.processes() {
        kill_process(i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap(), Signal::KILL).unwrap();
    }
}

/// Waits until the component runs with this number of restarts.
async fn back(client: &mut Client, restarts: u32) -> (Vec<u32>, v1::Autostart) {
    until(client, |state, autostart| state == v1::State::Running && autostart.restarts == restarts).await
}

const ALWAYS: &str = "restart = { when = \"always\", backoff = \"100ms\" }";

#[tokio::test]
async fn what_an_operator_started_comes_back_when_it_is_killed() {
    let config = config(ALWAYS);
    let (_agent, mut client) = agent(&config).await;
    let (_, autostart) = until(&mut client, |state, _| state == v1::State::Stopped).await;
    assert_eq!((autostart.wanted, &*autostart.why), (false, "nobody has started it through rta"));

    start(&mut client).await.unwrap();
    let first = config.processes();
    let (_, autostart) = back(&mut client, 0).await;
    assert_eq!((autostart.wanted, &*autostart.why), (true, "ann from 127.0.0.1 started it"));
    kill(&config);
    let (pids, autostart) = back(&mut client, 1).await;
    assert_eq!(pids, config.processes());
    assert_ne!(pids, first);
    assert!(autostart.last_end.starts_with("it ended by signal 9 at "), "{autostart:?}");
    assert!(!autostart.flapping);

    for restarts in [2, 3] {
        kill(&config);
        let (_, autostart) = back(&mut client, restarts).await;
        assert_eq!(autostart.flapping, restarts == 3);
    }
}

#[tokio::test]
async fn a_stop_is_not_fought_not_even_by_the_next_agent() {
    let config = config(&format!("{ALWAYS}\nwanted = \"running\""));
    let (agent, mut client) = agent(&config).await;
    back(&mut client, 1).await;
    stop(&mut client).await.unwrap();
    let is_left = |state, autostart: &v1::Autostart| {
        state == v1::State::Stopped && !autostart.wanted && autostart.why == "ann from 127.0.0.1 stopped it"
    };
    until(&mut client, is_left).await;

    let (agent, mut client) = next_agent(&config, agent).await;
    let (_, autostart) = until(&mut client, is_left).await;
    assert_eq!((autostart.next_at, autostart.restarts), (None, 0));
    assert!(config.processes().is_empty());

    // An operator's start makes it wanted again; the next agent restarts it, although it
    // ended while no agent ran.
    start(&mut client).await.unwrap();
    until(&mut client, |_, autostart| autostart.wanted).await;
    drop(agent);
    kill(&config);
    let (_agent, mut client) = self::agent(&config).await;
    back(&mut client, 1).await;
}

#[tokio::test]
async fn what_always_ends_is_given_up_and_flapping_until_an_operator_starts_it() {
    let config = config("");
    let component =
        config.component_toml("app", "", "").replacen("command = [", "command = [\"/bin/false\", ", 1);
    write(&config, &component, "restart = { when = \"always\", backoff = \"100ms\", limit = 3 }");
    let (agent, mut client) = agent(&config).await;
    start(&mut client).await.unwrap_err();
    let (_, autostart) = until(&mut client, |_, autostart| autostart.given_up).await;
    assert_eq!((autostart.restarts, autostart.flapping, autostart.next_at), (3, true, None));
    assert!(autostart.last_end.starts_with("its start failed at "), "{autostart:?}");
    assert!(autostart.last_end.contains("with exit status 1"), "{autostart:?}");
    let given_up = || agent.log().iter().filter(|line| line.contains("it is given up")).count();
    wait_for("the log to say it once", || (given_up() == 1).then_some(()));

    start(&mut client).await.unwrap_err();
    wait_for("it to be tried and given up again", || (given_up() == 2).then_some(()));
}

#[tokio::test]
async fn a_good_end_is_no_failure_for_the_next_agent_either() {
    let mut lease = ChildProcesses::default();
    let holder = lease.spawn(Command::new("sleep").arg("1000"));
    let config = config("");
    let own = format!("STAND_IN_LEASE = \"{}\"", std::process::id());
    let component =
        config.component_toml("app", "", "").replace(&own, &format!("STAND_IN_LEASE = \"{holder}\""));
    write(&config, &component, "restart = { when = \"on-failure\", backoff = \"100ms\" }");
    let (agent, mut client) = agent(&config).await;
    start(&mut client).await.unwrap();
    back(&mut client, 0).await;
    kill(&config);
    back(&mut client, 1).await;

    // A stand-in that has opened its lease exits with status 0 when the lease ends.
    wait_for("both runs to be ready", || {
        let said = std::fs::read_to_string(config.log_path("app")).ok()?;
        (said.matches("stand-in ready").count() == 2).then_some(())
    });
    lease.kill(holder);
    let is_left = |state, autostart: &v1::Autostart| {
        state == v1::State::Stopped
            && !autostart.wanted
            && autostart.last_end.starts_with("it ended with exit status 0 at ")
    };
    let (_, autostart) = until(&mut client, is_left).await;
    assert_eq!(
        (&*autostart.why, autostart.next_at),
        ("it ended with exit status 0, which is no failure", None)
    );
    // The end is reported at once, and stored a moment later.
    wait_for("that to be kept", || {
        let kept = std::fs::read(config.path("state/agent.json")).ok()?;
        let kept: serde_json::Value = serde_json::from_slice(&kept).ok()?;
        kept["finished"]["app"].is_object().then_some(())
    });
    let (_agent, mut client) = next_agent(&config, agent).await;
    until(&mut client, is_left).await;
}

/// Like a JVM, the component exits with 143 after SIGTERM; with other codes after other signals.
#[tokio::test]
async fn an_end_by_term_and_those_that_the_rule_names_are_no_failures() {
    let config = config("");
    let script = "trap 'exit 143' TERM; trap 'exit 3' USR1; trap 'exit 4' USR2; echo ready >> {}; \
                  while kill -0 $STAND_IN_LEASE; do sleep 0.05; done";
    let script = script.replace("{}", &config.path("ready").display().to_string());
    let own = config.component_toml("app", "", "").replacen(
        &format!("command = [\"{}\", ", rta_tests::binary("stand-in").display()),
        &format!("command = [\"/bin/bash\", \"-c\", \"{script}\", "),
        1,
    );
    let rule = "restart = { when = \"on-failure\", backoff = \"100ms\", success_exit_status = [3] }";
    write(&config, &own, rule);
    let (_agent, mut client) = agent(&config).await;
    let mut runs = 0;
    for (signal, status) in [(Signal::TERM, 143), (Signal::USR1, 3)] {
        start(&mut client).await.unwrap();
        runs += 1;
        are_ready(&config, runs);
        config.signal_component("app", signal);
        let why = format!("it ended with exit status {status}, which is no failure");
        until(&mut client, |state, autostart| state == v1::State::Stopped && autostart.why == why).await;
    }
    start(&mut client).await.unwrap();
    are_ready(&config, runs + 1);
    config.signal_component("app", Signal::USR2);
    let (_, autostart) = back(&mut client, 1).await;
    assert!(autostart.last_end.starts_with("it ended with exit status 4 at "), "{autostart:?}");
}

/// Waits until this number of runs has set its traps.
fn are_ready(config: &TestConfig, runs: usize) {
    wait_for("the traps to be set", || {
        let ready = std::fs::read_to_string(config.path("ready")).ok()?;
        (ready.lines().count() == runs).then_some(())
    });
}

#[tokio::test]
async fn maintenance_holds_it_also_over_the_agents_end_and_ends_by_itself() {
    let config = config(&format!("{ALWAYS}\nwanted = \"running\""));
    let (agent, mut client) = agent(&config).await;
    back(&mut client, 1).await;
    maintain(&mut client, &[("another", None), ("App", None)]).await;
    kill(&config);
    let is_held = |state, autostart: &v1::Autostart| {
        state == v1::State::Stopped
            && autostart.next_at.is_none()
            && autostart.why.ends_with("; in maintenance nothing is started")
    };
    until(&mut client, is_held).await;
    let (_agent, mut client) = next_agent(&config, agent).await;
    until(&mut client, is_held).await;
    assert!(config.processes().is_empty());

    // A component that is not listed is no longer in maintenance.
    maintain(&mut client, &[("another", None)]).await;
    back(&mut client, 1).await;
    maintain(&mut client, &[("", Some(1))]).await;
    kill(&config);
    let (_, autostart) = back(&mut client, 2).await;
    assert_eq!(autostart.why, "the configuration wants it running");
}

#[tokio::test]
async fn where_the_state_is_corrupt_nothing_is_started_that_an_operator_may_have_stopped() {
    const CORRUPT: &str = "{\"version\": 1, \"words\": {\"app\"";
    for wanted in ["wanted = \"running\"", ""] {
        let config = config(&format!("{ALWAYS}\n{wanted}"));
        std::fs::create_dir(config.path("state")).unwrap();
        std::fs::write(config.path("state/agent.json"), CORRUPT).unwrap();
        let (agent, mut client) = agent(&config).await;
        until(&mut client, |now, autostart| now == v1::State::Stopped && !autostart.wanted).await;
        let said = agent.log();
        assert!(said.iter().any(|line| line.contains("autostart is off")), "{said:#?}");
        // Later requests of an operator still take effect, and the corrupt file is left for an
        // administrator to repair.
        start(&mut client).await.unwrap();
        kill(&config);
        back(&mut client, 1).await;
        assert_eq!(std::fs::read_to_string(config.path("state/agent.json")).unwrap(), CORRUPT);
    }
}

/// Returns a component whose script counts its launches and waits for `gate` before it becomes the component.
fn gated(config: &TestConfig) -> String {
    let (gate, count) = (config.path("gate"), config.path("launches"));
    let script = format!(
        "echo launched >> {}\nwhile ! [ -e {} ]; do sleep 0.05; done\nexec $stand_in --token=app-$token",
        count.display(),
        gate.display()
    );
    config.scripted_component_toml("app", &script, "")
}

fn launches(config: &TestConfig) -> usize {
    std::fs::read_to_string(config.path("launches")).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_killed_in_mid_start_leaves_its_launch_the_time_to_come_up() {
    let config = TestConfig::new();
    write(&config, &gated(&config), ALWAYS);
    let (agent, mut client) = agent(&config).await;
    let starting = tokio::spawn(async move { start(&mut client).await });
    wait_for("it to be launched", || (launches(&config) == 1).then_some(()));
    let (_next, mut client) = next_agent(&config, agent).await;
    assert!(starting.await.unwrap().is_err(), "the connection is gone");
    // The next agent has resumed the start, and waits for it instead of starting another process.
    // Its supervisor learns of the resumed start a moment later.
    let is_awaited = |autostart: &v1::Autostart| autostart.wanted && autostart.next_at.is_none();
    until(&mut client, |state, autostart| state == v1::State::Starting && is_awaited(autostart)).await;
    std::fs::write(config.path("gate"), "").unwrap();
    let (pids, _) = back(&mut client, 0).await;
    assert_eq!((pids.len(), launches(&config)), (1, 1));
}

#[tokio::test]
async fn an_operators_stop_does_not_wait_for_an_attempt_to_start_it_again() {
    let config = TestConfig::new();
    std::fs::write(config.path("gate"), "").unwrap();
    write(&config, &gated(&config), ALWAYS);
    let (_agent, mut client) = agent(&config).await;
    start(&mut client).await.unwrap();
    std::fs::remove_file(config.path("gate")).unwrap();
    kill(&config);
    until(&mut client, |state, _| state == v1::State::Starting).await;
    wait_for("it to be launched again", || (launches(&config) == 2).then_some(()));
    stop(&mut client).await.unwrap();
    let (_, autostart) = until(&mut client, |state, _| state == v1::State::Stopped).await;
    assert_eq!((autostart.wanted, &*autostart.why), (false, "ann from 127.0.0.1 stopped it"));
    // The processes of the attempt have been killed: opening the gate starts nothing.
    std::fs::write(config.path("gate"), "").unwrap();
    let script = config.path("app.sh").display().to_string();
    let is_left = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .any(|line| line.split(|byte| *byte == 0).any(|argument| argument == script.as_bytes()))
    };
    assert!(!is_left() && config.processes().is_empty());
}
