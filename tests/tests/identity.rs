//! Process identity: user, executable, other criteria, and containers.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rta_shared::action::ActionKind::{Start, Stop};
use rta_shared::action::ActionOutcome;
use rta_shared::proto::v1;
use rta_tests::{
    AgentClient, ChildProcesses, TestConfig, binary, connect_agent, request_target, run_action, run_binary,
    wait_for,
};

/// User ID that needs no account on the host.
const NOBODY: u32 = 65_534;

async fn seen(client: &mut AgentClient, component: &str) -> v1::ComponentReport {
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    report.components.into_iter().find(|seen| seen.component == component).unwrap()
}

fn pids(seen: &v1::ComponentReport) -> Vec<u32> {
    seen.processes.iter().map(|process| process.pid).collect()
}

/// Returns a shell that waits for the end of its input, with the argument that `component` matches.
fn shell(config: &TestConfig, component: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "read x", &format!("--token={component}-{}", config.token())]).stdin(Stdio::piped());
    command
}

fn lives(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Returns true if the tests run as root, which processes of other users and namespaces require.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var_os("RTA_GATE").is_none(), "the gate runs as root");
    if !is_root {
        eprintln!("SKIPPED: only root has processes of other users");
    }
    is_root
}

#[tokio::test]
async fn foreign_users_process_neither_counts_nor_blocks_a_start() {
    if !is_root() {
        return;
    }
    let config = TestConfig::one_host(|config| config.component_toml("app", "", "user = \"root\""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut children = ChildProcesses::default();
    let foreign = children.spawn(shell(&config, "app").uid(NOBODY).gid(NOBODY));
    let found = seen(&mut client, "app").await;
    assert_eq!((found.state(), pids(&found)), (v1::State::Stopped, vec![]));

    let request = v1::AgentServiceExplainRequest {
        component: "app".to_owned(),
        target: request_target(&mut client).await,
    };
    let parts = client.explain(request).await.unwrap().into_inner().parts;
    let explained = parts[0].processes.iter().find(|process| process.pid == foreign).unwrap();
    let user = explained.criteria.last().unwrap();
    assert_eq!((user.kind(), user.regex.as_str(), user.holds), (v1::CriterionKind::User, "root", false));
    assert_eq!(user.found.as_ref(), Some(&explained.user));

    let started = run_action(&mut client, Start, "app").await.result.unwrap();
    assert_eq!(started.outcome, ActionOutcome::Started);
    let found = seen(&mut client, "app").await;
    assert_eq!(
        (found.state(), found.doubled, pids(&found)),
        (v1::State::Running, false, started.pids.clone())
    );
    assert_eq!(found.processes[0].user, "root");
    assert!(!started.pids.contains(&foreign));

    let stopped = run_action(&mut client, Stop, "app").await.result.unwrap();
    assert_eq!((stopped.outcome, stopped.pids), (ActionOutcome::Stopped, started.pids));
    assert!(lives(foreign));
    assert_eq!(
        run_action(&mut client, Stop, "app").await.result.unwrap().outcome,
        ActionOutcome::AlreadyStopped
    );
    assert!(lives(foreign));
}

#[tokio::test]
async fn set_user_id_program_counts_as_its_callers() {
    if !is_root() {
        return;
    }
    let config = TestConfig::one_host(|config| config.component_toml("app", "", "user = \"root\""));
    // Any user can run such a program with any command line, and gets its owner's effective user ID.
    let program = config.path("set-user-id");
    std::fs::copy(binary("stand-in"), &program).unwrap();
    std::fs::set_permissions(config.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut children = ChildProcesses::default();
    let mut command = Command::new(&program);
    command.arg(format!("--token=app-{}", config.token())).uid(NOBODY).gid(NOBODY);
    let foreign = children.spawn(command.env("STAND_IN_LEASE", std::process::id().to_string()));
    let status = std::fs::read_to_string(format!("/proc/{foreign}/status")).unwrap();
    let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    // On a file system mounted nosuid it is an ordinary program, which also counts as its caller's.
    assert!(uids.starts_with(&format!("Uid:\t{NOBODY}\t")), "{uids}");
    let found = seen(&mut client, "app").await;
    assert_eq!((found.state(), pids(&found)), (v1::State::Stopped, vec![]));
}

#[tokio::test]
async fn process_of_a_container_counts_only_where_that_is_said() {
    if !is_root() {
        return;
    }
    let config = TestConfig::one_host(|config| {
        let contained = config.component_toml("contained", "", "");
        config.component_toml("app", "", "")
            + &contained.replace("depends_on", "container = true\ndepends_on")
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut children = ChildProcesses::default();
    for name in ["app", "contained"] {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command
            .arg("exec sh -c 'read x' \"--token=$NAME\"")
            .env("NAME", format!("{name}-{}", config.token()));
        children.spawn(command.stdin(Stdio::piped()));
    }
    let inside = ["app", "contained"].map(|name| wait_for(name, || config.find_process(name)));

    let found = seen(&mut client, "app").await;
    assert_eq!((found.state(), pids(&found)), (v1::State::Stopped, vec![]));
    assert_eq!(
        run_action(&mut client, Stop, "app").await.result.unwrap().outcome,
        ActionOutcome::AlreadyStopped
    );
    let started = run_action(&mut client, Start, "app").await.result.unwrap();
    assert_eq!(started.outcome, ActionOutcome::Started);
    assert_eq!(run_action(&mut client, Stop, "app").await.result.unwrap().pids, started.pids);
    assert!(lives(inside[0]));

    let found = seen(&mut client, "contained").await;
    assert_eq!((found.state(), pids(&found)), (v1::State::Running, vec![inside[1]]));
    let again = run_action(&mut client, Start, "contained").await.result.unwrap();
    assert_eq!((again.outcome, again.pids), (ActionOutcome::AlreadyRunning, vec![inside[1]]));
}

#[tokio::test]
async fn executable_directory_and_parent_tell_alike_command_lines_apart() {
    let config = TestConfig::one_host(|config| {
        let component = |name: &str, criterion: String| {
            format!("[[component]]\nname = \"{name}\"\ncriteria = [{criterion}]\n")
        };
        let own = std::env::current_exe().unwrap();
        let parent = own.file_name().unwrap().to_str().unwrap().to_owned();
        component("by executable", format!("{{ executable = '^{}$' }}", config.path("program").display()))
            + &component(
                "by directory",
                format!(
                    "{{ regex = '^--token=app-{}$' }}, {{ directory = '^{}$' }}",
                    config.token(),
                    config.path("log").display()
                ),
            )
            + &component(
                "by parent",
                format!("{{ regex = '^--token=app-{}$' }}, {{ parent = '{parent}' }}", config.token()),
            )
            + &component(
                "by another parent",
                format!("{{ regex = '^--token=app-{}$' }}, {{ parent = 'rta-agent' }}", config.token()),
            )
    });
    std::fs::create_dir(config.path("log")).unwrap();
    std::fs::copy(binary("stand-in"), config.path("program")).unwrap();
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut children = ChildProcesses::default();
    let mut stand_in = |program: std::path::PathBuf, folder: &str| {
        let mut command = Command::new(program);
        command.arg(format!("--token=app-{}", config.token())).current_dir(config.path(folder));
        children.spawn(command.env("STAND_IN_LEASE", std::process::id().to_string()))
    };
    let by_program = stand_in(config.path("program"), "");
    let by_folder = stand_in(binary("stand-in"), "log");
    let mut both = vec![by_program, by_folder];
    both.sort_unstable();
    for (component, expected) in [
        ("by executable", vec![by_program]),
        ("by directory", vec![by_folder]),
        ("by parent", both),
        ("by another parent", vec![]),
    ] {
        assert_eq!(pids(&seen(&mut client, component).await), expected, "{component}");
    }
    // A replaced executable still belongs to its process.
    std::fs::remove_file(config.path("program")).unwrap();
    assert_eq!(pids(&seen(&mut client, "by executable").await), [by_program]);
}

#[tokio::test]
async fn attribute_that_an_unprivileged_agent_cannot_read_is_unknown_not_stopped() {
    if !is_root() {
        return;
    }
    let config = TestConfig::one_host(|config| {
        let criteria = |name: &str| format!("{{ regex = '^--token={name}-{}$' }}", config.token());
        format!(
            "[[component]]\nname = \"app\"\ncriteria = [{}, {{ executable = 'x' }}]\n\
             [[component]]\nname = \"other\"\ncriteria = [{}]\n",
            criteria("app"),
            criteria("other")
        )
    });
    for folder in [config.path(""), config.folder()] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut children = ChildProcesses::default();
    let app = children.spawn(&mut shell(&config, "app"));
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
    command.arg(binary("rta-agent")).arg("--config").arg(config.folder());
    command.args(["--host", "h", "--listen", "127.0.0.1:0", "--insecure"]);
    let mut agent = rta_tests::ServerProcess::spawn(command);
    let mut client = connect_agent(agent.address("address")).await;
    let found = seen(&mut client, "app").await;
    assert_eq!(found.state(), v1::State::Unknown);
    assert!(
        found
            .unseen
            .starts_with(&format!("pid {app} may be it, and the executable of pid {app} cannot be read: ")),
        "{}",
        found.unseen
    );
    // Other components are not affected.
    let other = seen(&mut client, "other").await;
    assert_eq!((other.state(), other.unseen.as_str()), (v1::State::Stopped, ""));
    let refused = run_action(&mut client, Start, "app").await.result.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
    let refused = run_action(&mut client, Stop, "app").await.result.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
}

#[tokio::test]
async fn component_of_a_user_that_does_not_exist_is_unknown() {
    let config = TestConfig::one_host(|config| {
        config.component_toml("implied", "", "user = \"no-such-user\"")
            + &format!(
                "[[component]]\nname = \"said\"\ncriteria = [{{ regex = '^--token=said-{}$' }}, \
                 {{ user = \"no-such-user\" }}]\n",
                config.token()
            )
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for (component, whose) in [("implied", "its start command's"), ("said", "its criterion's")] {
        let found = seen(&mut client, component).await;
        assert_eq!(found.state(), v1::State::Unknown);
        assert_eq!(
            found.unseen,
            format!(
                "there is no user \"no-such-user\" on this host: create the account, or correct {whose} user"
            )
        );
    }
}

#[test]
fn users_are_told_without_agent_and_aggregator() {
    if !is_root() {
        return;
    }
    let config = TestConfig::one_host(|config| config.component_toml("app", "", "user = \"root\""));
    let mut children = ChildProcesses::default();
    let foreign = children.spawn(shell(&config, "app").uid(NOBODY).gid(NOBODY));
    let folder = config.folder().display().to_string();
    let local = run_binary("rta", ["local", "h", "--config", &folder]);
    let said = String::from_utf8_lossy(&local.stdout).into_owned();
    assert!(said.contains("app        stopped  down"), "{said}");
    let explained = run_binary("rta", ["explain", "TEST/h/app", "--local", "--config", &folder]);
    let said = String::from_utf8_lossy(&explained.stdout).into_owned();
    let user = said.lines().find(|line| line.contains("you ask for \"root\"")).unwrap_or_default();
    assert!(user.starts_with("  fails  the user is \""), "{said}");
    assert!(said.contains(&format!("\npid {foreign} (sh, 4 arguments, user ")), "{said}");
}

#[test]
fn user_is_learnt_where_the_command_line_does_not_tell() {
    if !is_root() {
        return;
    }
    let config = TestConfig::new();
    let mut children = ChildProcesses::default();
    // The token is not used because it looks like a secret.
    let word = format!("word{}", config.token().replace('-', "x"));
    let command = || {
        let mut command = Command::new("sh");
        command.args(["-c", "read x", &word]).stdin(Stdio::piped());
        command
    };
    let own = children.spawn(&mut command());
    let foreign = children.spawn(command().uid(NOBODY).gid(NOBODY));
    let learnt = run_binary("rta", ["learn", &own.to_string()]);
    let said = String::from_utf8_lossy(&learnt.stdout).into_owned();
    assert!(
        said.contains("    { user = \"root\" },\n]"),
        "{said}{}",
        String::from_utf8_lossy(&learnt.stderr)
    );
    children.kill(foreign);
    let learnt = run_binary("rta", ["learn", &own.to_string()]);
    assert!(!String::from_utf8_lossy(&learnt.stdout).contains("user ="));
}
