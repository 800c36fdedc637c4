//! Retention: deletes old rows in small batches.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Writer;
use crate::record::{marks, schema, store};

/// Interval between two retention runs.
const TIDY: Duration = Duration::from_secs(3600);
/// Maximum number of events deleted at once, so that queued commands do not wait long.
const DELETED: usize = 1000;
const MARKS_DELETED: i64 = 5000;
/// Maximum number of events kept in memory.
const IN_MEMORY: usize = 100_000;
/// Maximum number of marks kept in memory, some 50 MB.
const MARKS_IN_MEMORY: i64 = 500_000;

impl Writer {
    /// Runs one batch of retention if it is due.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        // A database in memory is bounded by its number of rows, too.
        let is_crowded = self.folder.is_none() && self.taken > IN_MEMORY / 10;
        if self.tidy_at > Instant::now() && !is_crowded {
            return;
        }
        self.taken = 0;
        let is_more = self.failure.is_none() && self.forget(now);
        self.tidy_at = Instant::now() + if is_more { Duration::ZERO } else { TIDY };
    }

    /// Deletes one batch of old rows. Returns true if there are more.
    pub(in crate::record) fn forget(&mut self, now: Timestamp) -> bool {
        let Some(database) = &mut self.database else { return false };
        let by_age = now.checked_sub(self.keep).unwrap_or(Timestamp::MIN);
        let is_in_memory = self.folder.is_none();
        let mut forget = || -> rusqlite::Result<bool> {
            let (events, marks) = match is_in_memory {
                false => (None, None),
                true => {
                    (store::cutoff_for(database, IN_MEMORY)?, marks::cutoff_for(database, MARKS_IN_MEMORY)?)
                }
            };
            let cutoff = |by_number: Option<Timestamp>| by_number.map_or(by_age, |at| at.max(by_age));
            let is_more = store::forget(database, cutoff(events), DELETED)?;
            Ok(marks::forget(database, cutoff(marks), MARKS_DELETED)? || is_more)
        };
        forget().unwrap_or_else(|error| {
            let why = self.sentence(&error);
            tracing::error!(why, "old events cannot be deleted");
            if schema::is_damage(&error) {
                self.lay_down(&error);
                self.fail(why, now);
            }
            false
        })
    }
}
