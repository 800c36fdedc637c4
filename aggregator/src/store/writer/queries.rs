//! Answers to queries, from the pending writes and from the database.

use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::incident::IncidentDetails;

use super::StoreWriter;
use crate::store::query::{EventQuery, IncidentQuery, TimelineQuery, TimelineRows};
use crate::store::rows::plans::{RecordedPlan, read_plan};
use crate::store::rows::{events, incidents, samples};
use crate::store::sql::{FailureKind, StoreError};

impl StoreWriter {
    /// Returns the matching events: the pending ones, then the written ones.
    pub(in crate::store) fn query_events(&mut self, query: &EventQuery) -> Result<Vec<Event>, String> {
        let mut found = self.find_events(query)?;
        self.pending.incidents.set_incidents(&mut found);
        Ok(found)
    }

    fn find_events(&mut self, query: &EventQuery) -> Result<Vec<Event>, String> {
        let pending = &self.pending;
        let belongs = |event: &Event| {
            query.incident.is_none_or(|incident| pending.incidents.has_event(incident, event.id))
        };
        let found = pending.events().filter(|event| query.matches(event) && belongs(event));
        let mut found: Vec<Event> = found.cloned().collect();
        // An event of the thread itself may be here before older ones of the queue.
        found.sort_by_key(|event| std::cmp::Reverse(event.id));
        found.truncate(query.limit);
        let mut size = 0;
        let fitting = found.iter().take_while(|event| {
            size += events::answer_bytes(event);
            size <= events::MAX_ANSWER_BYTES
        });
        // At least one, so that a caller who asks for the rest gets on.
        let fitting = fitting.count().max(1);
        if fitting < found.len() {
            found.truncate(fitting);
            return Ok(found);
        }
        let closed = self.closed_message("events");
        let session = self.backend.session().ok_or(closed)?;
        let written = EventQuery { limit: query.limit.saturating_sub(found.len()), ..query.clone() };
        match events::read_events(session, &self.cache.dictionary, &written, size) {
            Ok(written) => {
                found.extend(written);
                Ok(found)
            }
            Err(error) => Err(self.read_failure("events", &error)),
        }
    }

    /// Returns the matching incidents, the newest first, each with its newest events, the oldest first.
    pub(in crate::store) fn query_incidents(
        &mut self,
        query: &IncidentQuery,
    ) -> Result<Vec<IncidentDetails>, String> {
        let closed = self.closed_message("incidents");
        let session = self.backend.session().ok_or(closed)?;
        let mut found = match incidents::read_incidents(session, query) {
            Ok(found) => found,
            Err(error) => return Err(self.read_failure("incidents", &error)),
        };
        found.retain(|incident| !self.pending.incidents.has_changed(incident.id));
        found.extend(self.pending.incidents.matching(query));
        found.sort_by_key(|incident| std::cmp::Reverse(incident.id));
        found.truncate(query.limit);
        query.add_events(found, |events| self.query_events(events))
    }

    /// Returns the timeline samples, pending ones included.
    pub(in crate::store) fn query_timeline(&mut self, query: &TimelineQuery) -> Result<TimelineRows, String> {
        let closed = self.closed_message("times past");
        let session = self.backend.session().ok_or(closed)?;
        match samples::read_timeline(session, &self.cache.dictionary, query) {
            Ok(mut rows) => {
                self.pending.samples.add_pending_to(&mut rows, query);
                Ok(rows)
            }
            Err(error) => Err(self.read_failure("times past", &error)),
        }
    }

    /// Returns the plan with this ID; `None`: it is not in the database.
    pub(in crate::store) fn query_plan(&mut self, id: u64) -> Result<Option<RecordedPlan>, String> {
        let closed = self.closed_message("plans");
        let session = self.backend.session().ok_or(closed)?;
        read_plan(session, id).map_err(|error| self.read_failure("plans", &error))
    }

    pub(super) fn closed_message(&self, what: &str) -> String {
        let why = self.failure.as_ref().map_or("it is not open", |failure| &failure.reason);
        format!("{what} cannot be read: {why}")
    }

    fn read_failure(&mut self, what: &str, error: &StoreError) -> String {
        let why = self.note_read_failure(error, Timestamp::now());
        format!("{what} cannot be read: {why}")
    }

    /// Counts a failed read, and closes the database as [`Self::note_session_failure`] does.
    pub(super) fn note_read_failure(&mut self, error: &StoreError, now: Timestamp) -> String {
        self.errors.count_read();
        self.note_session_failure(error, now)
    }

    /// Closes the database if it is damaged or its connection is lost. Returns the failure as a sentence.
    pub(super) fn note_session_failure(&mut self, error: &StoreError, now: Timestamp) -> String {
        let why = self.backend.describe_failure(error);
        if matches!(error.kind, FailureKind::Corrupt | FailureKind::Disconnected) {
            self.backend.close_after(error);
            self.note_failure(why.clone(), now);
        }
        why
    }
}
