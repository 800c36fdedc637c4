//! Which processes are the components': kept true by events and by scans. Pure: it looks through
//! [`Look`], and has no clock of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rta_shared::matcher::PartId;
use rta_shared::process::Process;
use rustix::io::Errno;

use super::event::ProcessEvent;
use super::unseen::Unseen;
use crate::inspect::{Candidate, Look, Seen};

/// A child shows its parent's command line until it calls exec, which most do at once: it is looked at only after
/// this time.
const UNBORN: Duration = Duration::from_millis(100);
/// When a scan finds what no event has told, the event may be on its way: it counts as missed after this time.
const EXCUSED: Duration = Duration::from_millis(500);

/// The table of matched processes, and of those that may be, or may become, a component's.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    matched: HashMap<u32, Matched>,
    unreadable: BTreeMap<u32, Errno>,
    /// Forked processes that may be about to call exec, with the time to look at them.
    unborn: BTreeMap<u32, Unborn>,
    /// What a scan found and no event has told yet, with the time it was found.
    suspects: BTreeMap<u32, Instant>,
    scan: u64,
    changed: bool,
}

#[derive(Debug)]
struct Matched {
    candidate: Candidate,
    /// The scan that confirmed it last.
    scan: u64,
}

#[derive(Clone, Copy, Debug)]
struct Unborn {
    parent: u32,
    due: Instant,
}

/// What makes the tracker look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Something was told of it, or it is new: a change is no wonder.
    News,
    /// A full scan: a change that nothing explains should have been known before.
    Scan(Instant),
}

impl Tracker {
    /// Takes in one event.
    pub(super) fn event(&mut self, event: ProcessEvent, now: Instant, look: &mut impl Look) {
        match event {
            ProcessEvent::Fork { parent, child } => {
                self.suspects.remove(&child);
                if self.matched.contains_key(&child) || self.unreadable.contains_key(&child) {
                    // The end of the one that had this PID before was not told.
                    self.see(child, Occasion::News, look);
                }
                // Whoever its parent is: events are read after the fact, and the parent may be matched no more, or
                // not yet. Nearly all call exec or end before they are due.
                self.unborn.insert(child, Unborn { parent, due: now + UNBORN });
            }
            ProcessEvent::Exec(pid) => {
                self.unborn.remove(&pid);
                self.suspects.remove(&pid);
                self.see(pid, Occasion::News, look);
            }
            ProcessEvent::Exit { pid, .. } => {
                self.unborn.remove(&pid);
                self.suspects.remove(&pid);
                if self.matched.contains_key(&pid) || self.unreadable.contains_key(&pid) {
                    // A child may have been left to go on in its place, as daemons do.
                    let children: Vec<u32> = self
                        .unborn
                        .iter()
                        .filter(|(_, unborn)| unborn.parent == pid)
                        .map(|(pid, _)| *pid)
                        .collect();
                    for child in children {
                        self.unborn.remove(&child);
                        self.see(child, Occasion::News, look);
                    }
                    // Looked at, not just forgotten: the PID may be another matching process's by now.
                    self.see(pid, Occasion::News, look);
                }
            }
            ProcessEvent::Answer { .. } => {}
        }
    }

    /// Does what has become due; what scans found and nothing has explained since.
    pub(super) fn due(&mut self, now: Instant, look: &mut impl Look) -> Vec<u32> {
        let born: Vec<u32> =
            self.unborn.iter().filter(|(_, unborn)| unborn.due <= now).map(|(pid, _)| *pid).collect();
        for pid in born {
            self.unborn.remove(&pid);
            self.see(pid, Occasion::News, look);
        }
        let missed: Vec<u32> =
            self.suspects.iter().filter(|(_, found)| now >= **found + EXCUSED).map(|(pid, _)| *pid).collect();
        for pid in &missed {
            self.suspects.remove(pid);
        }
        missed
    }

    /// What scans found and nothing has explained yet is explained: events were lost.
    pub(super) fn excuse(&mut self) {
        self.suspects.clear();
    }

    /// When [`Tracker::due`] has something to do next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let born = self.unborn.values().map(|unborn| unborn.due);
        born.chain(self.suspects.values().map(|found| *found + EXCUSED)).min()
    }

    /// Begins a full scan: [`Tracker::see`] follows for each process that is listed, then [`Tracker::end_scan`].
    pub(super) fn begin_scan(&mut self) {
        self.scan += 1;
    }

    /// Looks again at what the scan has not met: it has ended, or gets its PID just now.
    pub(super) fn end_scan(&mut self, occasion: Occasion, look: &mut impl Look) {
        let unmet = self.matched.iter().filter(|(_, matched)| matched.scan < self.scan).map(|(pid, _)| *pid);
        let unmet: Vec<u32> = unmet.chain(self.unreadable.keys().copied()).collect();
        for pid in unmet {
            self.see(pid, occasion, look);
        }
    }

    /// Looks again at all that is matched, not yet born, or unreadable.
    pub(super) fn review(&mut self, look: &mut impl Look) {
        let unborn = std::mem::take(&mut self.unborn).into_keys();
        let known: Vec<u32> = self.watched().chain(unborn).collect();
        for pid in known {
            self.see(pid, Occasion::News, look);
        }
    }

    /// Looks again at all that is matched or unreadable; what has changed should have been told.
    pub(super) fn verify(&mut self, now: Instant, look: &mut impl Look) {
        let known: Vec<u32> = self.watched().collect();
        for pid in known {
            self.see(pid, Occasion::Scan(now), look);
        }
    }

    /// Looks whether the processes that are known are free to run, and again at those that would be a component's but
    /// for their user or another attribute, of whose change nobody tells.
    pub(super) fn refresh(&mut self, look: &mut impl Look) {
        let mut pids: Vec<u32> = Vec::new();
        for (pid, matched) in &mut self.matched {
            let candidate = &mut matched.candidate;
            if candidate.parts.is_empty() {
                pids.push(*pid);
                continue;
            }
            match look.suspension(candidate.process.id) {
                Ok(suspension) if suspension == candidate.process.suspension => {}
                Ok(suspension) => {
                    candidate.process.suspension = suspension;
                    self.changed = true;
                }
                // It has ended: that is told in a moment, or found by the next look.
                Err(_) => {}
            }
        }
        for pid in pids {
            self.see(pid, Occasion::News, look);
        }
    }

    /// Looks at one process, and notes what it is.
    pub(super) fn see(&mut self, pid: u32, occasion: Occasion, look: &mut impl Look) {
        let seen = look.look(pid);
        let reads_alike = match &seen {
            Seen::Unreadable(error) => self.unreadable.insert(pid, *error) == Some(*error),
            Seen::Other | Seen::Candidate(_) => self.unreadable.remove(&pid).is_none(),
        };
        let old = self.matched.remove(&pid).map(|matched| matched.candidate);
        let new = match seen {
            Seen::Candidate(candidate) => {
                let matched = Matched { candidate, scan: self.scan };
                Some(&self.matched.entry(pid).or_insert(matched).candidate)
            }
            Seen::Other | Seen::Unreadable(_) => None,
        };
        let matches_alike = match (&old, new) {
            (Some(old), Some(new)) => old.is_same_match(new),
            // One that is none at the moment comes and goes without notice.
            (Some(one), None) => one.parts.is_empty(),
            (None, Some(one)) => one.parts.is_empty(),
            (None, None) => true,
        };
        let is_explained = old.iter().chain(new).any(|candidate| candidate.may_change);
        if old.as_ref() == new && reads_alike {
            return;
        }
        self.changed = true;
        if let (Occasion::Scan(now), false, false) = (occasion, matches_alike, is_explained) {
            self.suspects.insert(pid, now);
        }
    }

    /// Forgets everything; the next scan finds it again.
    pub(super) fn clear(&mut self) {
        *self = Self { scan: self.scan, changed: true, ..Self::default() };
    }

    /// Whether anything has changed since this was asked last.
    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Every process whose end matters.
    pub(super) fn watched(&self) -> impl Iterator<Item = u32> {
        self.matched.keys().chain(self.unreadable.keys()).copied()
    }

    /// Who has this PID, as far as it is known to be matched.
    pub(super) fn process(&self, pid: u32) -> Option<&Process> {
        self.matched.get(&pid).map(|matched| &matched.candidate.process)
    }

    /// Every matched process with its parts, by PID.
    pub(super) fn matches(&self) -> Vec<(Process, Vec<PartId>)> {
        let candidates = self.matched.values().map(|matched| &matched.candidate);
        let matching = candidates.filter(|candidate| !candidate.parts.is_empty());
        let mut matches: Vec<_> =
            matching.map(|candidate| (candidate.process.clone(), candidate.parts.clone())).collect();
        matches.sort_by_key(|(process, _)| process.id);
        matches
    }

    /// What is not seen, and why.
    pub(super) fn unseen(&self) -> Unseen {
        Unseen::new(&self.unreadable, self.matched.values().map(|matched| &matched.candidate))
    }
}

#[cfg(test)]
mod tests;
