//! Impairments: parts of rta itself that do not work as they should.
//!
//! The page, `rta status`, `rta check` and the JSON all show them. A program that cannot do part of its work
//! reports that here, not only in its log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use crate::words::words;

/// Part of rta that can be impaired. Ordered by severity, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImpairedPart {
    /// Watching processes, or following agents: what is shown may be wrong or missing.
    Watch,
    /// A task of the program that should always run.
    Task,
    /// The lead of several aggregators: this one follows, or nobody leads.
    Leadership,
    /// The aggregator's event store.
    Store,
    /// An agent's state folder: operators' decisions, launches, maintenance.
    State,
    /// An agent's starts and stops.
    Control,
    /// An agent's limits and probes: one cannot be evaluated.
    Limits,
    /// The aggregator's users file: a newer one was refused.
    Users,
    /// The aggregator's audit log: it lacks entries.
    Audit,
    /// The configuration: a newer one was refused, or an agent's differs from the aggregator's.
    Configuration,
    /// Planned maintenance: some cannot begin.
    Maintenance,
    /// The aggregator's notifications: somebody may not have been told of an outage.
    Notifications,
    /// A clock that differs from the aggregator's.
    Clock,
    /// A certificate that has expired or will soon, or a renewed one that was refused.
    Certificate,
    /// The program's own log.
    Log,
    /// A part that only a newer version knows.
    Other,
}

words!(ImpairedPart {
    Watch => "watch",
    Task => "task",
    Leadership => "leadership",
    Store => "store",
    State => "state",
    Control => "control",
    Limits => "limits",
    Users => "users",
    Audit => "audit",
    Configuration => "configuration",
    Maintenance => "maintenance",
    Notifications => "notifications",
    Clock => "clock",
    Certificate => "certificate",
    Log => "log",
    Other => "other",
});

impl ImpairedPart {
    /// Returns the part with this word; [`ImpairedPart::Other`] for one that this version does not know.
    pub fn known_or_other(word: &str) -> Self {
        Self::from_word(word).unwrap_or(Self::Other)
    }

    /// Returns true if monitoring itself fails, so that the displayed state is not reliable.
    pub fn blinds(self) -> bool {
        matches!(self, Self::Watch | Self::Task)
    }
}

/// Part of rta that is impaired.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Impairment {
    /// The part.
    pub part: ImpairedPart,
    /// One sentence for an operator: what is impaired, why, and what to do.
    pub message: String,
    /// Start of the impairment, by the clock of the program that reports it; `None` where that is unknown.
    pub since: Option<Timestamp>,
}

impl Impairment {
    /// Creates an impairment whose start is unknown or does not matter.
    pub fn new(part: ImpairedPart, message: impl Into<String>) -> Self {
        Self { part, message: message.into(), since: None }
    }

    /// Creates an impairment that started at `since`.
    pub fn starting(part: ImpairedPart, message: impl Into<String>, since: Timestamp) -> Self {
        Self { part, message: message.into(), since: Some(since) }
    }
}

/// A program's own list of impairments, at most one for each part; clones share it.
#[derive(Clone, Debug)]
pub struct ImpairmentList(watch::Sender<BTreeMap<ImpairedPart, Impairment>>);

impl Default for ImpairmentList {
    /// Creates an empty list.
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl ImpairmentList {
    /// Sets the impairment of `part`; `None` removes it. A part that stays impaired keeps its start time.
    pub fn set(&self, part: ImpairedPart, message: Option<String>) {
        self.0.send_if_modified(|all| {
            let before = all.get(&part);
            if before.map(|one| one.message.as_str()) == message.as_deref() {
                return false;
            }
            let since = before.and_then(|one| one.since).unwrap_or_else(Timestamp::now);
            match message {
                Some(message) => drop(all.insert(part, Impairment::starting(part, message, since))),
                None => drop(all.remove(&part)),
            }
            true
        });
    }

    /// Returns all impairments, the most severe first.
    pub fn all(&self) -> Vec<Impairment> {
        self.0.borrow().values().cloned().collect()
    }

    /// Returns a receiver that is notified of each change.
    pub fn changes(&self) -> watch::Receiver<BTreeMap<ImpairedPart, Impairment>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impairment_list_keeps_the_start_while_a_part_stays_impaired() {
        let list = ImpairmentList::default();
        let mut changes = list.changes();
        list.set(ImpairedPart::Log, None);
        assert!(!changes.has_changed().unwrap());
        list.set(ImpairedPart::State, Some("disk full".to_owned()));
        let since = list.all()[0].since;
        assert!(since.is_some() && changes.has_changed().unwrap());
        changes.mark_unchanged();
        list.set(ImpairedPart::State, Some("disk full".to_owned()));
        assert!(!changes.has_changed().unwrap());
        list.set(ImpairedPart::State, Some("read-only".to_owned()));
        assert_eq!((list.all()[0].since, list.all()[0].message.as_str()), (since, "read-only"));
        list.set(ImpairedPart::State, None);
        assert!(list.all().is_empty());
    }

    #[test]
    fn every_part_is_found_by_its_word_and_a_newer_one_is_other() {
        for part in ImpairedPart::ALL {
            assert_eq!(ImpairedPart::known_or_other(part.word()), part);
            assert_eq!(serde_json::to_value(part).unwrap(), part.word());
        }
        assert_eq!(ImpairedPart::known_or_other("antenna"), ImpairedPart::Other);
    }
}
