//! Conversion of column values.

use jiff::Timestamp;
use rusqlite::Row;

/// Reads a moment, stored in microseconds.
pub(super) fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(at)?).map_err(|_| damaged(at))
}

/// Returns an error for a value that no version of this program writes.
pub(super) fn damaged(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "a value".to_owned(), rusqlite::types::Type::Text)
}
