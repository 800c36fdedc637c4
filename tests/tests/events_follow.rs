//! `rta events --follow` on the real binaries: every event once and in order, whatever ends in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rta_tests::{Lines, Program, Site, binary, patiently, run};
use rustix::process::Signal;
use serde_json::Value;

/// Command that follows events until it is dropped.
struct Following {
    child: Child,
    lines: Lines,
    notices: Lines,
}

impl Following {
    fn start(grpc: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary("rta"));
        command.args(["--aggregator", &grpc.to_string(), "events", "--follow"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Lines::collect(child.stdout.take().unwrap());
        let notices = Lines::collect(child.stderr.take().unwrap());
        Self { child, lines, notices }
    }

    fn events(&self) -> Vec<Value> {
        self.lines.all().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn aggregator(site: &Site, grpc: SocketAddr) -> (Program, SocketAddr) {
    let (config, data) = (site.config().display().to_string(), site.path("data").display().to_string());
    let grpc = grpc.to_string();
    let mut program = Program::start(
        "rta-aggregator",
        ["--config", &config, "--data", &data, "--web", "127.0.0.1:0", "--grpc", &grpc],
    );
    let address = program.address("grpc");
    (program, address)
}

fn recorded(grpc: SocketAddr) -> Vec<Value> {
    let arguments = ["--aggregator", &grpc.to_string(), "events", "--json", "-n", "10000"];
    serde_json::from_slice(&run("rta", arguments).stdout).unwrap_or_default()
}

fn count(events: &[Value], text: &str) -> usize {
    events.iter().filter(|event| event["text"].as_str().unwrap().contains(text)).count()
}

/// Waits until the follower has printed exactly the recorded events, which contain this text so many times.
fn until_followed(following: &Following, grpc: SocketAddr, text: &str, times: usize) -> Vec<Value> {
    patiently(&format!("{text} to be followed"), || {
        let all = recorded(grpc);
        (count(&all, text) == times && all == following.events()).then_some(all)
    })
}

fn start_app(grpc: SocketAddr) {
    patiently("app to be started", || {
        run("rta", ["--aggregator", &grpc.to_string(), "start", "app"]).status.success().then_some(())
    });
}

#[test]
fn every_event_is_followed_once_in_order_over_restarts_of_the_aggregator() {
    let site = Site::new();
    let [(_agent, _)] = site.agents(["h"], &[], "site.toml", |[agent]| {
        let app = site.component("app", "", "");
        format!(
            "{app}[[environment]]\nname = \"T\"\n\
             host = [{{ name = \"h\", components = [\"app\"], agent = \"http://{agent}\" }}]\n"
        )
    });
    let (mut running, grpc) = aggregator(&site, "127.0.0.1:0".parse().unwrap());
    let following = Following::start(grpc, &["--json", "-n", "1000"]);
    start_app(grpc);
    until_followed(&following, grpc, "start of app on h: 1 step done", 1);
    site.kill("app");
    until_followed(&following, grpc, "app on h is down", 1);

    for (signal, times) in [(Signal::KILL, 1), (Signal::TERM, 2)] {
        start_app(grpc);
        until_followed(&following, grpc, "start of app on h: 1 step done", times + 1);
        until_followed(&following, grpc, "app on h is up", times + 1);
        running.signal(signal);
        running.ended();
        site.kill("app");
        (running, _) = aggregator(&site, grpc);
        patiently("the follower to be connected again", || {
            let is_back = |line: &&String| line.contains("the aggregator answers again");
            (following.notices.all().iter().filter(is_back).count() == times).then_some(())
        });
    }
    start_app(grpc);
    let all = until_followed(&following, grpc, "start of app on h: 1 step done", 4);
    let ids: Vec<u64> = all.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!((count(&all, "rta-aggregator ended"), count(&all, " began")), (1, 3), "{all:#?}");
    assert_eq!(count(&all, "app on h is down"), 3, "{all:#?}");
}

#[test]
fn only_matching_events_are_followed_as_lines() {
    let site = Site::new();
    let [(_agent, _)] = site.agents(["h"], &[], "site.toml", |[agent]| {
        let (app, other) = (site.component("app", "", ""), site.component("other", "", ""));
        format!(
            "{app}{other}[[environment]]\nname = \"T\"\n\
             host = [{{ name = \"h\", components = [\"app\", \"other\"], agent = \"http://{agent}\" }}]\n"
        )
    });
    let (_running, grpc) = aggregator(&site, "127.0.0.1:0".parse().unwrap());
    let following = Following::start(grpc, &["--component", "app", "--kind", "step"]);
    let rta = |name: &str| run("rta", ["--aggregator", &grpc.to_string(), "start", name]);
    patiently("other to be started", || rta("other").status.success().then_some(()));
    assert!(rta("app").status.success());
    let lines = patiently("the step to be followed", || {
        Some(following.lines.all()).filter(|lines| lines.iter().any(|line| line.contains("done")))
    });
    assert!(lines.iter().all(|line| line.contains(" T/h/app ") && line.contains(" step ")), "{lines:#?}");

    let refused = run("rta", ["--aggregator", &grpc.to_string(), "events", "--follow", "--host", "nowhere"]);
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("host \"nowhere\" is not known"), "{said}");
}
