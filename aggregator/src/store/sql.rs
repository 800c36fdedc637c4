//! SQL as both backends speak it: values, rows and the session that runs a statement.
//!
//! Statements are written once, in the dialect that SQLite and PostgreSQL share: parameters are numbered (`?1`),
//! a conflict is resolved by `ON CONFLICT`, and the column `"user"` is quoted.

use std::fmt;

use jiff::Timestamp;
use rta_shared::name::Name;

/// What a failure means for the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The disk is full. The database stays open, and is readable.
    DiskFull,
    /// The database itself is damaged.
    Corrupt,
    /// The connection with the database is lost.
    Disconnected,
    /// Any other failure.
    Other,
}

/// Failure of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreError {
    pub(crate) kind: FailureKind,
    /// Reason, as part of a sentence.
    pub(crate) reason: String,
}

impl StoreError {
    /// Creates an error of no special kind.
    pub(crate) fn other(reason: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, reason: reason.into() }
    }

    /// Creates the error for a value that no version of this program writes.
    pub(crate) fn invalid_value(column: usize) -> Self {
        Self::other(format!("column {column} of a row holds a value that rta does not write"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for StoreError {}

/// Value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlValue<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
}

impl From<i64> for SqlValue<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for SqlValue<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for SqlValue<'_> {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for SqlValue<'_> {
    /// Stores a moment in microseconds.
    fn from(at: Timestamp) -> Self {
        Self::Integer(at.as_microsecond())
    }
}

impl<'a> From<&'a str> for SqlValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for SqlValue<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a, T: Into<SqlValue<'a>>> From<Option<T>> for SqlValue<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Row of an answer.
pub(crate) trait SqlRow {
    /// Returns the integer of a column; `None` if it is null.
    fn optional_integer(&self, column: usize) -> Result<Option<i64>, StoreError>;

    /// Returns the text of a column; `None` if it is null.
    fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError>;

    /// Returns the integer of a column that is never null.
    fn integer(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_integer(column)?.ok_or_else(|| StoreError::invalid_value(column))
    }

    /// Returns the text of a column that is never null.
    fn text(&self, column: usize) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| StoreError::invalid_value(column))
    }

    /// Returns a number that is never negative.
    fn number(&self, column: usize) -> Result<u64, StoreError> {
        self.integer(column).map(i64::unsigned_abs)
    }

    /// Returns a name.
    fn name(&self, column: usize) -> Result<Name, StoreError> {
        self.text(column).map(Name::from)
    }

    /// Returns a moment, stored in microseconds.
    fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(self.integer(column)?).map_err(|_| StoreError::invalid_value(column))
    }
}

/// Receiver of the rows of an answer. It returns false to end the answer early.
pub(crate) type RowSink<'a> = &'a mut dyn FnMut(&dyn SqlRow) -> Result<bool, StoreError>;

/// Open session with the database. One thread uses it.
pub(crate) trait SqlSession {
    /// Runs a statement, which is prepared once. Returns the number of rows that it changed.
    fn execute(&mut self, sql: &str, values: &[SqlValue<'_>]) -> Result<u64, StoreError>;

    /// Runs a statement whose count does not matter, at the latest before the next other call returns. Its
    /// failure may be returned by that call.
    fn queue(&mut self, sql: &str, values: &[SqlValue<'_>]) -> Result<(), StoreError>;

    /// Runs a query, which is prepared once, and hands each row to `sink`.
    fn query(&mut self, sql: &str, values: &[SqlValue<'_>], sink: RowSink<'_>) -> Result<(), StoreError>;

    /// Runs several statements without parameters.
    fn execute_batch(&mut self, sql: &str) -> Result<(), StoreError>;
}

impl dyn SqlSession + '_ {
    /// Returns what `read` makes of each row.
    pub(crate) fn query_all<T>(
        &mut self,
        sql: &str,
        values: &[SqlValue<'_>],
        mut read: impl FnMut(&dyn SqlRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.query(sql, values, &mut |row| {
            all.push(read(row)?);
            Ok(true)
        })?;
        Ok(all)
    }

    /// Returns what `read` makes of the first row; `None` if there is none.
    pub(crate) fn query_first<T>(
        &mut self,
        sql: &str,
        values: &[SqlValue<'_>],
        mut read: impl FnMut(&dyn SqlRow) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        self.query(sql, values, &mut |row| {
            first = Some(read(row)?);
            Ok(false)
        })?;
        Ok(first)
    }

    /// Runs `write` in one transaction, which is rolled back if it fails.
    pub(crate) fn in_transaction<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.execute_batch("BEGIN")?;
        let written = write(self).and_then(|written| self.execute_batch("COMMIT").map(|()| written));
        if written.is_err() {
            // The failure itself may have ended the transaction; its reason is the one to report.
            let _ = self.execute_batch("ROLLBACK");
        }
        written
    }
}

/// Makes the parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::SqlValue::from($value)),*] };
}
pub(crate) use values;
