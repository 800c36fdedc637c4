//! Starts and stops by an agent: progress and final state.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::process::Command;

use rta_shared::action::ActionKind::{Restart, Start, Stop};
use rta_shared::action::{ActionOutcome, ActionPhase};
use rta_shared::proto::v1;
use rta_tests::{
    AgentClient, ChildProcesses, TestConfig, binary, connect_agent, control_group, run_action, wait_for,
};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::Signal;
use tonic::Code;

/// Orphaned process of a component, in its own session.
const STRAY: &str = "setsid \"$stand_in\" --token=stray-$token &\n";

async fn seen(client: &mut AgentClient, component: &str) -> v1::ComponentReport {
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    report.components.into_iter().find(|seen| seen.component == component).unwrap()
}

/// Waits until the processes that play these components exist, and returns their PIDs.
fn awaited<const N: usize>(config: &TestConfig, names: [&str; N]) -> [u32; N] {
    names.map(|name| wait_for(name, || config.find_process(name)))
}

#[tokio::test]
async fn it_tells_how_far_it_is_in_sentences() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;

    let started = run_action(&mut client, Start, "app").await;
    let pids = started.result.as_ref().unwrap().pids.clone();
    assert_eq!(
        started.phases(),
        [ActionPhase::Launched, ActionPhase::Waiting, ActionPhase::Matched, ActionPhase::Stable]
    );
    let pid = pids[0];
    assert!(started.progress[0].text.ends_with(&format!("stand-in was launched (pid {pid})")));
    assert_eq!(started.progress[2].text, format!("pid {pid} matches; it has to stay for 0 s"));
    assert_eq!((&started.progress[0].pids, &started.progress[3].pids), (&pids, &pids));

    let again = run_action(&mut client, Start, "app").await;
    assert_eq!((again.phases(), again.result.unwrap().outcome), (vec![], ActionOutcome::AlreadyRunning));

    let stopped = run_action(&mut client, Stop, "app").await;
    assert_eq!(stopped.phases(), [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Gone]);
    assert_eq!(stopped.progress[0].text, format!("SIGTERM was sent to pid {pid} (stand-in)"));
    assert_eq!(stopped.progress[1].text, "waiting for the end of 1 process; SIGKILL follows after 30 s");
    assert!(stopped.progress.iter().all(|progress| progress.pids == pids));
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Stopped);
    let again = run_action(&mut client, Stop, "app").await;
    assert_eq!((again.phases(), again.result.unwrap().outcome), (vec![], ActionOutcome::AlreadyStopped));
}

#[tokio::test]
async fn what_a_failed_start_leaves_is_ended_whatever_it_ignores() {
    // The command succeeds, nothing matches, and a process left in its session ignores SIGTERM.
    let script = "STAND_IN_IGNORES=TERM \"$stand_in\" --token=stubborn-$token &\necho begun";
    let config = TestConfig::one_host(|config| {
        config.scripted_component_toml("app", script, "").replace("\"20s\"", "\"3s\"")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for _ in 0..2 {
        let status = run_action(&mut client, Start, "app").await.result.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let said = status.message();
        assert!(
            said.contains("had ended without an error; check the criteria; what it had left (pid "),
            "{said}"
        );
        assert!(said.contains(") has been ended"), "{said}");
        assert!(config.find_process("stubborn").is_none());
    }
}

#[tokio::test]
async fn fifty_concurrent_starts_start_one_process() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (_agent, address) = config.start_agent("h");
    let client = connect_agent(address).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { run_action(&mut client, Start, "app").await.result })
        })
        .collect();
    let mut started = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(done) if done.outcome == ActionOutcome::Started => started += 1,
            Ok(done) => assert_eq!(done.outcome, ActionOutcome::AlreadyRunning),
            Err(status) => {
                assert_eq!(status.code(), Code::Aborted);
                assert!(status.message().contains("a start of it is under way, since"), "{status}");
                assert!(status.message().ends_with("for ann from 10.0.0.7"), "{status}");
            }
        }
    }
    assert_eq!((started, config.processes().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_action_is_told_who_holds_the_component() {
    let config = TestConfig::one_host(|config| {
        config.component_toml("app", "", "").replace("settle = \"0s\"", "settle = \"60s\"")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut first = client.clone();
    let start = tokio::spawn(async move { run_action(&mut first, Start, "app").await });
    awaited(&config, ["app"]);
    for kind in [Start, Stop, Restart] {
        let status = run_action(&mut client, kind, "app").await.result.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        let (before, after) = status.message().split_once("since").unwrap();
        assert_eq!(before, format!("{kind} of app on h: a start of it is under way, "));
        assert!(after.ends_with(" UTC, for ann from 10.0.0.7"), "{status}");
    }
    start.abort();
}

#[tokio::test]
async fn a_start_script_that_forks_and_exits_is_fine() {
    let config = TestConfig::one_host(|config| {
        config.scripted_component_toml("app", "setsid \"$stand_in\" --token=app-$token &\nexit 0", "")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let started = run_action(&mut client, Start, "app").await.result.unwrap();
    assert_eq!((started.outcome, started.pids), (ActionOutcome::Started, config.processes()));
    assert_eq!(run_action(&mut client, Stop, "app").await.result.unwrap().outcome, ActionOutcome::Stopped);
    assert!(config.processes().is_empty());
}

#[tokio::test]
async fn one_that_dies_a_second_after_matching_is_a_failed_start() {
    let dying = |end: &str| {
        format!(
            "exec -a x bash -c 'echo full of sorrow; printf \"\\033[2J\\n\"; sleep 1; {end}' x \"--token=$1-$token\""
        )
    };
    let config = TestConfig::one_host(|config| {
        let component = |name: &str, end: &str| {
            let script = dying(end).replace("$1", name);
            config.scripted_component_toml(name, &script, "").replace("settle = \"0s\"", "settle = \"30s\"")
        };
        component("exits", "exit 7") + &component("killed", "kill -9 $$")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for (name, how) in [("exits", "exit status 7"), ("killed", "signal 9 (SIGKILL)")] {
        let started = run_action(&mut client, Start, name).await;
        assert_eq!(started.phases(), [ActionPhase::Launched, ActionPhase::Waiting, ActionPhase::Matched]);
        let pid = started.progress[0].pids[0];
        let status = started.result.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let lines: Vec<&str> = status.message().lines().collect();
        assert_eq!(
            lines,
            [
                &*format!("start of {name} on h: it started (pid {pid}) and ended again with {how}"),
                "full of sorrow",
                "\\u{1b}[2J",
            ]
        );
    }
}

#[tokio::test]
async fn a_launchers_helper_that_matches_for_a_moment_is_not_the_component() {
    // Like Spark's launcher: a helper with the component's own arguments, then the component in the
    // launcher's place. Other launchers leave the component behind, and exit first.
    let helper =
        "\"$stand_in\" --token=$1-$token & helper=$!\nsleep 0.5; kill -9 $helper; wait $helper\nsleep 0.5\n";
    let config = TestConfig::one_host(|config| {
        let component = |name: &str, rest: &str| {
            let script = format!("{helper}{rest}").replace("$1", name);
            config.scripted_component_toml(name, &script, "").replace("settle = \"0s\"", "settle = \"3s\"")
        };
        let begin = "\"$stand_in\" --token=$1-$token";
        let hidden = "(sleep 0.5; exec \"$stand_in\" --token=$1-$token) &\nexit 0";
        component("becomes", &format!("exec {begin}")) + &component("leaves", hidden)
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for name in ["becomes", "leaves"] {
        let started = run_action(&mut client, Start, name).await;
        let said =
            started.progress.iter().any(|progress| progress.text.contains("its launch is still running"));
        assert!(said, "{:?}", started.progress);
        assert_eq!(started.result.unwrap().pids, [config.find_process(name).unwrap()]);
    }
}

#[tokio::test]
async fn one_that_ignores_the_signal_is_killed_or_left_as_configured() {
    let config = TestConfig::one_host(|config| {
        let ignoring = "environment.STAND_IN_IGNORES = \"TERM\"\n[component.stop]\ntimeout = \"1s\"\n";
        config.component_toml("killed", "", ignoring)
            + &config.component_toml("kept", "", &format!("{ignoring}kill = false"))
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for name in ["killed", "kept"] {
        run_action(&mut client, Start, name).await.result.unwrap();
        wait_for("the stand-in to ignore SIGTERM", || {
            std::fs::read_to_string(config.log_path(name))
                .is_ok_and(|said| said.contains("ready"))
                .then_some(())
        });
    }
    let [kept] = awaited(&config, ["kept"]);
    let stopped = run_action(&mut client, Stop, "killed").await;
    assert_eq!(
        stopped.phases(),
        [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Killed, ActionPhase::Gone]
    );
    assert!(
        stopped.progress[2].text.starts_with("not ended within 1 s of SIGTERM: SIGKILL was sent to pid ")
    );
    assert_eq!(stopped.result.unwrap().outcome, ActionOutcome::Killed);

    let stopped = run_action(&mut client, Stop, "kept").await;
    assert_eq!(stopped.phases(), [ActionPhase::Signalled, ActionPhase::Waiting]);
    let status = stopped.result.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let expected = format!("pid {kept} (stand-in) did not end within 1 s of SIGTERM, and kill = false");
    assert!(status.message().contains(&expected), "{status}");
    assert_eq!(config.processes(), [kept]);
}

/// Process tree with children and grandchildren in their own sessions, one of which ignores the signal, and
/// with another component among them.
const TREE: &str = r#"
STAND_IN_IGNORES=TERM setsid "$stand_in" --token=child-$token &
setsid bash -c '"$1" --token=grandchild-$2 & setsid "$1" --token=other-$2 & wait' x "$stand_in" "$token" &
exec "$stand_in" --token=app-$token
"#;

#[tokio::test]
async fn the_whole_tree_is_stopped_but_nothing_of_another_component() {
    let config = TestConfig::one_host(|config| {
        config.scripted_component_toml("app", TREE, "[component.stop]\ntimeout = \"2s\"")
            + &config.component_toml("other", "", "")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    // Once started by the agent, and once without its knowledge: then only the process tree identifies them.
    let mut children = ChildProcesses::default();
    for by_agent in [true, false] {
        match by_agent {
            true => drop(run_action(&mut client, Start, "app").await.result.unwrap()),
            false => {
                let mut command = Command::new("/bin/bash");
                command.arg(config.path("app.sh")).env("STAND_IN_LEASE", std::process::id().to_string());
                children.spawn(&mut command);
            }
        }
        let [app, child, grandchild, other] = awaited(&config, ["app", "child", "grandchild", "other"]);
        let stopped = run_action(&mut client, Stop, "app").await;
        assert_eq!(config.processes(), [other], "{:?}", stopped.progress);
        let phases = stopped.phases();
        assert!(
            phases.starts_with(&[ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Signalled]),
            "{phases:?}"
        );
        assert!(phases.ends_with(&[ActionPhase::Killed, ActionPhase::Gone]), "{phases:?}");
        let done = stopped.result.unwrap();
        assert_eq!((done.outcome, done.pids[0]), (ActionOutcome::Killed, app));
        assert!(done.pids.contains(&child) && done.pids.contains(&grandchild) && !done.pids.contains(&other));
        // The matched process is signalled first, and then the remaining ones.
        assert_eq!(stopped.progress[0].pids, [app]);
        assert!(stopped.progress[2].text.starts_with("SIGTERM was sent to what it left behind: pid "));
        assert_eq!(run_action(&mut client, Stop, "other").await.result.unwrap().pids, [other]);
    }
}

/// Processes that left the tree are found by their control group, also by a later agent.
#[tokio::test]
async fn what_has_left_the_tree_is_found_by_its_control_group() {
    let config = TestConfig::one_host(|config| {
        config.scripted_component_toml(
            "app",
            &format!("{STRAY}setsid \"$stand_in\" --token=app-$token &"),
            "",
        )
    });
    let (mut agent, address) = config.start_agent("h");
    run_action(&mut connect_agent(address).await, Start, "app").await.result.unwrap();
    let [app, stray] = awaited(&config, ["app", "stray"]);
    let Some(group) = control_group(app) else {
        skip("no control group can be made here");
        return;
    };
    assert_eq!(control_group(stray).as_ref(), Some(&group));
    agent.signal(Signal::KILL);
    agent.wait();
    let (_agent, address) = config.start_agent("h");
    let stopped = run_action(&mut connect_agent(address).await, Stop, "app").await.result.unwrap();
    assert_eq!(stopped.pids, [app, stray]);
    assert!(config.processes().is_empty() && !group.exists());
}

/// The agent's privileges are dropped only after entering the control group.
#[tokio::test]
async fn what_runs_as_another_user_is_stopped_whole_too() {
    if !rustix::process::geteuid().is_root() {
        skip("only root may switch to another user");
        return;
    }
    let config = TestConfig::one_host(|config| {
        // The user can read the test's folder, and perhaps not the one of the binaries.
        let stand_in = config.path("stand-in");
        std::fs::copy(binary("stand-in"), &stand_in).unwrap();
        let script =
            format!("stand_in='{}'\n{STRAY}exec \"$stand_in\" --token=app-$token", stand_in.display());
        config.scripted_component_toml("app", &script, "user = \"nobody\"")
    });
    std::fs::set_permissions(config.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    run_action(&mut client, Start, "app").await.result.unwrap();
    let pids = awaited(&config, ["app", "stray"]);
    let nobody = pids.map(|pid| std::fs::metadata(format!("/proc/{pid}")).unwrap().uid());
    assert!(nobody.iter().all(|uid| *uid != 0), "{nobody:?}");
    assert_eq!(control_group(pids[0]), control_group(pids[1]));
    assert_eq!(run_action(&mut client, Stop, "app").await.result.unwrap().pids, pids);
    assert!(config.processes().is_empty());
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(why: &str) {
    assert!(std::env::var_os("RTA_GATE").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}

#[tokio::test]
async fn a_scope_may_be_the_process_group_or_the_process_alone() {
    let script = |name: &str| {
        format!(
            "\"$stand_in\" --token={name}-same-$token &\nsetsid \"$stand_in\" --token={name}-apart-$token &\nexec \"$stand_in\" --token={name}-$token"
        )
    };
    let config = TestConfig::one_host(|config| {
        let component = |scope: &str| {
            config.scripted_component_toml(
                scope,
                &script(scope),
                &format!("[component.stop]\nscope = \"{scope}\""),
            )
        };
        component("group") + &component("process")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for scope in ["group", "process"] {
        run_action(&mut client, Start, scope).await.result.unwrap();
        let [app, same, apart] =
            awaited(&config, [scope, &format!("{scope}-same"), &format!("{scope}-apart")]);
        // Until then it is setsid(1), with the same arguments, in the component's process group.
        wait_for("a session of its own", || {
            let session = rustix::process::getsid(rustix::process::Pid::from_raw(apart.cast_signed()));
            session.is_ok_and(|session| session.as_raw_pid() == apart.cast_signed()).then_some(())
        });
        let before = config.processes();
        let stopped = run_action(&mut client, Stop, scope).await.result.unwrap();
        let gone = if scope == "group" { vec![app, same] } else { vec![app] };
        let mut left = before;
        left.retain(|pid| !gone.contains(pid));
        assert_eq!((stopped.outcome, stopped.pids, config.processes()), (ActionOutcome::Stopped, gone, left));
        assert!(config.processes().contains(&apart));
    }
}

#[tokio::test]
async fn a_stop_command_ends_it_or_the_signal_does_in_its_place() {
    let config = TestConfig::one_host(|config| {
        let component = |name: &str, command: &str| {
            let pid = config.path(name);
            let script = format!("echo $$ > '{}'\nexec \"$stand_in\" --token={name}-$token", pid.display());
            let command = command.replace("PID", &pid.display().to_string());
            let stop =
                format!("[component.stop]\ntimeout = \"20s\"\ncommand = [\"/bin/sh\", \"-c\", '{command}']");
            config.scripted_component_toml(name, &script, &stop)
        };
        component("works", "echo bye; kill -TERM $(cat PID); sleep 0.3; echo tidied up")
            + &component("fails", "echo no such server; exit 3")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for name in ["works", "fails"] {
        run_action(&mut client, Start, name).await.result.unwrap();
    }
    let works = run_action(&mut client, Stop, "works").await;
    assert_eq!(works.phases(), [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Gone]);
    assert!(works.progress[0].text.starts_with("its stop command /bin/sh runs (pid "), "{works:?}");
    assert_eq!(works.result.unwrap().outcome, ActionOutcome::Stopped);
    let said = std::fs::read_to_string(config.log_path("works")).unwrap();
    assert!(said.ends_with("bye\ntidied up\n"), "{said}");

    let fails = run_action(&mut client, Stop, "fails").await;
    let failure = fails.progress.iter().find(|progress| progress.text.contains("ended with")).unwrap();
    assert_eq!(
        failure.text,
        "its stop command ended with exit status 3, so it is signalled; it said: no such server"
    );
    assert!(fails.progress.iter().any(|progress| progress.text.starts_with("SIGTERM was sent to pid ")));
    assert_eq!(fails.result.unwrap().outcome, ActionOutcome::Stopped);
    assert!(config.processes().is_empty());
}

/// Returns a free port reserved for the test, on which nothing listens yet.
fn reserved_port() -> (OwnedFd, u16) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let address = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
    rustix::net::bind(&socket, &address).unwrap();
    let bound = std::net::SocketAddrV4::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    (socket, bound.port())
}

#[tokio::test]
async fn it_is_started_when_its_probe_passes() {
    let (socket, port) = reserved_port();
    let config = TestConfig::one_host(|config| {
        config
            .component_toml("app", "", &format!("[component.probe]\ntcp = \"127.0.0.1:{port}\""))
            .replace("timeout = \"20s\"", "timeout = \"2s\"")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let started = run_action(&mut client, Start, "app").await;
    let [app] = awaited(&config, ["app"]);
    assert!(
        started.phases().contains(&ActionPhase::Probing) && !started.phases().contains(&ActionPhase::Stable)
    );
    let status = started.result.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let expected = format!(
        "start of app on h: its probe did not pass within 2 s: tcp 127.0.0.1:{port}: connection refused; \
         it is left running (pid {app})\nstand-in ready"
    );
    assert_eq!(status.message(), expected);

    run_action(&mut client, Stop, "app").await.result.unwrap();
    rustix::net::listen(&socket, 8).unwrap();
    let started = run_action(&mut client, Start, "app").await;
    assert_eq!(started.result.as_ref().unwrap().outcome, ActionOutcome::Started);
    assert_eq!(
        started.phases(),
        [
            ActionPhase::Launched,
            ActionPhase::Waiting,
            ActionPhase::Matched,
            ActionPhase::Probing,
            ActionPhase::Stable
        ]
    );
}

#[tokio::test]
async fn a_restart_is_a_stop_and_a_start() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let first = run_action(&mut client, Restart, "app").await;
    assert_eq!(
        first.phases(),
        [ActionPhase::Launched, ActionPhase::Waiting, ActionPhase::Matched, ActionPhase::Stable]
    );
    let first = first.result.unwrap();
    assert_eq!((first.outcome, &first.pids), (ActionOutcome::Restarted, &config.processes()));
    let second = run_action(&mut client, Restart, "app").await;
    let phases = second.phases();
    assert_eq!(
        phases[..4],
        [ActionPhase::Signalled, ActionPhase::Waiting, ActionPhase::Gone, ActionPhase::Launched]
    );
    let second = second.result.unwrap();
    assert_eq!((second.outcome, &second.pids), (ActionOutcome::Restarted, &config.processes()));
    assert_ne!(first.pids, second.pids);
}

#[tokio::test]
async fn what_could_not_be_started_again_is_not_stopped() {
    let config = TestConfig::one_host(|config| {
        let watched = config.component_toml("watched", "", "");
        let watched = watched.split("[component.start]").next().unwrap().to_owned();
        watched
            + &config.component_toml("no user", "", "user = \"no-such-user\"")
            + &config.component_toml("no folder", "", "directory = \"/no/such/folder\"")
            + &config.component_toml("no program", "", "").replace("/stand-in\"", "/no-such-program\"")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for (name, reason) in [
        ("watched", "the configuration has no start command for it"),
        ("no user", "not stopped: there is no user \"no-such-user\" on this host"),
        ("no folder", "not stopped: the directory /no/such/folder does not exist"),
        ("no program", "no-such-program\" cannot be run: No such file"),
    ] {
        let mut child = config.start_stand_in(name);
        wait_for("the process to be seen", || config.find_process(name));
        let restarted = run_action(&mut client, Restart, name).await;
        assert!(child.try_wait().unwrap().is_none(), "{name} was stopped");
        let status = restarted.result.unwrap_err();
        assert_eq!((status.code(), restarted.progress), (Code::FailedPrecondition, vec![]));
        assert!(status.message().contains(reason), "{status}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_in_mid_start_leaves_nothing_stuck() {
    let config = TestConfig::one_host(|config| {
        config.component_toml("app", "", "").replace("settle = \"0s\"", "settle = \"60s\"")
    });
    let (mut agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let start = tokio::spawn(async move { run_action(&mut client, Start, "app").await.result });
    let [app] = awaited(&config, ["app"]);
    agent.signal(Signal::KILL);
    agent.wait();
    assert!(start.await.unwrap().is_err());

    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    // The next agent resumes the start; an operator's stop does not wait for it.
    let found = seen(&mut client, "app").await;
    let action = found.action.as_ref().unwrap();
    assert_eq!((found.state(), found.processes[0].pid), (v1::State::Starting, app));
    assert_eq!((action.kind(), action.by.as_ref().unwrap().user.as_str()), (v1::ActionKind::Start, "ann"));
    assert_eq!(run_action(&mut client, Stop, "app").await.result.unwrap().pids, [app]);
    let left = seen(&mut client, "app").await;
    assert_eq!((left.state(), left.action), (v1::State::Stopped, None));
}
