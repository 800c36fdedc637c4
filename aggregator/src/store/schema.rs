//! Schema of the database, its versions, and opening of a file.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// `PRAGMA application_id`: "rta1". A file without it belongs to another program.
const APPLICATION_ID: i32 = 0x7274_6131;
/// Time limit for waiting on a lock that another reader of the file holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of the write-ahead log after a checkpoint, in bytes (`PRAGMA journal_size_limit`).
const MAX_WAL_BYTES: i64 = 16 << 20;
/// Maximum size, in bytes, of a file that is checked as a whole when it is opened (some 0.2 s for each 100
/// MB). Damage in a larger file is found when a damaged page is read.
const MAX_CHECKED_BYTES: u64 = 256 << 20;

/// `PRAGMA synchronous`: commits survive the end of this program; a loss of power may lose the last ones.
pub(crate) const SYNCHRONOUS_NORMAL: &str = "NORMAL";
/// `PRAGMA synchronous`: a commit returns when it is on disk (<https://sqlite.org/pragma.html#pragma_synchronous>).
pub(crate) const SYNCHRONOUS_FULL: &str = "FULL";

/// Migrations from each version of the schema to the next; the first creates it.
const MIGRATIONS: [&str; 3] = [MIGRATION_1, MIGRATION_2, MIGRATION_3];
/// Version of the schema that this program writes.
pub(crate) const VERSION: usize = MIGRATIONS.len();

/// Times are in microseconds since 1970, UTC. Columns with `_key` hold names in the form used for comparison.
const MIGRATION_1: &str = "
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    environment TEXT, environment_key TEXT,
    host TEXT, host_key TEXT,
    component TEXT, component_key TEXT,
    was TEXT,
    is_now TEXT,
    text TEXT NOT NULL,
    user TEXT, address TEXT,
    plan INTEGER
) STRICT;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_environment ON events (environment_key, id);
CREATE INDEX events_by_host ON events (host_key, id);
CREATE INDEX events_by_component ON events (component_key, id);
CREATE INDEX events_by_kind ON events (kind, id);

-- Events older than the cutoff may be deleted. It is 0 but within the transaction that deletes them.
CREATE TABLE retention (one INTEGER PRIMARY KEY CHECK (one = 1), cutoff INTEGER NOT NULL) STRICT;
INSERT INTO retention (one, cutoff) VALUES (1, 0);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'an event is never replaced'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events WHEN OLD.at >= (SELECT cutoff FROM retention)
    BEGIN SELECT RAISE(ABORT, 'an event is deleted for its age alone'); END;

CREATE TABLE plans (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    user TEXT NOT NULL, address TEXT NOT NULL,
    plan TEXT NOT NULL, -- JSON
    ended INTEGER
) STRICT;
CREATE INDEX plans_unfinished ON plans (id) WHERE ended IS NULL;
CREATE TABLE steps (
    plan INTEGER NOT NULL, step INTEGER NOT NULL,
    state TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (plan, step)
) STRICT, WITHOUT ROWID;

-- Active maintenance; events record how it began and ended.
CREATE TABLE maintenance (
    environment TEXT NOT NULL, host TEXT NOT NULL, component TEXT,
    since INTEGER NOT NULL, until INTEGER,
    reason TEXT NOT NULL, user TEXT NOT NULL, address TEXT NOT NULL
) STRICT;

-- How each instance, and each host (component ''), was known to be last.
CREATE TABLE known (
    environment_key TEXT NOT NULL, host_key TEXT NOT NULL, component_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (environment_key, host_key, component_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// States of instances over time, the source of the timelines. Every start of an aggregator begins a new
/// series.
const MIGRATION_2: &str = "
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    environment_key TEXT NOT NULL, host_key TEXT NOT NULL, component_key TEXT NOT NULL,
    UNIQUE (environment_key, host_key, component_key)
) STRICT;
CREATE TABLE marks (id INTEGER PRIMARY KEY, place INTEGER NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE INDEX marks_by_place ON marks (place);
CREATE INDEX marks_by_time ON marks (at);
-- When no aggregator ran, or what it noted is lost.
CREATE TABLE gaps (since INTEGER NOT NULL, until INTEGER NOT NULL) STRICT;
";

/// Instances that plans have stopped on purpose and that have not run since.
const MIGRATION_3: &str = "
CREATE TABLE planned_stops (
    environment TEXT NOT NULL, host TEXT NOT NULL, component TEXT NOT NULL,
    plan INTEGER NOT NULL, at INTEGER NOT NULL,
    user TEXT NOT NULL, address TEXT NOT NULL,
    PRIMARY KEY (environment, host, component)
) STRICT, WITHOUT ROWID;
";

/// Reason why a database cannot be used.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The file is damaged or no database; holds the reason.
    Corrupt(String),
    /// Any other failure; holds the reason.
    Refused(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match is_corruption(&error) {
            true => Self::Corrupt(describe_error(&error)),
            false => Self::Refused(describe_error(&error)),
        }
    }
}

/// Returns true if the file itself is damaged or no database.
pub(crate) fn is_corruption(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Describes an error for people.
pub(crate) fn describe_error(error: &rusqlite::Error) -> String {
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
    set_synchronous(connection, SYNCHRONOUS_NORMAL)?;
    for (at, step) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(at + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Sets the durability of later commits: [`SYNCHRONOUS_NORMAL`] or [`SYNCHRONOUS_FULL`].
pub(crate) fn set_synchronous(connection: &Connection, level: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA synchronous = {level};"))
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
