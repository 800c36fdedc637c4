//! Instances stopped on purpose by a plan: requester, persistence over restarts, and starting
//! them again by plan number.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use rta_tests::{ServerProcess, TestConfig, WebClient, binary, run_binary, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// One host with `base`, `middle`, which depends on it, `top`, which depends on `middle`, and `apart`; all of
/// them run. `middle` stops once its gate is open.
struct World {
    site: TestConfig,
    _agent: ServerProcess,
}

impl World {
    fn new() -> (Self, Aggregator) {
        let site = TestConfig::new();
        let gated = format!(
            "[component.stop]\ntimeout = \"50s\"\ncommand = [\"/bin/sh\", \"-c\", '''touch {asked}; \
             while [ ! -e {gate} ]; do [ -d {config} ] || exit 1; sleep 0.05; done; exit 1''']",
            asked = site.path("asked").display(),
            gate = site.path("gate").display(),
            config = site.folder().display(),
        );
        let components = [
            site.component_toml("base", "", ""),
            site.component_toml("middle", "\"base\"", &gated),
            site.component_toml("top", "\"middle\"", ""),
            site.component_toml("apart", "", ""),
        ];
        site.write("components.toml", &components.concat());
        let [(agent, _)] = site.start_agents(["h"], &[], "host.toml", |[agent]| {
            format!(
                "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", agent = \"http://{agent}\", \
                 components = [\"base\", \"middle\", \"top\", \"apart\"] }}]\n"
            )
        });
        let world = Self { site, _agent: agent };
        let aggregator = world.aggregator();
        // The agent read the configuration before it contained the agent's port; the difference
        // would raise a warning.
        wait_for("the agent to read the configuration", || {
            aggregator.rta(&["config", "reload"]).status.success().then_some(())
        });
        aggregator.well(&["start", "--all", "--yes"]);
        (world, aggregator)
    }

    fn aggregator(&self) -> Aggregator {
        let (config, data) =
            (self.site.folder().display().to_string(), self.site.path("data").display().to_string());
        let mut program = ServerProcess::start(
            "rta-aggregator",
            ["--config", &config, "--data", &data, "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        );
        let (web, grpc) = (WebClient(program.address("web")), program.address("grpc"));
        wait_for("the host to be heard of", || (web.get("/readyz").code == 200).then_some(()));
        Aggregator { program, web, grpc }
    }

    fn open_gate(&self) {
        std::fs::write(self.site.path("gate"), "").unwrap();
    }

    /// Starts stopping `base`, and returns once `middle` has been asked to stop.
    fn begin_to_stop(&self, aggregator: &Aggregator) -> Child {
        let child = Command::new(binary("rta"))
            .args(["--aggregator", &aggregator.grpc.to_string(), "stop", "base", "--yes"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("middle to be asked", || self.site.path("asked").exists().then_some(()));
        assert!(self.site.find_process("top").is_none() && self.site.find_process("base").is_some());
        child
    }
}

struct Aggregator {
    program: ServerProcess,
    web: WebClient,
    grpc: SocketAddr,
}

impl Aggregator {
    fn rta(&self, arguments: &[&str]) -> Output {
        run_binary("rta", ["--aggregator", &self.grpc.to_string()].iter().chain(arguments))
    }

    fn well(&self, arguments: &[&str]) -> String {
        let output = self.rta(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns every instance by its name.
    fn instances(&self) -> BTreeMap<String, Value> {
        let overview: Value = serde_json::from_str(&self.web.get("/api/v1/overview").body).unwrap();
        let instances = overview["environments"][0]["hosts"][0]["instances"].as_array().unwrap().clone();
        instances.into_iter().map(|one| (one["component"].as_str().unwrap().to_owned(), one)).collect()
    }

    /// Returns the instances that plans stopped on purpose, each with its stop.
    fn stopped(&self) -> BTreeMap<String, Value> {
        let stops = self.instances().into_iter().map(|(name, one)| (name, one["stopped_by"].clone()));
        let mut stops: BTreeMap<String, Value> = stops.filter(|(_, stop)| !stop.is_null()).collect();
        // The store keeps times to the microsecond; they are compared to the second.
        for stop in stops.values_mut() {
            stop["at"] = stop["at"].as_str().unwrap()[..19].into();
        }
        stops
    }

    fn state(&self, component: &str) -> Value {
        self.instances()[component]["state"].clone()
    }

    fn end(mut self, signal: Signal) {
        self.program.signal(signal);
        self.program.wait();
    }
}

fn names(stopped: &BTreeMap<String, Value>) -> Vec<&str> {
    stopped.keys().map(String::as_str).collect()
}

#[test]
fn planned_stop_outlives_the_aggregator_and_is_started_again_by_its_plan() {
    let (world, aggregator) = World::new();
    world.open_gate();
    aggregator.well(&["stop", "base", "--yes"]);
    let stopped = aggregator.stopped();
    assert_eq!(names(&stopped), ["base", "middle", "top"]);
    let (plan, user) =
        (stopped["base"]["plan"].clone(), stopped["base"]["by"]["user"].as_str().unwrap().to_owned());
    assert!(stopped.values().all(|stop| stop["plan"] == plan && stop["by"]["user"] == user.as_str()));
    assert!(!user.is_empty());

    let told = aggregator.rta(&["check"]);
    let line = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1), "{line}");
    let expected = format!("RTA WARNING - 3 down of 4 instances: base on TEST/h is down, stopped by {user} ");
    assert!(line.starts_with(&expected) && line.contains(&format!(" (plan {plan}) |")), "{line}");

    // An unrelated end is still a failure.
    world.site.kill_component("apart");
    wait_for("it to be seen", || (aggregator.state("apart") == "stopped").then_some(()));
    assert_eq!(aggregator.rta(&["check"]).status.code(), Some(2));

    aggregator.end(Signal::TERM);
    let aggregator = world.aggregator();
    assert_eq!(aggregator.stopped(), stopped);
    aggregator.end(Signal::KILL);
    let aggregator = world.aggregator();
    assert_eq!(aggregator.stopped(), stopped);

    let status = String::from_utf8(aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains("TEST: 4 down of 4 instances; 3 stopped on purpose"), "{status}");
    assert!(status.contains(&format!("base on h is down: stopped by {user} ")), "{status}");
    assert!(status.contains(&format!("(plan {plan}); 2 that need it are down too: ")), "{status}");
    assert!(status.contains("apart on h is down: it is not running: ended "), "{status}");
    let again = format!("To start again the 3 that plan {plan} stopped: rta start --stopped-by {plan}\n");
    assert!(status.contains(&again), "{status}");
    // The aggregator that knew the plan's steps has ended, but the remaining effect of the plan is known.
    let page = aggregator.web.get(&format!("/plan?id={plan}"));
    assert_eq!(page.code, 200);
    assert!(page.body.contains("Start these 3 again"), "{}", page.body);

    let refused = aggregator.rta(&["stop", "--stopped-by", &plan.to_string()]);
    assert!(!refused.status.success());
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("what a plan has stopped can only be started again"), "{refused}");

    aggregator.well(&["start", "--stopped-by", &plan.to_string()]);
    let states =
        |aggregator: &Aggregator| ["base", "middle", "top", "apart"].map(|name| aggregator.state(name));
    assert_eq!(states(&aggregator), ["running", "running", "running", "stopped"]);
    assert!(aggregator.stopped().is_empty());
    let nothing = aggregator.rta(&["start", "--stopped-by", &plan.to_string()]);
    let nothing = String::from_utf8(nothing.stderr).unwrap();
    assert!(
        nothing.contains(&format!("nothing that plan {plan} has stopped is still as it left it")),
        "{nothing}"
    );
    // A later end is not attributed to the plan, not even by the next aggregator.
    world.site.kill_component("top");
    wait_for("it to be seen", || (aggregator.state("top") == "stopped").then_some(()));
    aggregator.end(Signal::KILL);
    let aggregator = world.aggregator();
    assert_eq!(aggregator.state("top"), "stopped");
    assert!(aggregator.stopped().is_empty());
}

#[test]
fn plan_that_is_cut_off_marks_what_it_had_stopped_until_that_runs_again() {
    let (world, aggregator) = World::new();
    let mut rta = world.begin_to_stop(&aggregator);
    aggregator.end(Signal::KILL);
    rta.kill().unwrap();
    rta.wait().unwrap();
    world.open_gate();
    wait_for("middle to end", || world.site.find_process("middle").is_none().then_some(()));

    let aggregator = world.aggregator();
    let stopped = wait_for("the plan to be closed", || {
        Some(aggregator.stopped()).filter(|stopped| stopped.contains_key("middle"))
    });
    assert_eq!(names(&stopped), ["middle", "top"]);
    assert_eq!(stopped["middle"]["plan"], stopped["top"]["plan"]);
    assert_eq!(stopped["middle"]["by"], stopped["top"]["by"]);
    assert_eq!(aggregator.state("base"), "running");

    // Started outside of rta, and then ended.
    let mut played = world.site.start_stand_in("middle");
    wait_for("it to be seen", || (aggregator.state("middle") == "running").then_some(()));
    played.kill().unwrap();
    played.wait().unwrap();
    wait_for("its end to be seen", || (aggregator.state("middle") == "stopped").then_some(()));
    assert_eq!(names(&aggregator.stopped()), ["top"]);
    let middle = &aggregator.instances()["middle"];
    assert!(middle["reason"].as_str().unwrap().starts_with("it is not running: ended"), "{middle}");
    aggregator.end(Signal::KILL);
    assert_eq!(names(&world.aggregator().stopped()), ["top"]);
}

#[test]
fn what_ended_by_itself_before_its_step_was_not_stopped_by_the_plan() {
    let (world, aggregator) = World::new();
    let mut rta = world.begin_to_stop(&aggregator);
    world.site.kill_component("base");
    wait_for("it to be seen", || (aggregator.state("base") == "stopped").then_some(()));
    world.open_gate();
    assert!(rta.wait().unwrap().success());
    assert_eq!(names(&aggregator.stopped()), ["middle", "top"]);
    let base = &aggregator.instances()["base"];
    assert!(base["reason"].as_str().unwrap().starts_with("it is not running: ended"), "{base}");
    assert_eq!(base["cause"], Value::Null);
    let check = aggregator.rta(&["check"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
}
