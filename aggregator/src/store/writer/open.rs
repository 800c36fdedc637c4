//! Opens the database, or one in memory if that fails.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use super::StoreWriter;
use crate::store::backend::OpenFailure;
use crate::store::pending_writes::PendingWrites;
use crate::store::rows::{RecoveredState, RowCache};
use crate::store::scope::WriterScope;
use crate::store::sqlite::SqliteBackend;
use crate::store::{EventFeed, HostOrInstance, StoreOptions};
use crate::timeline::{RecordingGap, TimelineState};

impl StoreWriter {
    /// Opens the database, or one in memory if that fails, and returns the state that an earlier aggregator
    /// left. Publishes problems to `error_sender`.
    pub(in crate::store) fn open(
        options: &StoreOptions,
        reason_sender: watch::Sender<Option<String>>,
        now: Timestamp,
    ) -> (Self, RecoveredState) {
        let mut writer = Self {
            backend: options.location.backend(&options.scope),
            scope: options.scope.clone(),
            reader: options.reader.clone(),
            cache: RowCache::default(),
            is_cache_stale: false,
            used_by_another: None,
            pending: PendingWrites::default(),
            feed: match options.scope.is_shared() {
                true => EventFeed::of_shared_writer(),
                false => EventFeed::default(),
            },
            retention: options.retention,
            failure: None,
            permanent_error: None,
            error_sender: reason_sender,
            queued: Arc::default(),
            errors: Arc::default(),
            events_since_retention: 0,
            retention_at: Instant::now(),
            activity_at: Instant::now(),
            lost_checked_at: now,
            durable_replies: Vec::new(),
        };
        let recovered = writer.open_first(now);
        if let Err(why) = writer.read_cache() {
            writer.note_failure(why, now);
        }
        writer.feed.continue_after(recovered.last_event);
        writer.pending = std::mem::take(&mut writer.pending).with_recovered(&recovered, &writer.scope);
        match (recovered.last_active, &writer.scope) {
            (Some(since), WriterScope::Whole) => {
                writer.pending.samples.add_gap(RecordingGap { since, until: now });
            }
            // The others recorded their environments meanwhile.
            (Some(since), WriterScope::Environment(_)) => {
                let instances = recovered.known_values.keys().filter_map(HostOrInstance::instance);
                // The known values are kept by folded names, which are not to be shown.
                let dictionary = &writer.cache.dictionary;
                let unknown =
                    instances.map(|id| (dictionary.spell_instance(id), TimelineState::NotRecorded)).collect();
                writer.pending.samples.add(since, unknown);
            }
            (Some(_), WriterScope::Unled) | (None, _) => {}
        }
        writer.record_notes(now);
        writer.publish_error();
        (writer, recovered)
    }

    fn open_first(&mut self, now: Timestamp) -> RecoveredState {
        let failure = match self.backend.open(now) {
            Ok(recovered) => return recovered,
            Err(failure) => failure,
        };
        if self.backend.is_in_memory() {
            self.permanent_error = Some(format!("events are not recorded: {}", failure.reason()));
            return RecoveredState::default();
        }
        if let OpenFailure::UsedByAnother(sentence) = &failure {
            self.used_by_another = Some(sentence.clone());
        }
        let sentence = format!("events are kept in memory only: {}", failure.reason());
        tracing::error!("{sentence}");
        self.permanent_error = Some(sentence);
        self.backend = Box::new(SqliteBackend::in_memory());
        self.backend.open(now).unwrap_or_else(|failure| {
            self.permanent_error = Some(format!("events are not recorded: {}", failure.reason()));
            RecoveredState::default()
        })
    }
}
