//! Session of an aggregator that follows: it writes the keys of requests, which need no lock.

use std::time::Duration;

use super::PostgresSession;
use super::session_name::new_session_name;
use super::{PostgresLocation, SETTINGS};
use crate::store::sql::{SqlSession, StoreError};

/// Time limit for one statement: a client waits for its answer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Open session.
#[derive(Debug)]
pub(in crate::store) struct RequestSession(PostgresSession);

impl RequestSession {
    /// Connects to the server.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or refuses.
    pub(in crate::store) fn connect(location: &PostgresLocation) -> Result<Self, StoreError> {
        let session = PostgresSession::connect(location, &new_session_name())?;
        let mut session = session.with_statement_timeout(STATEMENT_TIMEOUT);
        session.execute_batch(SETTINGS)?;
        Ok(Self(session))
    }

    /// Returns the session for statements.
    pub(in crate::store) fn session(&mut self) -> &mut dyn SqlSession {
        &mut self.0
    }
}
