//! Event store and maintenance on the real binaries, over restarts and damage.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::process::Output;

use rta_tests::{ServerProcess, TestConfig, WebClient, run_binary, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// One host with `app`, watched by its agent.
struct World {
    site: TestConfig,
    _agent: ServerProcess,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    /// Adds `rule` to the table of `app`.
    fn with(rule: &str) -> Self {
        let site = TestConfig::new();
        let app = site.component_toml("app", "", "");
        let app = app.replacen("name = \"app\"\n", &format!("name = \"app\"\n{rule}\n"), 1);
        site.write("components.toml", &(app + &site.component_toml("other", "", "")));
        let [(agent, _)] = site.start_agents(["h"], &[], "host.toml", |[agent]| {
            format!(
                "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [\"app\", \"other\"], \
                 agent = \"http://{agent}\" }}]\n"
            )
        });
        Self { site, _agent: agent }
    }

    fn kill_app(&self) {
        let pid =
            self.site.find_process("app").and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        wait_for("it to be gone", || self.site.find_process("app").is_none().then_some(()));
    }

    fn aggregator(&self) -> Aggregator {
        let (config, data) = (self.site.folder(), self.site.path("data"));
        let mut program = ServerProcess::start(
            "rta-aggregator",
            [
                "--config",
                config.to_str().unwrap(),
                "--data",
                data.to_str().unwrap(),
                "--web",
                "127.0.0.1:0",
                "--grpc",
                "127.0.0.1:0",
            ],
        );
        let (web, grpc) = (WebClient(program.address("web")), program.address("grpc"));
        let aggregator = Aggregator { program, web, grpc };
        wait_for("the host to be heard of", || {
            (aggregator.overview()["environments"][0]["hosts"][0]["reachable"] == true).then_some(())
        });
        aggregator
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

    fn overview(&self) -> Value {
        serde_json::from_str(&self.web.get("/api/v1/overview").body).unwrap()
    }

    /// Returns the number of recorded changes of `app` from `from` to `to`.
    fn changes(&self, from: &str, to: &str) -> usize {
        let events: Value =
            serde_json::from_str(&self.well(&["events", "--component", "app", "--kind", "health", "--json"]))
                .unwrap();
        let events = events.as_array().unwrap();
        events.iter().filter(|event| event["from"] == from && event["to"] == to).count()
    }

    fn until_recorded(&self, from: &str, to: &str, times: usize) {
        wait_for(&format!("{from} to {to} to be recorded"), || {
            (self.changes(from, to) == times).then_some(())
        });
    }

    fn die(mut self) {
        self.program.signal(Signal::KILL);
        self.program.wait();
    }
}

#[test]
fn changes_and_actions_are_recorded_and_an_outage_of_the_aggregator_hides_none() {
    let world = World::new();
    let aggregator = world.aggregator();
    aggregator.well(&["start", "app"]);
    aggregator.until_recorded("down", "up", 1);
    world.kill_app();
    aggregator.until_recorded("up", "down", 1);
    let said = aggregator.well(&["events"]);
    assert!(said.contains("up -> down: app on h is down: it is not running"), "{said}");
    assert!(said.contains("start of app on h: 1 step done") && said.contains("from 127.0.0.1)"), "{said}");
    let page = aggregator.web.get("/events?component=app").body;
    assert!(page.contains("app on h is down: it is not running"), "{page}");

    // The next aggregator knows the earlier state, and records a change that happened in between once.
    aggregator.well(&["start", "app"]);
    aggregator.until_recorded("down", "up", 2);
    aggregator.die();
    world.kill_app();
    let aggregator = world.aggregator();
    aggregator.until_recorded("up", "down", 2);
    aggregator.well(&["refresh"]);
    assert_eq!((aggregator.changes("down", "up"), aggregator.changes("up", "down")), (2, 2));
}

#[test]
fn a_damaged_record_is_kept_aside_and_monitoring_goes_on() {
    let world = World::new();
    let data = world.site.path("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("rta.db"), "this is no database ".repeat(500)).unwrap();
    let aggregator = world.aggregator();
    let said = wait_for("the damage to be told", || {
        Some(aggregator.well(&["events"])).filter(|said| said.contains("could not be used"))
    });
    assert!(said.contains("rta.db.corrupt-"), "{said}");
    aggregator.well(&["start", "app"]);
    aggregator.until_recorded("down", "up", 1);
    let kept =
        std::fs::read_dir(&data).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    assert_eq!(kept.filter(|name| name.starts_with("rta.db.corrupt-")).count(), 1);
}

#[test]
fn a_folder_that_cannot_be_used_is_told_and_monitoring_goes_on() {
    let world = World::new();
    std::fs::write(world.site.path("data"), "a file, no folder").unwrap();
    let aggregator = world.aggregator();
    let impairment = &aggregator.overview()["impairments"][0];
    assert_eq!(impairment["part"], "store");
    let error = impairment["message"].as_str().unwrap().to_owned();
    assert!(error.contains("data"), "{error}");
    let status = String::from_utf8(aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains(&error), "{status}");
    let check = String::from_utf8(aggregator.rta(&["check"]).stdout).unwrap();
    assert!(check.contains(&error), "{check}");
    assert!(aggregator.web.get("/").body.contains(error.split(':').next().unwrap()));
    aggregator.well(&["start", "app"]);
    aggregator.until_recorded("down", "up", 1);
}

#[test]
fn deleted_data_folder_is_written_again_and_nothing_is_lost() {
    let world = World::new();
    let aggregator = world.aggregator();
    aggregator.well(&["start", "app"]);
    aggregator.until_recorded("down", "up", 1);
    let data = world.site.path("data");
    std::fs::remove_dir_all(&data).unwrap();
    wait_for("it to be written again", || data.join("rta.db").exists().then_some(()));
    world.kill_app();
    aggregator.until_recorded("up", "down", 1);
    aggregator.die();
    let aggregator = world.aggregator();
    assert_eq!((aggregator.changes("down", "up"), aggregator.changes("up", "down")), (1, 1));
    let events = aggregator.well(&["events", "--kind", "aggregator"]);
    assert!(events.contains("was deleted or replaced while it was open"), "{events}");
}

#[test]
fn second_aggregator_on_a_data_folder_refuses_unless_it_is_read_only() {
    let world = World::new();
    let first = world.aggregator();
    let (config, data) = (world.site.folder(), world.site.path("data"));
    let arguments = ["--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let ports = ["--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut second = ServerProcess::start("rta-aggregator", arguments.iter().chain(&ports));
    assert_eq!(second.wait().code(), Some(1));
    let expected = format!("another rta-aggregator (pid {}) records there", first.program.pid());
    assert!(second.log().iter().any(|line| line.contains(&expected)), "{:?}", second.log());
    let mut second =
        ServerProcess::start("rta-aggregator", arguments.iter().chain(&ports).chain(&["--read-only"]));
    let web = WebClient(second.address("web"));
    let overview: Value = serde_json::from_str(&web.get("/api/v1/overview").body).unwrap();
    assert!(overview["impairments"][0]["message"].as_str().unwrap().contains(&expected), "{overview}");
}

#[test]
fn maintenance_is_shown_everywhere_keeps_check_quiet_and_ends_by_itself() {
    let world = World::new();
    let aggregator = world.aggregator();
    aggregator.well(&["start", "other"]);
    let check = aggregator.rta(&["check"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    let said = aggregator.well(&["maintenance", "on", "app", "--reason", "new <disks>"]);
    assert!(said.contains("TEST/h/app: in maintenance: new <disks>"), "{said}");
    let check = aggregator.rta(&["check"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(String::from_utf8(check.stdout).unwrap().contains("1 in maintenance"));
    let app = &aggregator.overview()["environments"][0]["hosts"][0]["instances"][0];
    assert_eq!((&app["health"], &app["maintenance"]["reason"]), (&"down".into(), &"new <disks>".into()));
    assert!(aggregator.web.get("/").body.contains("in maintenance: new &lt;disks&gt;"));
    let status = String::from_utf8(aggregator.rta(&["status"]).stdout).unwrap();
    assert!(status.contains("(in maintenance: new <disks>"), "{status}");

    // Maintenance survives the aggregator, and can be ended.
    aggregator.die();
    let aggregator = world.aggregator();
    assert_eq!(aggregator.rta(&["check"]).status.code(), Some(0));
    aggregator.well(&["maintenance", "off", "app"]);
    assert_eq!(aggregator.rta(&["check"]).status.code(), Some(2));
    aggregator.well(&["maintenance", "on", "--host", "h", "--for", "1s"]);
    wait_for("the maintenance to end", || {
        (aggregator.rta(&["check"]).status.code() == Some(2)).then_some(())
    });
    let events = wait_for("the end to be recorded", || {
        Some(aggregator.well(&["events", "--kind", "maintenance"]))
            .filter(|events| events.contains("its time is over"))
    });
    assert_eq!(events.lines().count(), 4, "{events}");
}

#[test]
fn an_aggregator_that_lost_its_record_does_not_end_what_it_knows_nothing_of() {
    let world = World::with("restart = { when = \"always\", backoff = \"100ms\" }");
    let aggregator = world.aggregator();
    let why = |aggregator: &Aggregator| {
        aggregator.well(&["refresh"]);
        let app = &aggregator.overview()["environments"][0]["hosts"][0]["instances"][0];
        app["autostart"]["why"].as_str().unwrap_or_default().to_owned()
    };
    aggregator.well(&["start", "app"]);
    aggregator.well(&["maintenance", "on", "app"]);
    wait_for("the agent to know", || why(&aggregator).contains("in maintenance").then_some(()));
    aggregator.die();
    std::fs::remove_dir_all(world.site.path("data")).unwrap();
    let aggregator = world.aggregator();
    world.kill_app();
    wait_for("it to be seen", || {
        aggregator.well(&["refresh"]);
        (aggregator.overview()["environments"][0]["hosts"][0]["instances"][0]["health"] == "down")
            .then_some(())
    });
    assert!(why(&aggregator).contains("in maintenance"), "{}", why(&aggregator));
    assert!(world.site.find_process("app").is_none());
    // An operator's decision replaces it.
    aggregator.well(&["maintenance", "off", "app"]);
    wait_for("it to be started again", || world.site.find_process("app"));
}
