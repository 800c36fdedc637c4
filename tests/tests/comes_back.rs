//! Stops of components that a foreign supervisor starts again.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::process::Command;

use rta_shared::action::ActionKind::Stop;
use rta_shared::action::{ActionOutcome, ActionPhase};
use rta_tests::{ChildProcesses, TestAgent, TestConfig, binary, run_action, wait_for};
use tonic::Code;

/// Starts a script of this name, which restarts `app` half a second after its end, and then the agent of
/// `app`. Returns the process ID of the script too.
fn start_supervised(supervisor: &str, stop: &str) -> (TestConfig, ChildProcesses, u32, TestAgent) {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", stop));
    let script = config.path(supervisor);
    // The script ends with the test's process.
    let text = format!(
        "while kill -0 $STAND_IN_LEASE; do '{}' --token=app-{} >/dev/null; sleep 0.5; done\n",
        binary("stand-in").display(),
        config.token()
    );
    std::fs::write(&script, text).unwrap();
    let mut children = ChildProcesses::default();
    let mut command = Command::new("/bin/bash");
    command.arg(&script).env("STAND_IN_LEASE", std::process::id().to_string());
    command.env("SUPERVISOR_GROUP_NAME", "jobs").env("SUPERVISOR_PROCESS_NAME", "app_01");
    let pid = children.spawn(&mut command);
    wait_for("the supervised process", || config.find_process("app"));
    let agent = TestAgent::start(&config, "h", &[""; 0]);
    (config, children, pid, agent)
}

#[tokio::test]
async fn a_stop_of_what_a_supervisor_starts_again_fails_and_names_it() {
    let (config, _supervisor, _, agent) = start_supervised("supervisord", "");
    let mut client = agent.client().await;
    let first = config.find_process("app").unwrap();
    let stopped = run_action(&mut client, Stop, "app").await;
    let way = "supervisord runs it; stop it there with \"supervisorctl stop jobs:app_01\"";
    let watched = &stopped.progress.last().unwrap().text;
    assert_eq!(*watched, format!("it is gone, and is watched for 2 s: {way}"));
    let status = stopped.result.unwrap_err();
    let second = config.find_process("app").unwrap();
    assert_eq!(status.code(), Code::Aborted);
    let expected = format!(
        "stop of app on h: it was ended (pid {first}), but pid {second} (stand-in) came in its place: {way}"
    );
    assert_eq!(status.message(), expected);
}

#[tokio::test]
async fn some_other_parent_is_named_too_and_without_it_the_stop_succeeds() {
    let (config, mut supervisor, supervisor_pid, agent) =
        start_supervised("keep-up", "[component.stop]\nsettle = \"5s\"");
    let mut client = agent.client().await;
    let stopped = run_action(&mut client, Stop, "app").await;
    let status = stopped.result.unwrap_err();
    let expected =
        format!("something else starts it: its parent is pid {} (bash); end that first", supervisor_pid);
    assert!(status.message().ends_with(&expected), "{status}");
    wait_for("the next run", || config.find_process("app"));
    supervisor.kill(supervisor_pid);
    let stopped = run_action(&mut client, Stop, "app").await;
    assert_eq!(stopped.phases(), [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Gone]);
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Stopped);
    assert!(config.processes().is_empty());
}

/// A stop with a settle time of zero does not wait, and reports the state of that moment.
#[tokio::test]
async fn without_a_settle_time_nothing_is_watched() {
    let (config, _supervisor, _, agent) =
        start_supervised("supervisord", "[component.stop]\nsettle = \"0s\"");
    let mut client = agent.client().await;
    let stopped = run_action(&mut client, Stop, "app").await;
    assert_eq!(stopped.phases(), [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Gone]);
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Stopped);
    wait_for("the next run", || config.find_process("app"));
}
