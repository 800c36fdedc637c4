//! Stops of components that a foreign supervisor starts again.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::process::Command;

use rta_shared::action::ActionKind::Stop;
use rta_shared::action::{ActionOutcome, ActionPhase};
use rta_tests::{
    AgentClient, ChildProcesses, ServerProcess, TestConfig, binary, connect_agent, run_action, wait_for,
};
use tonic::Code;

/// Agent whose component `app` is run by a script of this name, which restarts it half
/// a second after its end.
struct World {
    site: TestConfig,
    supervisor: ChildProcesses,
    _agent: ServerProcess,
    client: AgentClient,
    pid: u32,
}

impl World {
    async fn new(supervisor: &str, stop: &str) -> Self {
        let site = TestConfig::one_host(|site| site.component_toml("app", "", stop));
        let script = site.path(supervisor);
        // The script ends with the test's process.
        let text = format!(
            "while kill -0 $STAND_IN_LEASE; do '{}' --token=app-{} >/dev/null; sleep 0.5; done\n",
            binary("stand-in").display(),
            site.token()
        );
        std::fs::write(&script, text).unwrap();
        let mut children = ChildProcesses::default();
        let mut command = Command::new("/bin/bash");
        command.arg(&script).env("STAND_IN_LEASE", std::process::id().to_string());
        command.env("SUPERVISOR_GROUP_NAME", "jobs").env("SUPERVISOR_PROCESS_NAME", "app_01");
        let pid = children.spawn(&mut command);
        wait_for("the supervised process", || site.find_process("app"));
        let (agent, address) = site.start_agent("h");
        let client = connect_agent(address).await;
        Self { site, supervisor: children, _agent: agent, client, pid }
    }
}

#[tokio::test]
async fn a_stop_of_what_a_supervisor_starts_again_fails_and_names_it() {
    let mut world = World::new("supervisord", "").await;
    let first = world.site.find_process("app").unwrap();
    let stopped = run_action(&mut world.client, Stop, "app").await;
    let way = "supervisord runs it; stop it there with \"supervisorctl stop jobs:app_01\"";
    let watched = &stopped.progress.last().unwrap().text;
    assert_eq!(*watched, format!("it is gone, and is watched for 2 s: {way}"));
    let status = stopped.result.unwrap_err();
    let second = world.site.find_process("app").unwrap();
    assert_eq!(status.code(), Code::Aborted);
    let expected = format!(
        "stop of app on h: it was ended (pid {first}), but pid {second} (stand-in) came in its place: {way}"
    );
    assert_eq!(status.message(), expected);
}

#[tokio::test]
async fn some_other_parent_is_named_too_and_without_it_the_stop_succeeds() {
    let mut world = World::new("keep-up", "[component.stop]\nsettle = \"5s\"").await;
    let stopped = run_action(&mut world.client, Stop, "app").await;
    let status = stopped.result.unwrap_err();
    let expected =
        format!("something else starts it: its parent is pid {} (bash); end that first", world.pid);
    assert!(status.message().ends_with(&expected), "{status}");
    wait_for("the next run", || world.site.find_process("app"));
    world.supervisor.kill(world.pid);
    let stopped = run_action(&mut world.client, Stop, "app").await;
    assert_eq!(stopped.phases(), [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Gone]);
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Stopped);
    assert!(world.site.processes().is_empty());
}

/// A stop with a settle time of zero does not wait, and reports the state of that moment.
#[tokio::test]
async fn without_a_settle_time_nothing_is_watched() {
    let mut world = World::new("supervisord", "[component.stop]\nsettle = \"0s\"").await;
    let stopped = run_action(&mut world.client, Stop, "app").await;
    assert_eq!(stopped.phases(), [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Gone]);
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Stopped);
    wait_for("the next run", || world.site.find_process("app"));
}
