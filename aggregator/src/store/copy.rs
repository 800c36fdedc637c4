//! Copies a whole database into an empty one, of the same backend or of another.

use jiff::Timestamp;

use super::backend::{Backend, OpenFailure};
use super::sql::{SqlSession, SqlValue, StoreError};
use super::{StoreLocation, WriterScope};

/// Column of a table.
#[derive(Clone, Copy, Debug)]
enum Column {
    Integer(&'static str),
    Text(&'static str),
}

use Column::{Integer, Text};

impl Column {
    fn name(self) -> &'static str {
        let (Integer(name) | Text(name)) = self;
        name
    }
}

/// Every table with rows of its own, and its columns.
const TABLES: [(&str, &[Column]); 19] = [
    ("names", &[Integer("id"), Text("key"), Text("name")]),
    ("words", &[Integer("id"), Text("word")]),
    ("texts", &[Integer("id"), Integer("at"), Text("text")]),
    (
        "events",
        &[
            Integer("id"),
            Integer("at"),
            Integer("kind"),
            Integer("place"),
            Integer("was"),
            Integer("is_now"),
            Integer("text"),
            Integer("by_user"),
            Integer("address"),
            Integer("plan"),
        ],
    ),
    (
        "plans",
        &[Integer("id"), Integer("at"), Text("\"user\""), Text("address"), Text("plan"), Integer("ended")],
    ),
    ("steps", &[Integer("plan"), Integer("step"), Text("state"), Text("text")]),
    (
        "maintenance",
        &[
            Text("environment"),
            Text("host"),
            Text("component"),
            Integer("since"),
            Integer("until"),
            Text("reason"),
            Text("\"user\""),
            Text("address"),
        ],
    ),
    ("known", &[Text("environment_key"), Text("host_key"), Text("component_key"), Text("value")]),
    ("places", &[Integer("id"), Integer("environment"), Integer("host"), Integer("component")]),
    ("marks", &[Integer("id"), Integer("place"), Integer("state"), Integer("late")]),
    ("gaps", &[Integer("since"), Integer("until")]),
    (
        "planned_stops",
        &[
            Text("environment"),
            Text("host"),
            Text("component"),
            Integer("plan"),
            Integer("at"),
            Text("\"user\""),
            Text("address"),
        ],
    ),
    ("notify_state", &[Text("environment"), Text("state")]),
    ("notify_outbox", &[Text("environment"), Integer("number"), Text("channel"), Text("message")]),
    ("planned_maintenance", &[Integer("id"), Text("planned")]),
    ("incidents", &[Integer("id"), Integer("begun"), Integer("ended"), Text("detail")]),
    ("incident_keys", &[Text("kind"), Text("value"), Integer("incident")]),
    ("incident_events", &[Integer("incident"), Integer("event")]),
    (
        "request_keys",
        &[
            Text("id"),
            Integer("at"),
            Text("request"),
            Integer("size"),
            Integer("status"),
            Text("headers"),
            Text("body"),
        ],
    ),
];
/// Table that every aggregator writes when it starts, which alone does not make a database used.
const NUMBERS: (&str, &[Column]) = ("numbers", &[Text("name"), Integer("value")]);

/// Number of rows that were copied into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Name of the table.
    pub table: &'static str,
    /// Number of its rows.
    pub rows: u64,
}

/// Copies everything from one event store to another in one transaction. Takes the locks of both, so that no
/// aggregator writes meanwhile.
///
/// # Errors
/// Returns an error, as a sentence, if either cannot be opened, if an aggregator has it, if there is nothing
/// to copy, or if the target is not empty.
pub fn copy_store(
    from: &StoreLocation,
    to: &StoreLocation,
    now: Timestamp,
) -> Result<Vec<CopiedTable>, String> {
    if let StoreLocation::Folder(path) = from
        && !path.join("rta.db").exists()
    {
        return Err(format!("{}: there is no record to copy", path.display()));
    }
    for location in [from, to] {
        if matches!(location, StoreLocation::Memory) {
            return Err("a record in memory cannot be copied".to_owned());
        }
    }
    let open = |location: &StoreLocation| -> Result<Box<dyn Backend>, String> {
        let mut backend = location.backend(&WriterScope::Whole);
        backend.open(now).map_err(|failure| match failure {
            OpenFailure::UsedByAnother(why) => format!("{why}; end it first"),
            OpenFailure::Unusable(why) => why,
        })?;
        Ok(backend)
    };
    let (mut source, mut target) = (open(from)?, open(to)?);
    let copied = match (source.session(), target.session()) {
        (Some(source), Some(target)) => copy_session(source, target),
        _ => Err(CopyError::Target(StoreError::other("it is not open"))),
    };
    copied.map_err(|error| match error {
        CopyError::Source(error) => source.describe_failure(&error),
        CopyError::Target(error) => target.describe_failure(&error),
    })
}

/// Failure of one of the two sides.
enum CopyError {
    Source(StoreError),
    Target(StoreError),
}

fn copy_session(
    source: &mut dyn SqlSession,
    target: &mut dyn SqlSession,
) -> Result<Vec<CopiedTable>, CopyError> {
    for (table, _) in TABLES.into_iter().filter(|(table, _)| *table != "words") {
        let rows = count_rows(target, table).map_err(CopyError::Target)?;
        if rows > 0 {
            let reason = format!("it is not empty: its table {table} has {rows} rows; nothing was copied");
            return Err(CopyError::Target(StoreError::other(reason)));
        }
    }
    let mut copied = Vec::new();
    let mut failed_source = None;
    let written = target.in_transaction(|target| {
        target.execute("DELETE FROM numbers", &[])?;
        // The schema itself has one word.
        target.execute("DELETE FROM words", &[])?;
        for (table, columns) in TABLES.into_iter().chain([NUMBERS]) {
            let mut failed_target = None;
            match copy_table(source, target, table, columns, &mut failed_target) {
                Ok(rows) => copied.push(CopiedTable { table, rows }),
                Err(error) => {
                    return Err(failed_target.unwrap_or_else(|| {
                        failed_source = Some(error.clone());
                        error
                    }));
                }
            }
            let (there, rows) = (count_rows(target, table)?, copied.last().map_or(0, |copied| copied.rows));
            if there != rows {
                return Err(StoreError::other(format!(
                    "{rows} rows of {table} were copied, but {there} are there"
                )));
            }
        }
        Ok(())
    });
    if let Some(error) = failed_source {
        return Err(CopyError::Source(error));
    }
    written.map_err(CopyError::Target)?;
    // Without it, PostgreSQL plans its first queries for empty tables.
    target.execute_batch("ANALYZE").map_err(CopyError::Target)?;
    Ok(copied)
}

/// Copies the rows of one table. A failure of the target is put into `failed_target`.
fn copy_table(
    source: &mut dyn SqlSession,
    target: &mut dyn SqlSession,
    table: &str,
    columns: &[Column],
    failed_target: &mut Option<StoreError>,
) -> Result<u64, StoreError> {
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    let names = names.join(", ");
    let places: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
    let insert = format!("INSERT INTO {table} ({names}) VALUES ({})", places.join(", "));
    let mut rows = 0;
    source.query(&format!("SELECT {names} FROM {table}"), &[], &mut |row| {
        let mut texts = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            texts.push(match column {
                Integer(_) => None,
                Text(_) => row.optional_text(at)?,
            });
        }
        let mut values = Vec::with_capacity(columns.len());
        for (at, (column, text)) in columns.iter().zip(&texts).enumerate() {
            values.push(match column {
                Integer(_) => SqlValue::from(row.optional_integer(at)?),
                Text(_) => SqlValue::from(text.as_deref()),
            });
        }
        rows += 1;
        target
            .queue(&insert, &values)
            .map(|()| true)
            .inspect_err(|error| *failed_target = Some(error.clone()))
    })?;
    Ok(rows)
}

fn count_rows(session: &mut dyn SqlSession, table: &str) -> Result<u64, StoreError> {
    let sql = format!("SELECT count(*) FROM {table}");
    Ok(session.query_first(&sql, &[], |row| row.number(0))?.unwrap_or(0))
}
