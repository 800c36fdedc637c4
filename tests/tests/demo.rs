//! `rta demo`: starts, shows the expected failures, and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::process::{Child, Command, Stdio};

use rta_tests::{OutputReader, binary, run_binary, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

struct RunningDemo {
    child: Child,
    _folder: TempDir,
    said: OutputReader,
}

impl RunningDemo {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary("rta"))
            .args(["demo", "--web", "127.0.0.1:0", "--socket"])
            .arg(folder.path().join("demo.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = OutputReader::collect(child.stdout.take().unwrap());
        Self { child, _folder: folder, said }
    }

    /// Returns the aggregator's address, once everything is started.
    fn aggregator(&self) -> String {
        wait_for("the demo to be up", || {
            let said = self.said.lines().join("\n");
            said.contains("Ctrl-C ends all of it.").then_some(())?;
            Some(said.split("--aggregator ").nth(1)?.split(' ').next()?.to_owned())
        })
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Returns the processes that hold this demo's lease, whatever their command line.
    fn stand_ins(&self) -> Vec<u32> {
        let lease = format!("RTA_STAND_IN={}", self.child.id());
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                    environment.split(|byte| *byte == 0).any(|one| one == lease.as_bytes())
                })
            })
            .collect()
    }
}

impl Drop for RunningDemo {
    fn drop(&mut self) {
        // An error means that it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_shows_what_a_stopped_kafka_breaks_and_leaves_nothing() {
    let mut demo = RunningDemo::new();
    let aggregator = demo.aggregator();
    let rta = |arguments: &[&str]| run_binary("rta", ["--aggregator", &aggregator].iter().chain(arguments));
    assert_eq!(demo.stand_ins().len(), 16);
    assert_eq!(rta(&["status"]).status.code(), Some(0));
    assert!(rta(&["stop", "kafka", "server", "--no-dependencies"]).status.success());
    let overview: Value = serde_json::from_slice(&rta(&["list", "--json"]).stdout).unwrap();
    let instances: Vec<&Value> = overview["environments"][0]["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|host| host["instances"].as_array().unwrap())
        .collect();
    let degraded: Vec<&str> = instances
        .iter()
        .filter(|instance| instance["health"] == "degraded")
        .map(|instance| instance["component"].as_str().unwrap())
        .collect();
    assert_eq!(
        degraded,
        [
            "processor accelerometer",
            "processor gyroscope",
            "processor barometer",
            "processor aggregator",
            "novelty detector",
            "raw writer"
        ]
    );
    assert!(rta(&["start", "kafka", "server"]).status.success());
    assert_eq!(rta(&["status"]).status.code(), Some(0));
    let reload = rta(&["config", "reload"]);
    assert_eq!(reload.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(reload.stderr).unwrap(),
        "rta: this aggregator has no configuration folder to reload: it runs the demo\n"
    );
    let ambiguous = rta(&["stop", "spark", "master"]);
    assert_eq!(ambiguous.status.code(), Some(1));
    let said = String::from_utf8(ambiguous.stderr).unwrap();
    assert!(said.contains("demo/demo-analytic/spark master, demo/demo-storage/spark master"), "{said}");
    assert!(rta(&["stop", "spark", "master", "--host", "demo-storage", "--yes"]).status.success());

    demo.signal(Signal::INT);
    let status = wait_for("the demo to end", || demo.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    wait_for("the stand-ins to end", || demo.stand_ins().is_empty().then_some(()));
}

#[test]
fn a_killed_demo_leaves_no_stand_in() {
    let mut demo = RunningDemo::new();
    demo.aggregator();
    assert_eq!(demo.stand_ins().len(), 16);
    demo.signal(Signal::KILL);
    demo.child.wait().unwrap();
    wait_for("the stand-ins to end", || demo.stand_ins().is_empty().then_some(()));
}

#[test]
fn a_taken_port_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run_binary("rta", ["demo", "--web", &address]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("cannot listen on {address}"))
            && said.contains("choose another address with --web"),
        "{said}"
    );
}
