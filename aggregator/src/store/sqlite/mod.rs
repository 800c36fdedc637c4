//! SQLite: a file in the data folder of this aggregator, or a database in memory.
//!
//! | module | holds |
//! |---|---|
//! | `data_folder` | the data folder, locked by one aggregator |
//! | `file` | opening of a database file |
//! | `restore` | writing a deleted or replaced file again |
//! | `session` | statements and rows |

mod data_folder;
mod file;
mod restore;
mod session;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_folder::{DataFolder, FileId};
use file::OpenError;
use jiff::Timestamp;
use rusqlite::Connection;

use super::backend::{Backend, Durability, OpenFailure};
use super::rows::{self, RecoveredState};
use super::sql::{FailureKind, SqlSession, StoreError};

/// Minimum time between two replacements of a damaged database: if it is damaged sooner, the disk itself is
/// broken.
const MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(600);
/// Interval between retries after a failed write.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// Interval between two checks that the file is still in place.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(3);

/// Database in SQLite.
#[derive(Debug, Default)]
pub(super) struct SqliteBackend {
    /// Path of the data folder; `None`: the database is in memory.
    path: Option<PathBuf>,
    /// The locked data folder.
    folder: Option<DataFolder>,
    /// `None` after a failure: the file has to be opened again.
    database: Option<Connection>,
    /// Identity of the open database file.
    file: Option<FileId>,
    /// Reason to move the file aside before it is opened again.
    corruption: Option<String>,
    replaced_at: Option<Instant>,
    notes: Vec<String>,
}

impl SqliteBackend {
    /// Creates a backend in memory.
    pub(super) fn in_memory() -> Self {
        Self::default()
    }

    /// Creates a backend in this data folder.
    pub(super) fn in_folder(path: PathBuf) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    fn open_in_memory(&mut self, now: Timestamp) -> Result<RecoveredState, OpenFailure> {
        if self.database.is_some() {
            // It is the only copy.
            return Ok(RecoveredState::default());
        }
        let open = || -> Result<(Connection, RecoveredState), OpenError> {
            let mut database = file::open_in_memory()?;
            let recovered = rows::read_recovered_state(&mut database, now, None)?;
            Ok((database, recovered))
        };
        let (database, recovered) = open()
            .map_err(|(OpenError::Corrupt(why) | OpenError::Refused(why))| OpenFailure::Unusable(why))?;
        self.database = Some(database);
        Ok(recovered)
    }

    /// Opens the file. Moves a damaged one aside and creates a new one. A file up to a certain size is
    /// checked as a whole with `check`.
    fn open_file(&mut self, check: bool, now: Timestamp) -> Result<RecoveredState, String> {
        let Some(folder) = &self.folder else { return Err("the data folder is not locked".to_owned()) };
        let path = folder.database_path();
        let describe_error = |why: String| format!("{}: {why}", path.display());
        let open = || -> Result<(Connection, RecoveredState), OpenError> {
            let mut database = file::open_database(&path, check)?;
            let recovered = rows::read_recovered_state(&mut database, now, None)?;
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
                    describe_error(format!("{why}, and it cannot be moved aside: {error}"))
                })?;
                self.replaced_at = Some(Instant::now());
                self.note_replacement(&path, &aside, &why);
                open()
            }
            opened => opened,
        };
        let (database, recovered) =
            opened.map_err(|(OpenError::Corrupt(why) | OpenError::Refused(why))| describe_error(why))?;
        self.database = Some(database);
        self.file = FileId::of_path(&path);
        Ok(recovered)
    }

    fn may_replace(&self) -> bool {
        self.replaced_at.is_none_or(|at| at.elapsed() > MIN_REPLACEMENT_INTERVAL)
    }

    fn note_replacement(&mut self, path: &Path, aside: &Path, why: &str) {
        let text = format!(
            "the record {} could not be used: {why}; it is kept as {}, and a new one is begun",
            path.display(),
            aside.display()
        );
        tracing::error!("{text}");
        self.notes.push(text);
    }
}

impl Backend for SqliteBackend {
    fn open(&mut self, now: Timestamp) -> Result<RecoveredState, OpenFailure> {
        let Some(path) = &self.path else { return self.open_in_memory(now) };
        // After a failure the folder is locked already, and the file was checked.
        let is_first = self.folder.is_none();
        if is_first {
            self.folder = Some(DataFolder::lock_folder(path)?);
        }
        self.open_file(is_first, now).map_err(OpenFailure::Unusable)
    }

    fn session(&mut self) -> Option<&mut dyn SqlSession> {
        self.database.as_mut().map(|database| database as &mut dyn SqlSession)
    }

    fn set_durability(&mut self, durability: Durability) -> Result<(), StoreError> {
        let Some(database) = &self.database else { return Ok(()) };
        // https://sqlite.org/pragma.html#pragma_synchronous
        let level = match durability {
            Durability::Normal => "NORMAL",
            Durability::Full => "FULL",
        };
        Ok(database.execute_batch(&format!("PRAGMA synchronous = {level}"))?)
    }

    fn is_in_place(&mut self) -> bool {
        self.is_file_in_place()
    }

    fn restore(&mut self, now: Timestamp) -> Result<(), String> {
        self.restore_file(now)
    }

    fn describe_failure(&self, error: &StoreError) -> String {
        match &self.folder {
            Some(folder) => format!("{}: {error}", folder.database_path().display()),
            None => error.reason.clone(),
        }
    }

    fn close_after(&mut self, error: &StoreError) {
        // A database in memory stays open: it is the only copy.
        if self.folder.is_some() && error.kind != FailureKind::DiskFull {
            self.database = None;
            self.corruption = (error.kind == FailureKind::Corrupt).then(|| error.reason.clone());
        }
    }

    fn replaces_database(&self) -> bool {
        self.corruption.is_some() && self.may_replace()
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn release_space(&mut self) -> Result<(), StoreError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        // Each row is a page; `execute_batch` would stop after the first.
        database.query("PRAGMA incremental_vacuum(500)", &[], &mut |_| Ok(true))
    }

    fn check_interval(&self) -> Option<Duration> {
        self.folder.is_some().then_some(FILE_CHECK_INTERVAL)
    }

    fn retry_interval(&self, _: usize) -> Duration {
        RETRY_INTERVAL
    }

    fn is_in_memory(&self) -> bool {
        self.path.is_none()
    }
}
