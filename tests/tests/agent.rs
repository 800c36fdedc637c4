//! The agent's binary: process detection, starts and stops.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rta_shared::action::{ActionKind, ActionOutcome, ActionResult};
use rta_shared::proto::v1;
use rta_shared::proto::v1::watch_report_response::Event;
use rta_tests::{
    AgentClient, ServerProcess, TestConfig, binary, connect_agent, request_target, run_action, run_binary,
    wait_for,
};
use rustix::process::Signal;
use tonic::{Code, Status};

async fn state(client: &mut AgentClient, component: &str) -> (v1::State, Vec<u32>) {
    let report = client.get_report(v1::GetReportRequest {}).await.unwrap().into_inner().report.unwrap();
    assert_eq!(report.error, "");
    let component = report.components.into_iter().find(|seen| seen.component == component).unwrap();
    let pids = component.processes.iter().map(|process| process.pid).collect();
    (component.state.try_into().unwrap(), pids)
}

async fn start(client: &mut AgentClient, component: &str) -> Result<ActionResult, Status> {
    run_action(client, ActionKind::Start, component).await.result
}

async fn stop(client: &mut AgentClient, component: &str) -> Result<ActionResult, Status> {
    run_action(client, ActionKind::Stop, component).await.result
}

#[tokio::test]
async fn start_and_stop_do_what_they_say_and_are_idempotent() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    assert_eq!(state(&mut client, "app").await, (v1::State::Stopped, vec![]));

    let started = start(&mut client, "APP").await.unwrap();
    assert_eq!(started.outcome, ActionOutcome::Started);
    assert_eq!(started.pids, config.processes());
    assert_eq!(state(&mut client, "app").await, (v1::State::Running, config.processes()));
    let again = start(&mut client, "app").await.unwrap();
    assert_eq!((again.outcome, again.pids), (ActionOutcome::AlreadyRunning, started.pids.clone()));
    assert_eq!(config.processes(), started.pids);

    let stopped = stop(&mut client, "app").await.unwrap();
    assert_eq!((stopped.outcome, stopped.pids), (ActionOutcome::Stopped, started.pids));
    assert!(config.processes().is_empty());
    assert_eq!(stop(&mut client, "app").await.unwrap().outcome, ActionOutcome::AlreadyStopped);
}

#[tokio::test]
async fn idle_agent_sends_one_heartbeat_for_each_look_at_the_host() {
    const COUNT: usize = 6;
    let site = TestConfig::one_host(|site| site.component_toml("app", "", ""));
    let (_agent, address) = site.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut events = client.watch_report(v1::WatchReportRequest::default()).await.unwrap().into_inner();
    let mut looks = Vec::new();
    while looks.len() < COUNT {
        if let Some(Event::Heartbeat(heartbeat)) = events.message().await.unwrap().unwrap().event {
            looks.push(heartbeat.seen_at.unwrap());
        }
    }
    looks.dedup();
    // A host that is short of CPU time may delay one look for more than a second.
    assert!(looks.len() >= COUNT - 1, "{looks:?}");
}

#[tokio::test]
async fn a_started_process_is_detached_and_leaves_no_zombie() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let pid = start(&mut client, "app").await.unwrap().pids[0];
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 4 to 7 of proc_pid_stat(5): parent, group, session, terminal.
    assert_eq!(fields[1], agent.pid().to_string());
    assert_eq!((fields[2], fields[3], fields[4]), (&*pid.to_string(), &*pid.to_string(), "0"));
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap().as_os_str(), "/dev/null");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/1")).unwrap(), config.log_path("app"));
    let said = wait_for("the stand-in's output", || {
        std::fs::read_to_string(config.log_path("app")).ok().filter(|said| !said.is_empty())
    });
    assert_eq!(said, "stand-in ready\n");
    stop(&mut client, "app").await.unwrap();
    wait_for("the zombie to be reaped", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

#[tokio::test]
async fn a_command_that_fails_is_told_with_its_status_and_its_last_output() {
    let config = TestConfig::one_host(|config| {
        config
            .component_toml("app", "", "")
            .replace(
                &format!("\"{}\", ", binary("stand-in").display()),
                "\"/bin/sh\", \"-c\", \"echo no such topic; exit 3\", ",
            )
            .replace("'^--token", "'^--never")
    });
    let (_agent, address) = config.start_agent("h");
    let status = start(&mut connect_agent(address).await, "app").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(
        status.message(),
        "start of app on h: the command ended with exit status 3 before the criteria matched\nno such topic"
    );
}

#[tokio::test]
async fn a_command_that_never_matches_is_ended_and_told() {
    let config = TestConfig::one_host(|config| {
        config
            .component_toml("app", "", "")
            .replace("timeout = \"20s\"", "timeout = \"1s\"")
            .replace("'^--token", "'^--never")
    });
    let (_agent, address) = config.start_agent("h");
    let status = start(&mut connect_agent(address).await, "app").await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("no process matched its criteria within 1 s"), "{status}");
    assert!(config.processes().is_empty());
}

#[tokio::test]
async fn what_cannot_be_launched_is_refused_with_the_reason() {
    let watched = "[[component]]\nname = \"watched\"\ncriteria = [{ regex = '^--no-such$' }]\n";
    let config = TestConfig::one_host(|config| {
        config
            .component_toml("no program", "", "")
            .replace(&binary("stand-in").display().to_string(), "/no/such/program")
            + &config.component_toml("no folder", "", "directory = \"/no/such/folder\"")
            + &config.component_toml("no user", "", "user = \"no-such-user\"")
            + &config.component_toml("no log", "", "").replace("log/no log.log", "config/site.toml/x")
            + watched
    });
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for (component, reason) in [
        ("no program", "\"/no/such/program\" cannot be run: No such file"),
        ("no folder", "the directory /no/such/folder does not exist"),
        ("no user", "there is no user \"no-such-user\" on this host"),
        ("no log", "cannot be written"),
        ("watched", "the configuration has no start command for it"),
    ] {
        let status = start(&mut client, component).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert!(status.message().starts_with(&format!("start of {component} on h: ")), "{status}");
        assert!(status.message().contains(reason), "{status}");
    }
    let status = start(&mut client, "watchd").await.unwrap_err();
    assert_eq!(status.message(), "host h: component \"watchd\" is not known; did you mean \"watched\"?");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_launcher_that_becomes_the_component_under_the_same_pid_is_found() {
    let config = TestConfig::one_host(|config| {
        let script = config.path("launcher.sh");
        let token = format!("--token=app-{}", config.token());
        let stand_in = binary("stand-in");
        std::fs::write(&script, format!("sleep 2\nexec -a java '{}' {token}\n", stand_in.display())).unwrap();
        config
            .component_toml("app", "", "")
            .replace(
                &format!("\"{}\", \"{token}\"", stand_in.display()),
                &format!("\"/bin/bash\", \"{}\"", script.display()),
            )
            .replace("[{ regex", "[{ index = 0, regex = '^java$' }, { regex")
    });
    let (_agent, address) = config.start_agent("h");
    let started = start(&mut connect_agent(address).await, "app").await.unwrap();
    assert_eq!(started.outcome, ActionOutcome::Started);
    assert_eq!(started.pids, config.processes());
}

#[tokio::test]
async fn hostile_command_lines_are_matched_like_any_other() {
    let config = TestConfig::one_host(|config| {
        let rule = |name: &str, criteria: &str| {
            format!(
                "[[component]]\nname = \"{name}\"\ncriteria = [{{ index = 1, regex = '^--token={name}-{}$' }}, {criteria}]\n",
                config.token()
            )
        };
        rule("bytes", "{ index = 2, regex = 'end' }")
            + &rule("empty", "{ index = 2, regex = '^$' }, { index = 3, regex = '^last$' }")
            + &rule("long", "{ index = -1, regex = '^after$' }, { index = 2, regex = '^x{1000}' }")
    });
    let play = |name: &str, arguments: &[&[u8]]| {
        Command::new(binary("stand-in"))
            .arg0("java")
            .arg(format!("--token={name}-{}", config.token()))
            .args(arguments.iter().map(|argument| std::ffi::OsStr::from_bytes(argument)))
            .env("STAND_IN_LEASE", std::process::id().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    // 128 KiB is the kernel's limit for one argument (execve(2)); two make more than 200 kB.
    let long = vec![b'x'; 120_000];
    let mut children = [
        play("bytes", &[b"\xff\xfe<script>\x1b[31m\xffend"]),
        play("empty", &[b"", b"last"]),
        play("long", &[&long, &long, b"after"]),
    ];
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    for (name, child) in ["bytes", "empty", "long"].iter().zip(&mut children) {
        assert_eq!(state(&mut client, name).await, (v1::State::Running, vec![child.id()]), "{name}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(state(&mut client, name).await, (v1::State::Stopped, vec![]), "{name}");
    }
}

#[tokio::test]
async fn the_stream_tells_changes_and_beats() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut stream = client.watch_report(v1::WatchReportRequest::default()).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    assert!(matches!(first, Event::Report(_)));
    let mut beats = 0;
    let mut used = None;
    while beats < 2 || used.is_none() {
        match stream.message().await.unwrap().unwrap().event.unwrap() {
            Event::Heartbeat(_) => beats += 1,
            Event::Usage(usage) => used = Some(usage),
            Event::Report(report) => panic!("nothing has changed: {report:?}"),
        }
    }
    let mut child = config.start_stand_in("app");
    let states = async |stream: &mut tonic::Streaming<v1::WatchReportResponse>| loop {
        if let Some(Event::Report(report)) = stream.message().await.unwrap().unwrap().event {
            return (report.components[0].state(), report.components[0].processes.clone());
        }
    };
    let (state, processes) = states(&mut stream).await;
    assert_eq!((state, processes[0].pid), (v1::State::Running, child.id()));
    assert!(processes[0].started_at.is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(states(&mut stream).await.0, v1::State::Stopped);
}

#[tokio::test]
async fn what_it_started_outlives_it_and_is_found_again() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (mut agent, address) = config.start_agent("h");
    let pids = start(&mut connect_agent(address).await, "app").await.unwrap().pids;
    agent.signal(Signal::KILL);
    agent.wait();
    assert_eq!(config.processes(), pids);
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    // The end of the start may not have been recorded any more: the agent then finishes it first.
    while state(&mut client, "app").await == (v1::State::Starting, pids.clone()) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(state(&mut client, "app").await, (v1::State::Running, pids.clone()));
    assert_eq!(start(&mut client, "app").await.unwrap().outcome, ActionOutcome::AlreadyRunning);
    assert_eq!(stop(&mut client, "app").await.unwrap().pids, pids);
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_with_a_stream_open() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (mut agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut stream = client.watch_report(v1::WatchReportRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap();
    agent.signal(Signal::TERM);
    while let Ok(Some(_)) = stream.message().await {}
    assert_eq!(agent.wait().code(), Some(0));
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (_agent, address) = config.start_agent("h");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(endpoint.connect().await.unwrap());
    let service = "rta.v1.AgentService".to_owned();
    let response = health.check(tonic_health::pb::HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(response.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let mut reflection = ServerReflectionClient::new(endpoint.connect().await.unwrap());
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services")
    };
    assert!(listed.service.iter().any(|service| service.name == "rta.v1.AgentService"), "{listed:?}");
}

#[test]
fn an_unknown_host_ends_with_2_and_the_supported_hosts() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platform");
    let output = run_binary("rta-agent", ["--config", shipped, "--host", "c9t99999"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("host \"c9t99999\" is not in the configuration"), "{said}");
    assert!(said.contains("DEV: c9t21193, c2t08978") && said.contains("ITG: c9t17308, c2t08977"), "{said}");
}

#[test]
fn beyond_loopback_it_listens_only_when_told_to() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platform");
    let output =
        run_binary("rta-agent", ["--config", shipped, "--host", "c9t17308", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("add --insecure"));
}

#[test]
fn a_taken_port_is_told_in_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platform");
    let output = run_binary(
        "rta-agent",
        ["--config", shipped, "--host", "c9t17308", "--listen", &address, "--insecure"],
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.ends_with(&format!(
            "rta-agent: cannot listen on {address}: Address already in use (os error 98)\n"
        )),
        "{said}"
    );
}

#[test]
fn a_broken_configuration_is_told_whole() {
    let config = TestConfig::new();
    config.write("a.toml", "[[component]]\nname = \"x\"\ncriteria = [{ indx = 1, regex = 'a(' }]\n");
    let folder = config.folder();
    let output = run_binary("rta-agent", ["--config", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a.toml:3:15: component \"x\": key \"indx\" is not known"), "{said}");
    assert!(said.contains("not a regex: unclosed group"), "{said}");
}

/// The agent's own command line matches its criteria, but the agent excludes itself.
#[tokio::test]
async fn the_agent_does_not_match_itself() {
    let config = TestConfig::new();
    let folder = config.folder();
    config.write(
        "a.toml",
        &format!(
            "[[component]]\nname = \"app\"\ncriteria = [{{ regex = '{}' }}, {{ regex = 'rta-agent' }}]\n[[environment]]\nname = \"T\"\nhost = [{{ name = \"h\", components = [\"app\"] }}]\n",
            folder.display()
        ),
    );
    let mut agent = ServerProcess::start(
        "rta-agent",
        ["--config", folder.to_str().unwrap(), "--host", "h", "--listen", "127.0.0.1:0"],
    );
    let address = agent.address("address");
    assert_eq!(state(&mut connect_agent(address).await, "app").await, (v1::State::Stopped, vec![]));
}

/// A component restarted by a foreign supervisor is not reported as stopped.
#[tokio::test]
async fn a_component_that_something_else_restarts_is_told_so() {
    let config =
        TestConfig::one_host(|config| config.component_toml("app", "", "[component.stop]\ntimeout = \"2s\""));
    let script = format!(
        "while :; do '{}' --token=app-{} >/dev/null; done",
        binary("stand-in").display(),
        config.token()
    );
    let mut supervisor = Command::new("/bin/bash")
        .args(["-c", &script])
        .env("STAND_IN_LEASE", std::process::id().to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    wait_for("the supervised process", || (!config.processes().is_empty()).then_some(()));
    let status = stop(&mut client, "app").await.unwrap_err();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert!(status.message().contains("something else starts it"), "{status}");
    // The component is unlocked again.
    assert_eq!(stop(&mut client, "app").await.unwrap().outcome, ActionOutcome::Stopped);
}

/// A caller that disconnects at once leaves no lock behind.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_start_goes_on_and_frees_the_component() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (_agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let mut abandoned = client.clone();
    let call = tokio::spawn(async move { start(&mut abandoned, "app").await });
    wait_for("the start to be under way", || (!config.processes().is_empty()).then_some(()));
    call.abort();
    let mut stream = client.watch_report(v1::WatchReportRequest::default()).await.unwrap().into_inner();
    loop {
        if let Some(Event::Report(report)) = stream.message().await.unwrap().unwrap().event
            && report.components[0].state() == v1::State::Running
        {
            break;
        }
    }
    assert_eq!(stop(&mut client, "app").await.unwrap().outcome, ActionOutcome::Stopped);
}

/// A new configuration replaces the old one completely or not at all, and touches no process.
#[tokio::test]
async fn a_hangup_makes_it_read_its_configuration_anew() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let (agent, address) = config.start_agent("h");
    let mut client = connect_agent(address).await;
    let pids = start(&mut client, "app").await.unwrap().pids;
    let sound = std::fs::read_to_string(config.folder().join("site.toml")).unwrap();
    let mut stream = client.watch_report(v1::WatchReportRequest::default()).await.unwrap().into_inner();
    let until = async |stream: &mut tonic::Streaming<v1::WatchReportResponse>,
                       is_so: &dyn Fn(&v1::Report) -> bool| loop {
        if let Some(Event::Report(report)) = stream.message().await.unwrap().unwrap().event
            && is_so(&report)
        {
            return report;
        }
    };
    let before = until(&mut stream, &|_| true).await;

    let more = sound.replace("components = [\"app\"]", "components = [\"more\", \"app\"]")
        + &config.component_toml("more", "", "");
    config.write("site.toml", &more);
    agent.signal(Signal::HUP);
    let after = until(&mut stream, &|report| report.components.len() == 2).await;
    assert_ne!(after.config_digest, before.config_digest);
    assert_eq!(
        (after.components[0].state(), after.components[1].state()),
        (v1::State::Stopped, v1::State::Running)
    );
    assert_eq!(after.components[1].processes[0].pid, pids[0]);

    config.write("site.toml", &more.replace("criteria", "criterion"));
    agent.signal(Signal::HUP);
    let refused = until(&mut stream, &|report| !report.config_error.is_empty()).await;
    assert!(
        refused.config_error.contains("site.toml:3:1: component \"app\": key \"criterion\" is not known")
    );
    assert_eq!((refused.config_digest, refused.components), (after.config_digest, after.components));
    let target = request_target(&mut client).await;
    let reload = v1::AgentServiceReloadConfigRequest { target };
    let status = client.reload_config(reload.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), refused.config_error);

    config.write("site.toml", &sound);
    let response = client.reload_config(reload).await.unwrap().into_inner();
    assert_eq!(response.config_digest, before.config_digest);
    assert_eq!(response.changes, ["component \"more\" removed"]);
    assert_eq!(state(&mut client, "app").await, (v1::State::Running, pids));
}
