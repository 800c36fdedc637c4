//! Components started and stopped by systemd, tested with a real one.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rta_shared::proto::v1;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use rta_tests::{RealSystemd, ServerProcess, TestConfig, binary, wait_for};
use tonic::transport::Channel;
use tonic::{Code, Status};

type Client = AgentServiceClient<Channel>;

/// Returns a unit that plays a component in the namespace, whose PID 1 holds its lease.
fn service(config: &TestConfig, component: &str, more: &str) -> String {
    let (stand_in, token) = (binary("stand-in"), config.token());
    format!(
        "[Service]\nEnvironment=STAND_IN_LEASE=1\nExecStart={} --token={component}-{token}\n{more}\n",
        stand_in.display()
    )
}

/// Creates a configuration with one host `h`, whose components are units of the same names.
fn config(components: &[&str]) -> TestConfig {
    let config = TestConfig::new();
    let mut text = String::new();
    for component in components {
        text.push_str(&format!(
            "[[component]]\nname = \"{component}\"\n\
             criteria = [{{ regex = '^--token={component}-{token}$' }}]\n\
             [component.start]\nsystemd = \"{component}.service\"\nsettle = \"100ms\"\ntimeout = \"20s\"\n\
             [component.stop]\ntimeout = \"20s\"\n",
            token = config.token()
        ));
    }
    let names: Vec<String> = components.iter().map(|name| format!("\"{name}\"")).collect();
    text.push_str(&format!(
        "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [{}] }}]\n",
        names.join(", ")
    ));
    config.write("site.toml", &text);
    config
}

/// Starts an agent for `h` with `command`.
async fn agent(config: &TestConfig, mut command: Command) -> (ServerProcess, Client) {
    command.arg("--config").arg(config.folder()).args(["--host", "h", "--listen", "127.0.0.1:0"]);
    let mut agent = ServerProcess::spawn(command);
    let address: SocketAddr = agent.address("address");
    (agent, Client::connect(format!("http://{address}")).await.unwrap())
}

/// Starts a real systemd with `units`, and an agent in it.
async fn inside(
    config: &TestConfig,
    units: &[(&str, String)],
) -> Option<(RealSystemd, ServerProcess, Client)> {
    let systemd = RealSystemd::start(config.token(), units)?;
    let (agent, client) = agent(config, systemd.enter(binary("rta-agent"))).await;
    Some((systemd, agent, client))
}

/// Progress and result of an action.
#[derive(Debug)]
struct ObservedAction {
    progress: Vec<v1::ActionProgress>,
    end: Result<v1::ActionResult, Status>,
}

impl ObservedAction {
    fn phases(&self) -> Vec<v1::ActionPhase> {
        self.progress.iter().map(v1::ActionProgress::phase).collect()
    }

    fn outcome(&self) -> v1::ActionOutcome {
        self.end.as_ref().unwrap().outcome()
    }

    fn refusal(&self) -> (Code, &str) {
        let status = self.end.as_ref().unwrap_err();
        (status.code(), status.message())
    }
}

/// Performs an action to its end.
async fn perform(client: &mut Client, kind: v1::ActionKind, component: &str) -> ObservedAction {
    let target = rta_tests::request_target(client).await;
    let component = component.to_owned();
    let request = v1::AgentServiceActRequest {
        kind: kind.into(),
        component,
        by: None,
        target,
        request_id: String::new(),
    };
    let mut observed = ObservedAction { progress: Vec::new(), end: Err(Status::unknown("it never ended")) };
    let mut events = match client.act(request).await {
        Err(status) => return ObservedAction { end: Err(status), ..observed },
        Ok(response) => response.into_inner(),
    };
    loop {
        match events.message().await {
            Ok(None) => return observed,
            Err(status) => observed.end = Err(status),
            Ok(Some(message)) => match message.event.unwrap() {
                v1::agent_service_act_response::Event::Progress(progress) => observed.progress.push(progress),
                v1::agent_service_act_response::Event::Result(result) => observed.end = Ok(result),
            },
        }
    }
}

async fn start(client: &mut Client, component: &str) -> ObservedAction {
    perform(client, v1::ActionKind::Start, component).await
}

async fn stop(client: &mut Client, component: &str) -> ObservedAction {
    perform(client, v1::ActionKind::Stop, component).await
}

async fn restart(client: &mut Client, component: &str) -> ObservedAction {
    perform(client, v1::ActionKind::Restart, component).await
}

async fn seen(client: &mut Client, component: &str) -> v1::ComponentReport {
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    assert_eq!(report.error, "");
    report.components.into_iter().find(|seen| seen.component == component).unwrap()
}

/// Waits until the report on `component` meets `is_it`.
async fn until(
    client: &mut Client,
    component: &str,
    is_it: impl Fn(&v1::ComponentReport) -> bool,
) -> v1::ComponentReport {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let report = seen(client, component).await;
        if is_it(&report) {
            return report;
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain: {report:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Formats the unit in a report, for example `active (running) success`; empty before systemd has answered.
fn unit(report: &v1::ComponentReport) -> String {
    let text = |unit: &v1::UnitReport| {
        format!("{} ({}) {}{}", unit.active_state, unit.sub_state, unit.result, unit.error)
    };
    report.unit.as_ref().map(text).unwrap_or_default()
}

#[tokio::test]
async fn a_unit_is_started_restarted_and_stopped() {
    use v1::ActionPhase::{Gone, Launched, Matched, Signalled, Stable, Waiting};
    let config = config(&["good"]);
    let units = [("good.service", service(&config, "good", ""))];
    let Some((systemd, _agent, mut client)) = inside(&config, &units).await else { return };
    until(&mut client, "good", |report| unit(report) == "inactive (dead) success").await;

    let observed = start(&mut client, "good").await;
    assert_eq!(observed.outcome(), v1::ActionOutcome::Started);
    assert_eq!(observed.phases(), [Launched, Waiting, Matched, Stable]);
    assert_eq!(observed.progress[0].text, "systemd was asked to start good.service");
    let first = seen(&mut client, "good").await;
    assert_eq!(first.state(), v1::State::Running);
    assert_eq!(observed.end.unwrap().pids, [first.processes[0].pid]);
    until(&mut client, "good", |report| unit(report) == "active (running) ").await;
    assert_eq!(config.processes().len(), 1);
    assert_eq!(start(&mut client, "good").await.outcome(), v1::ActionOutcome::AlreadyRunning);

    let observed = restart(&mut client, "good").await;
    assert_eq!(observed.outcome(), v1::ActionOutcome::Restarted);
    assert_eq!(observed.phases(), [Signalled, Waiting, Matched, Stable]);
    assert_eq!(config.processes().len(), 1);
    let second = seen(&mut client, "good").await;
    assert_ne!(second.processes[0].pid, first.processes[0].pid);

    let observed = stop(&mut client, "good").await;
    assert_eq!(observed.outcome(), v1::ActionOutcome::Stopped);
    assert_eq!(observed.phases(), [Signalled, Waiting, Gone]);
    assert_eq!(observed.end.unwrap().pids, [second.processes[0].pid]);
    assert!(config.processes().is_empty());
    until(&mut client, "good", |report| unit(report) == "inactive (dead) success").await;
    assert_eq!(stop(&mut client, "good").await.outcome(), v1::ActionOutcome::AlreadyStopped);
    // A restart of a stopped component is a start.
    assert_eq!(restart(&mut client, "good").await.phases(), [Launched, Waiting, Matched, Stable]);
    assert!(systemd.systemctl(&["is-active", "good.service"]).stdout.starts_with(b"active"));
}

#[tokio::test]
async fn a_failure_quotes_the_units_result() {
    let config = config(&["false", "once", "missing", "other", "masked"]);
    let units = [
        ("false.service", "[Service]\nExecStart=/bin/false\n".to_owned()),
        ("once.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n".to_owned()),
        ("other.service", service(&config, "another", "")),
    ];
    let Some((systemd, _agent, mut client)) = inside(&config, &units).await else { return };
    std::os::unix::fs::symlink("/dev/null", systemd.units().join("masked.service")).unwrap();

    let observed = start(&mut client, "false").await;
    let sentence = "start of false on h: systemd: false.service failed: exit-code, status 1";
    assert_eq!(observed.refusal(), (Code::Internal, sentence));
    until(&mut client, "false", |report| unit(report) == "failed (failed) exit-code").await;
    let observed = start(&mut client, "once").await;
    let sentence = "start of once on h: systemd: once.service failed: exit-code, status 3";
    assert_eq!(observed.refusal(), (Code::Internal, sentence));

    for observed in [start(&mut client, "missing").await, stop(&mut client, "missing").await] {
        let (code, message) = observed.refusal();
        assert_eq!(code, Code::FailedPrecondition);
        assert!(message.ends_with("systemd knows no unit missing.service on this host"), "{message}");
    }
    until(&mut client, "missing", |report| {
        unit(report) == " () systemd knows no unit missing.service on this host"
    })
    .await;
    let observed = start(&mut client, "masked").await;
    assert!(observed.refusal().1.contains("systemd refuses: Unit masked.service is masked"), "{observed:?}");

    // Another component's process runs, and systemd reports success: the criteria are wrong.
    let text = std::fs::read_to_string(config.folder().join("site.toml")).unwrap();
    config.write("site.toml", &text.replace("timeout = \"20s\"", "timeout = \"1s\""));
    let target = rta_tests::request_target(&mut client).await;
    client.reload_config(v1::AgentServiceReloadConfigRequest { target }).await.unwrap();
    let observed = start(&mut client, "other").await;
    let sentence = "start of other on h: no process matched its criteria within 1 s, though other.service is \
                    active (running); check the criteria";
    assert_eq!(observed.refusal(), (Code::DeadlineExceeded, sentence));
}

#[tokio::test]
async fn ends_that_are_not_clean_are_told() {
    let config = config(&["killed", "revived", "stubborn", "leaver", "stranger"]);
    let (stand_in, token) = (binary("stand-in"), config.token().to_owned());
    let leaver = format!(
        "[Service]\nEnvironment=STAND_IN_LEASE=1\nKillMode=process\n\
         ExecStart=/bin/sh -c '{0} --token=leaver-{token} & exec {0} --token=leaver-{token}'\n",
        stand_in.display()
    );
    let units = [
        ("killed.service", service(&config, "killed", "")),
        ("revived.service", service(&config, "revived", "Restart=always\nRestartSec=100ms")),
        (
            "stubborn.service",
            service(&config, "stubborn", "Environment=STAND_IN_IGNORES=TERM\nTimeoutStopSec=1"),
        ),
        ("leaver.service", leaver),
        ("stranger.service", service(&config, "stranger", "")),
    ];
    let Some((systemd, _agent, mut client)) = inside(&config, &units).await else { return };

    start(&mut client, "killed").await.end.unwrap();
    systemd.systemctl(&["kill", "--signal=KILL", "killed.service"]);
    let report = until(&mut client, "killed", |report| unit(report) == "failed (failed) signal").await;
    assert_eq!(report.state(), v1::State::Stopped);

    let before = start(&mut client, "revived").await.end.unwrap().pids;
    systemd.systemctl(&["kill", "--signal=KILL", "revived.service"]);
    let report = until(&mut client, "revived", |report| {
        report.processes.first().is_some_and(|process| !before.contains(&process.pid))
    })
    .await;
    assert_eq!(report.state(), v1::State::Running);
    assert_eq!(stop(&mut client, "revived").await.outcome(), v1::ActionOutcome::Stopped);

    start(&mut client, "stubborn").await.end.unwrap();
    assert_eq!(stop(&mut client, "stubborn").await.outcome(), v1::ActionOutcome::Killed);

    start(&mut client, "leaver").await.end.unwrap();
    let observed = stop(&mut client, "leaver").await;
    let left = seen(&mut client, "leaver").await.processes[0].pid;
    let sentence = format!(
        "stop of leaver on h: systemd has stopped leaver.service, but pid {left} still runs: it is not of that \
         unit any more; end it by hand"
    );
    assert_eq!(observed.refusal(), (Code::DeadlineExceeded, &*sentence));

    let mut stranger = systemd.enter(&stand_in);
    stranger.arg(format!("--token=stranger-{token}")).env("STAND_IN_LEASE", "1");
    let mut children = rta_tests::ChildProcesses::default();
    children.spawn(&mut stranger);
    until(&mut client, "stranger", |report| report.state() == v1::State::Running).await;
    for observed in [stop(&mut client, "stranger").await, restart(&mut client, "stranger").await] {
        assert!(
            observed.refusal().1.contains("systemd did not start it, so that it cannot stop it"),
            "{observed:?}"
        );
    }
}

/// systemd turns a SysV script into a unit that remains active after its exit, also when its process dies.
#[tokio::test]
async fn a_crashed_unit_that_remains_active_is_started_again() {
    let config = config(&["sysv"]);
    let service = format!(
        "[Service]\nType=forking\nGuessMainPID=no\nRemainAfterExit=yes\nEnvironment=STAND_IN_LEASE=1\n\
         ExecStart=/bin/sh -c '{} --token=sysv-{} &'\n",
        binary("stand-in").display(),
        config.token()
    );
    let Some((systemd, _agent, mut client)) = inside(&config, &[("sysv.service", service)]).await else {
        return;
    };
    start(&mut client, "sysv").await.end.unwrap();
    let first = seen(&mut client, "sysv").await.processes[0].pid;
    systemd.systemctl(&["kill", "--signal=KILL", "sysv.service"]);
    let crashed = until(&mut client, "sysv", |report| unit(report) == "active (exited) ").await;
    let crashed = match crashed.state() {
        v1::State::Stopped => crashed,
        _ => until(&mut client, "sysv", |report| report.state() == v1::State::Stopped).await,
    };
    assert_eq!(unit(&crashed), "active (exited) ");
    let observed = start(&mut client, "sysv").await;
    assert_eq!(observed.outcome(), v1::ActionOutcome::Started);
    let expected = "sysv.service is active (exited), but nothing of it runs: it is restarted";
    assert_eq!(observed.progress[0].text, expected);
    let report = seen(&mut client, "sysv").await;
    assert_eq!(report.state(), v1::State::Running);
    assert_ne!(report.processes[0].pid, first);
    assert_eq!(config.processes().len(), 1);
    assert_eq!(stop(&mut client, "sysv").await.outcome(), v1::ActionOutcome::Stopped);
}

/// A component that is stopped by a signal, although it belongs to a unit that systemd restarts.
#[tokio::test]
async fn what_a_unit_brings_back_is_told_with_the_way_to_stop_it_there() {
    let config = config(&["supervised"]);
    let text = std::fs::read_to_string(config.folder().join("site.toml")).unwrap();
    config
        .write("site.toml", &text.replace("systemd = \"supervised.service\"", "command = [\"/bin/false\"]"));
    let units = [("supervised.service", service(&config, "supervised", "Restart=always\nRestartSec=100ms"))];
    let Some((systemd, _agent, mut client)) = inside(&config, &units).await else { return };
    systemd.systemctl(&["start", "supervised.service"]);
    until(&mut client, "supervised", |report| report.state() == v1::State::Running).await;
    let observed = stop(&mut client, "supervised").await;
    let (code, message) = observed.refusal();
    assert_eq!(code, Code::Aborted);
    assert!(
        message.ends_with(
            "came in its place: systemd runs it as supervised.service; stop it there with \"systemctl stop \
             supervised.service\""
        ),
        "{message}"
    );
    systemd.systemctl(&["stop", "supervised.service"]);
    until(&mut client, "supervised", |report| report.state() == v1::State::Stopped).await;
}

#[tokio::test]
async fn the_bus_is_found_again_after_it_was_lost() {
    let config = config(&["good"]);
    let units = [("good.service", service(&config, "good", ""))];
    let Some((systemd, _agent, mut client)) = inside(&config, &units).await else { return };
    until(&mut client, "good", |report| unit(report) == "inactive (dead) success").await;
    // systemctl can reach systemd without the bus.
    wait_for("the bus to be restarted", || {
        systemd.systemctl(&["restart", "dbus.service"]).status.success().then_some(())
    });
    until(&mut client, "good", |report| unit(report) == "inactive (dead) success").await;
    assert_eq!(start(&mut client, "good").await.outcome(), v1::ActionOutcome::Started);
}

#[tokio::test]
async fn an_agent_without_the_right_says_so() {
    let config = config(&["good"]);
    let units = [("good.service", service(&config, "good", ""))];
    let Some(systemd) = RealSystemd::start(config.token(), &units) else { return };
    // The user nobody may lack access to the test's folder and to the path of the binary.
    let program = config.path("rta-agent");
    std::fs::copy(binary("rta-agent"), &program).unwrap();
    std::fs::set_permissions(config.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = systemd.enter("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program);
    let (_agent, mut client) = agent(&config, command).await;
    until(&mut client, "good", |report| unit(report) == "inactive (dead) success").await;
    let observed = start(&mut client, "good").await;
    let (code, message) = observed.refusal();
    assert_eq!(code, Code::FailedPrecondition);
    assert!(message.starts_with("start of good on h: the agent may not ask systemd for that ("), "{message}");
    assert!(message.contains("run the agent as root"), "{message}");
    assert!(config.processes().is_empty());
}

#[tokio::test]
async fn without_a_system_bus_that_is_said() {
    let config = config(&["good"]);
    let mut command = Command::new(binary("rta-agent"));
    command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", config.path("no-bus").display()));
    let (_agent, mut client) = agent(&config, command).await;
    let observed = start(&mut client, "good").await;
    let (code, message) = observed.refusal();
    assert_eq!(code, Code::FailedPrecondition);
    assert!(message.starts_with("start of good on h: the system bus cannot be reached: "), "{message}");
    assert!(message.ends_with("; is systemd running on this host?"), "{message}");
    let report = until(&mut client, "good", |report| report.unit.is_some()).await;
    assert_eq!(report.state(), v1::State::Stopped);
    assert!(unit(&report).contains("the system bus cannot be reached"), "{report:?}");
}
