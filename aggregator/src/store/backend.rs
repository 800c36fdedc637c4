//! Seam between the writer thread and a database.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::rows::RecoveredState;
use super::sql::{SqlSession, StoreError};

/// Reason why a database was not opened, as part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenFailure {
    /// Another aggregator has it.
    UsedByAnother(String),
    /// Any other reason.
    Unusable(String),
}

impl OpenFailure {
    /// Returns the reason.
    pub(crate) fn reason(self) -> String {
        let (Self::UsedByAnother(reason) | Self::Unusable(reason)) = self;
        reason
    }
}

/// Durability of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Commits survive the end of this program; a loss of power may lose the last ones.
    Normal,
    /// A commit returns when it is on disk.
    Full,
}

/// Database of the event store. The writer thread alone uses it, and may wait for it; the queue, the pending
/// writes, the numbers of events and what is reported of a failure are common to all of them.
pub(crate) trait Backend: fmt::Debug + Send {
    /// Takes the lock that excludes another aggregator, opens the database, migrates it to the newest version,
    /// and returns the state that an earlier aggregator left. Called again after a failure closed it.
    fn open(&mut self, now: Timestamp) -> Result<RecoveredState, OpenFailure>;

    /// Returns the open session; `None` if the database has to be opened.
    fn session(&mut self) -> Option<&mut dyn SqlSession>;

    /// Sets the durability of later commits.
    fn set_durability(&mut self, durability: Durability) -> Result<(), StoreError>;

    /// Returns true unless the open database has to be restored or opened again.
    fn is_in_place(&mut self) -> bool;

    /// Brings an open database back that is not in place.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if that is not possible. The open database stays open, for another try.
    fn restore(&mut self, now: Timestamp) -> Result<(), String>;

    /// Returns a failure as a sentence that names the database.
    fn describe_failure(&self, error: &StoreError) -> String;

    /// Closes the database after a failure if it has to be opened again.
    fn close_after(&mut self, error: &StoreError);

    /// Returns true if the database was closed and a new one can be opened at once.
    fn replaces_database(&self) -> bool;

    /// Returns and removes the sentences for events about the database itself.
    fn take_notes(&mut self) -> Vec<String>;

    /// Returns the database's free space to the system, a piece at a time.
    fn release_space(&mut self) -> Result<(), StoreError>;

    /// Returns the interval between two calls of [`Backend::is_in_place`]; `None`: none is needed.
    fn check_interval(&self) -> Option<Duration>;

    /// Returns the time until the next attempt to write, after this number of failed ones.
    fn retry_interval(&self, failures: usize) -> Duration;

    /// Returns true if the database is lost when the aggregator ends.
    fn is_in_memory(&self) -> bool;
}
