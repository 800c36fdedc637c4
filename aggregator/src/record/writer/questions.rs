//! Answers to queries, from the pending writes and from the database.

use jiff::Timestamp;
use rta_shared::event::Event;

use super::Writer;
use crate::record::marks::{self, Asked, Noted};
use crate::record::query::Query;
use crate::record::{schema, store};

impl Writer {
    /// Returns the matching events: the pending ones, then the written ones.
    pub(in crate::record) fn answer(&mut self, query: &Query) -> Result<Vec<Event>, String> {
        let mut events: Vec<Event> =
            self.backlog.events().filter(|event| query.fits_new(event)).take(query.limit).cloned().collect();
        let database = self.database.as_ref().ok_or_else(|| self.closed("events"))?;
        let written = Query { limit: query.limit.saturating_sub(events.len()), ..query.clone() };
        match store::events(database, &written) {
            Ok(written) => {
                events.extend(written);
                Ok(events)
            }
            Err(error) => Err(self.unreadable("events", &error)),
        }
    }

    /// Returns the timeline samples, pending ones included.
    pub(in crate::record) fn noted(&mut self, asked: &Asked) -> Result<Noted, String> {
        let database = self.database.as_ref().ok_or_else(|| self.closed("times past"))?;
        match marks::noted(database, asked) {
            Ok(mut noted) => {
                self.backlog.marks.complete(&mut noted, asked);
                Ok(noted)
            }
            Err(error) => Err(self.unreadable("times past", &error)),
        }
    }

    fn closed(&self, what: &str) -> String {
        let why = self.failure.as_ref().map_or("it is not open", |failure| &failure.why);
        format!("{what} cannot be read: {why}")
    }

    fn unreadable(&mut self, what: &str, error: &rusqlite::Error) -> String {
        let why = self.sentence(error);
        if schema::is_damage(error) {
            self.lay_down(error);
            self.fail(why.clone(), Timestamp::now());
        }
        format!("{what} cannot be read: {why}")
    }
}
