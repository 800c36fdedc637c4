//! Operators who start and stop components with the real command, each request under a name of its own.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rta_tests::{binary, wait_for};

use crate::components::INSTANCES;
use crate::platform::Platform;

/// Maximum time between a request and a process start that it explains.
const EFFECT: Duration = Duration::from_secs(30);

/// Time in which a completed request must be recorded.
const RECORDED: Duration = Duration::from_secs(3);

/// Requests in progress and completed requests.
#[derive(Debug)]
pub(crate) struct Operators {
    under_way: Vec<Request>,
    /// Time of the last request that concerned each instance, directly or as a dependency.
    asked: Vec<Option<Instant>>,
    /// Requester names of requests that began a plan and must be recorded, with their end times.
    carried_out: Vec<(String, Instant)>,
    /// Number of requests.
    pub(crate) requests: usize,
}

#[derive(Debug)]
struct Request {
    name: String,
    child: Child,
    /// What the command has written.
    output: PathBuf,
    related: Vec<bool>,
    /// True if the event store lost its data while the request was in progress.
    is_excused: bool,
}

impl Operators {
    pub(crate) fn new() -> Self {
        Self {
            under_way: Vec::new(),
            asked: vec![None; INSTANCES.len()],
            carried_out: Vec::new(),
            requests: 0,
        }
    }

    /// Starts a request for `verb` on an instance.
    pub(crate) fn request(&mut self, platform: &mut Platform, verb: &str, at: usize) {
        // A paused aggregator would be waited for.
        let Some(web) = platform.next_web() else { return };
        self.requests += 1;
        let name = format!("operator-{}", self.requests);
        let instance = &INSTANCES[at];
        let mut command = std::process::Command::new(binary("rta"));
        command.args(["--aggregator", &format!("http://{}:7600", web.0.ip())]);
        command.args([verb, instance.component, "--yes"]).env("USER", &name).env_remove("RTA_TOKEN_FILE");
        let output = platform.path(&format!("{name}.log"));
        let log = std::fs::File::create(&output).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let related: Vec<bool> = INSTANCES.iter().map(|other| other.is_related(at)).collect();
        let child = command.spawn().unwrap();
        self.under_way.push(Request { name, child, output, related, is_excused: false });
        self.poll();
    }

    /// Collects completed requests, and marks the instances that the others may act on.
    pub(crate) fn poll(&mut self) {
        let now = Instant::now();
        let Self { under_way, asked, carried_out, .. } = self;
        under_way.retain_mut(|request| {
            for (asked, _) in asked.iter_mut().zip(&request.related).filter(|(_, related)| **related) {
                *asked = Some(now);
            }
            let Some(status) = request.child.try_wait().unwrap() else { return true };
            // A plan that was begun is on record however the command ended: the aggregator may have died meanwhile.
            let is_begun = || has_begun(&std::fs::read_to_string(&request.output).unwrap());
            if (status.success() || is_begun()) && !request.is_excused {
                carried_out.push((request.name.clone(), now));
            }
            false
        });
    }

    /// Returns true if a recent request explains a process start of the instance.
    pub(crate) fn asked_for(&self, at: usize) -> bool {
        self.asked[at].is_some_and(|asked| asked.elapsed() < EFFECT)
    }

    /// Returns the requester names of requests that completed long enough ago to be recorded.
    pub(crate) fn carried_out(&self) -> impl Iterator<Item = &String> {
        self.carried_out.iter().filter(|(_, ended)| ended.elapsed() > RECORDED).map(|(name, _)| name)
    }

    /// Stops expecting earlier requests to be recorded, because the data is lost.
    pub(crate) fn excuse(&mut self) {
        self.carried_out.clear();
        for request in &mut self.under_way {
            request.is_excused = true;
        }
    }

    /// Waits for the end of every request.
    pub(crate) fn wait(&mut self) {
        wait_for("every request to end", || {
            self.poll();
            self.under_way.is_empty().then_some(())
        });
    }
}

/// Returns true if the command has written that a plan began, or a line about a step. Notes about steps precede
/// the request.
fn has_begun(output: &str) -> bool {
    let mut lines = output.lines().filter(|line| !line.contains(": note: "));
    lines.any(|line| line.starts_with("CHAOS/") || line.contains(" begun: "))
}
