//! Observed platform: real agents, an aggregator and commands in every situation that users distinguish.
//!
//! Each environment represents one situation, so that a command with `--env` sees that situation alone:
//!
//! | environment | host | situation |
//! |---|---|---|
//! | `UP` | `up` | everything runs; one component has a passing probe, one is restarted automatically |
//! | `DEGRADED` | `mixed` | a failing probe, a missing process, a suspended process |
//! | `DOWN` | `down` | a stopped component with a running dependent, failing starts, one under way |
//! | `UNKNOWN` | `lost` | no agent answers |
//! | `MAINTENANCE` | `serviced` | a stopped component and a systemd unit on a host in maintenance |

mod situations;

use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rta_tests::{
    ChildProcesses, OutputReader, ServerProcess, TestCluster, TestConfig, TestUsers, WebClient, WebResponse,
    binary, run_binary, wait_for,
};
use rustix::process::Signal;
use serde_json::Value;

use self::situations::{
    are_situations, components, environments, find_instance, is_lost, only_hosts, with_any_unit_error,
};
use crate::golden::cli::exit_codes;

/// Recorded behaviour of the programs.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// Answers of the JSON API by request.
    pub(crate) answers: Vec<(&'static str, Value)>,
    /// Answers of which only status and media type are compared: errors of the JSON API, and health checks.
    pub(crate) others: Vec<(String, WebResponse)>,
    /// Output of commands by command line.
    pub(crate) outputs: Vec<(&'static str, Value)>,
    /// Exit codes by situation, as lines.
    pub(crate) exit_codes: Vec<String>,
    /// Log lines of agents and aggregators.
    pub(crate) log: Vec<String>,
}

/// Returns the recording, made once for all tests.
pub(crate) fn recording() -> &'static Recording {
    static RECORDING: OnceLock<Option<Recording>> = OnceLock::new();
    let recording = RECORDING.get_or_init(|| {
        let observe = || {
            let mut recording = Recording::default();
            Platform::new().observe(&mut recording);
            recording
        };
        catch_unwind(AssertUnwindSafe(observe)).ok()
    });
    let Some(recording) = recording else {
        panic!("the platform could not be observed; the first of the failed tests says why")
    };
    recording
}

/// Parses a text with one JSON object per line.
fn json_lines(text: &[u8]) -> Vec<Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Title of the lines that a plan prints during its execution.
const PLAN_LINES: &str = "rta start, stop and restart NAME --json";

/// Running programs.
pub(crate) struct Platform {
    cluster: TestCluster,
    children: ChildProcesses,
    /// Lets the probe of `base` pass.
    _listener: TcpListener,
}

impl Platform {
    fn new() -> Self {
        let config = TestConfig::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let components = components(&config, listener.local_addr().unwrap());
        // Process events need root: without them the platform is the same for every user.
        let cluster = TestCluster::builder(config)
            .components(&components)
            .hosts_toml(&["up", "mixed", "down", "serviced"], environments)
            .agent_arguments(["--no-events"])
            .data()
            .start();
        Self { cluster, children: ChildProcesses::default(), _listener: listener }
    }

    /// Runs a command against the aggregator; returns its exit code and output.
    pub(crate) fn rta(&self, arguments: &[&str]) -> (i32, Vec<u8>) {
        let output = self.cluster.aggregator.rta(arguments);
        (output.status.code().unwrap(), output.stdout)
    }

    /// Returns the folder of the platform's configuration.
    pub(crate) fn config(&self) -> String {
        self.cluster.config.folder().display().to_string()
    }

    /// Waits until the overview meets a condition.
    fn await_overview(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            let overview = self.cluster.aggregator.overview();
            Some(overview).filter(&is_met)
        })
    }

    /// Waits until the platform is in its situations and the overview meets another condition.
    fn await_situations(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        self.await_overview(what, |overview| are_situations(overview) && is_met(overview))
    }

    /// Returns the number of the newest event about the health of hosts and instances; `None` while the
    /// platform is not in its situations.
    fn newest_change(&self) -> Option<Value> {
        let overview: Value = self.cluster.aggregator.overview();
        let events = self.cluster.aggregator.web.get("/api/v1/events?kind=health,host&limit=1");
        let events: Value = serde_json::from_str(&events.body).unwrap();
        are_situations(&overview).then(|| events["events"][0]["id"].clone())
    }

    /// Returns exit code and output of a command during which nothing changed. On a busy machine an agent may
    /// be silent long enough for its host to be unknown for a moment.
    pub(crate) fn undisturbed_rta(&self, arguments: &[&str]) -> (i32, Vec<u8>) {
        wait_for("a command during which nothing changes", || {
            let before = self.newest_change()?;
            let outcome = self.rta(arguments);
            (self.newest_change()? == before).then_some(outcome)
        })
    }

    fn observe(mut self, recording: &mut Recording) {
        for component in ["ill", "first", "second", "frozen", "follower"] {
            self.children.adopt(self.cluster.config.start_stand_in(component));
        }
        wait_for("a process to suspend", || self.cluster.config.find_process("frozen"));
        self.cluster.config.signal_component("frozen", Signal::STOP);
        self.await_overview("the agents", |overview| {
            ["base", "ill", "dead", "paused"]
                .iter()
                .all(|one| !find_instance(overview, one)["state"].is_null())
        });
        // It takes a few messages to measure a clock.
        self.await_overview("the clocks", |overview| {
            only_hosts(overview).all(|host| is_lost(host) || host["agent"]["clock_ahead_millis"].is_i64())
        });

        self.await_overview("the dependent of a stopped component", |overview| {
            find_instance(overview, "follower")["health"] == "degraded"
        });
        self.children.adopt(self.cluster.config.start_stand_in("dead"));
        self.await_overview("the dependent of a running component", |overview| {
            find_instance(overview, "follower")["health"] == "up"
        });
        self.cluster.config.kill_component("dead");

        self.record_plans(recording);
        assert_eq!(self.rta(&["maintenance", "on", "watched", "--reason", "new disks"]).0, 0);
        assert_eq!(self.rta(&["maintenance", "on", "--host", "serviced", "--for", "2h"]).0, 0);
        // The agent starts it again.
        self.cluster.config.kill_component("kept");
        self.await_overview("an automatic restart", |overview| {
            let kept = find_instance(overview, "kept");
            kept["autostart"]["restarts"] == 1 && kept["health"] == "up"
        });
        self.record_overview_during_start(recording);
        self.record_refused_configuration(recording);
        self.lose_a_host_for_a_while();
        self.record_history(recording);
        self.record_others(recording);
        recording.exit_codes = exit_codes(&self);

        for agent in &self.cluster.agents {
            agent.process.signal(Signal::TERM);
        }
        self.cluster.aggregator.process.signal(Signal::TERM);
        let TestCluster { agents, aggregator, .. } = &mut self.cluster;
        for (name, program) in
            [("rta-agent", &mut agents[0].process), ("rta-aggregator", &mut aggregator.process)]
        {
            recording.exit_codes.push(format!("{name} | SIGTERM | {}", program.wait().code().unwrap()));
        }
        for program in agents.iter_mut().map(|agent| &mut agent.process).chain([&mut aggregator.process]) {
            program.wait();
            recording.log.extend(program.log());
        }
    }

    /// Records plans that succeed, fail and skip steps.
    fn record_plans(&self, recording: &mut Recording) {
        for (code, title, arguments) in [
            (0, "rta start NAME --plan --json", &["start", "kept", "--plan", "--json"] as &[&str]),
            (0, PLAN_LINES, &["start", "kept", "--yes", "--json"]),
            (0, "rta start NAME --json with nothing to do", &["start", "kept", "--json"]),
            (0, PLAN_LINES, &["restart", "base", "--yes", "--json"]),
            (0, PLAN_LINES, &["stop", "base", "--yes", "--json"]),
            (0, PLAN_LINES, &["start", "kept", "--yes", "--json"]),
            (1, PLAN_LINES, &["start", "after broken", "--json", "--yes"]),
        ] {
            let (got, output) = self.rta(arguments);
            assert_eq!(got, code, "{arguments:?}: {}", String::from_utf8_lossy(&output));
            match arguments.contains(&"--plan") {
                true => recording.outputs.push((title, serde_json::from_slice(&output).unwrap())),
                false => recording.outputs.extend(json_lines(&output).into_iter().map(|line| (title, line))),
            }
        }
    }

    /// Records the overview and other lists during a start, and lets the start finish.
    fn record_overview_during_start(&mut self, recording: &mut Recording) {
        let mut command = Command::new(binary("rta"));
        command.args(["--aggregator", &self.cluster.aggregator.grpc.to_string(), "start", "slow", "--json"]);
        let mut start = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = OutputReader::collect(start.stdout.take().unwrap());
        self.children.adopt(start);
        let overview = self.await_situations("a start under way", |overview| {
            let used = &overview["environments"][0]["hosts"][0]["usage"]["processes"];
            !used[0].is_null() && !find_instance(overview, "slow")["action"].is_null()
        });
        recording.answers.extend(with_any_unit_error(overview).map(|one| ("GET /api/v1/overview", one)));
        for (title, arguments) in [
            ("rta list --json", &["list", "--json"] as &[&str]),
            ("rta status --json", &["status", "--json"]),
            ("rta maintenance --json", &["maintenance", "--json"]),
            ("rta explain NAME --json", &["explain", "base", "--json"]),
            ("rta explain NAME --json", &["explain", "halves", "--json"]),
        ] {
            let (_, output) = self.undisturbed_rta(arguments);
            recording.outputs.push((title, serde_json::from_slice(&output).unwrap()));
        }
        std::fs::write(self.cluster.config.path("gate"), "").unwrap();
        let lines = wait_for("the end of the plan", || {
            let lines = json_lines(lines.lines().join("\n").as_bytes());
            lines.last().is_some_and(|line| !line["ended"].is_null()).then_some(lines)
        });
        recording.outputs.extend(lines.into_iter().map(|line| (PLAN_LINES, line)));
    }

    /// Records the overview while the aggregator and every agent have rejected a new configuration.
    fn record_refused_configuration(&self, recording: &mut Recording) {
        self.cluster.config.write("zz.toml", "unknown = 1\n");
        assert_eq!(self.rta(&["config", "reload"]).0, 1);
        let refused = self.await_situations("a refused configuration", |overview| {
            let has_refused = |host: &Value| is_lost(host) || host["agent"]["config_error"].is_string();
            overview["config_error"].is_string() && only_hosts(overview).all(has_refused)
        });
        recording.answers.extend(with_any_unit_error(refused).map(|one| ("GET /api/v1/overview", one)));
        std::fs::remove_file(self.cluster.config.folder().join("zz.toml")).unwrap();
        // Not 0, because the lost host cannot be reached.
        assert_eq!(self.rta(&["config", "reload"]).0, 1);
        self.await_situations("the restored configuration", |overview| {
            let is_unimpaired = |one: &Value| one["impairments"] == Value::Array(Vec::new());
            is_unimpaired(overview) && only_hosts(overview).all(is_unimpaired)
        });
    }

    /// Causes events of a host that is lost and found, and the end of maintenance.
    fn lose_a_host_for_a_while(&self) {
        let health = |expected: &'static str| {
            self.await_overview("a host that is lost and found", |overview| {
                overview["environments"][1]["health"] == expected
            })
        };
        self.cluster.agents[1].process.signal(Signal::STOP);
        health("unknown");
        self.cluster.agents[1].process.signal(Signal::CONT);
        health("degraded");
        for change in ["on", "off"] {
            assert_eq!(self.rta(&["maintenance", change, "dead"]).0, 0);
        }
        self.await_situations("the host that was lost", |_| true);
    }

    fn record_history(&self, recording: &mut Recording) {
        for (title, path) in [
            ("GET /api/v1/events", "/api/v1/events?limit=10000"),
            ("GET /api/v1/history", "/api/v1/history"),
            ("GET /api/v1/history", "/api/v1/history?component=base&length=1h"),
        ] {
            let answer = self.cluster.aggregator.web.get(path);
            assert_eq!(answer.code, 200, "{answer:?}");
            recording.answers.push((title, serde_json::from_str(&answer.body).unwrap()));
        }
        let (code, output) = self.rta(&["events", "-n", "10000", "--json"]);
        assert_eq!(code, 0);
        recording.outputs.push(("rta events --json", serde_json::from_slice(&output).unwrap()));
        let output = run_binary("rta", ["discover", "--json", "--min-age", "0s"]);
        let mut discovered: Value = serde_json::from_slice(&output.stdout).unwrap();
        // The other candidates, and whether all are visible, differ from machine to machine.
        let agents: Vec<Value> = self.cluster.agents.iter().map(|agent| agent.process.pid().into()).collect();
        let candidates = discovered["candidates"].as_array_mut().unwrap();
        candidates.retain(|candidate| agents.contains(&candidate["pid"]));
        for problem in [Value::Null, "a text".into()] {
            discovered["problem"] = problem;
            recording.outputs.push(("rta discover --json", discovered.clone()));
        }
    }

    /// Records errors of the JSON API, and the health checks of load balancers.
    fn record_others(&self, recording: &mut Recording) {
        for (method, path) in [
            ("GET", "/api/v1/nothing"),
            ("GET", "/api/v1/events?since=soon"),
            ("GET", "/api/v1/events?kind=nothing"),
            ("GET", "/api/v1/history?environment=nothing"),
            ("GET", "/api/v1/history?length=soon"),
            ("POST", "/api/v1/overview"),
            ("GET", "/healthz"),
            ("GET", "/readyz"),
        ] {
            recording.others.push((
                format!("{method} {path}"),
                self.cluster.aggregator.web.request(method, path, &[], ""),
            ));
        }
        let foreign = self.cluster.aggregator.web.request(
            "GET",
            "/api/v1/overview",
            &[("Host", "elsewhere.example")],
            "",
        );
        recording.others.push(("GET /api/v1/overview with an unknown Host".to_owned(), foreign));

        let users = TestUsers::new(&self.cluster.config, "closed").file.display().to_string();
        let config = self.config();
        let mut closed = ServerProcess::start(
            "rta-aggregator",
            ["--config", &config, "--users", &users, "--read-only", "--web", "127.0.0.1:0"],
        );
        let anonymous = WebClient(closed.address("web")).get("/api/v1/overview");
        recording.others.push(("GET /api/v1/overview without a token".to_owned(), anonymous));
        recording.log.extend(closed.log());
    }
}
