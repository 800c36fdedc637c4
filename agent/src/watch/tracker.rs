//! Table of the components' processes, kept current by events and scans. Pure: processes are read through
//! [`ProcessObserver`], and times are arguments.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rta_shared::matcher::PartId;
use rta_shared::process::Process;
use rustix::io::Errno;

use super::netlink::ProcessEvent;
use crate::host::process_matcher::{ProcessCandidate, ProcessObservation, ProcessObserver};
use crate::host::unreadable_processes::UnreadableProcesses;

/// Delay before a forked child is checked: until it calls exec, which most do at once, it shows its parent's
/// command line.
const EXEC_DELAY: Duration = Duration::from_millis(100);
/// Time after which a change that only a scan has found counts as missed: its event may still arrive.
const EVENT_DELAY: Duration = Duration::from_millis(500);

/// Table of matched processes, and of those that may be, or may become, a component's.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    matched: HashMap<u32, TrackedProcess>,
    unreadable: BTreeMap<u32, Errno>,
    /// Forked processes that may be about to call exec, each with the time of its check.
    pending_execs: BTreeMap<u32, PendingExec>,
    /// Changes that a scan found and no event has explained yet, each with the time of the scan.
    unexplained: BTreeMap<u32, Instant>,
    scan: u64,
    changed: bool,
}

#[derive(Debug)]
struct TrackedProcess {
    candidate: ProcessCandidate,
    /// Number of the scan that last confirmed the match.
    scan: u64,
}

#[derive(Clone, Copy, Debug)]
struct PendingExec {
    parent: u32,
    due: Instant,
}

/// Occasion of checking a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeOrigin {
    /// An event, or a new process: a change is expected.
    Expected,
    /// A full scan: an unexplained change should have been noticed before.
    FullScan(Instant),
}

impl Tracker {
    /// Processes one event.
    pub(super) fn handle_event(
        &mut self,
        event: ProcessEvent,
        now: Instant,
        observer: &mut impl ProcessObserver,
    ) {
        match event {
            ProcessEvent::Fork { parent, child } => {
                self.unexplained.remove(&child);
                if self.matched.contains_key(&child) || self.unreadable.contains_key(&child) {
                    // The exit event of the previous process with this PID was lost.
                    self.check_process(child, ChangeOrigin::Expected, observer);
                }
                // Independent of the parent: events are read after the fact, and the parent may no longer
                // match, or not yet. Nearly all children call exec or end before they are due.
                self.pending_execs.insert(child, PendingExec { parent, due: now + EXEC_DELAY });
            }
            ProcessEvent::Exec(pid) => {
                self.pending_execs.remove(&pid);
                self.unexplained.remove(&pid);
                self.check_process(pid, ChangeOrigin::Expected, observer);
            }
            ProcessEvent::Exit { pid, .. } => {
                self.pending_execs.remove(&pid);
                self.unexplained.remove(&pid);
                if self.matched.contains_key(&pid) || self.unreadable.contains_key(&pid) {
                    // A daemon may have left a child in its place.
                    let children: Vec<u32> = self
                        .pending_execs
                        .iter()
                        .filter(|(_, pending)| pending.parent == pid)
                        .map(|(pid, _)| *pid)
                        .collect();
                    for child in children {
                        self.pending_execs.remove(&child);
                        self.check_process(child, ChangeOrigin::Expected, observer);
                    }
                    // Checked instead of just removed: the PID may belong to another matching process by now.
                    self.check_process(pid, ChangeOrigin::Expected, observer);
                }
            }
            ProcessEvent::Answer { .. } => {}
        }
    }

    /// Checks due children. Returns the PIDs of changes that scans found and no event has explained in time.
    pub(super) fn check_due(&mut self, now: Instant, observer: &mut impl ProcessObserver) -> Vec<u32> {
        let born: Vec<u32> = self
            .pending_execs
            .iter()
            .filter(|(_, pending)| pending.due <= now)
            .map(|(pid, _)| *pid)
            .collect();
        for pid in born {
            self.pending_execs.remove(&pid);
            self.check_process(pid, ChangeOrigin::Expected, observer);
        }
        let missed: Vec<u32> = self
            .unexplained
            .iter()
            .filter(|(_, found)| now >= **found + EVENT_DELAY)
            .map(|(pid, _)| *pid)
            .collect();
        for pid in &missed {
            self.unexplained.remove(pid);
        }
        missed
    }

    /// Drops the unexplained changes, since events were lost.
    pub(super) fn explain_all(&mut self) {
        self.unexplained.clear();
    }

    /// Returns the next time at which [`Tracker::check_due`] has work.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let born = self.pending_execs.values().map(|pending| pending.due);
        born.chain(self.unexplained.values().map(|found| *found + EVENT_DELAY)).min()
    }

    /// Begins a full scan: [`Tracker::check_process`] follows for each listed process, then
    /// [`Tracker::end_scan`].
    pub(super) fn begin_scan(&mut self) {
        self.scan += 1;
    }

    /// Checks the processes that the scan has not met: each has ended, or is getting its PID just now.
    pub(super) fn end_scan(&mut self, origin: ChangeOrigin, observer: &mut impl ProcessObserver) {
        let unmet = self.matched.iter().filter(|(_, matched)| matched.scan < self.scan).map(|(pid, _)| *pid);
        let unmet: Vec<u32> = unmet.chain(self.unreadable.keys().copied()).collect();
        for pid in unmet {
            self.check_process(pid, origin, observer);
        }
    }

    /// Re-checks all processes that are matched, unreadable or freshly forked.
    pub(super) fn recheck(&mut self, observer: &mut impl ProcessObserver) {
        let pending = std::mem::take(&mut self.pending_execs).into_keys();
        let known: Vec<u32> = self.tracked_pids().chain(pending).collect();
        for pid in known {
            self.check_process(pid, ChangeOrigin::Expected, observer);
        }
    }

    /// Re-checks all processes that are matched or unreadable; a change should have been reported by an
    /// event.
    pub(super) fn verify(&mut self, now: Instant, observer: &mut impl ProcessObserver) {
        let known: Vec<u32> = self.tracked_pids().collect();
        for pid in known {
            self.check_process(pid, ChangeOrigin::FullScan(now), observer);
        }
    }

    /// Updates whether matched processes are suspended, and re-checks those that fail to match only because
    /// of their user or another attribute, since no event reports a change of these.
    pub(super) fn refresh_suspensions(&mut self, observer: &mut impl ProcessObserver) {
        let mut pids: Vec<u32> = Vec::new();
        for (pid, matched) in &mut self.matched {
            let candidate = &mut matched.candidate;
            if candidate.parts.is_empty() {
                pids.push(*pid);
                continue;
            }
            match observer.suspension(candidate.process.id) {
                Ok(suspension) if suspension == candidate.process.suspension => {}
                Ok(suspension) => {
                    candidate.process.suspension = suspension;
                    self.changed = true;
                }
                // The process has ended: an event follows, or the next check finds it.
                Err(_) => {}
            }
        }
        for pid in pids {
            self.check_process(pid, ChangeOrigin::Expected, observer);
        }
    }

    /// Checks one process, and records the result.
    pub(super) fn check_process(
        &mut self,
        pid: u32,
        origin: ChangeOrigin,
        observer: &mut impl ProcessObserver,
    ) {
        let seen = observer.observe(pid);
        let reads_alike = match &seen {
            ProcessObservation::Unreadable(error) => self.unreadable.insert(pid, *error) == Some(*error),
            ProcessObservation::Other | ProcessObservation::Candidate(_) => {
                self.unreadable.remove(&pid).is_none()
            }
        };
        let old = self.matched.remove(&pid).map(|matched| matched.candidate);
        let new = match seen {
            ProcessObservation::Candidate(candidate) => {
                let matched = TrackedProcess { candidate, scan: self.scan };
                Some(&self.matched.entry(pid).or_insert(matched).candidate)
            }
            ProcessObservation::Other | ProcessObservation::Unreadable(_) => None,
        };
        let matches_alike = match (&old, new) {
            (Some(old), Some(new)) => old.is_same_match(new),
            // A candidate that does not match at the moment may come and go unnoticed.
            (Some(one), None) => one.parts.is_empty(),
            (None, Some(one)) => one.parts.is_empty(),
            (None, None) => true,
        };
        let is_explained = old.iter().chain(new).any(|candidate| candidate.may_change);
        if old.as_ref() == new && reads_alike {
            return;
        }
        self.changed = true;
        if let (ChangeOrigin::FullScan(now), false, false) = (origin, matches_alike, is_explained) {
            self.unexplained.insert(pid, now);
        }
    }

    /// Clears the table; the next scan fills it again.
    pub(super) fn clear(&mut self) {
        *self = Self { scan: self.scan, changed: true, ..Self::default() };
    }

    /// Returns true if anything has changed since the last call.
    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Returns every process whose end must be noticed.
    pub(super) fn tracked_pids(&self) -> impl Iterator<Item = u32> {
        self.matched.keys().chain(self.unreadable.keys()).copied()
    }

    /// Returns the process with this PID, if it is in the table.
    pub(super) fn process(&self, pid: u32) -> Option<&Process> {
        self.matched.get(&pid).map(|matched| &matched.candidate.process)
    }

    /// Returns every matched process with its parts, sorted by process ID.
    pub(super) fn matches(&self) -> Vec<(Process, Vec<PartId>)> {
        let candidates = self.matched.values().map(|matched| &matched.candidate);
        let matching = candidates.filter(|candidate| !candidate.parts.is_empty());
        let mut matches: Vec<_> =
            matching.map(|candidate| (candidate.process.clone(), candidate.parts.clone())).collect();
        matches.sort_by_key(|(process, _)| process.id);
        matches
    }

    /// Returns the processes that cannot be read or classified, with the reasons.
    pub(super) fn unreadable_processes(&self) -> UnreadableProcesses {
        UnreadableProcesses::new(&self.unreadable, self.matched.values().map(|matched| &matched.candidate))
    }
}

#[cfg(test)]
mod tests;
