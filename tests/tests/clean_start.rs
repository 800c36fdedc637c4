//! Isolation of started processes: they inherit nothing of the agent's own that they must not have.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rta_shared::action::ActionKind::{Start, Stop};
use rta_tests::{AgentClient, ServerProcess, TestConfig, binary, connect_agent, run_action, wait_for};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, geteuid};
use tonic::Code;

/// Starts an agent as a cron wrapper might: with a secret, a lock held by an open descriptor, ignored
/// signals, and changed umask, priority and limits.
async fn agent(config: &TestConfig) -> (ServerProcess, AgentClient) {
    let wrapper = "exec 9>\"$LOCK\"; flock 9; trap '' HUP INT QUIT USR1 RTMIN; umask 077; renice -n 3 $$ >&2; \
                   ulimit -Sn 512; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command.arg("-c").arg(wrapper).arg(binary("rta-agent"));
    command.arg("--config").arg(config.folder()).args(["--host", "h", "--listen", "127.0.0.1:0"]);
    command.arg("--runtime").arg(config.path("runtime"));
    command.env("LOCK", config.path("lock")).env("SECRET_OF_THE_AGENT", "s3cret").env("LANG", "de_DE.UTF-8");
    let mut agent = ServerProcess::spawn(command);
    let address = agent.address("address");
    (agent, connect_agent(address).await)
}

/// Splits a text at NULs and line ends.
fn lines(text: &str) -> BTreeSet<String> {
    text.split(['\0', '\n']).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn names(lines: &BTreeSet<String>) -> BTreeSet<&str> {
    lines.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect()
}

/// Returns the value of this key in `/proc/PID/status`.
fn status(pid: u32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Signal set of SIGPIPE, which Rust programs ignore by default.
const ONLY_PIPE: &str = "0000000000001000";

const BASIC: [&str; 6] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"];

#[tokio::test]
async fn component_gets_nothing_of_the_agent_but_what_its_rule_names() {
    let config = TestConfig::one_host(|config| {
        let files = format!("[\"{}\", \"-/none\"]", config.path("variables").display());
        let rule = format!(
            "environment_file = {files}\numask = \"0027\"\nnice = 7\nlimits = {{ nofile = 128, core = 0 }}"
        );
        config
            .component_toml("app", "", &rule)
            .replace("[component.start]", "[component.start]\nenvironment.A = \"rule\"")
    });
    std::fs::write(config.path("variables"), "# of the operator\nA=\"file\"\nB='two words'\n").unwrap();
    let (mut agent, mut client) = agent(&config).await;
    let pid = run_action(&mut client, Start, "app").await.result.unwrap().pids[0];

    let environment = lines(&std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap());
    let more = ["A", "B", "RTA_LAUNCH_ID", "STAND_IN_LEASE"];
    assert_eq!(names(&environment), BASIC.into_iter().chain(more).collect());
    for expected in ["A=file", "B=two words", "LANG=de_DE.UTF-8"] {
        assert!(environment.contains(expected), "{environment:?}");
    }
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let descriptors: BTreeSet<String> =
        descriptors.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // One of them is the stand-in's own.
    let own = descriptors.iter().filter(|descriptor| {
        let target = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap();
        target.to_str().is_some_and(|target| target.contains("pidfd"))
    });
    assert_eq!(descriptors.len(), 3 + own.count(), "{descriptors:?}");
    assert_eq!(
        (status(pid, "SigIgn").as_str(), status(pid, "SigBlk").as_str()),
        (ONLY_PIPE, "0000000000000000")
    );
    assert_eq!(status(pid, "Umask"), "0027");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(16), Some("7"));
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str| -> Vec<String> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect()
    };
    assert_eq!(
        (limit("Max open files"), limit("Max core file size")),
        (vec!["128".to_owned(); 2], vec!["0".to_owned(); 2])
    );

    // The wrapper's lock is released with the agent, though the component keeps running.
    let lock = File::open(config.path("lock")).unwrap();
    assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err());
    agent.signal(Signal::KILL);
    agent.wait();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(config.processes(), [pid]);
}

#[tokio::test]
async fn without_a_rule_and_for_stop_and_probe_commands_the_start_is_clean_too() {
    let config = TestConfig::one_host(|config| {
        let script = |name: &str, text: &str| {
            let path = config.path(name);
            std::fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path.display().to_string()
        };
        let note = |name: &str| {
            let path = config.path(name).display().to_string();
            format!(
                "env > '{path}.new'; grep -E 'SigIgn|SigBlk|Umask' /proc/self/status >> '{path}.new'; mv '{path}.new' '{path}'"
            )
        };
        let probe = script("probe.sh", &note("probe"));
        let stop = script("stop.sh", &(note("stop") + "\npkill -f -- \"--token=app-$1\""));
        let more = format!(
            "[component.stop]\ncommand = [\"{stop}\", \"{}\"]\n[component.probe]\ncommand = [\"{probe}\"]",
            config.token()
        );
        config.component_toml("app", "", &more)
    });
    let (_agent, mut client) = agent(&config).await;
    let pid = run_action(&mut client, Start, "app").await.result.unwrap().pids[0];
    assert_eq!((status(pid, "Umask").as_str(), status(pid, "SigIgn").as_str()), ("0022", ONLY_PIPE));
    run_action(&mut client, Stop, "app").await.result.unwrap();
    // Variables that bash itself sets.
    let of_bash = ["PWD", "SHLVL", "_"];
    for (name, more) in [("probe", &["RTA_PROBE_AGENT"][..]), ("stop", &["STAND_IN_LEASE"])] {
        let written = wait_for(name, || std::fs::read_to_string(config.path(name)).ok());
        let written = lines(&written);
        let expected: BTreeSet<&str> = BASIC.into_iter().chain(of_bash).chain(more.iter().copied()).collect();
        assert_eq!(names(&written), expected, "{name}");
        let status: Vec<&String> =
            written.iter().filter(|line| line.contains(':') && !line.contains('=')).collect();
        assert_eq!(status.len(), 3, "{name}: {written:?}");
        assert!(
            status.iter().all(|line| line.ends_with("0000000000000000") || line.ends_with("0022")),
            "{name}: {status:?}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_given_is_refused_with_the_reason() {
    let file =
        |text: &str, expected: &str| (format!("environment_file = \"@\"\n#{text}"), expected.to_owned());
    let cases = [
        file("A=1\\nBroken", "variables:2: the line has no \"=\""),
        (
            "environment_file = \"/does/not/exist\"".to_owned(),
            "environment_file /does/not/exist: No such file".to_owned(),
        ),
        (
            "group = \"no-such-group\"".to_owned(),
            "there is no group \"no-such-group\" on this host".to_owned(),
        ),
        ("user = \"no-such-user\"".to_owned(), "there is no user \"no-such-user\" on this host".to_owned()),
    ];
    for (rule, expected) in cases {
        let config = TestConfig::one_host(|config| {
            let path = config.path("variables").display().to_string();
            if let Some((_, text)) = rule.split_once('#') {
                std::fs::write(&path, text.replace("\\n", "\n")).unwrap();
            }
            config.component_toml("app", "", &rule.replace('@', &path))
        });
        let (_agent, mut client) = agent(&config).await;
        let refused = run_action(&mut client, Start, "app").await.result.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains(&expected), "{refused}");
        assert!(config.processes().is_empty());
    }
}

#[tokio::test]
async fn user_and_group_are_switched_to_with_their_variables() {
    if !geteuid().is_root() {
        return;
    }
    let config = TestConfig::one_host(|config| {
        config.component_toml("app", "", "user = \"daemon\"\ngroup = \"mail\"")
    });
    std::fs::set_permissions(config.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    // The user may lack access to the build folder.
    let program = config.path("stand-in");
    std::fs::copy(binary("stand-in"), &program).unwrap();
    let text = std::fs::read_to_string(config.folder().join("site.toml")).unwrap();
    let text = text.replace(&binary("stand-in").display().to_string(), &program.display().to_string());
    config.write("site.toml", &text);
    let (_agent, mut client) = agent(&config).await;
    let pid = run_action(&mut client, Start, "app").await.result.unwrap().pids[0];
    assert_eq!((status(pid, "Uid").split(' ').next(), status(pid, "Gid").as_str()), (Some("1"), "8 8 8 8"));
    let environment = lines(&std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap());
    for expected in ["USER=daemon", "LOGNAME=daemon", "HOME=/usr/sbin", "SHELL=/usr/sbin/nologin"] {
        assert!(environment.contains(expected), "{expected}: {environment:?}");
    }
}
