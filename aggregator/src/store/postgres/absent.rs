//! The types of `location` and `session` in a build without PostgreSQL: no address is accepted, so that
//! neither has a value.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use super::redact::redact_url;
use crate::store::sql::{RowSink, SqlSession, SqlValue, StoreError};

/// Address of a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresLocation(Infallible);

impl PostgresLocation {
    /// Refuses an address.
    ///
    /// # Errors
    /// Returns an error, as a sentence without the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        Err(format!(
            "{}: this build of rta has no PostgreSQL; build it with the feature postgres, which is one of the default \
             features",
            redact_url(url)
        ))
    }
}

impl fmt::Display for PostgresLocation {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

/// Does nothing: the address on the command line is refused.
///
/// # Errors
/// Returns no error.
pub fn hide_password() -> Result<(), String> {
    Ok(())
}

/// Connection to a server.
#[derive(Debug)]
pub(in crate::store) struct PostgresSession(Infallible);

impl PostgresSession {
    /// Has no server to connect to.
    pub(in crate::store) fn connect(location: &PostgresLocation, _: &str) -> Result<Self, StoreError> {
        match location.0 {}
    }

    /// Returns the session with another time limit for one statement.
    pub(super) fn with_statement_timeout(self, _: Duration) -> Self {
        match self.0 {}
    }

    /// Returns true if the server answers within the time limit.
    pub(super) fn answers(&mut self, _: Duration) -> bool {
        match self.0 {}
    }
}

impl SqlSession for PostgresSession {
    fn execute(&mut self, _: &str, _: &[SqlValue<'_>]) -> Result<u64, StoreError> {
        match self.0 {}
    }

    fn queue(&mut self, _: &str, _: &[SqlValue<'_>]) -> Result<(), StoreError> {
        match self.0 {}
    }

    fn query(&mut self, _: &str, _: &[SqlValue<'_>], _: RowSink<'_>) -> Result<(), StoreError> {
        match self.0 {}
    }

    fn execute_batch(&mut self, _: &str) -> Result<(), StoreError> {
        match self.0 {}
    }
}
