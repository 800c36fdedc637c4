//! Session of an aggregator that follows: it reads the record, takes no lock, and cannot write.

use std::time::Duration;

use super::PostgresSession;
use super::session_name::new_session_name;
use super::{PostgresLocation, SETTINGS};
use crate::store::migrations::VERSION;
use crate::store::scope::TURNS;
use crate::store::sql::{SqlSession, StoreError, values};

/// Time limit for one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Settings beyond those of every session. All statements of a transaction read the same moment.
const READ_SETTINGS: &str =
    "SET default_transaction_read_only = on; SET default_transaction_isolation = 'repeatable read'";

/// Moment of a record. It changes with each transaction of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct RecordStamp {
    /// Number of the last transaction; 0: there was none.
    last_turn: i64,
    /// Highest epoch.
    pub(in crate::store) epoch: i64,
}

/// Open session.
#[derive(Debug)]
pub(in crate::store) struct RecordSession(PostgresSession);

impl RecordSession {
    /// Connects to the server.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or refuses, or if a leader has yet to create the
    /// tables.
    pub(in crate::store) fn connect(location: &PostgresLocation) -> Result<Self, StoreError> {
        let session = PostgresSession::connect(location, &new_session_name())?;
        let mut session = session.with_statement_timeout(STATEMENT_TIMEOUT);
        session.execute_batch(SETTINGS)?;
        session.execute_batch(READ_SETTINGS)?;
        let statements: &mut dyn SqlSession = &mut session;
        let is_there = statements.query_first(
            "SELECT (to_regclass('rta_schema') IS NOT NULL AND to_regclass('rta_leases') IS NOT NULL)::int",
            &[],
            |row| row.integer(0),
        )?;
        if is_there != Some(1) {
            return Err(StoreError::other("no aggregator has led there yet"));
        }
        Ok(Self(session))
    }

    /// Returns the session for statements.
    pub(in crate::store) fn session(&mut self) -> &mut dyn SqlSession {
        &mut self.0
    }

    /// Reads the moment of the record.
    ///
    /// # Errors
    /// Returns an error if the server does not answer, or if the leader's program writes another version.
    pub(in crate::store) fn read_stamp(&mut self) -> Result<RecordStamp, StoreError> {
        let read = self.session().query_first(
            "SELECT version::bigint, coalesce((SELECT value FROM numbers WHERE name = ?1), 0), \
             coalesce((SELECT max(epoch) FROM rta_leases), 0) FROM rta_schema",
            values![TURNS],
            |row| Ok((row.number(0)?, RecordStamp { last_turn: row.integer(1)?, epoch: row.integer(2)? })),
        )?;
        match read {
            Some((version, stamp)) if usize::try_from(version) == Ok(VERSION) => Ok(stamp),
            Some((version, _)) => Err(StoreError::other(format!(
                "it is of version {version}, and this rta-aggregator reads version {VERSION}; install the same version on \
                 all aggregators"
            ))),
            None => Err(StoreError::other("no aggregator has led there yet")),
        }
    }
}
