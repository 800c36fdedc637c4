//! PostgreSQL.
//!
//! | module | holds |
//! |---|---|
//! | `absent` | the types of `location` and `session` in a build without PostgreSQL |
//! | `location` | the address, as an operator writes it |
//! | `command_line` | hiding a password that is on the command line |
//! | `password_file` | libpq's password file |
//! | `redact` | addresses without their password |
//! | `tls` | TLS to the server |
//! | `session` | the connection, its statements and rows |
//! | `lock` | the lock that lets one aggregator write, or several |
//! | `lease` | the leases by which aggregators lead environments |
//! | `record_session` | the session that reads the record of a leader |
//! | `request_session` | the session of an aggregator that follows, which writes keys of requests |
//! | `session_name` | the names of sessions, which others see |
//! | `shared_sessions` | the sessions of signed-in users, which all aggregators share |
//! | `schema` | the version of the tables |

#[cfg(not(feature = "postgres"))]
mod absent;
#[cfg(feature = "postgres")]
mod command_line;
pub(super) mod lease;
#[cfg(feature = "postgres")]
mod location;
mod lock;
#[cfg(feature = "postgres")]
mod password_file;
pub(super) mod record_session;
mod redact;
pub(super) mod request_session;
mod schema;
#[cfg(feature = "postgres")]
pub(super) mod session;
mod session_name;
pub(super) mod shared_sessions;
#[cfg(feature = "postgres")]
mod tls;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use session_name::new_session_name;

use super::backend::{Backend, Durability, OpenFailure};
use super::notifications::adopt_outbox;
use super::rows::{self, RecoveredState};
use super::scope::WriterScope;
use super::sql::{FailureKind, SqlSession, StoreError};

#[cfg(not(feature = "postgres"))]
use absent::PostgresSession;
#[cfg(not(feature = "postgres"))]
pub use absent::{PostgresLocation, hide_password};
#[cfg(feature = "postgres")]
pub use command_line::hide_password;
#[cfg(feature = "postgres")]
pub use location::PostgresLocation;
pub(super) use redact::redact_url;
#[cfg(feature = "postgres")]
use session::PostgresSession;

/// Interval between two checks of an idle connection.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Time limit for the answer to a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// Time until the next attempt to connect, by the number of those that failed.
const RETRY_INTERVALS: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];
/// Settings of every session. The server gives up a connection whose other end is gone within 25 s, and
/// releases its lock.
const SETTINGS: &str = "\
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'; SET standard_conforming_strings = on";

/// Settings of a session beside which others write: a process that is paused in the middle of a transaction
/// must not keep them from writing for longer than that.
const SHARED_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '3s'";

/// Database on a server.
#[derive(Debug)]
pub(super) struct PostgresBackend {
    location: PostgresLocation,
    /// Name of this aggregator's sessions.
    name: String,
    /// Part of the database that this writer records.
    scope: WriterScope,
    /// `None` after a failure: the connection has to be made again.
    session: Option<PostgresSession>,
    /// Time of the last answer of the server.
    checked_at: Instant,
}

impl PostgresBackend {
    /// Creates a backend for the database at this address.
    pub(super) fn new(location: PostgresLocation, scope: WriterScope) -> Self {
        Self { location, name: new_session_name(), scope, session: None, checked_at: Instant::now() }
    }

    fn unusable(&self, error: &StoreError) -> OpenFailure {
        OpenFailure::Unusable(self.describe_failure(error))
    }
}

impl Backend for PostgresBackend {
    fn open(&mut self, now: Timestamp) -> Result<RecoveredState, OpenFailure> {
        self.session = None;
        let mut session =
            PostgresSession::connect(&self.location, &self.name).map_err(|error| self.unusable(&error))?;
        session.execute_batch(SETTINGS).map_err(|error| self.unusable(&error))?;
        let shown = self.location.to_string();
        if self.scope.is_shared() {
            session.execute_batch(SHARED_SETTINGS).map_err(|error| self.unusable(&error))?;
        }
        lock::take_lock(&mut session, &self.name, &self.scope, &shown)?;
        let mut read = || {
            schema::migrate(&mut session)?;
            let environment = self.scope.environment();
            let session: &mut dyn SqlSession = &mut session;
            session.in_transaction(|session| {
                if self.scope.is_shared() {
                    // What the earlier leader wrote precedes this, and it writes no more after it.
                    self.scope.take_turn(session)?;
                }
                if let Some(environment) = environment {
                    adopt_outbox(session, environment)?;
                }
                rows::read_recovered_state(session, now, environment)
            })
        };
        let recovered = read().map_err(|error| self.unusable(&error))?;
        self.session = Some(session);
        self.checked_at = Instant::now();
        Ok(recovered)
    }

    fn session(&mut self) -> Option<&mut dyn SqlSession> {
        self.session.as_mut().map(|session| session as &mut dyn SqlSession)
    }

    fn set_durability(&mut self, _: Durability) -> Result<(), StoreError> {
        // The server's `synchronous_commit` holds for every commit.
        Ok(())
    }

    fn is_in_place(&mut self) -> bool {
        let Some(session) = &mut self.session else { return false };
        if self.checked_at.elapsed() < CHECK_INTERVAL {
            return true;
        }
        let answers = session.answers(CHECK_TIMEOUT);
        self.checked_at = Instant::now();
        if !answers {
            self.session = None;
        }
        answers
    }

    fn restore(&mut self, now: Timestamp) -> Result<(), String> {
        self.open(now).map(drop).map_err(OpenFailure::reason)
    }

    fn describe_failure(&self, error: &StoreError) -> String {
        format!("{}: {error}", self.location)
    }

    fn close_after(&mut self, error: &StoreError) {
        if error.kind == FailureKind::Disconnected {
            self.session = None;
        }
    }

    fn replaces_database(&self) -> bool {
        false
    }

    fn take_notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn release_space(&mut self) -> Result<(), StoreError> {
        // The server's autovacuum does that.
        Ok(())
    }

    fn check_interval(&self) -> Option<Duration> {
        Some(CHECK_INTERVAL)
    }

    fn retry_interval(&self, failures: usize) -> Duration {
        RETRY_INTERVALS[failures.min(RETRY_INTERVALS.len() - 1)]
    }

    fn is_in_memory(&self) -> bool {
        false
    }
}
