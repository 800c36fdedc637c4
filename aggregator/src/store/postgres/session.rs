//! Session with PostgreSQL: one connection, driven by the writer thread alone.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::BytesMut;
use futures::future::join_all;
use futures::{TryStreamExt as _, pin_mut};
use rta_shared::error_source::{deepest_source, error_sources};
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error as PostgresError, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::location::{PostgresLocation, TlsMode};
use super::tls;
use crate::store::sql::{FailureKind, RowSink, SqlRow, SqlSession, SqlValue, StoreError};

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for one statement. A connection that exceeds it counts as lost.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of prepared statements; queries for events have many forms.
const MAX_STATEMENTS: usize = 200;
/// Number of statements that are sent before the first is answered. `join_all` polls up to 30 futures in their
/// order, and each sends its statement when it is first polled.
const PIPELINE: usize = 30;

/// Open session.
pub(in crate::store) struct PostgresSession {
    /// `None` only while the session is dropped.
    runtime: Option<Runtime>,
    client: Client,
    statements: HashMap<String, Statement>,
    queued: Vec<(Statement, Vec<OwnedValue>)>,
    /// Time limit for one statement.
    statement_timeout: Duration,
}

impl fmt::Debug for PostgresSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSession").field("queued", &self.queued.len()).finish_non_exhaustive()
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        // The store may be dropped within another runtime, where waiting for this one is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl PostgresSession {
    /// Connects to the server.
    ///
    /// # Errors
    /// Returns an error, as part of a sentence, if the server cannot be reached or refuses.
    pub(in crate::store) fn connect(location: &PostgresLocation, name: &str) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::other(error.to_string()))?;
        let mut config = location.config.clone();
        config.application_name(name).connect_timeout(CONNECT_TIMEOUT);
        let connecting = async {
            if location.tls == TlsMode::Disable {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                return Ok(client);
            }
            let tls = MakeRustlsConnect::new(tls::client_config(location).map_err(StoreError::other)?);
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(connection);
            Ok(client)
        };
        // The limit of the configuration is for each address, and not for what comes after.
        let client = runtime.block_on(async { tokio::time::timeout(2 * CONNECT_TIMEOUT, connecting).await });
        let client = client.unwrap_or_else(|_| Err(no_answer(2 * CONNECT_TIMEOUT)))?;
        Ok(Self {
            runtime: Some(runtime),
            client,
            statements: HashMap::new(),
            queued: Vec::new(),
            statement_timeout: STATEMENT_TIMEOUT,
        })
    }

    /// Returns the session with another time limit for one statement.
    pub(super) fn with_statement_timeout(mut self, statement_timeout: Duration) -> Self {
        self.statement_timeout = statement_timeout;
        self
    }

    /// Returns true if the server answers within the time limit.
    pub(super) fn answers(&mut self, limit: Duration) -> bool {
        let client = &self.client;
        let Some(runtime) = &self.runtime else { return false };
        let answer = runtime.block_on(async { tokio::time::timeout(limit, client.simple_query("")).await });
        matches!(answer, Ok(Ok(_)))
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let Some(runtime) = &self.runtime else { return Err(StoreError::other("it is closed")) };
        let limit = self.statement_timeout;
        let limited = async { tokio::time::timeout(limit, work).await };
        runtime.block_on(limited).unwrap_or_else(|_| Err(no_answer(limit)))
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        // Parameters are `$1` here.
        let translated = sql.replace('?', "$");
        let statement = self.run(async { Ok(self.client.prepare(&translated).await?) })?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn send_queued(&mut self) -> Result<(), StoreError> {
        let queued = std::mem::take(&mut self.queued);
        for piece in queued.chunks(PIPELINE) {
            let sent = piece.iter().map(|(statement, values)| self.client.execute_raw(statement, values));
            let answers = self.run(async { Ok(join_all(sent).await) })?;
            // The first failure is the cause of the others.
            answers.into_iter().collect::<Result<Vec<u64>, PostgresError>>()?;
        }
        Ok(())
    }
}

impl SqlSession for PostgresSession {
    fn execute(&mut self, sql: &str, values: &[SqlValue<'_>]) -> Result<u64, StoreError> {
        self.send_queued()?;
        let statement = self.prepare(sql)?;
        self.run(async { Ok(self.client.execute_raw(&statement, values).await?) })
    }

    fn queue(&mut self, sql: &str, values: &[SqlValue<'_>]) -> Result<(), StoreError> {
        let statement = self.prepare(sql)?;
        self.queued.push((statement, values.iter().map(OwnedValue::from).collect()));
        if self.queued.len() >= PIPELINE { self.send_queued() } else { Ok(()) }
    }

    fn query(&mut self, sql: &str, values: &[SqlValue<'_>], sink: RowSink<'_>) -> Result<(), StoreError> {
        self.send_queued()?;
        let statement = self.prepare(sql)?;
        self.run(async {
            let rows = self.client.query_raw(&statement, values).await?;
            pin_mut!(rows);
            while let Some(row) = rows.try_next().await? {
                if !sink(&row)? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn execute_batch(&mut self, sql: &str) -> Result<(), StoreError> {
        if sql == "ROLLBACK" {
            self.queued.clear();
        }
        self.send_queued()?;
        self.run(async { Ok(self.client.batch_execute(sql).await?) })
    }
}

impl SqlRow for Row {
    fn optional_integer(&self, column: usize) -> Result<Option<i64>, StoreError> {
        let kind = self.columns().get(column).map(|column| column.type_().clone());
        let integer = match kind {
            Some(Type::INT4) => self.try_get::<_, Option<i32>>(column)?.map(i64::from),
            _ => self.try_get(column)?,
        };
        Ok(integer)
    }

    fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }
}

fn no_answer(limit: Duration) -> StoreError {
    let reason = format!("the database did not answer within {} s", limit.as_secs());
    StoreError { kind: FailureKind::Disconnected, reason }
}

impl From<PostgresError> for StoreError {
    fn from(error: PostgresError) -> Self {
        let Some(database) = error.as_db_error() else {
            let kind = if error.is_closed() || is_io(&error) {
                FailureKind::Disconnected
            } else {
                FailureKind::Other
            };
            return Self { kind, reason: describe_chain(&error) };
        };
        let kind = match *database.code() {
            SqlState::DISK_FULL => FailureKind::DiskFull,
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => FailureKind::Disconnected,
            _ => FailureKind::Other,
        };
        Self { kind, reason: database.message().to_owned() }
    }
}

fn is_io(error: &PostgresError) -> bool {
    error_sources(error).any(|cause| cause.is::<std::io::Error>())
}

/// Describes an error by its innermost cause, which says most.
fn describe_chain(error: &PostgresError) -> String {
    match error.is_closed() {
        true => "the connection is lost".to_owned(),
        false => deepest_source(error).to_string(),
    }
}

/// Value of a queued statement.
#[derive(Debug)]
enum OwnedValue {
    Null,
    Integer(i64),
    Text(String),
}

impl From<&SqlValue<'_>> for OwnedValue {
    fn from(value: &SqlValue<'_>) -> Self {
        match value {
            SqlValue::Null => Self::Null,
            SqlValue::Integer(number) => Self::Integer(*number),
            SqlValue::Text(text) => Self::Text((*text).to_owned()),
        }
    }
}

impl OwnedValue {
    fn borrowed(&self) -> SqlValue<'_> {
        match self {
            Self::Null => SqlValue::Null,
            Self::Integer(number) => SqlValue::Integer(*number),
            Self::Text(text) => SqlValue::Text(text),
        }
    }
}

type Encoded = Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for SqlValue<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Self::Integer(number) => number.to_sql(kind, out),
            // PostgreSQL has no zero byte in a text.
            Self::Text(text) if text.contains('\0') => text.replace('\0', "\u{fffd}").to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::TEXT, Type::VARCHAR].contains(kind)
    }

    to_sql_checked!();
}

impl ToSql for OwnedValue {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        self.borrowed().to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        SqlValue::accepts(kind)
    }

    to_sql_checked!();
}
