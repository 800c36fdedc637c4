//! Compares the aggregator's overview with the processes that really ran.
//!
//! rta needs time to notice changes. A sample is compared with every true state from that long before the
//! request until after the answer, so both the old and the new state are accepted in between. A state that
//! was right at no moment of that window is wrong. The window differs for processes, for lost hosts, and for
//! hosts and aggregators that return.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::actual_state::{ActualState, HealthSet};
use crate::components::{INSTANCES, Launch};
use crate::platform::{AGENTS, HOSTS};
use crate::sampler::{OverviewSample, ShownInstance};

/// Time to notice that a process started, ended or was stopped: the interval of a second between
/// scans, and a busy machine.
const NOTICE: Duration = Duration::from_secs(4);
/// Time during which a lost host is still shown as before: three seconds of silence, and [`NOTICE`].
const SILENCE: Duration = Duration::from_secs(7);
/// Time to reconnect to a returned host, or for a new aggregator to connect to all hosts.
const RECONNECT: Duration = Duration::from_secs(15);
/// Maximum time for starting or stopping, longer than every time limit in the configuration. After it a
/// component counts as stuck.
const LONGEST_ACTION: Duration = Duration::from_secs(40);
/// Maximum age of stored true states.
const KEPT: Duration = Duration::from_secs(30);
/// Number of violations of each kind that are printed.
const SHOWN: usize = 20;

/// Kind of violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    WrongState,
    Double,
    Unattributed,
    Stuck,
}

/// Results so far.
#[derive(Debug)]
pub(crate) struct OverviewChecker {
    began: Instant,
    truths: VecDeque<ActualState>,
    /// Sample requested after the last true state; compared together with the next one.
    pending: Option<OverviewSample>,
    /// Time when each host, its connection or its agent last changed.
    disturbed: [Instant; AGENTS],
    /// Last violation of each instance, so that a lasting wrong state counts once.
    current: Vec<Option<Violation>>,
    /// Time since which each instance has been starting or stopping.
    busy_since: Vec<Option<Instant>>,
    pub(crate) samples: usize,
    counts: BTreeMap<Violation, usize>,
}

impl OverviewChecker {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            truths: VecDeque::new(),
            pending: None,
            disturbed: [now; AGENTS],
            current: vec![None; INSTANCES.len()],
            busy_since: vec![None; INSTANCES.len()],
            samples: 0,
            counts: BTreeMap::new(),
        }
    }

    /// Records that the connection to a host changes now.
    pub(crate) fn disturb(&mut self, host: usize) {
        self.disturbed[host] = Instant::now();
    }

    /// Records that the aggregator stops or starts now.
    pub(crate) fn disturb_all(&mut self) {
        self.disturbed = [Instant::now(); AGENTS];
        self.pending = None;
    }

    /// Returns the number of violations of a kind.
    pub(crate) fn count(&self, violation: Violation) -> usize {
        self.counts.get(&violation).copied().unwrap_or_default()
    }

    /// Counts and prints a violation.
    pub(crate) fn report(&mut self, violation: Violation, sentence: &str) {
        let count = self.counts.entry(violation).or_default();
        *count += 1;
        if *count <= SHOWN {
            println!("{:7.1} s  {violation:?}: {sentence}", self.began.elapsed().as_secs_f64());
        }
    }

    /// Processes the true state of the hosts and, if the aggregator answered, the sample requested after it.
    pub(crate) fn take(&mut self, truth: ActualState, sample: Option<OverviewSample>) {
        for (at, pids) in truth.pids.iter().enumerate().filter(|(_, pids)| pids.len() > 1) {
            let before = self.truths.back().map_or(0, |truth| truth.pids[at].len());
            if before < 2 {
                self.report(Violation::Double, &format!("{} has the processes {pids:?}", name(at)));
            }
        }
        self.truths.push_back(truth);
        while self.truths.front().is_some_and(|truth| truth.at.elapsed() > KEPT) {
            self.truths.pop_front();
        }
        if let Some(sample) = std::mem::replace(&mut self.pending, sample) {
            self.check(&sample);
            self.samples += 1;
        }
    }

    /// Returns the instances with a process that started between the last two true states.
    pub(crate) fn births(&self) -> Vec<usize> {
        let mut last = self.truths.iter().rev();
        let (Some(now), Some(before)) = (last.next(), last.next()) else { return Vec::new() };
        let is_new = |at: &usize| now.pids[*at].iter().any(|pid| !before.pids[*at].contains(pid));
        (0..INSTANCES.len()).filter(is_new).collect()
    }

    /// Returns the last true state of the hosts.
    pub(crate) fn last(&self) -> Option<&ActualState> {
        self.truths.back()
    }

    fn check(&mut self, sample: &OverviewSample) {
        for (at, said) in sample.instances.iter().enumerate() {
            let allowed = self.allowed(at, sample);
            let is_wrong = !allowed.has(said.health);
            let is_stuck = self.is_stuck(at, said);
            let found = match (is_wrong, is_stuck) {
                (true, _) => Some(Violation::WrongState),
                (false, true) => Some(Violation::Stuck),
                (false, false) if self.is_foreign(at, sample, said) => Some(Violation::WrongState),
                (false, false) => None,
            };
            if let Some(violation) = found.filter(|_| self.current[at] != found) {
                let truth = self.truths.back();
                let runs = truth.map(|truth| (truth.pids[at].clone(), truth.stopped[at], truth.reachable));
                let sentence =
                    format!("{} is said to be {said:?}, allowed is {allowed:?}; runs {runs:?}", name(at));
                self.report(violation, &sentence);
            }
            self.current[at] = found;
        }
    }

    /// Returns the true states since `time` before the sample, including the one that held at
    /// the start of that time.
    fn window(&self, sample: &OverviewSample, time: Duration) -> impl Iterator<Item = &ActualState> {
        let began = sample.asked.checked_sub(time).unwrap_or(self.began);
        let first = self.truths.iter().rposition(|truth| truth.at <= began).unwrap_or_default();
        self.truths.iter().skip(first)
    }

    /// Returns the correct healths of an instance in this sample.
    fn allowed(&self, at: usize, sample: &OverviewSample) -> HealthSet {
        let instance = &INSTANCES[at];
        let since_disturbed = sample.asked.saturating_duration_since(self.disturbed[instance.host]);
        let mut allowed = HealthSet::NONE;
        for truth in self.window(sample, NOTICE) {
            let is_reachable = truth.reachable[instance.host];
            allowed = allowed.or(if is_reachable { truth.own_health(at) } else { HealthSet::UNKNOWN });
        }
        if since_disturbed < SILENCE {
            let seen = self.window(sample, SILENCE + NOTICE).map(|truth| truth.own_health(at));
            allowed = seen.fold(allowed, HealthSet::or);
        }
        if since_disturbed < RECONNECT {
            allowed = allowed.or(HealthSet::UNKNOWN);
        }
        let said = &sample.instances[at];
        if said.is_busy {
            allowed = allowed.or(HealthSet::DOWN);
        }
        if instance.launch == Launch::Restarted && said.reason.contains("flapping") {
            allowed = allowed.or(HealthSet::DEGRADED);
        }
        if let Some(needed) = instance.needs.filter(|_| allowed.has(HealthSet::UP)) {
            let needed = self.allowed(needed, sample);
            allowed = allowed.without(HealthSet::UP);
            for (one, follows) in [
                (HealthSet::UP, HealthSet::UP),
                (HealthSet::DEGRADED, HealthSet::DEGRADED),
                (HealthSet::DOWN, HealthSet::DEGRADED),
                (HealthSet::UNKNOWN, HealthSet::UNKNOWN),
            ] {
                if needed.has(one) {
                    allowed = allowed.or(follows);
                }
            }
        }
        allowed
    }

    /// Returns true if a process shown as running never belonged to the instance within the window.
    fn is_foreign(&self, at: usize, sample: &OverviewSample, said: &ShownInstance) -> bool {
        let own = |pid: &u32| self.window(sample, SILENCE + NOTICE).any(|truth| truth.pids[at].contains(pid));
        said.is_running && !said.pids.iter().all(own)
    }

    fn is_stuck(&mut self, at: usize, said: &ShownInstance) -> bool {
        if !said.is_busy {
            self.busy_since[at] = None;
            return false;
        }
        self.busy_since[at].get_or_insert_with(Instant::now).elapsed() > LONGEST_ACTION
    }
}

/// Formats an instance as `h1/broker`.
pub(crate) fn name(at: usize) -> String {
    format!("{}/{}", HOSTS[INSTANCES[at].host], INSTANCES[at].component)
}
