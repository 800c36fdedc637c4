//! Answers to queries, from the pending writes and from the database.

use jiff::Timestamp;
use rta_shared::event::Event;

use super::StoreWriter;
use crate::store::query::EventQuery;
use crate::store::samples;
use crate::store::samples::{TimelineQuery, TimelineRows};
use crate::store::{rows, schema};

impl StoreWriter {
    /// Returns the matching events: the pending ones, then the written ones.
    pub(in crate::store) fn query_events(&mut self, query: &EventQuery) -> Result<Vec<Event>, String> {
        let mut events: Vec<Event> =
            self.pending.events().filter(|event| query.matches(event)).cloned().collect();
        // An event of the thread itself may be here before older ones of the queue.
        events.sort_by_key(|event| std::cmp::Reverse(event.id));
        events.truncate(query.limit);
        let database = self.database.as_ref().ok_or_else(|| self.closed_message("events"))?;
        let written = EventQuery { limit: query.limit.saturating_sub(events.len()), ..query.clone() };
        match rows::read_events(database, &written) {
            Ok(written) => {
                events.extend(written);
                Ok(events)
            }
            Err(error) => Err(self.read_failure("events", &error)),
        }
    }

    /// Returns the timeline samples, pending ones included.
    pub(in crate::store) fn query_timeline(&mut self, query: &TimelineQuery) -> Result<TimelineRows, String> {
        let database = self.database.as_ref().ok_or_else(|| self.closed_message("times past"))?;
        match samples::read_timeline(database, query) {
            Ok(mut rows) => {
                self.pending.samples.add_pending_to(&mut rows, query);
                Ok(rows)
            }
            Err(error) => Err(self.read_failure("times past", &error)),
        }
    }

    fn closed_message(&self, what: &str) -> String {
        let why = self.failure.as_ref().map_or("it is not open", |failure| &failure.reason);
        format!("{what} cannot be read: {why}")
    }

    fn read_failure(&mut self, what: &str, error: &rusqlite::Error) -> String {
        let why = self.failure_sentence(error);
        if schema::is_corruption(error) {
            self.close_database(error);
            self.note_failure(why.clone(), Timestamp::now());
        }
        format!("{what} cannot be read: {why}")
    }
}
