//! Agents started beside another agent of the same host.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::unix::fs::PermissionsExt as _;

use rta_shared::action::ActionKind::{Restart, Start, Stop};
use rta_shared::action::ActionOutcome;
use rta_shared::proto::v1;
use rta_tests::{AgentClient, ServerProcess, TestConfig, connect_agent, run_action, run_binary};
use rustix::process::Signal;
use tonic::Code;

/// Starts an agent for the host `h`, with a state folder.
async fn agent(config: &TestConfig) -> (ServerProcess, AgentClient) {
    let state = config.path("state");
    let (agent, address) = config.start_agent_with("h", "127.0.0.1:0", &["--state", state.to_str().unwrap()]);
    (agent, connect_agent(address).await)
}

async fn state(client: &mut AgentClient) -> v1::State {
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    report.components[0].state()
}

/// Returns the agent's impairment of starts and stops.
async fn impairment(client: &mut AgentClient) -> String {
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    let control = report.impairments.into_iter().find(|one| one.part == "control");
    control.unwrap().message
}

#[tokio::test]
async fn agent_that_cannot_keep_launches_tells_that_it_can_start_nothing() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    std::fs::create_dir(config.path("state")).unwrap();
    std::fs::write(config.path("state").join("launches"), "").unwrap();
    let (_agent, mut client) = agent(&config).await;
    let reported = impairment(&mut client).await;
    assert!(reported.starts_with("nothing can be started: launches cannot be kept: "), "{reported}");
    let refused = run_action(&mut client, Start, "app").await.result.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(config.processes().is_empty());
}

/// Every user who can read a file can lock it (flock(2)).
#[tokio::test]
async fn lock_and_state_are_closed_to_other_users() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let state = config.path("made-by-the-agent");
    let (_agent, address) =
        config.start_agent_with("h", "127.0.0.1:0", &["--state", state.to_str().unwrap()]);
    run_action(&mut connect_agent(address).await, Start, "app").await.result.unwrap();
    for file in [state.clone(), state.join("agent.lock"), state.join("agent.json")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has the mode {mode:o}", file.display());
    }
}

#[tokio::test]
async fn second_agent_is_refused_with_the_pid_of_the_first_or_only_looks_on() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (mut first, _) = agent(&config).await;
    let folder = config.folder().display().to_string();
    let path = |name: &str| config.path(name).display().to_string();
    let common = ["--config", &folder, "--host", "h", "--listen", "127.0.0.1:0", "--insecure"];
    let refused = |more: &[&str], what: &str| {
        let output = run_binary("rta-agent", common.iter().chain(more));
        let reported = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{reported}");
        assert!(
            reported.starts_with(&format!("rta-agent: another agent (pid {}) serves {what}", first.pid())),
            "{reported}"
        );
        assert_eq!(reported.lines().count(), 1, "{reported}");
    };
    refused(&["--runtime", &path("runtime")], "host h already");
    refused(&["--runtime", &path("other"), "--state", &path("state")], "the state folder ");

    let (_second, address) = config.start_agent_with("h", "127.0.0.1:0", &["--read-only"]);
    let mut client = connect_agent(address).await;
    assert_eq!(state(&mut client).await, v1::State::Stopped);
    let reported = impairment(&mut client).await;
    assert!(reported.starts_with("the agent was started with --read-only"), "{reported}");
    for kind in [Start, Stop, Restart] {
        let refused = run_action(&mut client, kind, "app").await.result.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().starts_with("this agent of h was started with --read-only"), "{refused}");
    }
    assert!(config.processes().is_empty());

    // The kernel releases the locks, however the first agent ends.
    first.signal(Signal::KILL);
    first.wait();
    let (_third, mut client) = agent(&config).await;
    assert_eq!(run_action(&mut client, Start, "app").await.result.unwrap().outcome, ActionOutcome::Started);
}
