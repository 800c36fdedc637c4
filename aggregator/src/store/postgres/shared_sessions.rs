//! Sessions of signed-in users, which all aggregators over one database share.

use std::time::Duration;

use super::PostgresSession;
use super::session_name::new_session_name;
use super::{PostgresLocation, SETTINGS};
use crate::store::sql::{SqlRow, SqlSession, StoreError, values};

/// Time limit for one statement: somebody waits for the page.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Table of the sessions. It is not part of the versioned schema, because each aggregator writes it, whether
/// it leads or not. Times are the server's.
const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS rta_sessions (\
digest TEXT PRIMARY KEY, user_name TEXT NOT NULL, password_digest TEXT NOT NULL, csrf TEXT NOT NULL, \
begun_at TIMESTAMPTZ NOT NULL, used_at TIMESTAMPTZ NOT NULL, ended_at TIMESTAMPTZ)";

/// Session as the database has it. No value of it is that of a cookie, or lets one be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedSession {
    /// Digest of the cookie's value.
    pub(crate) digest: String,
    /// Name of the user.
    pub(crate) user: String,
    /// Digest of the user's password hash at sign-in.
    pub(crate) password_digest: String,
    /// Token that each form of the session carries. It is of use only with the cookie.
    pub(crate) csrf: String,
    /// Time since its beginning.
    pub(crate) age: Duration,
    /// Time since its last recorded use.
    pub(crate) idle: Duration,
}

/// Connection for statements about sessions.
#[derive(Debug)]
pub(crate) struct SessionTable(PostgresSession);

impl SessionTable {
    /// Connects to the server, and creates the table if it is missing.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or refuses.
    pub(crate) fn connect(location: &PostgresLocation) -> Result<Self, StoreError> {
        let session = PostgresSession::connect(location, &new_session_name())?;
        let mut session = session.with_statement_timeout(STATEMENT_TIMEOUT);
        session.execute_batch(SETTINGS)?;
        session.execute_batch(TABLE)?;
        Ok(Self(session))
    }

    /// Adds a session that begins now, and deletes those that began longer ago than `lifetime`.
    pub(crate) fn begin(&mut self, new: &SharedSession, lifetime: Duration) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO rta_sessions (digest, user_name, password_digest, csrf, begun_at, used_at) \
             VALUES (?1, ?2, ?3, ?4, clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING",
            values![&new.digest, &new.user, &new.password_digest, &new.csrf],
        )?;
        self.0
            .execute(
                "DELETE FROM rta_sessions WHERE begun_at < clock_timestamp() - ?1::bigint * interval '1 second'",
                values![lifetime.as_secs()],
            )
            .map(drop)
    }

    /// Returns the session with this digest that has not ended.
    pub(crate) fn find(&mut self, digest: &str) -> Result<Option<SharedSession>, StoreError> {
        let session: &mut dyn SqlSession = &mut self.0;
        session.query_first(
            "SELECT user_name, password_digest, csrf, extract(epoch FROM clock_timestamp() - begun_at)::bigint, \
             extract(epoch FROM clock_timestamp() - used_at)::bigint FROM rta_sessions \
             WHERE digest = ?1 AND ended_at IS NULL",
            values![digest],
            |row| {
                Ok(SharedSession {
                    digest: digest.to_owned(),
                    user: row.text(0)?,
                    password_digest: row.text(1)?,
                    csrf: row.text(2)?,
                    age: seconds(row, 3)?,
                    idle: seconds(row, 4)?,
                })
            },
        )
    }

    /// Records that a session is used now.
    pub(crate) fn touch(&mut self, digest: &str) -> Result<(), StoreError> {
        let sql = "UPDATE rta_sessions SET used_at = clock_timestamp() WHERE digest = ?1";
        self.0.execute(sql, values![digest]).map(drop)
    }

    /// Ends a session. Its row stays, so that the other aggregators learn of it.
    pub(crate) fn end(&mut self, digest: &str) -> Result<(), StoreError> {
        let sql =
            "UPDATE rta_sessions SET ended_at = clock_timestamp() WHERE digest = ?1 AND ended_at IS NULL";
        self.0.execute(sql, values![digest]).map(drop)
    }

    /// Returns the digests of the sessions that have ended within this time.
    pub(crate) fn read_ended(&mut self, within: Duration) -> Result<Vec<String>, StoreError> {
        let session: &mut dyn SqlSession = &mut self.0;
        session.query_all(
            "SELECT digest FROM rta_sessions WHERE ended_at > clock_timestamp() - ?1::bigint * interval '1 second'",
            values![within.as_secs()],
            |row| row.text(0),
        )
    }
}

fn seconds(row: &dyn SqlRow, column: usize) -> Result<Duration, StoreError> {
    // The server's clock may have been set back since.
    Ok(Duration::from_secs(u64::try_from(row.integer(column)?).unwrap_or_default()))
}
