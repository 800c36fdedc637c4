//! Agents that end during an action: the next one resumes it, and there are never two processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use rta_shared::action::ActionKind::{Restart, Start, Stop};
use rta_shared::action::{ActionKind, ActionOutcome};
use rta_shared::proc_stat::ProcStat;
use rta_shared::proto::v1;
use rta_tests::{
    AgentClient, ServerProcess, TestConfig, connect_agent, request_target, run_action, wait_for,
};
use rustix::process::Signal;
use tonic::Code;

/// Starts an agent that keeps its records in its runtime folder, or with `state` in its state folder.
async fn agent(config: &TestConfig, state: bool) -> (ServerProcess, AgentClient) {
    let folder = config.path("state");
    let more = ["--state", folder.to_str().unwrap()];
    let (agent, address) = config.start_agent_with("h", "127.0.0.1:0", if state { &more } else { &[] });
    (agent, connect_agent(address).await)
}

/// Requests an action without waiting for its end.
async fn begin(client: &AgentClient, kind: ActionKind) {
    let mut client = client.clone();
    let request = v1::AgentServiceActRequest {
        kind: v1::ActionKind::from(kind).into(),
        component: "app".to_owned(),
        by: Some(v1::Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() }),
        target: request_target(&mut client).await,
        request_id: String::new(),
    };
    // The agent may end before it answers.
    tokio::spawn(async move { drop(client.act(request).await) });
}

/// Waits until an agent's log has a line with this message.
fn until_logged(agent: &ServerProcess, message: &str) -> String {
    let message = format!("\"message\":\"{message}\"");
    wait_for(&message, || agent.log().into_iter().find(|line| line.contains(&message)))
}

/// Returns true if a process is alive. It may remain as a zombie if the host's init process reaps it late.
fn lives(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Performs an action, and repeats it while another one is in progress, or while the launcher of an earlier
/// start has not yet become the component.
async fn insist(client: &mut AgentClient, kind: ActionKind) -> ActionOutcome {
    loop {
        match run_action(client, kind, "app").await.result {
            Ok(done) => return done.outcome,
            Err(status) if status.code() == Code::Aborted => tokio::task::yield_now().await,
            Err(status) if status.message().contains("what an earlier start launched is there") => {
                tokio::task::yield_now().await;
            }
            Err(status) => panic!("{status}"),
        }
    }
}

async fn state(client: &mut AgentClient) -> v1::State {
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    report.components[0].state()
}

/// Returns the number of shells that run a script of this site.
///
/// A shell that runs a command is two processes with one command line until the child has executed the
/// command's program, so shells whose parent counts are left out.
fn launchers(config: &TestConfig) -> usize {
    let folder = config.path("").display().to_string();
    let shells: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let stat = ProcStat::parse(&std::fs::read(entry.path().join("stat")).ok()?)?;
            let is_launcher = line.contains("bash") && line.contains(&folder) && line.contains(".sh");
            is_launcher.then_some((entry.file_name().to_str()?.parse().ok()?, stat.parent_pid))
        })
        .collect();
    shells.iter().filter(|(_, parent)| shells.iter().all(|(pid, _)| pid != parent)).count()
}

/// Reproducible random number generator (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Ends agents at random moments of a start, and starts again: in the end there is one process,
/// for any kind of launcher.
async fn never_two(launcher: &str, state: bool, seed: u64) {
    const ROUNDS: usize = 8;
    /// Upper limit of the random delay; longer than the launchers take.
    const LONGEST_MS: u64 = 900;
    let config = TestConfig::one_host(|config| config.scripted_component_toml("app", launcher, ""));
    let mut random = Random(seed);
    let (mut running, mut client) = agent(&config, state).await;
    for round in 0..ROUNDS {
        begin(&client, Start).await;
        // Twice, so that an agent also ends while it resumes the action.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(random.below(LONGEST_MS))).await;
            running.signal(if random.below(2) == 0 { Signal::KILL } else { Signal::TERM });
            running.wait();
            (running, client) = agent(&config, state).await;
        }
        let outcome = insist(&mut client, Start).await;
        wait_for("the launchers to end", || (launchers(&config) == 0).then_some(()));
        let pids = config.processes();
        assert_eq!(pids.len(), 1, "seed {seed}, round {round}: {outcome:?}, {pids:?}: {:#?}", running.log());
        insist(&mut client, Stop).await;
        assert_eq!(config.processes(), [0; 0], "seed {seed}, round {round}");
    }
}

/// Launcher that becomes the component.
const BECOMES: &str = "sleep 0.5\nexec \"$stand_in\" --token=app-$token";
/// Launcher that ends before its child becomes the component.
const FORKS: &str = "sleep 0.2\n{ sleep 0.3; exec \"$stand_in\" --token=app-$token; } &\nsleep 0.1";
/// Launcher whose later component leaves its session, and has no parent known to the agent.
const LEAVES: &str =
    "sleep 0.2\nsetsid --fork bash -c \"sleep 0.4; exec '$stand_in' --token=app-$token\" \"$0\"";

#[tokio::test(flavor = "multi_thread")]
async fn agent_killed_in_mid_start_leaves_one_process_of_a_launcher_that_becomes_it() {
    never_two(BECOMES, false, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_killed_in_mid_start_leaves_one_process_of_a_launcher_that_forks() {
    never_two(FORKS, true, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_killed_in_mid_start_leaves_one_process_of_a_launcher_whose_child_leaves_its_session() {
    never_two(LEAVES, false, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_is_adopted_and_told_as_any_start() {
    let wait = "until [ -e \"$0.go\" ]; do sleep 0.05; done\nexec \"$stand_in\" --token=app-$token";
    let config = TestConfig::one_host(|config| config.scripted_component_toml("app", wait, ""));
    let (mut running, client) = agent(&config, true).await;
    begin(&client, Start).await;
    wait_for("the launcher", || (launchers(&config) == 1).then_some(()));
    running.signal(Signal::TERM);
    running.wait();

    let (running, mut client) = agent(&config, true).await;
    assert_eq!(state(&mut client).await, v1::State::Starting);
    let refused = run_action(&mut client, Start, "app").await.result.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert!(
        refused.message().starts_with("start of app on h: a start of it is under way, since "),
        "{refused}"
    );
    assert!(refused.message().ends_with("for ann from 10.0.0.7"), "{refused}");

    std::fs::write(config.path("app.sh.go"), "").unwrap();
    let done = until_logged(&running, "action succeeded");
    assert!(done.contains("\"action\":\"start\"") && done.contains("started in "), "{done}");
    assert_eq!(state(&mut client).await, v1::State::Running);
    let again = run_action(&mut client, Start, "app").await.result.unwrap();
    assert_eq!((again.outcome, again.pids), (ActionOutcome::AlreadyRunning, config.processes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_of_a_component_that_was_renamed_meanwhile_gets_no_second_one() {
    let wait = "until [ -e \"$0.go\" ]; do sleep 0.05; done\nexec \"$stand_in\" --token=app-$token";
    let config = TestConfig::one_host(|config| config.scripted_component_toml("app", wait, ""));
    let (mut running, client) = agent(&config, true).await;
    begin(&client, Start).await;
    wait_for("the launcher", || (launchers(&config) == 1).then_some(()));
    running.signal(Signal::KILL);
    running.wait();
    for file in std::fs::read_dir(config.folder()).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"app\"", "\"renamed\"")).unwrap();
    }

    let (_running, mut client) = agent(&config, true).await;
    let refused = run_action(&mut client, Start, "renamed").await.result.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("a start of app, which the configuration no longer has"), "{refused}");
    assert_eq!(launchers(&config), 1);
    std::fs::write(config.path("app.sh.go"), "").unwrap();
    wait_for("it to run", || (config.processes().len() == 1).then_some(()));
    let done = run_action(&mut client, Start, "renamed").await.result.unwrap();
    assert_eq!(done.outcome, ActionOutcome::AlreadyRunning);
    assert_eq!(config.processes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_that_becomes_nothing_is_ended_at_its_deadline_and_stopped_before_it() {
    let hang = "setsid --fork sleep 1000\nexec sleep 1000";
    for is_stopped in [false, true] {
        let timeout = if is_stopped { "\"60s\"" } else { "\"3s\"" };
        let config = TestConfig::one_host(|config| {
            config.scripted_component_toml("app", hang, "").replace("\"20s\"", timeout)
        });
        let (mut running, client) = agent(&config, false).await;
        begin(&client, Start).await;
        let line: serde_json::Value = serde_json::from_str(&until_logged(&running, "launched")).unwrap();
        let launched = line["pid"].as_u64().unwrap();
        running.signal(Signal::KILL);
        running.wait();
        assert!(lives(launched));
        let (running, mut client) = agent(&config, false).await;
        if is_stopped {
            let stopped = run_action(&mut client, Stop, "app").await.result.unwrap();
            assert!(stopped.pids.contains(&u32::try_from(launched).unwrap()), "{stopped:?}");
        } else {
            let logged = until_logged(&running, "action failed");
            assert!(logged.contains("no process matched its criteria"), "{logged}");
            assert!(logged.contains("was still running and has been ended"), "{logged}");
        }
        assert!(!lives(launched));
        assert_eq!(state(&mut client).await, v1::State::Stopped);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_that_was_interrupted_is_finished() {
    // The component takes time to stop.
    let slow = "STAND_IN_IGNORES=TERM exec \"$stand_in\" --token=app-$token";
    let config = TestConfig::one_host(|config| {
        config.scripted_component_toml("app", slow, "[component.stop]\ntimeout = \"2s\"")
    });
    let (mut running, mut client) = agent(&config, false).await;
    let before = run_action(&mut client, Start, "app").await.result.unwrap().pids;
    begin(&client, Restart).await;
    // Before the restart is recorded nothing has been done, and there is nothing to resume.
    wait_for("the restart to be on record", || {
        let folders = std::fs::read_dir(config.path("runtime")).unwrap().flatten();
        let records = folders.filter_map(|folder| std::fs::read_dir(folder.path().join("launches")).ok());
        let records = records.flatten().flatten();
        let mut texts = records.filter_map(|record| std::fs::read_to_string(record.path()).ok());
        texts.any(|text| text.contains("\"restart\"")).then_some(())
    });
    running.signal(Signal::KILL);
    running.wait();
    assert_eq!(config.processes(), before);

    let (running, mut client) = agent(&config, false).await;
    until_logged(&running, "action succeeded");
    let after = run_action(&mut client, Start, "app").await.result.unwrap();
    assert_eq!((after.outcome, &after.pids), (ActionOutcome::AlreadyRunning, &config.processes()));
    assert_ne!(after.pids, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_command_is_not_run_a_second_time_beside_the_first() {
    let config = TestConfig::one_host(|config| {
        let ends = format!(
            "echo run >> '{0}.runs'\nuntil [ -e '{0}.go' ]; do sleep 0.05; done\nkill $(cat '{0}.pid')\nsleep 1",
            config.path("stop.sh").display()
        );
        std::fs::write(config.path("stop.sh"), ends).unwrap();
        let stop =
            format!("[component.stop]\ncommand = [\"/bin/bash\", \"{}\"]", config.path("stop.sh").display());
        config.component_toml("app", "", &stop)
    });
    let (mut running, mut client) = agent(&config, false).await;
    let pid = run_action(&mut client, Start, "app").await.result.unwrap().pids[0];
    std::fs::write(config.path("stop.sh.pid"), pid.to_string()).unwrap();
    begin(&client, Stop).await;
    let runs = || std::fs::read_to_string(config.path("stop.sh.runs")).unwrap_or_default();
    wait_for("the stop command", || (!runs().is_empty()).then_some(()));
    running.signal(Signal::KILL);
    running.wait();
    let (_running, mut client) = agent(&config, false).await;
    assert_eq!(state(&mut client).await, v1::State::Stopping);
    std::fs::write(config.path("stop.sh.go"), "").unwrap();
    insist(&mut client, Stop).await;
    assert_eq!((config.processes(), runs()), (vec![], "run\n".to_owned()));
}

#[tokio::test]
async fn nothing_is_launched_that_the_next_agent_could_not_know_of() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    std::fs::create_dir(config.path("state")).unwrap();
    std::fs::write(config.path("state/launches"), "in the way").unwrap();
    let (_running, mut client) = agent(&config, true).await;
    let refused = run_action(&mut client, Start, "app").await.result.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("nothing was launched, since it could not be noted for the next agent"),
        "{refused}"
    );
    assert!(config.processes().is_empty());
}
