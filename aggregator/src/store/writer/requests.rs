//! Keys of requests, written at once: a client waits for them.

use jiff::Timestamp;

use super::StoreWriter;
use crate::store::backend::Durability;
use crate::store::request_keys::{self, KeyedRequest, RequestAnswer, RequestRecord};
use crate::store::sql::{SqlSession, StoreError};

impl StoreWriter {
    /// Records a request, if its key is new. Returns what is known of it, when it is on disk.
    pub(in crate::store) fn begin_request(
        &mut self,
        new: &KeyedRequest,
        now: Timestamp,
    ) -> Result<RequestRecord, String> {
        self.write_key(now, |session| request_keys::begin_request(session, new, now))
    }

    /// Records the answer to a request; without one its key is free again.
    pub(in crate::store) fn end_request(
        &mut self,
        key: &str,
        answer: Option<&RequestAnswer>,
        now: Timestamp,
    ) -> Result<(), String> {
        self.write_key(now, |session| request_keys::end_request(session, key, answer))
    }

    fn write_key<T>(
        &mut self,
        now: Timestamp,
        write: impl FnOnce(&mut dyn SqlSession) -> Result<T, StoreError>,
    ) -> Result<T, String> {
        let closed = self.closed_message("keys");
        let durable = self.backend.set_durability(Durability::Full);
        let session = self.backend.session().ok_or(closed)?;
        let written = durable.and_then(|()| session.in_transaction(|session| write(session)));
        written.map_err(|error| {
            self.errors.count_write();
            format!("keys cannot be recorded: {}", self.note_session_failure(&error, now))
        })
    }
}
