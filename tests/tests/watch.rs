//! Tracking of processes by an agent: known pitfalls, with and without kernel events.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rta_shared::action::ActionKind;
use rta_shared::proto::v1;
use rta_tests::{
    AgentClient, AgentReports, ChildProcesses, TestAgent, TestConfig, binary, run_action, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};

/// Starts an agent with these arguments of a host that carries `app`, whose TOML `app` returns, and follows
/// its reports.
async fn start_agent(
    arguments: &[&str],
    app: impl FnOnce(&TestConfig) -> String,
) -> (TestConfig, TestAgent, AgentReports) {
    let config = TestConfig::new();
    let text = app(&config);
    config.write("site.toml", &(text + HOST));
    let agent = TestAgent::start(&config, "h", arguments);
    let reports = AgentReports::open(&agent).await;
    (config, agent, reports)
}

/// Returns the TOML of `app`.
fn app(config: &TestConfig) -> String {
    config.component_toml("app", "", "")
}

/// Returns the state and PIDs of `app` from a full scan.
async fn scanned(reports: &mut AgentReports) -> (v1::State, Vec<u32>) {
    let component = reports.scan().await.components.remove(0);
    (component.state(), pids(&component))
}

/// Returns the agent's mode of watching its host.
async fn watch_mode(reports: &mut AgentReports) -> v1::WatchMode {
    reports.scan().await.watch.unwrap().mode()
}

/// Returns the argument that identifies `app`'s processes.
fn token(config: &TestConfig) -> String {
    format!("--token=app-{}", config.token())
}

/// Returns a command for a stand-in of `app` with this program name.
fn stand_in(config: &TestConfig, name: &str) -> Command {
    let mut command = Command::new(binary("stand-in"));
    command.arg0(name).arg(token(config)).env("STAND_IN_LEASE", std::process::id().to_string());
    command
}

/// Returns a command for a Perl program with `app`'s token among its arguments. It ends with the test.
fn perl(config: &TestConfig, program: &str) -> Command {
    let mut command = Command::new("perl");
    command.args(["-e", program, "--", &token(config)]).stdin(Stdio::piped());
    command
}

/// Arguments of an agent of `h` without TLS and socket, on a free port.
const AGENT_OF_H: [&str; 9] =
    ["--host", "h", "--listen", "127.0.0.1:0", "--insecure", "--socket", "none", "--log-format", "json"];
const HOST: &str = "[[environment]]\nname = \"TEST\"\nhost = [{ name = \"h\", components = [\"app\"] }]\n";

/// Both ways of watching a host. Without kernel events on this machine, both are the same.
const MODES: [&[&str]; 2] = [&[], &["--no-events"]];

fn pids(component: &v1::ComponentReport) -> Vec<u32> {
    component.processes.iter().map(|process| process.pid).collect()
}

fn running_as(pids_wanted: &[u32]) -> impl Fn(&v1::ComponentReport) -> bool + '_ {
    move |component| component.state() == v1::State::Running && pids(component) == pids_wanted
}

fn stopped(component: &v1::ComponentReport) -> bool {
    component.state() == v1::State::Stopped
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn the_mode_is_told_with_its_reason() {
    let (_config, _agent, mut reports) = start_agent(&["--no-events"], app).await;
    let watch = reports.next().await.watch.unwrap();
    assert_eq!(watch.mode(), v1::WatchMode::Scans);
    assert_eq!((watch.fallback.as_str(), watch.differences), ("the agent was told to scan", 0));
    let (_config, _agent, mut reports) = start_agent(&[], app).await;
    let watch = reports.next().await.watch.unwrap();
    assert_eq!(watch.mode() == v1::WatchMode::Events, watch.fallback.is_empty());
}

#[tokio::test]
async fn a_death_and_a_birth_are_told() {
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, app).await;
        let mut children = ChildProcesses::default();
        for _ in 0..3 {
            let mut command = stand_in(&config, "java");
            let pid = children.spawn(&mut command);
            reports.until(running_as(&[pid])).await;
            signal(pid, Signal::KILL);
            reports.until(stopped).await;
            children.kill(pid);
        }
    }
}

/// bash, bash and java are one process: a cached command line would stay wrong forever.
#[tokio::test]
async fn a_launcher_that_calls_exec_twice_is_one_process_from_beginning_to_end() {
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, |config| {
            config
                .component_toml("app", "", "")
                .replace("[{ regex", "[{ index = 0, regex = '^java$' }, { regex")
        })
        .await;
        let script = format!(
            "read line; exec bash -c 'read line; exec -a java \"{}\" {}'",
            binary("stand-in").display(),
            token(&config)
        );
        let mut launcher = Command::new("bash");
        launcher.args(["-c", &script]).env("STAND_IN_LEASE", std::process::id().to_string());
        let mut launcher = launcher.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut input = launcher.stdin.take().unwrap();
        assert_eq!(scanned(&mut reports).await, (v1::State::Stopped, vec![]));
        input.write_all(b"\n").unwrap();
        assert_eq!(scanned(&mut reports).await, (v1::State::Stopped, vec![]));
        input.write_all(b"\n").unwrap();
        let way = reports.until(running_as(&[launcher.id()])).await;
        assert!(way.iter().all(|component| !component.doubled));
        launcher.kill().unwrap();
        launcher.wait().unwrap();
        reports.until(stopped).await;
    }
}

/// A process that becomes another program no longer belongs to the component, although its PID is the same.
#[tokio::test]
async fn a_process_that_becomes_another_program_is_not_running() {
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, app).await;
        let script = format!("read line; exec -a other '{}' other", binary("stand-in").display());
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash", &token(&config)]);
        command.env("STAND_IN_LEASE", std::process::id().to_string()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        reports.until(running_as(&[child.id()])).await;
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        reports.until(stopped).await;
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A child shows its parent's command line until it calls exec; a pre-forked worker does so for life.
#[tokio::test]
async fn a_forked_copy_is_no_double() {
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, app).await;
        // A short-lived child, one that calls exec at once, and one that stays.
        let program = "if (!fork) { exit } if (!fork) { exec 'true' } if (!fork) { <STDIN>; exit } <STDIN>";
        let mut command = perl(&config, program);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let way = reports.until(|component| component.processes.len() == 2).await;
        assert!(way.iter().all(|component| !component.doubled), "{way:#?}");
        let last = way.last().unwrap();
        assert_eq!((last.parts[0].running, last.parts[0].pids.len()), (1, 2));
        assert_eq!(last.processes.iter().filter(|process| process.parent_pid == child.id()).count(), 1);
        drop(child.stdin.take());
        reports.until(stopped).await;
        child.wait().unwrap();
    }
}

#[tokio::test]
async fn a_process_that_becomes_a_daemon_goes_on() {
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, app).await;
        let program = "$x = <STDIN>; if (fork) { exit } <STDIN>";
        let mut child = perl(&config, program).stdout(Stdio::null()).spawn().unwrap();
        reports.until(running_as(&[child.id()])).await;
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"\n").unwrap();
        child.wait().unwrap();
        let parent = child.id();
        let way = reports.until(|component| !pids(component).contains(&parent)).await;
        let is_well =
            |component: &v1::ComponentReport| component.state() == v1::State::Running && !component.doubled;
        assert!(way.iter().all(is_well), "{mode:?} {way:#?}");
        drop(input);
        reports.until(stopped).await;
    }
}

/// PID 1 or a parent may reap late: a zombie counts as gone.
#[tokio::test]
async fn a_zombie_is_gone() {
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, app).await;
        let mut children = ChildProcesses::default();
        let mut command = stand_in(&config, "java");
        let pid = children.spawn(&mut command);
        reports.until(running_as(&[pid])).await;
        signal(pid, Signal::KILL);
        reports.until(stopped).await;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        assert!(stat.contains(") Z "), "{stat}");
        assert_eq!(scanned(&mut reports).await, (v1::State::Stopped, vec![]));
    }
}

/// A helper of a launcher, like Spark's, may match for a moment.
#[tokio::test]
async fn a_helper_that_matches_for_a_moment_leaves_no_trace() {
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, app).await;
        let mut children = ChildProcesses::default();
        let mut helper = stand_in(&config, "java");
        let helper = children.spawn(&mut helper);
        reports.until(running_as(&[helper])).await;
        let mut real = stand_in(&config, "java");
        let real = children.spawn(&mut real);
        reports.until(|component| component.doubled && component.processes.len() == 2).await;
        children.kill(helper);
        reports.until(|component| !component.doubled && running_as(&[real])(component)).await;
    }
}

/// Process identity is more than a PID: a process that reuses the PID is a different one.
#[tokio::test]
async fn a_reused_pid_is_not_taken_for_the_process_that_had_it() {
    if !is_root() {
        return;
    }
    for mode in MODES {
        let (config, _agent, mut reports) = start_agent(mode, app).await;
        let mut children = ChildProcesses::default();
        let mut command = stand_in(&config, "java");
        let pid = children.spawn(&mut command);
        reports.until(running_as(&[pid])).await;
        children.kill(pid);
        // Other tests start processes too, so this repeats until the PID is reused.
        let mut other = wait_for("the PID to be used again", || {
            let mut command = Command::new("sleep");
            command.arg("60");
            let mut child = with_pid(pid, &mut command)?;
            if child.id() == pid {
                return Some(child);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            None
        });
        assert_eq!(scanned(&mut reports).await, (v1::State::Stopped, vec![]));
        // The reverse: the PID of a foreign process now belongs to the component.
        other.kill().unwrap();
        other.wait().unwrap();
        let mut again = wait_for("the PID to be used again", || {
            let mut command = stand_in(&config, "java");
            let mut child = with_pid(pid, command.stdout(Stdio::null()))?;
            if child.id() == pid {
                return Some(child);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            None
        });
        reports.until(running_as(&[pid])).await;
        again.kill().unwrap();
        again.wait().unwrap();
        reports.until(stopped).await;
    }
}

/// Runs a command, which gets this PID unless another process takes it first
/// (proc_sys_kernel(5), ns_last_pid).
fn with_pid(pid: u32, command: &mut Command) -> Option<std::process::Child> {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
    command.spawn().ok()
}

/// A process that changes its title causes no event: the next full scan finds the change, and counts it.
#[tokio::test]
async fn a_title_that_a_process_gives_itself_is_found_by_the_full_scan_and_counted() {
    let (config, _agent, mut reports) = start_agent(&["--scan-period", "1s"], |config| {
        config.component_toml("app", "", "").replace("'^--token=", "'^worker: --token=")
    })
    .await;
    let title = format!("worker: {}", token(&config));
    let mut command = Command::new("perl");
    let program = "<STDIN>; $0 = $ARGV[0]; <STDIN>";
    command.args(["-e", program, "--", &title]).stdin(Stdio::piped());
    // The argument itself also matches; what counts is the command line after the title is set.
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    reports.until(running_as(&[child.id()])).await;
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    wait_for("the title", || {
        let line = std::fs::read(format!("/proc/{}/cmdline", child.id())).ok()?;
        line.starts_with(title.as_bytes()).then_some(())
    });
    assert_eq!(scanned(&mut reports).await, (v1::State::Running, vec![child.id()]));
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// A change without an event is found by the full scan, and counted.
#[tokio::test]
async fn a_difference_that_a_full_scan_finds_is_counted() {
    let (config, _agent, mut reports) = start_agent(&["--scan-period", "1s"], |config| {
        config.component_toml("app", "", "").replace("'^--token=", "'^worker: --token=")
    })
    .await;
    // The title is composed at run time: before, no part of the command line matches.
    let program = "<STDIN>; $0 = 'worker: ' . $ARGV[0]; <STDIN>";
    if watch_mode(&mut reports).await != v1::WatchMode::Events {
        return;
    }
    for _ in 0..20 {
        let mut child = perl(&config, program).stdout(Stdio::null()).spawn().unwrap();
        assert_eq!(scanned(&mut reports).await, (v1::State::Stopped, vec![]));
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        reports.until(running_as(&[child.id()])).await;
        let is_counted = async {
            loop {
                let watch = reports.next().await.watch.unwrap();
                if watch.differences == 1 {
                    return;
                }
            }
        };
        let is_counted = tokio::time::timeout(std::time::Duration::from_secs(5), is_counted).await.is_ok();
        drop(child.stdin.take());
        child.wait().unwrap();
        if is_counted {
            return;
        }
        // Perl also changes the process name just before. If the agent reads the process late after that
        // event, it sees the title already, and there is no difference.
        reports.until(|seen| seen.state() == v1::State::Stopped).await;
    }
    panic!("no title was found by a full scan");
}

/// The kernel drops events that are not read in time. The agent notices, and runs a full scan.
#[tokio::test(flavor = "multi_thread")]
async fn lost_events_are_answered_with_a_full_scan() {
    let (config, agent, mut reports) = start_agent(&[], app).await;
    let mut children = ChildProcesses::default();
    if reports.next().await.watch.unwrap().mode() != v1::WatchMode::Events {
        return;
    }
    let mut command = stand_in(&config, "java");
    let before = children.spawn(&mut command);
    reports.until(running_as(&[before])).await;
    agent.process.signal(Signal::STOP);
    let mut storm = Command::new("bash");
    storm.args(["-c", "for ((i = 0; i < 12000; i++)); do (:); done"]);
    assert!(storm.status().unwrap().success());
    children.kill(before);
    let mut command = stand_in(&config, "java");
    let after = children.spawn(&mut command);
    agent.process.signal(Signal::CONT);
    reports.until(running_as(&[after])).await;
    let report = reports.scan().await;
    let watch = report.watch.unwrap();
    assert_ne!(watch.overruns, 0);
    assert_eq!(watch.differences, 0, "what was lost is not what was missed");
}

/// The kernel sends its events to the initial PID namespace only.
#[tokio::test]
async fn in_a_pid_namespace_of_its_own_the_agent_scans_and_says_why() {
    if !is_root() {
        return;
    }
    let config = TestConfig::new();
    config.write("site.toml", &(config.component_toml("app", "", "") + HOST));
    let folder = config.folder();
    let agent = binary("rta-agent");
    let mut children = ChildProcesses::default();
    let log = config.path("agent.log");
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(&agent)
        .arg("--config")
        .arg(&folder);
    command.args(AGENT_OF_H);
    command.arg("--runtime").arg(config.path("runtime"));
    let out = std::fs::File::create(&log).unwrap();
    children.spawn_with_log(&mut command, out);
    let (address, reason) = wait_for("the agent to listen and to say how it follows", || {
        let log = std::fs::read_to_string(&log).unwrap();
        let events: Vec<serde_json::Value> =
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let address = events.iter().find_map(|event| Some(event["address"].as_str()?.to_owned()))?;
        let reason = events.iter().find_map(|event| Some(event["reason"].as_str()?.to_owned()))?;
        Some((address, reason))
    });
    assert!(reason.contains("a PID namespace of its own"), "{reason}");
    let mut client = AgentClient::connect(format!("http://{address}")).await.unwrap();
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    assert_eq!(report.watch.unwrap().mode(), v1::WatchMode::Scans);
    // The agent sees its own namespace only.
    let mut outside = Command::new(binary("stand-in"));
    outside.arg(format!("--token=app-{}", config.token()));
    children.spawn(outside.env("STAND_IN_LEASE", std::process::id().to_string()));
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    assert_eq!(report.components[0].state(), v1::State::Stopped);
}

/// Processes hidden by `hidepid` are not stopped; their state is unknown.
#[tokio::test]
async fn what_hidepid_hides_is_unknown_and_not_stopped() {
    if !is_root() {
        return;
    }
    let config = TestConfig::new();
    config.write("site.toml", &(config.component_toml("app", "", "") + HOST));
    let mut children = ChildProcesses::default();
    let mut hidden = Command::new(binary("stand-in"));
    hidden.arg(format!("--token=app-{}", config.token()));
    children.spawn(hidden.env("STAND_IN_LEASE", std::process::id().to_string()));
    let nobody = "mount -t proc -o hidepid=2 proc /proc && \
                  exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", nobody, "sh"]);
    command.arg(binary("rta-agent")).arg("--config").arg(config.folder());
    command.args(AGENT_OF_H);
    for folder in [config.path(""), config.folder()] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder, open).unwrap();
    }
    let log = config.path("agent.log");
    let out = std::fs::File::create(&log).unwrap();
    children.spawn_with_log(&mut command, out);
    let address = wait_for("the agent to listen", || {
        let log = std::fs::read_to_string(&log).unwrap();
        let mut events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        events.find_map(|event| Some(event["address"].as_str()?.to_owned()))
    });
    let mut client = AgentClient::connect(format!("http://{address}")).await.unwrap();
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    assert!(report.error.contains("/proc is mounted with hidepid="), "{}", report.error);
    assert!(report.components.is_empty());
    let refused = run_action(&mut client, ActionKind::Start, "app").await.result.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
}
