//! Record of the processes that really ran, and comparison with reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rta_shared::proto::v1::State;
use rta_tests::ObservedReport;

/// Number of process lifetimes kept per component; older ones were reported long ago.
const KEPT: usize = 50;

/// Lifetime of one process of a component.
#[derive(Debug)]
struct ProcessLife {
    pid: u32,
    /// Time from which the process certainly no longer belongs to the component.
    until: Option<Instant>,
}

/// Processes that ran, and wrong reports about them.
#[derive(Debug)]
pub(crate) struct ReportChecker {
    /// Maximum delay for reporting the end of a process.
    grace: Duration,
    lives: BTreeMap<String, Vec<ProcessLife>>,
    /// Distinct wrong states, as sentences.
    pub(crate) wrong: BTreeSet<String>,
    /// Number of comparisons of a component at checkpoints.
    pub(crate) compared: usize,
    /// Number of reports and overviews that were judged.
    pub(crate) judged: usize,
    /// Longest time for which a process was still reported after its end.
    pub(crate) latest: Duration,
}

impl ReportChecker {
    pub(crate) fn new(components: &[String], grace: Duration) -> Self {
        Self {
            grace,
            lives: components.iter().map(|name| (name.clone(), Vec::new())).collect(),
            wrong: BTreeSet::new(),
            compared: 0,
            judged: 0,
            latest: Duration::ZERO,
        }
    }

    /// Records that a component has a process from now on, or in a moment.
    pub(crate) fn began(&mut self, component: &str, pid: u32) {
        let lives = self.lives.get_mut(component).unwrap();
        lives.push(ProcessLife { pid, until: None });
        if lives.len() > KEPT {
            lives.remove(0);
        }
    }

    /// Records that the process has ended, or no longer belongs to the component.
    pub(crate) fn ended(&mut self, component: &str, pid: u32) {
        let lives = self.lives.get_mut(component).unwrap();
        let life = lives.iter_mut().rfind(|life| life.pid == pid && life.until.is_none()).unwrap();
        life.until = Some(Instant::now());
    }

    /// Records as wrong every reported process that has not belonged to the component for longer
    /// than the grace period, or never did. A child of a component's process is ignored: it may
    /// not have called exec yet.
    pub(crate) fn judge(&mut self, who: &str, sighting: &ObservedReport, at: Instant) {
        for (component, seen) in &sighting.components {
            let lives = &self.lives[component];
            let lives_now = |pid| lives.iter().any(|life| life.pid == pid && life.until.is_none());
            for process in seen.processes.iter().filter(|process| !lives_now(process.pid)) {
                let of_pid = lives.iter().filter(|life| life.pid == process.pid);
                let Some((number, until)) = of_pid.filter_map(|life| life.until).enumerate().last() else {
                    if !lives.iter().any(|life| life.pid == process.parent_pid) {
                        self.wrong.insert(format!(
                            "{who}: {component} has pid {} (parent {}), which was never its own",
                            process.pid, process.parent_pid
                        ));
                    }
                    continue;
                };
                let stale = at.saturating_duration_since(until);
                self.latest = self.latest.max(stale);
                if stale > self.grace {
                    self.wrong.insert(format!(
                        "{who}: {component} still has pid {} (its end number {number}) after more than {} ms",
                        process.pid,
                        self.grace.as_millis()
                    ));
                }
            }
        }
        self.judged += 1;
    }

    /// Compares every component, after a time in which nothing has started or ended.
    pub(crate) fn compare(&mut self, who: &str, sighting: Option<&ObservedReport>, second: u64) {
        for (component, lives) in &self.lives {
            let pids: Vec<u32> =
                lives.iter().filter(|life| life.until.is_none()).map(|life| life.pid).collect();
            let expected = if pids.is_empty() { State::Stopped } else { State::Running };
            let seen = sighting.and_then(|sighting| sighting.components.get(component));
            self.compared += 1;
            if !seen.is_some_and(|seen| seen.state == expected && seen.pids() == pids) {
                self.wrong.insert(format!(
                    "{who}, at second {second}: {component} should be {expected:?} with {pids:?}, and is {}",
                    seen.map_or("not told".to_owned(), |seen| format!(
                        "{:?} with {:?}",
                        seen.state,
                        seen.pids()
                    ))
                ));
            }
        }
    }
}
