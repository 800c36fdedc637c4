//! Values as columns have them.

use jiff::Timestamp;
use rusqlite::Row;

/// A moment, in microseconds.
pub(super) fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(at)?).map_err(|_| damaged(at))
}

/// A value that no program wrote.
pub(super) fn damaged(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "a value".to_owned(), rusqlite::types::Type::Text)
}
