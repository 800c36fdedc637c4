//! Retention: deletes old rows in small batches.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::StoreWriter;
use crate::store::rows::dictionary::Dictionary;
use crate::store::rows::{events, incidents, plans, samples};
use crate::store::sql::{SqlSession, StoreError};

/// Interval between two retention runs.
const RETENTION_INTERVAL: Duration = Duration::from_secs(3600);
/// Maximum number of events deleted at once, so that queued commands do not wait long.
const MAX_DELETED_EVENTS: usize = 1000;
const MAX_DELETED_SAMPLES: u64 = 5000;
/// Maximum number of events kept in memory.
const MAX_EVENTS_IN_MEMORY: usize = 100_000;
/// Maximum number of samples kept in memory, some 50 MB.
const MAX_SAMPLES_IN_MEMORY: i64 = 500_000;

impl StoreWriter {
    /// Runs one batch of retention if it is due.
    pub(crate) fn apply_retention(&mut self, now: Timestamp) {
        // A database in memory is bounded by its number of rows, too.
        let is_crowded =
            self.backend.is_in_memory() && self.events_since_retention > MAX_EVENTS_IN_MEMORY / 10;
        if self.retention_at > Instant::now() && !is_crowded {
            return;
        }
        // Of several writers of an aggregator one is enough.
        if self.scope.environment().is_some() {
            self.retention_at = Instant::now() + RETENTION_INTERVAL;
            return;
        }
        self.events_since_retention = 0;
        let is_more = self.failure.is_none() && self.delete_batch(now);
        self.retention_at = Instant::now() + if is_more { Duration::ZERO } else { RETENTION_INTERVAL };
    }

    /// Deletes one batch of old rows. Returns true if there are more.
    pub(in crate::store) fn delete_batch(&mut self, now: Timestamp) -> bool {
        let by_age = now.checked_sub(self.retention).unwrap_or(Timestamp::MIN);
        let is_in_memory = self.backend.is_in_memory();
        let (cache, scope) = (&mut self.cache, &self.scope);
        let Some(session) = self.backend.session() else { return false };
        let deleted = session.in_transaction(|session| {
            if scope.is_shared() {
                let turn = scope.take_turn(session)?;
                cache.catch_up(session, turn)?;
            }
            delete_old(session, &mut cache.dictionary, by_age, is_in_memory, scope.is_shared())
        });
        self.is_cache_stale |= deleted.is_err();
        let deleted = deleted.and_then(|is_more| self.backend.release_space().map(|()| is_more));
        deleted.unwrap_or_else(|error| {
            let why = self.note_read_failure(&error, now);
            tracing::error!(why, "old events cannot be deleted");
            false
        })
    }
}

/// Deletes one batch of rows older than `by_age`, and of those beyond the limits of a database in memory.
/// Returns true if there are more.
fn delete_old(
    session: &mut dyn SqlSession,
    dictionary: &mut Dictionary,
    by_age: Timestamp,
    is_in_memory: bool,
    is_shared: bool,
) -> Result<bool, StoreError> {
    let (by_events, by_samples) = match is_in_memory {
        false => (None, None),
        true => (
            events::event_cutoff(session, MAX_EVENTS_IN_MEMORY)?,
            samples::sample_cutoff(session, MAX_SAMPLES_IN_MEMORY)?,
        ),
    };
    let cutoff = |by_number: Option<Timestamp>| by_number.map_or(by_age, |at| at.max(by_age));
    let is_more_events = events::delete_events(session, dictionary, cutoff(by_events), MAX_DELETED_EVENTS)?;
    plans::delete_ended(session, cutoff(by_events))?;
    incidents::delete_ended(session, cutoff(by_events))?;
    let is_more_samples =
        samples::delete_samples(session, dictionary, cutoff(by_samples), MAX_DELETED_SAMPLES, is_shared)?;
    Ok(is_more_events || is_more_samples)
}
