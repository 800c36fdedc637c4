//! Retention: deletes old rows in small batches.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::StoreWriter;
use crate::store::{rows, samples, schema};

/// Interval between two retention runs.
const RETENTION_INTERVAL: Duration = Duration::from_secs(3600);
/// Maximum number of events deleted at once, so that queued commands do not wait long.
const MAX_DELETED_EVENTS: usize = 1000;
const MAX_DELETED_SAMPLES: i64 = 5000;
/// Maximum number of events kept in memory.
const MAX_EVENTS_IN_MEMORY: usize = 100_000;
/// Maximum number of samples kept in memory, some 50 MB.
const MAX_SAMPLES_IN_MEMORY: i64 = 500_000;

impl StoreWriter {
    /// Runs one batch of retention if it is due.
    pub(crate) fn apply_retention(&mut self, now: Timestamp) {
        // A database in memory is bounded by its number of rows, too.
        let is_crowded = self.folder.is_none() && self.events_since_retention > MAX_EVENTS_IN_MEMORY / 10;
        if self.retention_at > Instant::now() && !is_crowded {
            return;
        }
        self.events_since_retention = 0;
        let is_more = self.failure.is_none() && self.delete_batch(now);
        self.retention_at = Instant::now() + if is_more { Duration::ZERO } else { RETENTION_INTERVAL };
    }

    /// Deletes one batch of old rows. Returns true if there are more.
    pub(in crate::store) fn delete_batch(&mut self, now: Timestamp) -> bool {
        let Some(database) = &mut self.database else { return false };
        let by_age = now.checked_sub(self.retention).unwrap_or(Timestamp::MIN);
        let is_in_memory = self.folder.is_none();
        let mut forget = || -> rusqlite::Result<bool> {
            let (events, samples) = match is_in_memory {
                false => (None, None),
                true => (
                    rows::event_cutoff(database, MAX_EVENTS_IN_MEMORY)?,
                    samples::sample_cutoff(database, MAX_SAMPLES_IN_MEMORY)?,
                ),
            };
            let cutoff = |by_number: Option<Timestamp>| by_number.map_or(by_age, |at| at.max(by_age));
            let is_more = rows::delete_events(database, cutoff(events), MAX_DELETED_EVENTS)?;
            Ok(samples::delete_samples(database, cutoff(samples), MAX_DELETED_SAMPLES)? || is_more)
        };
        forget().unwrap_or_else(|error| {
            let why = self.failure_sentence(&error);
            tracing::error!(why, "old events cannot be deleted");
            if schema::is_corruption(&error) {
                self.close_database(&error);
                self.note_failure(why, now);
            }
            false
        })
    }
}
