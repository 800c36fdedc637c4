//! Conversion of column values.

use jiff::Timestamp;
use rusqlite::Row;

/// Reads a moment, stored in microseconds.
pub(crate) fn read_time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(at)?).map_err(|_| corrupt_value(at))
}

/// Returns an error for a value that no version of this program writes.
pub(crate) fn corrupt_value(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "a value".to_owned(), rusqlite::types::Type::Text)
}
