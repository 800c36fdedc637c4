//! Processes that exist but do nothing: stopped by a signal, or frozen.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::PathBuf;
use std::time::Duration;

use rta_shared::action::ActionKind::{Start, Stop};
use rta_shared::action::ActionOutcome;
use rta_shared::proto::v1;
use rta_tests::{
    AgentClient, AgentMode, ObservedComponent, ReportStream, TestConfig, TestHost, connect_agent,
    control_group, run_action, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};

/// Time limit that only broken tests exceed.
const PATIENCE: Duration = Duration::from_secs(60);

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Waits until the process of `app` is reported with this suspension.
fn awaited(follower: &mut ReportStream, expected: v1::Suspension) {
    let is_it =
        |app: &ObservedComponent| app.processes.iter().any(|process| process.suspension() == expected);
    assert!(follower.wait_for_component("app", PATIENCE, is_it).is_some(), "{expected:?} was not told");
}

/// Returns what the handler wrote. The shell may add that the signal ended its `sleep`, too, which is a
/// process of the component.
fn handled(config: &TestConfig) -> Vec<String> {
    let log = std::fs::read_to_string(config.log_path("app")).unwrap();
    log.lines().filter(|line| !line.ends_with("Terminated")).map(str::to_owned).collect()
}

/// Starts `app`, and waits until its shell handles signals. Returns its PID.
async fn start_with_handler(config: &TestConfig, client: &mut AgentClient) -> u32 {
    let pid = run_action(client, Start, "app").await.result.unwrap().pids[0];
    wait_for("the handler", || (handled(config) == ["ready"]).then_some(()));
    pid
}

/// Stops a process by a signal, and waits until it is stopped.
fn suspend(pid: u32) {
    signal(pid, Signal::STOP);
    wait_for("the process to be stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").filter(|(_, rest)| rest.starts_with('T')).map(drop)
    });
}

/// Returns a component whose shell logs that it is ready, and a request to end.
fn with_handler(config: &TestConfig, more: &str) -> String {
    let script = "exec -a x bash -c 'trap \"echo handled; exit 0\" TERM; echo ready; while :; do sleep 0.05; done' x \
                  \"--token=app-$token\"";
    config.scripted_component_toml("app", script, more)
}

#[test]
fn stopped_process_is_noticed_in_each_mode_and_degrades() {
    for mode in [AgentMode::Events, AgentMode::Scans] {
        let mut host = TestHost::start(mode, |config| config.component_toml("app", "", ""));
        let mut child = host.cluster.config.start_stand_in("app");
        awaited(&mut host.overviews, v1::Suspension::Unspecified);
        signal(child.id(), Signal::STOP);
        awaited(&mut host.reports, v1::Suspension::Signal);
        awaited(&mut host.overviews, v1::Suspension::Signal);
        let status = host.cluster.aggregator.rta(&["status"]);
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        let pid = child.id();
        let reason = format!("pid {pid} is stopped by a signal (SIGSTOP); resume it with kill -CONT {pid}");
        assert!(said.contains("degraded") && said.contains(&reason), "{said}");
        let listed = host.cluster.aggregator.rta(&["list", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        let process = &json["environments"][0]["hosts"][0]["instances"][0]["processes"][0];
        assert_eq!((&process["pid"], &process["suspension"]), (&pid.into(), &"signal".into()));
        let listed = host.cluster.aggregator.rta(&["list", "--verbose"]);
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let user = process["user"].as_str().unwrap();
        assert!(listed.contains(&format!("{pid}  {user}")), "{listed}");
        signal(pid, Signal::CONT);
        awaited(&mut host.reports, v1::Suspension::Unspecified);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[tokio::test]
async fn stop_of_a_stopped_process_lets_its_handler_run() {
    let config = TestConfig::one_host(|config| with_handler(config, ""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let pid = start_with_handler(&config, &mut client).await;
    suspend(pid);
    let stopped = run_action(&mut client, Stop, "app").await;
    let text = format!("pid {pid} was stopped by a signal: SIGCONT was sent, so that it is acted on");
    assert!(stopped.progress.iter().any(|step| step.text == text), "{:?}", stopped.progress);
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Stopped);
    assert_eq!(handled(&config), ["ready", "handled"]);
}

#[tokio::test]
async fn stop_command_reaches_a_stopped_process_too() {
    let config = TestConfig::one_host(|config| {
        let command = "[component.stop]\ncommand = [\"/bin/sh\", \"-c\", \"kill $(cat '$pid')\"]";
        with_handler(config, &command.replace("$pid", &config.path("pid").display().to_string()))
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let pid = start_with_handler(&config, &mut client).await;
    std::fs::write(config.path("pid"), pid.to_string()).unwrap();
    suspend(pid);
    assert_eq!(run_action(&mut client, Stop, "app").await.result.unwrap().outcome, ActionOutcome::Stopped);
    assert_eq!(handled(&config), ["ready", "handled"]);
}

/// Control group of version 2 for a test; thawed and removed when this is dropped.
struct FreezerGroup(PathBuf);

impl FreezerGroup {
    /// Creates a group; `None` if the host has no such hierarchy, or the test may not create groups.
    fn new(config: &TestConfig) -> Option<Self> {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
        let root = root.into_iter().find(|root| root.join("cgroup.procs").is_file())?;
        let folder = root.join(format!("test-of-rta-{}", config.token()));
        std::fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }
}

impl Drop for FreezerGroup {
    fn drop(&mut self) {
        // Errors mean that it is already thawed, or briefly still in use.
        let _ = std::fs::write(self.0.join("cgroup.freeze"), "0");
        wait_for("the group to be empty", || std::fs::remove_dir(&self.0).ok());
    }
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(why: &str) {
    assert!(std::env::var_os("RTA_GATE").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}

#[tokio::test]
async fn frozen_process_is_told_and_its_stop_says_why_it_takes_so_long() {
    let config = TestConfig::one_host(|config| with_handler(config, "[component.stop]\ntimeout = \"1s\""));
    let Some(group) = FreezerGroup::new(&config) else {
        skip("control groups of version 2 cannot be made");
        return;
    };
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let pid = start_with_handler(&config, &mut client).await;
    std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
    std::fs::write(group.0.join("cgroup.freeze"), "1").unwrap();
    wait_for("the group to be frozen", || {
        let events = std::fs::read_to_string(group.0.join("cgroup.events")).unwrap();
        events.contains("frozen 1").then_some(())
    });
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    assert_eq!(report.components[0].processes[0].suspension(), v1::Suspension::Freezer);
    let stopped = run_action(&mut client, Stop, "app").await;
    let text = format!(
        "pid {pid} is frozen by a control group and handles no signal before that is thawed: echo 0 > {}",
        group.0.join("cgroup.freeze").display()
    );
    assert!(stopped.progress.iter().any(|step| step.text == text), "{:?}", stopped.progress);
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Killed);
}

#[tokio::test]
async fn stop_thaws_the_group_that_the_agent_made() {
    let config = TestConfig::one_host(|config| with_handler(config, ""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let pid = start_with_handler(&config, &mut client).await;
    let Some(group) = control_group(pid) else {
        skip("the agent makes no control groups here");
        return;
    };
    std::fs::write(group.join("cgroup.freeze"), "1").unwrap();
    let stopped = run_action(&mut client, Stop, "app").await;
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Stopped);
    assert_eq!(handled(&config), ["ready", "handled"]);
}
