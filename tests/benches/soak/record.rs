//! The bench's own record of what runs, and what is said held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rta_shared::proto::v1::State;
use rta_tests::Sighting;

/// Of each component as many lives are kept: those before have long been told.
const KEPT: usize = 50;

/// One process of a component, from its start to its end.
#[derive(Debug)]
struct Life {
    pid: u32,
    /// When it was certain that it is not the component's any more.
    until: Option<Instant>,
}

/// What runs, and what was said wrongly of it.
#[derive(Debug)]
pub(crate) struct Record {
    /// An end may be untold for this long.
    grace: Duration,
    lives: BTreeMap<String, Vec<Life>>,
    /// Each wrong state once, as a sentence.
    pub(crate) wrong: BTreeSet<String>,
    /// How often a component was compared at a checkpoint.
    pub(crate) compared: usize,
    /// How many reports and overviews were judged.
    pub(crate) judged: usize,
    /// The longest time that a process was still told of after its end.
    pub(crate) latest: Duration,
}

impl Record {
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

    /// A component has a process from now on, or in a moment.
    pub(crate) fn began(&mut self, component: &str, pid: u32) {
        let lives = self.lives.get_mut(component).unwrap();
        lives.push(Life { pid, until: None });
        if lives.len() > KEPT {
            lives.remove(0);
        }
    }

    /// That process is gone, or is none of the component's any more.
    pub(crate) fn ended(&mut self, component: &str, pid: u32) {
        let lives = self.lives.get_mut(component).unwrap();
        let life = lives.iter_mut().rfind(|life| life.pid == pid && life.until.is_none()).unwrap();
        life.until = Some(Instant::now());
    }

    /// Notes every process that is told of as a component's at this time and was none of it for longer than the
    /// grace, or never. A child of a component's process is none of its own: it may not have called exec yet.
    pub(crate) fn judge(&mut self, who: &str, sighting: &Sighting, at: Instant) {
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

    /// Compares every component: nothing has begun or ended for long enough.
    pub(crate) fn compare(&mut self, who: &str, sighting: Option<&Sighting>, second: u64) {
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
