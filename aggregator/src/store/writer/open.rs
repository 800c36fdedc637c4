//! Opens the database: the file, a new one that replaces a damaged one, or one in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::watch;

use super::StoreWriter;
use crate::store::data_folder::{DataFolder, FileId, FolderLockError};
use crate::store::pending_writes::PendingWrites;
use crate::store::rows;
use crate::store::rows::RecoveredState;
use crate::store::schema;
use crate::store::schema::OpenError;
use crate::store::{EventFeed, StoreOptions};
use crate::timeline::RecordingGap;

/// Minimum time between two replacements of a damaged database: if it is damaged sooner, the disk itself is
/// broken.
const MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(600);

impl StoreWriter {
    /// Opens the database, or one in memory if that fails, and returns the state that an earlier aggregator
    /// left. Publishes problems to `error_sender`.
    pub(in crate::store) fn open(
        options: &StoreOptions,
        told: watch::Sender<Option<String>>,
        now: Timestamp,
    ) -> (Self, RecoveredState) {
        let mut writer = Self {
            folder: None,
            database: None,
            file: None,
            used_by_another: None,
            corruption: None,
            pending: PendingWrites::default(),
            feed: EventFeed::default(),
            retention: options.retention,
            failure: None,
            permanent_error: None,
            error_sender: told,
            queued: Arc::default(),
            lost: Arc::default(),
            events_since_retention: 0,
            retention_at: Instant::now(),
            replaced_at: None,
            activity_at: Instant::now(),
            lost_checked_at: now,
            plan_begin_replies: Vec::new(),
        };
        let mut recovered = RecoveredState::default();
        let opened = match &options.data {
            None => Ok(()),
            Some(data) => DataFolder::lock_folder(data)
                .map_err(|not_taken| writer.note_lock_error(not_taken))
                .and_then(|folder| {
                    writer.folder = Some(folder);
                    recovered = writer.open_file(true, now)?;
                    writer.feed.continue_after(recovered.last_event);
                    writer.pending = std::mem::take(&mut writer.pending).with_recovered(&recovered);
                    if let Some(since) = recovered.last_active {
                        writer.pending.samples.add_gap(RecordingGap { since, until: now });
                    }
                    Ok(())
                }),
        };
        if let Err(why) = opened {
            let sentence = format!("events are kept in memory only: {why}");
            tracing::error!("{sentence}");
            writer.folder = None;
            writer.permanent_error = Some(sentence);
        }
        if writer.folder.is_none() {
            match schema::open_in_memory() {
                Ok(database) => writer.database = Some(database),
                Err(OpenError::Corrupt(why) | OpenError::Refused(why)) => {
                    writer.permanent_error = Some(format!("events are not recorded: {why}"));
                }
            }
        }
        writer.publish_error();
        (writer, recovered)
    }

    /// Opens the file. Moves a damaged one aside and creates a new one.
    pub(crate) fn open_file(&mut self, check: bool, now: Timestamp) -> Result<RecoveredState, String> {
        let Some(folder) = &self.folder else { return Ok(RecoveredState::default()) };
        let path = folder.database_path();
        let told = |why: String| format!("{}: {why}", path.display());
        let open = || -> Result<(Connection, RecoveredState), OpenError> {
            let database = schema::open_database(&path, check)?;
            let recovered = rows::read_recovered_state(&database, now)?;
            Ok((database, recovered))
        };
        let opened = match self.corruption.take() {
            Some(why) => Err(OpenError::Corrupt(why)),
            None => open(),
        };
        let opened = match opened {
            Err(OpenError::Corrupt(why)) if self.may_replace() => {
                let aside = folder.move_aside("corrupt", now).map_err(|error| {
                    self.corruption = Some(why.clone());
                    told(format!("{why}, and it cannot be moved aside: {error}"))
                })?;
                self.replaced_at = Some(Instant::now());
                self.note_replacement(&path, &aside, &why, now);
                open()
            }
            opened => opened,
        };
        let (database, recovered) =
            opened.map_err(|(OpenError::Corrupt(why) | OpenError::Refused(why))| told(why))?;
        self.database = Some(database);
        self.file = FileId::of_path(&path);
        Ok(recovered)
    }

    /// Stores the sentence that names the other aggregator, if one has the folder. Returns the sentence for
    /// either reason.
    fn note_lock_error(&mut self, not_taken: FolderLockError) -> String {
        match not_taken {
            FolderLockError::Used(sentence) => {
                self.used_by_another = Some(sentence.clone());
                sentence
            }
            FolderLockError::Unusable(sentence) => sentence,
        }
    }

    pub(crate) fn may_replace(&self) -> bool {
        self.replaced_at.is_none_or(|at| at.elapsed() > MIN_REPLACEMENT_INTERVAL)
    }

    fn note_replacement(&mut self, path: &Path, aside: &Path, why: &str, now: Timestamp) {
        let text = format!(
            "the record {} could not be used: {why}; it is kept as {}, and a new one is begun",
            path.display(),
            aside.display()
        );
        tracing::error!("{text}");
        self.add_own_event(now, text);
    }
}
