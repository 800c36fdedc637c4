//! Incidents that are not written yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rta_shared::event::Event;
use rta_shared::incident::Incident;

use super::query::{IncidentQuery, StoredIncidents};
use super::rows::{StoredNumber, incidents, write_number};
use super::sql::{SqlSession, StoreError};

/// Maximum number of events whose incident waits to be written while nothing can be written; the oldest are
/// dropped first, as the events themselves are.
const MAX_PENDING_EVENTS: usize = 10_000;

/// First ID of an incident that has no number yet. The incidents of several writers are numbered when they
/// are written.
pub(super) const FIRST_UNNUMBERED: u64 = 1 << 62;

/// Change of the incidents, written as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IncidentChange {
    /// New and changed incidents.
    pub(crate) incidents: Vec<Incident>,
    /// Events with the incident to which each belongs: its ID, then the event's.
    pub(crate) events: Vec<(u64, u64)>,
}

impl IncidentChange {
    /// Returns true if it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.incidents.is_empty() && self.events.is_empty()
    }
}

/// Incidents with the changes that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct PendingIncidents {
    /// Open incidents, and those that are not written.
    known: BTreeMap<u64, Incident>,
    changed: BTreeSet<u64>,
    /// Events to write, with their incidents: the incident's ID, then the event's.
    events: BTreeSet<(u64, u64)>,
    last_id: u64,
    /// Numbers of the incidents that had none, by their IDs until then.
    numbers: BTreeMap<u64, u64>,
}

impl From<&StoredIncidents> for PendingIncidents {
    fn from(stored: &StoredIncidents) -> Self {
        let open = stored.incidents.iter().filter(|incident| incident.is_open());
        let known = open.map(|incident| (incident.id, incident.clone())).collect();
        Self { known, last_id: stored.last_id, ..Self::default() }
    }
}

impl PendingIncidents {
    /// Adds a change.
    pub(crate) fn apply(&mut self, change: IncidentChange) {
        for incident in change.incidents {
            self.last_id = self.last_id.max(incident.id);
            self.changed.insert(incident.id);
            self.known.insert(incident.id, incident);
        }
        self.events.extend(change.events);
    }

    /// Returns the unwritten incidents that match.
    pub(crate) fn matching(&self, query: &IncidentQuery) -> Vec<Incident> {
        let changed = self.changed.iter().filter_map(|id| self.known.get(id));
        changed.filter(|incident| query.matches(incident)).cloned().collect()
    }

    /// Returns true if an incident is to be written.
    pub(crate) fn has_changed(&self, id: u64) -> bool {
        self.changed.contains(&id)
    }

    /// Returns true if an event is to be written as one of this incident.
    pub(crate) fn has_event(&self, incident: u64, event: u64) -> bool {
        self.events.contains(&(incident, event))
    }

    /// Sets the incidents of events that are to be written as part of one.
    pub(crate) fn set_incidents(&self, events: &mut [Event]) {
        if self.events.is_empty() {
            return;
        }
        let incidents: HashMap<u64, u64> =
            self.events.iter().rev().map(|(incident, event)| (*event, *incident)).collect();
        for event in events.iter_mut().filter(|event| event.incident.is_none()) {
            event.incident = incidents.get(&event.id).copied();
        }
    }

    /// Marks what is known as unwritten.
    pub(crate) fn mark_all_dirty(&mut self) {
        self.changed.extend(self.known.keys());
    }

    /// Returns the IDs of the incidents to write that have no number yet.
    pub(crate) fn unnumbered(&self) -> Vec<u64> {
        let unnumbered = self.changed.iter().filter(|id| **id > FIRST_UNNUMBERED);
        unnumbered.filter(|id| !self.numbers.contains_key(id)).copied().collect()
    }

    /// Sets the number of an incident that had none.
    pub(crate) fn set_number(&mut self, id: u64, number: u64) {
        self.numbers.insert(id, number);
    }

    fn number(&self, id: u64) -> u64 {
        self.numbers.get(&id).copied().unwrap_or(id)
    }

    /// Returns true if there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.events.is_empty()
    }

    /// Writes what has changed.
    pub(crate) fn write_all(&self, session: &mut dyn SqlSession) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        for incident in self.changed.iter().filter_map(|id| self.known.get(id)) {
            let numbered = Incident { id: self.number(incident.id), ..incident.clone() };
            incidents::write_incident(session, &numbered)?;
        }
        for (incident, event) in &self.events {
            incidents::write_event_reference(session, self.number(*incident), *event)?;
        }
        if self.last_id > FIRST_UNNUMBERED {
            return Ok(());
        }
        write_number(session, StoredNumber::Incident, i64::try_from(self.last_id).unwrap_or(i64::MAX))
    }

    /// Removes the marks after a successful write.
    pub(crate) fn clear_written(&mut self) {
        self.known.retain(|_, incident| incident.is_open());
        self.changed.clear();
        self.events.clear();
    }

    /// Drops what is too much after a failed write.
    pub(crate) fn drop_excess(&mut self) {
        while self.events.len() > MAX_PENDING_EVENTS {
            self.events.pop_first();
        }
    }
}
