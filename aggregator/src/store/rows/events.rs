//! Events.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::name::Name;
use rta_shared::overview::{Health, InstanceId};

use super::{RowCache, truncate_text};
use crate::store::query::EventQuery;
use crate::store::sql::{SqlRow, SqlSession, SqlValue, StoreError, values};

/// Maximum size of the events in one answer, in bytes: gRPC allows 4 MiB.
const MAX_ANSWER_BYTES: usize = 3 << 20;
/// Columns of an event, as [`read_event`] expects them.
const COLUMNS: &str =
    "id, at, kind, environment, host, component, was, is_now, text, \"user\", address, plan";

/// Appends an event under its ID, or under the next one if that is 0 or if another event has it already. An
/// event that is in the database already is not written again: whether the last transaction was committed is
/// not known if the connection was lost meanwhile. Returns the ID.
pub(crate) fn write_event(
    session: &mut dyn SqlSession,
    cache: &mut RowCache,
    event: &Event,
) -> Result<u64, StoreError> {
    let mut id = event.id;
    if id == 0 {
        id = cache.last_event + 1;
    } else if id <= cache.last_event
        && let Some(taken) = read_by_id(session, id)?
    {
        if is_same(&taken, event) {
            return Ok(id);
        }
        id = cache.last_event + 1;
        tracing::warn!(id = event.id, "another event has this number; the event is recorded under a new one");
    }
    insert_event(session, id, event)?;
    cache.last_event = cache.last_event.max(id);
    Ok(id)
}

fn is_same(written: &Event, event: &Event) -> bool {
    let at = Timestamp::from_microsecond(event.at.as_microsecond()).unwrap_or(event.at);
    *written == Event { at, text: truncate_text(&event.text), ..event.clone() }
}

fn insert_event(session: &mut dyn SqlSession, id: u64, event: &Event) -> Result<(), StoreError> {
    fn shown(name: Option<&Name>) -> Option<&str> {
        name.map(Name::as_str)
    }
    fn folded(name: Option<&Name>) -> Option<&str> {
        name.map(Name::folded)
    }
    let by = event.by.as_ref();
    let [environment, host, component] =
        [&event.environment, &event.host, &event.component].map(Option::as_ref);
    session.execute(
        "INSERT INTO events (id, at, kind, environment, environment_key, host, host_key, component, \
         component_key, was, is_now, text, \"user\", address, plan) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        values![
            id,
            event.at,
            event.kind.word(),
            shown(environment),
            folded(environment),
            shown(host),
            folded(host),
            shown(component),
            folded(component),
            event.from.as_deref(),
            event.to.as_deref(),
            &truncate_text(&event.text),
            by.map(|by| &by.user),
            by.map(|by| &by.address),
            event.plan,
        ],
    )?;
    Ok(())
}

/// Deletes up to `most` events older than `cutoff`. Returns true if there may be more.
pub(crate) fn delete_events(
    session: &mut dyn SqlSession,
    cutoff: Timestamp,
    most: usize,
) -> Result<bool, StoreError> {
    session.execute("UPDATE retention SET cutoff = ?1", values![cutoff])?;
    let deleted = session.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < ?1 ORDER BY at LIMIT ?2)",
        values![cutoff, most],
    )?;
    session.execute("UPDATE retention SET cutoff = 0", &[])?;
    Ok(usize::try_from(deleted).unwrap_or(usize::MAX) >= most)
}

/// Returns the time before which all events must be deleted to keep at most `rows`; `None` if there are no
/// more than that.
pub(crate) fn event_cutoff(
    session: &mut dyn SqlSession,
    rows: usize,
) -> Result<Option<Timestamp>, StoreError> {
    let newest_to_go = session.query_first(
        "SELECT at FROM events ORDER BY at DESC LIMIT 1 OFFSET ?1",
        values![rows],
        |row| row.integer(0),
    )?;
    Ok(newest_to_go.and_then(|at| Timestamp::from_microsecond(at + 1).ok()))
}

/// Returns the highest ID of an event in the database; 0 if there is none.
pub(super) fn read_last_id(session: &mut dyn SqlSession) -> Result<i64, StoreError> {
    let last = session.query_first("SELECT max(id) FROM events", &[], |row| row.optional_integer(0))?;
    Ok(last.flatten().unwrap_or(0))
}

/// Returns the last health change of each instance since `from`.
pub(super) fn read_health_changes(
    session: &mut dyn SqlSession,
    from: Timestamp,
) -> Result<HashMap<InstanceId, (Health, Timestamp)>, StoreError> {
    let mut changed = HashMap::new();
    session.query(
        "SELECT environment, host, component, is_now, at FROM events WHERE at >= ?1 AND kind = ?2 \
         AND environment IS NOT NULL AND host IS NOT NULL AND component IS NOT NULL ORDER BY at, id",
        values![from, EventKind::Health.word()],
        &mut |row| {
            let id = InstanceId { environment: row.name(0)?, host: row.name(1)?, component: row.name(2)? };
            let health = row.optional_text(3)?.as_deref().and_then(Health::from_word);
            if let (Some(health), Ok(at)) = (health, row.time(4)) {
                changed.insert(id, (health, at));
            }
            Ok(true)
        },
    )?;
    Ok(changed)
}

/// Returns the hosts with a recorded begin or end of maintenance.
pub(super) fn read_maintained_hosts(session: &mut dyn SqlSession) -> Result<HashSet<Name>, StoreError> {
    let hosts = session.query_all(
        "SELECT DISTINCT host FROM events WHERE kind = ?1 AND host IS NOT NULL",
        values![EventKind::Maintenance.word()],
        |row| row.name(0),
    )?;
    Ok(hosts.into_iter().collect())
}

/// Returns the matching events, the newest first. Ends early at [`MAX_ANSWER_BYTES`].
pub(crate) fn read_events(
    session: &mut dyn SqlSession,
    query: &EventQuery,
) -> Result<Vec<Event>, StoreError> {
    let mut conditions: Vec<String> = Vec::new();
    let mut values: Vec<SqlValue<'_>> = Vec::new();
    /// Adds a condition with `{}` in the place of its parameter.
    fn add<'a>(
        conditions: &mut Vec<String>,
        values: &mut Vec<SqlValue<'a>>,
        condition: &str,
        value: SqlValue<'a>,
    ) {
        values.push(value);
        conditions.push(condition.replace("{}", &format!("?{}", values.len())));
    }
    if let Some(before) = query.before {
        add(&mut conditions, &mut values, "id < {}", before.into());
    }
    if let Some(after) = query.after {
        add(&mut conditions, &mut values, "id > {}", after.into());
    }
    if let Some(since) = query.since {
        // Two conditions: the first bounds the search by ID, the second stays correct if the clock was set
        // back.
        let condition = "id >= (SELECT min(id) FROM events WHERE at >= {}) AND at >= {}";
        add(&mut conditions, &mut values, condition, since.into());
    }
    for (column, name) in
        [("environment", &query.environment), ("host", &query.host), ("component", &query.component)]
    {
        if let Some(name) = name {
            let condition = format!("{column}_key = {{}}");
            add(&mut conditions, &mut values, &condition, name.folded().into());
        }
    }
    if !query.kinds.is_empty() {
        let first = values.len() + 1;
        values.extend(query.kinds.iter().map(|kind| SqlValue::from(kind.word())));
        let places: Vec<String> = (first..=values.len()).map(|number| format!("?{number}")).collect();
        conditions.push(format!("kind IN ({})", places.join(", ")));
    }
    let filter =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    values.push(query.limit.into());
    let sql = format!("SELECT {COLUMNS} FROM events {filter} ORDER BY id DESC LIMIT ?{}", values.len());
    let mut events = Vec::new();
    let mut size = 0;
    session.query(&sql, &values, &mut |row| {
        let event = read_event(row)?;
        size += 200 + event.text.len();
        if size > MAX_ANSWER_BYTES && !events.is_empty() {
            return Ok(false);
        }
        events.push(event);
        Ok(true)
    })?;
    Ok(events)
}

fn read_by_id(session: &mut dyn SqlSession, id: u64) -> Result<Option<Event>, StoreError> {
    session.query_first(&format!("SELECT {COLUMNS} FROM events WHERE id = ?1"), values![id], read_event)
}

fn read_event(row: &dyn SqlRow) -> Result<Event, StoreError> {
    let name = |at: usize| -> Result<Option<Name>, StoreError> { Ok(row.optional_text(at)?.map(Name::from)) };
    let (user, address) = (row.optional_text(9)?, row.optional_text(10)?);
    Ok(Event {
        id: row.number(0)?,
        at: row.time(1)?,
        kind: EventKind::from_word(&row.text(2)?).ok_or_else(|| StoreError::invalid_value(2))?,
        environment: name(3)?,
        host: name(4)?,
        component: name(5)?,
        from: row.optional_text(6)?,
        to: row.optional_text(7)?,
        text: row.text(8)?,
        by: user.map(|user| Requester { user, address: address.unwrap_or_default() }),
        plan: row.optional_integer(11)?.map(i64::unsigned_abs),
    })
}
