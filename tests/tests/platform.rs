//! End to end: processes, agents, the aggregator, its page, its JSON and the command.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::process::Stdio;

use rta_tests::{OutputReader, TestCluster, TestConfig, binary, run_binary, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Starts two hosts with their agents and an aggregator: Kafka on one, and a detector that depends on it on
/// the other.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let components = config.component_toml("kafka server", "", "")
        + &config.component_toml("detector", "\"kafka server\"", "")
        + "[[component]]\nname = \"watched\"\naliases = [\"wached\"]\ncriteria = [{ regex = '^--token=watched-"
        + config.token()
        + "$' }]\n";
    TestCluster::builder(config)
        .components(&components)
        .host("analytic", &["kafka server"])
        .host("storage", &["detector", "watched"])
        .start()
}

fn start_all(cluster: &TestCluster) {
    for component in ["kafka server", "detector"] {
        let output = cluster.aggregator.rta(&["start", component]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_dead_kafka_is_named_as_the_cause_on_every_surface() {
    let cluster = start_cluster();
    start_all(&cluster);
    cluster.aggregator.wait_for_health("detector", "up");
    let page = cluster.aggregator.web.get("/");
    assert!(page.code == 200 && page.body.contains("1 down"), "watched does not run: {page:?}");

    let pid = cluster.aggregator.instance("kafka server")["pids"][0].as_u64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let detector = cluster.aggregator.wait_for_health("detector", "degraded");
    assert_eq!(detector["reason"], "kafka server on analytic is down");
    let cause = serde_json::json!({"environment": "TEST", "host": "analytic", "component": "kafka server"});
    assert_eq!(detector["cause"], cause);
    assert_eq!(detector["state"], "running");
    let kafka = cluster.aggregator.instance("kafka server");
    assert_eq!(
        (&kafka["state"], &kafka["health"], &kafka["cause"]),
        (&"stopped".into(), &"down".into(), &Value::Null)
    );

    let page = cluster.aggregator.web.get("/").body;
    assert!(page.contains("kafka server on analytic is down") && page.contains("1 instance degraded by it"));
    // The last line of its log is known a moment later.
    wait_for("the end of kafka to be told", || {
        let status = cluster.aggregator.rta(&["status"]);
        assert_eq!(status.status.code(), Some(3));
        let said = text(&status.stdout);
        let (_, said) = said.split_once("kafka server on analytic is down: it is not running: ended ")?;
        let expected = " by SIGKILL; last line of its log: \"stand-in ready\"; 1 instance degraded by it: detector on storage";
        said.lines().next()?.ends_with(expected).then_some(())
    });
    let check = cluster.aggregator.rta(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let line = text(&check.stdout);
    assert!(line.starts_with("RTA CRITICAL - 2 down, 1 degraded of 3 instances: "), "{line}");
    assert!(
        line.contains("kafka server on TEST/analytic is down (ended ")
            && line.contains(" by SIGKILL)")
            && line.ends_with("| up=0 degraded=1 unknown=0 down=2 maintenance=0\n"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_killed_agent_turns_its_host_unknown_and_a_new_one_finds_its_processes() {
    let mut cluster = start_cluster();
    start_all(&cluster);
    let before = cluster.aggregator.wait_for_health("kafka server", "up");
    let address = cluster.aggregator.overview()["environments"][0]["hosts"][0]["name"].clone();
    assert_eq!(address, "analytic");
    cluster.agents[0].stop(Signal::KILL);
    let kafka = cluster.aggregator.wait_for_health("kafka server", "unknown");
    assert_eq!((&kafka["state"], kafka["pids"].as_array().unwrap().len()), (&Value::Null, 0));
    let host = &cluster.aggregator.overview()["environments"][0]["hosts"][0];
    assert_eq!((&host["health"], &host["reachable"]), (&"unknown".into(), &false.into()));
    assert!(host["error"].as_str().unwrap().contains("is rta-agent running on analytic?"), "{host}");
    assert!(!host["scanned_at"].is_null());
    let detector = cluster.aggregator.wait_for_health("detector", "unknown");
    assert_eq!(
        (&detector["state"], &detector["cause"]["component"]),
        (&"running".into(), &"kafka server".into())
    );
    assert_eq!(cluster.aggregator.rta(&["check"]).status.code(), Some(2), "watched is down for certain");
    let failed = cluster.aggregator.rta(&["stop", "kafka server"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stdout) + &text(&failed.stderr);
    assert!(said.contains("no connection to the agent at"), "{failed:?}");

    cluster.agents[0].start_again();
    let after = cluster.aggregator.wait_for_health("kafka server", "up");
    assert_eq!(after["pids"], before["pids"]);
    cluster.aggregator.wait_for_health("detector", "up");
}

#[test]
fn a_silent_agent_is_unknown_and_back_when_it_speaks() {
    let cluster = start_cluster();
    start_all(&cluster);
    cluster.aggregator.wait_for_health("kafka server", "up");
    cluster.agents[0].process.signal(Signal::STOP);
    cluster.aggregator.wait_for_health("kafka server", "unknown");
    let host = cluster.aggregator.overview()["environments"][0]["hosts"][0].clone();
    assert!(host["error"].as_str().unwrap().contains("silent for 3 s"), "{host}");
    cluster.agents[0].process.signal(Signal::CONT);
    cluster.aggregator.wait_for_health("kafka server", "up");
}

#[test]
fn start_and_stop_by_the_command_and_by_the_page() {
    let cluster = start_cluster();
    let output = cluster.aggregator.rta(&["start", "Kafka", "Server"]);
    let said = text(&output.stdout);
    assert!(said.contains("started in") && said.contains("(pid "), "{output:?}");
    assert!(
        text(&cluster.aggregator.rta(&["start", "kafka server"]).stdout)
            .contains("already running, nothing was started")
    );

    let form = "environment=TEST&host=analytic&component=kafka+server";
    assert_eq!(cluster.aggregator.web.post("/stop", form).code, 303);
    cluster.aggregator.wait_for_health("kafka server", "down");
    wait_for("the page to tell how it ended", || {
        let page = cluster.aggregator.web.get("/plan?id=3").body;
        (page.contains(">1 step done</strong>") && page.contains("stopped in")).then_some(())
    });
    cluster.aggregator.web.post("/start", form);
    cluster.aggregator.wait_for_health("kafka server", "up");
    let refused = cluster.aggregator.web.post("/start", "environment=TEST&host=storage&component=watched");
    assert_eq!(refused.code, 409);
    assert!(refused.body.contains("the configuration has no start command for it"), "{refused:?}");

    let unknown = cluster.aggregator.rta(&["start", "kafka", "sever"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert_eq!(
        text(&unknown.stderr),
        "rta: component \"kafka sever\" is not known; did you mean \"kafka server\"?\n"
    );
    let elsewhere = cluster.aggregator.rta(&["stop", "kafka server", "--host", "storage"]);
    assert_eq!(
        text(&elsewhere.stderr),
        "rta: \"kafka server\" is not on host storage; there is TEST/analytic/kafka server\n"
    );
    assert!(cluster.aggregator.rta(&["stop", "TEST/analytic/kafka server"]).status.success());
}

#[test]
fn refresh_shows_what_is_there_now() {
    let cluster = start_cluster();
    cluster.aggregator.wait_for_health("watched", "down");
    let mut child = cluster.config.start_stand_in("watched");
    assert_eq!(cluster.aggregator.web.post("/refresh", "").code, 303);
    let watched = cluster.aggregator.instance("watched");
    assert_eq!((&watched["health"], &watched["pids"][0]), (&"up".into(), &child.id().into()));
    assert_eq!(watched["startable"], false);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(cluster.aggregator.rta(&["refresh"]).status.success());
    assert_eq!(cluster.aggregator.instance("watched")["health"], "down");
}

#[test]
fn list_and_status_are_for_people_and_for_programs() {
    let cluster = start_cluster();
    start_all(&cluster);
    let json: Value =
        serde_json::from_slice(&cluster.aggregator.rta(&["list", "--json", "--host", "storage"]).stdout)
            .unwrap();
    let hosts = json["environments"][0]["hosts"].as_array().unwrap();
    assert_eq!((hosts.len(), &hosts[0]["name"]), (1, &"storage".into()));
    let list = text(&cluster.aggregator.rta(&["list", "--env", "test"]).stdout);
    assert_eq!(list.lines().count(), 4);
    assert!(
        list.lines().nth(1).unwrap().starts_with("TEST         analytic  kafka server  running  up"),
        "{list}"
    );
    assert!(!list.contains('\u{1b}'), "no colours in a pipe");
    assert_eq!(cluster.aggregator.rta(&["status", "detector"]).status.code(), Some(0));
    let unknown = cluster.aggregator.rta(&["list", "--env", "TSET"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert_eq!(text(&unknown.stderr), "rta: environment \"TSET\" is not known; did you mean \"TEST\"?\n");
}

#[test]
fn watch_draws_the_table_on_a_terminal_and_leaves_on_q() {
    use std::io::Write as _;
    let cluster = start_cluster();
    start_all(&cluster);
    cluster.aggregator.wait_for_health("detector", "up");
    // A pseudo-terminal of util-linux, with an unknown size.
    let line =
        format!("{} --aggregator {} watch --env TEST", binary("rta").display(), cluster.aggregator.grpc);
    let mut script = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = OutputReader::collect(script.stdout.take().unwrap());
    wait_for("the table to be drawn", || {
        let drawn = said.lines().join("\n");
        (drawn.contains("q leaves") && drawn.contains("watched") && drawn.contains("stopped")).then_some(())
    });
    script.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    let status = wait_for("watch to leave", || script.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let all = said.lines().join("\n");
    assert!(all.contains("\u{1b}[?1049h"), "it draws on the alternate screen: {all:?}");
    wait_for("the terminal to be restored", || {
        said.lines().join("\n").contains("\u{1b}[?1049l").then_some(())
    });
}

#[test]
fn the_shell_reads_a_pipe_and_survives_failures() {
    let cluster = start_cluster();
    let mut shell = std::process::Command::new(binary("rta"))
        .args(["--aggregator", &cluster.aggregator.grpc.to_string(), "shell"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, errors) = (
        OutputReader::collect(shell.stdout.take().unwrap()),
        OutputReader::collect(shell.stderr.take().unwrap()),
    );
    use std::io::Write as _;
    let mut input = shell.stdin.take().unwrap();
    input.write_all(b"# a comment\n\nfly\nstart nothing\nstart \"kafka server\nlist --host analytic\nstart kafka server\nexit\nstop kafka server\n").unwrap();
    drop(input);
    let status = wait_for("the shell to end", || shell.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let all = |lines: &OutputReader, marker: &str| {
        wait_for(marker, || Some(lines.lines().join("\n")).filter(|all| all.contains(marker)))
    };
    let said = all(&out, "started in");
    assert!(said.contains("kafka server  stopped  down"), "{said}");
    let errors = all(&errors, "a quote is not closed");
    assert!(errors.contains("unknown command \"fly\"; known:"), "{errors}");
    assert!(errors.contains("component \"nothing\" is not known"), "{errors}");
    assert_eq!(cluster.aggregator.instance("kafka server")["state"], "running", "exit ends the shell");
}

#[test]
fn an_aggregator_that_is_not_there_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (command, code) in [("status", 4), ("list", 4), ("check", 3)] {
        let output = run_binary("rta", ["--aggregator", &nobody, command]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(said.contains("is rta-aggregator running there?"), "{said}");
    }
    assert!(
        text(&run_binary("rta", ["--aggregator", &nobody, "check"]).stdout)
            .starts_with("RTA UNKNOWN - no connection")
    );
}

#[test]
fn probes_answer_and_sigterm_ends_the_aggregator_cleanly() {
    let mut cluster = start_cluster();
    let alive = cluster.aggregator.web.get("/healthz");
    assert_eq!((alive.code, alive.body.as_str()), (200, "ok\n"));
    wait_for("the aggregator to have heard of every host", || {
        (cluster.aggregator.web.get("/readyz").code == 200).then_some(())
    });
    // An idle connection that is held open, and one that watches.
    let _idle = std::net::TcpStream::connect(cluster.aggregator.web.0).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut stream = runtime.block_on(async {
        let address = format!("http://{}", cluster.aggregator.grpc);
        let mut client =
            rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient::connect(address)
                .await
                .unwrap();
        client
            .watch_overview(rta_shared::proto::v1::WatchOverviewRequest::default())
            .await
            .unwrap()
            .into_inner()
    });
    assert!(runtime.block_on(stream.message()).unwrap().is_some());
    cluster.aggregator.process.signal(Signal::TERM);
    assert_eq!(cluster.aggregator.process.wait().code(), Some(0));
}

#[test]
fn hostile_command_lines_reach_neither_page_nor_terminal() {
    let cluster = start_cluster();
    let mut child = std::process::Command::new(binary("stand-in"))
        .arg(format!("--token=watched-{}", cluster.config.token()))
        .arg("<script>alert(1)</script>\u{1b}[31m")
        .env("STAND_IN_LEASE", std::process::id().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    cluster.aggregator.wait_for_health("watched", "up");
    let page = cluster.aggregator.web.get("/").body;
    let status = text(&cluster.aggregator.rta(&["status"]).stdout);
    for shown in [page, status] {
        assert!(!shown.contains("<script>alert") && !shown.contains('\u{1b}'));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn local_scans_without_any_server() {
    let cluster = start_cluster();
    let config = cluster.config.folder();
    let local = |host: &str| run_binary("rta", ["local", host, "--config", config.to_str().unwrap()]);
    start_all(&cluster);
    let analytic = local("ANALYTIC.example.net");
    assert_eq!(analytic.status.code(), Some(0), "{analytic:?}");
    assert!(text(&analytic.stdout).contains("kafka server  running  up"));
    let storage = local("storage");
    assert_eq!(storage.status.code(), Some(3));
    let shown = text(&storage.stdout);
    assert!(shown.contains("watched    stopped  down"), "{storage:?}");
    // Other hosts are unknown here.
    assert!(
        shown.contains("detector   running  unknown")
            && shown.contains("kafka server on analytic is unknown")
    );
    let unknown = local("nowhere");
    assert_eq!(unknown.status.code(), Some(4));
    assert!(text(&unknown.stderr).contains("supported hosts:\n  TEST: analytic, storage"));
}

#[test]
fn local_judges_dependencies_on_the_same_host() {
    let config = TestConfig::one_host(|config| {
        config.component_toml("kafka", "", "")
            + &config.component_toml("writer", "\"kafka\"", "")
            + &config.component_toml("reader", "\"writer\"", "")
    });
    let mut players = ["writer", "reader"].map(|name| config.start_stand_in(name));
    let folder = config.folder();
    let local = || run_binary("rta", ["local", "h", "--config", folder.to_str().unwrap()]);
    let output = wait_for("both to run", || {
        Some(local()).filter(|output| text(&output.stdout).matches("running  degraded").count() == 2)
    });
    assert_eq!(output.status.code(), Some(3));
    let shown = text(&output.stdout);
    for line in ["kafka      stopped  down", "writer     running  degraded", "reader     running  degraded"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(shown.contains("kafka is down, which writer needs"), "{shown}");
    let mut kafka = config.start_stand_in("kafka");
    wait_for("all to be up", || (local().status.code() == Some(0)).then_some(()));
    for child in players.iter_mut().chain([&mut kafka]) {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn local_asks_probes_before_it_calls_anything_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = TestConfig::one_host(|config| {
        let probe = format!("[component.probe]\ntcp = \"{address}\"\nfailures = 2\ngrace = \"0s\"");
        config.component_toml("app", "", &probe)
    });
    let mut app = config.start_stand_in("app");
    let folder = config.folder();
    let local = || run_binary("rta", ["local", "h", "--config", folder.to_str().unwrap()]);
    wait_for("it to be up", || (local().status.code() == Some(0)).then_some(()));
    drop(listener);
    let output = local();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{shown}");
    assert!(shown.contains("degraded") && shown.contains(&format!("tcp {address}: ")), "{shown}");
    app.kill().unwrap();
    app.wait().unwrap();
}

#[test]
fn config_check_tells_all_or_sums_up() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platform");
    let sound = run_binary("rta", ["config", "check", shipped]);
    assert_eq!(sound.status.code(), Some(0));
    assert!(text(&sound.stdout).contains("2 environments, 4 hosts, 2 roles, 14 components"), "{sound:?}");
    let config = TestConfig::new();
    config.write(
        "a.toml",
        "[[role]]\nnam = \"x\"\n[[environment]]\nname = \"E\"\nhost = [{ name = \"h\", role = \"y\" }]\n",
    );
    let broken = run_binary("rta", ["config", "check", config.folder().to_str().unwrap()]);
    assert_eq!(broken.status.code(), Some(2));
    let said = text(&broken.stderr);
    for expected in [
        "a.toml:2:1: role: key \"nam\" is not known; did you mean \"name\"?",
        "role: key \"name\" is missing",
        "a.toml:5:30: host \"h\": role \"y\" is not known",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

/// One agent hangs, one belongs to another host, one answers garbage: each is unknown with its reason, and
/// the healthy one is unaffected.
#[test]
fn agents_that_misbehave_are_unknown_and_delay_nobody() {
    use std::io::Write as _;
    let config = TestConfig::new();
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let babbling = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let babble = babbling.local_addr().unwrap();
    std::thread::spawn(move || {
        // The thread ends with the test.
        for stream in babbling.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(&[0xff; 512]);
        }
    });
    let app = config.component_toml("app", "", "");
    let hung_address = hung.local_addr().unwrap();
    let hosts = move |agents: &[SocketAddr]| {
        let host = |name: &str, agent: SocketAddr| {
            format!(
                "[[environment.host]]\nname = \"{name}\"\ncomponents = [\"app\"]\nagent = \"http://{agent}\"\n"
            )
        };
        "[[environment]]\nname = \"TEST\"\n".to_owned()
            + &host("well", agents[0])
            + &host("hung", hung_address)
            + &host("babbling", babble)
            + &host("swapped", agents[1])
            + &host("spare", "127.0.0.1:9".parse().unwrap())
    };
    let cluster = TestCluster::builder(config).components(&app).hosts_toml(&["well", "spare"], hosts).start();
    cluster.aggregator.wait_until_ready();
    let output = cluster.aggregator.rta(&["list", "--json"]);
    let overview: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hosts = overview["environments"][0]["hosts"].as_array().unwrap();
    let error = |at: usize| hosts[at]["error"].as_str().unwrap_or_default();
    assert_eq!((&hosts[0]["reachable"], &hosts[0]["health"]), (&true.into(), &"down".into()));
    for unknown in &hosts[1..] {
        assert_eq!(
            (&unknown["reachable"], &unknown["health"]),
            (&false.into(), &"unknown".into()),
            "{unknown}"
        );
        assert_eq!(unknown["instances"][0]["state"], Value::Null);
    }
    assert!(error(1).contains("silent for 3 s"), "{}", error(1));
    assert!(error(2).contains("no connection to the agent"), "{}", error(2));
    assert!(error(3).contains("is that of host spare, not of swapped"), "{}", error(3));
    // The others do not delay a start on the healthy host, and a refresh ends in time.
    assert!(cluster.aggregator.rta(&["start", "app", "--host", "well"]).status.success());
    assert!(cluster.aggregator.rta(&["refresh"]).status.success());
}

#[test]
fn explain_says_why_a_process_is_not_matched() {
    let cluster = start_cluster();
    let output = cluster.aggregator.rta(&["explain", "kafka", "server"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stdout),
        "TEST/analytic/kafka server is matched by no process, and none comes near\n"
    );

    // Argument index that is off by one, as after an update of a launcher.
    let token = cluster.config.token();
    let config = TestConfig::new();
    config.write(
        "a.toml",
        &format!(
            "[[component]]\nname = \"app\"\ncriteria = [{{ index = 0, regex = 'stand-in' }}, {{ index = 2, regex = '^--token=watched-{token}$' }}]\n\
             [[environment]]\nname = \"T\"\nhost = [{{ name = \"h\", components = [\"app\"] }}]\n"
        ),
    );
    let mut child = cluster.config.start_stand_in("watched");
    let folder = config.folder();
    let local = ["explain", "app", "--host", "h", "--local", "--config", folder.to_str().unwrap()];
    let output = run_binary("rta", local);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.starts_with("T/h/app is matched by no process; the nearest:\n"), "{said}");
    let expected =
        format!("there is no argument 2; '^--token=watched-{token}$' is at index 1, you ask for 2");
    assert!(said.contains(&format!("pid {} ", child.id())) && said.contains(&expected), "{said}");

    let output = cluster.aggregator.rta(&["explain", "watched", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        (&json["matched"], &json["parts"][0]["processes"][0]["pid"]),
        (&true.into(), &child.id().into())
    );
    assert_eq!(json["instance"]["host"], "storage");
    child.kill().unwrap();
    child.wait().unwrap();
}
