//! Opening of a database file.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::migrations::{MIGRATIONS, VERSION};
use crate::store::sql::{FailureKind, StoreError};

/// `PRAGMA application_id`: "rta1". A file without it belongs to another program.
const APPLICATION_ID: i32 = 0x7274_6131;
/// Time limit for waiting on a lock that another reader of the file holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of the write-ahead log after a checkpoint, in bytes (`PRAGMA journal_size_limit`).
const MAX_WAL_BYTES: i64 = 16 << 20;
/// Maximum size, in bytes, of a file that is checked as a whole when it is opened (some 0.2 s for each 100
/// MB). Damage in a larger file is found when a damaged page is read.
const MAX_CHECKED_BYTES: u64 = 256 << 20;

/// Reason why a database cannot be used.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The file is damaged or no database; holds the reason.
    Corrupt(String),
    /// Any other failure; holds the reason.
    Refused(String),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            FailureKind::Corrupt => Self::Corrupt(error.reason),
            FailureKind::DiskFull | FailureKind::Disconnected | FailureKind::Other => {
                Self::Refused(error.reason)
            }
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => FailureKind::DiskFull,
            // The file itself is damaged or no database.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FailureKind::Corrupt,
            _ => FailureKind::Other,
        };
        Self { kind, reason: describe_error(&error) }
    }
}

/// Describes an error for people.
fn describe_error(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "it cannot be written".to_owned(),
        Some(ErrorCode::CannotOpen) => "it cannot be opened".to_owned(),
        Some(ErrorCode::PermissionDenied) => "permission denied".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds its lock".to_owned()
        }
        Some(ErrorCode::SystemIoFailure) => format!("the disk fails ({error})"),
        Some(ErrorCode::NotADatabase) => "it is no database".to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => "it is damaged".to_owned(),
        _ => error.to_string(),
    }
}

/// Opens the database file `path` and migrates it to the newest version; creates it if missing. With `check`
/// a file up to [`MAX_CHECKED_BYTES`] is checked as a whole.
pub(crate) fn open_database(path: &Path, check: bool) -> Result<Connection, OpenError> {
    let size = path.metadata().map_or(0, |metadata| metadata.len());
    if size > 0 {
        // Read-only: a file that is not to be used must not be changed.
        let looking = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        looking.busy_timeout(BUSY_TIMEOUT)?;
        version(&looking)?;
    }
    // Names of operators and lines of logs are nobody else's; SQLite gives its other files the same mode.
    drop(File::options().append(true).create(true).mode(0o600).open(path));
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if size > 0 && check && size <= MAX_CHECKED_BYTES {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(OpenError::Corrupt(format!("it is damaged ({found})")));
        }
    }
    prepare(&mut connection)?;
    Ok(connection)
}

/// Creates a database in memory.
pub(crate) fn open_in_memory() -> Result<Connection, OpenError> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&mut connection)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> Result<(), OpenError> {
    let version = version(connection)?;
    if version == 0 {
        // Both take effect only before the first table is created.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA page_size = 4096;")?;
    }
    // The answer is the mode in use, which differs for a database in memory.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {MAX_WAL_BYTES}"), [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    for (at, step) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step.sqlite)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(at + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Returns the version of the schema; 0 for an empty database.
fn version(connection: &Connection) -> Result<usize, OpenError> {
    let number = |pragma: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
    };
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let version = number("user_version")?;
    if tables == 0 && version == 0 {
        return Ok(0);
    }
    if number("application_id")? != i64::from(APPLICATION_ID) {
        return Err(OpenError::Refused("it is the database of another program".to_owned()));
    }
    usize::try_from(version).ok().filter(|version| (1..=VERSION).contains(version)).ok_or_else(|| {
        OpenError::Refused(format!(
            "it is of version {version}, and this rta-aggregator knows versions up to {VERSION}; \
             install the newer one that wrote it, or name another folder with --data"
        ))
    })
}
