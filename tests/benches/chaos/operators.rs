//! People who start and stop things by the real command, each request under a name of its own.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rta_tests::{binary, patiently};

use crate::components::INSTANCES;
use crate::platform::Platform;

/// A process may begin so long after a request that it belongs to.
const EFFECT: Duration = Duration::from_secs(30);

/// Time in which a request that was carried out has to be on record.
const RECORDED: Duration = Duration::from_secs(3);

/// Requests under way, and those that were carried out.
#[derive(Debug)]
pub(crate) struct Operators {
    under_way: Vec<Request>,
    /// When each instance was last asked for, by its own name or because of another one.
    asked: Vec<Option<Instant>>,
    /// Names under which a request was carried out that the record has to know, and when.
    carried_out: Vec<(String, Instant)>,
    /// How many requests there were.
    pub(crate) requests: usize,
}

#[derive(Debug)]
struct Request {
    name: String,
    child: Child,
    related: Vec<bool>,
    /// The record lost what happened since it began.
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

    /// Has somebody ask for `verb` of an instance.
    pub(crate) fn request(&mut self, platform: &Platform, verb: &str, at: usize) {
        self.requests += 1;
        let name = format!("operator-{}", self.requests);
        let instance = &INSTANCES[at];
        let mut command = std::process::Command::new(binary("rta"));
        command.args(["--aggregator", &format!("http://{}:7600", platform.web.0.ip())]);
        command.args([verb, instance.component, "--yes"]).env("USER", &name).env_remove("RTA_TOKEN_FILE");
        let log = std::fs::File::options().create(true).append(true).open(platform.path("rta.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let related: Vec<bool> = INSTANCES.iter().map(|other| other.is_related(at)).collect();
        let child = command.spawn().unwrap();
        self.under_way.push(Request { name, child, related, is_excused: false });
        self.poll();
    }

    /// Notes which requests have ended, and which instances the others may act on.
    pub(crate) fn poll(&mut self) {
        let now = Instant::now();
        let Self { under_way, asked, carried_out, .. } = self;
        under_way.retain_mut(|request| {
            for (asked, _) in asked.iter_mut().zip(&request.related).filter(|(_, related)| **related) {
                *asked = Some(now);
            }
            let Some(status) = request.child.try_wait().unwrap() else { return true };
            if status.success() && !request.is_excused {
                carried_out.push((request.name.clone(), now));
            }
            false
        });
    }

    /// Returns true if somebody asked lately for what may have begun an instance's process.
    pub(crate) fn asked_for(&self, at: usize) -> bool {
        self.asked[at].is_some_and(|asked| asked.elapsed() < EFFECT)
    }

    /// Returns the names under which a request was carried out, long enough ago for it to be on record.
    pub(crate) fn carried_out(&self) -> impl Iterator<Item = &String> {
        self.carried_out.iter().filter(|(_, ended)| ended.elapsed() > RECORDED).map(|(name, _)| name)
    }

    /// Expects nothing of the record any more that was asked for until now: it is lost.
    pub(crate) fn excuse(&mut self) {
        self.carried_out.clear();
        for request in &mut self.under_way {
            request.is_excused = true;
        }
    }

    /// Waits for the end of every request.
    pub(crate) fn wait(&mut self) {
        patiently("every request to end", || {
            self.poll();
            self.under_way.is_empty().then_some(())
        });
    }
}
