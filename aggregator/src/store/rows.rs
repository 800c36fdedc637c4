//! Reads and writes of the rows of the database.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::{Health, InstanceId};
use rta_shared::plan::{Plan, PlanStart, StepState};
use rta_shared::planned_stop::PlannedStop;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, params, params_from_iter};

use super::columns::{corrupt_value, read_time};
use super::query::EventQuery;
use super::{HostOrInstance, UnfinishedPlan};
use crate::store::samples;

/// Maximum length of the text of an event or a step, in bytes. The text of a failure contains the last log
/// lines.
const MAX_TEXT_BYTES: usize = 4096;
/// Maximum size of the events in one answer, in bytes: gRPC allows 4 MiB.
const MAX_ANSWER_BYTES: usize = 3 << 20;

/// Period that is searched for the last health changes: a record may be long.
const HEALTH_CHANGE_PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// State left by an earlier aggregator.
#[derive(Debug, Default)]
pub(crate) struct RecoveredState {
    pub(crate) unfinished: Vec<UnfinishedPlan>,
    pub(crate) maintenance: Vec<Maintenance>,
    /// Hosts whose maintenance is recorded.
    pub(crate) maintained_hosts: HashSet<Name>,
    pub(crate) known_values: HashMap<HostOrInstance, String>,
    pub(crate) planned_stops: HashMap<InstanceId, PlannedStop>,
    /// Last health change of each instance, within the last [`HEALTH_CHANGE_PERIOD`].
    pub(crate) health_changes: HashMap<InstanceId, (Health, Timestamp)>,
    /// Highest plan ID in use.
    pub(crate) last_plan: u64,
    /// Highest event ID in use or reserved.
    pub(crate) last_event: u64,
    /// Last time at which an aggregator is known to have run; `None` if none has.
    pub(crate) last_active: Option<Timestamp>,
}

/// Reads the state left by an earlier aggregator.
pub(crate) fn read_recovered_state(
    connection: &Connection,
    now: Timestamp,
) -> rusqlite::Result<RecoveredState> {
    let greatest: i64 = connection.query_row(
        "SELECT max(ifnull((SELECT value FROM numbers WHERE name = 'plan'), 0), ifnull((SELECT max(id) FROM plans), 0))",
        [],
        |row| row.get(0),
    )?;
    Ok(RecoveredState {
        unfinished: read_unfinished_plans(connection)?,
        maintenance: read_maintenance(connection)?,
        maintained_hosts: read_maintained_hosts(connection)?,
        known_values: read_known_values(connection)?,
        planned_stops: read_planned_stops(connection)?,
        health_changes: read_health_changes(
            connection,
            now.checked_sub(HEALTH_CHANGE_PERIOD).unwrap_or(Timestamp::MIN),
        )?,
        last_plan: greatest.unsigned_abs(),
        last_event: read_last_event(connection)?,
        last_active: samples::read_last_active(connection)?,
    })
}

/// Returns the highest event ID that is in use or reserved; IDs of deleted events count, too.
fn read_last_event(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row(
        "SELECT max(ifnull((SELECT value FROM numbers WHERE name = 'event'), 0), \
         ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0))",
        [],
        |row| read_number(row, 0),
    )
}

/// Returns the last health change of each instance since `from`.
fn read_health_changes(
    connection: &Connection,
    from: Timestamp,
) -> rusqlite::Result<HashMap<InstanceId, (Health, Timestamp)>> {
    let mut statement = connection.prepare(
        "SELECT environment, host, component, is_now, at FROM events WHERE at >= ? AND kind = ? \
         AND environment IS NOT NULL AND host IS NOT NULL AND component IS NOT NULL ORDER BY at, id",
    )?;
    let mut rows = statement.query(params![from.as_microsecond(), EventKind::Health.word()])?;
    let mut changed = HashMap::new();
    while let Some(row) = rows.next()? {
        let name = |at| row.get::<_, String>(at).map(Name::from);
        let id = InstanceId { environment: name(0)?, host: name(1)?, component: name(2)? };
        let (word, at): (Option<String>, i64) = (row.get(3)?, row.get(4)?);
        let health = word.as_deref().and_then(Health::from_word);
        if let (Some(health), Ok(at)) = (health, Timestamp::from_microsecond(at)) {
            changed.insert(id, (health, at));
        }
    }
    Ok(changed)
}

/// Returns the hosts with a recorded begin or end of maintenance.
fn read_maintained_hosts(connection: &Connection) -> rusqlite::Result<HashSet<Name>> {
    let mut statement =
        connection.prepare("SELECT DISTINCT host FROM events WHERE kind = ? AND host IS NOT NULL")?;
    let hosts = statement.query_map([EventKind::Maintenance.word()], |row| row.get::<_, String>(0))?;
    hosts.map(|host| host.map(Name::from)).collect()
}

/// Appends an event under its ID. The database assigns the ID if it is 0, or if another event has it already.
/// Returns the ID.
pub(crate) fn write_event(connection: &Connection, event: &Event) -> rusqlite::Result<u64> {
    let id = (event.id != 0).then(|| to_number(event.id));
    match insert_event(connection, id, event) {
        Err(error) if id.is_some() && is_taken(&error) => {
            tracing::warn!(
                id = event.id,
                "another event has this number; the event is recorded under a new one"
            );
            insert_event(connection, None, event)?;
        }
        written => written?,
    }
    Ok(connection.last_insert_rowid().unsigned_abs())
}

/// Returns true if a row with this ID exists already: a trigger refuses to replace it.
fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

fn insert_event(connection: &Connection, id: Option<i64>, event: &Event) -> rusqlite::Result<()> {
    let shown = |name: &Option<Name>| name.as_ref().map(|name| name.as_str().to_owned());
    let folded = |name: &Option<Name>| name.as_ref().map(|name| name.folded().to_owned());
    let by = event.by.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO events (id, at, kind, environment, environment_key, host, host_key, component, component_key, \
             was, is_now, text, user, address, plan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            event.at.as_microsecond(),
            event.kind.word(),
            shown(&event.environment),
            folded(&event.environment),
            shown(&event.host),
            folded(&event.host),
            shown(&event.component),
            folded(&event.component),
            event.from,
            event.to,
            truncate_text(&event.text),
            by.map(|by| &by.user),
            by.map(|by| &by.address),
            event.plan.map(to_number),
        ])?;
    Ok(())
}

/// Writes the beginning of a plan.
///
/// # Errors
/// Returns an error if the database fails or if the plan cannot be serialized as JSON.
pub(crate) fn write_plan(connection: &Connection, begun: &PlanStart) -> rusqlite::Result<()> {
    let plan = serde_json::to_string(&begun.plan)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO plans (id, at, user, address, plan) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![
            to_number(begun.id),
            begun.at.as_microsecond(),
            begun.by.user,
            begun.by.address,
            plan
        ])?;
    Ok(())
}

/// Writes the state of a step of a plan.
pub(crate) fn write_step(
    connection: &Connection,
    plan: u64,
    step: usize,
    (state, text): &(StepState, String),
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO steps (plan, step, state, text) VALUES (?, ?, ?, ?)")?
        .execute(params![
            to_number(plan),
            i64::try_from(step).unwrap_or(i64::MAX),
            state.word(),
            truncate_text(text)
        ])?;
    Ok(())
}

/// Writes the end of a plan.
pub(crate) fn write_plan_end(connection: &Connection, plan: u64, at: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE plans SET ended = ? WHERE id = ?")?
        .execute(params![at.as_microsecond(), to_number(plan)])?;
    Ok(())
}

/// Replaces the recorded maintenance.
pub(crate) fn write_maintenance(connection: &Connection, all: &[Maintenance]) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM maintenance", [])?;
    for one in all {
        connection.execute(
            "INSERT INTO maintenance (environment, host, component, since, until, reason, user, address) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                one.environment.as_str(),
                one.host.as_str(),
                one.component.as_ref().map(Name::as_str),
                one.since.as_microsecond(),
                one.until.map(Timestamp::as_microsecond),
                one.reason,
                one.by.user,
                one.by.address,
            ],
        )?;
    }
    Ok(())
}

/// Writes the known value of an instance or a host.
pub(crate) fn write_known_value(
    connection: &Connection,
    place: &HostOrInstance,
    value: &str,
) -> rusqlite::Result<()> {
    let HostOrInstance { environment, host, component } = place;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO known (environment_key, host_key, component_key, value) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![
            environment.folded(),
            host.folded(),
            component.as_ref().map_or("", Name::folded),
            value
        ])?;
    Ok(())
}

/// Writes a planned stop; `None` deletes it.
pub(crate) fn write_planned_stop(
    connection: &Connection,
    id: &InstanceId,
    stop: Option<&PlannedStop>,
) -> rusqlite::Result<()> {
    let [environment, host, component] = [&id.environment, &id.host, &id.component].map(Name::folded);
    match stop {
        Some(PlannedStop { plan, by, at }) => connection
            .prepare_cached("INSERT OR REPLACE INTO planned_stops VALUES (?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![
                environment,
                host,
                component,
                to_number(*plan),
                at.as_microsecond(),
                by.user,
                by.address
            ])?,
        None => connection
            .prepare_cached("DELETE FROM planned_stops WHERE environment = ? AND host = ? AND component = ?")?
            .execute([environment, host, component])?,
    };
    Ok(())
}

fn read_planned_stops(connection: &Connection) -> rusqlite::Result<HashMap<InstanceId, PlannedStop>> {
    let mut statement = connection
        .prepare("SELECT environment, host, component, plan, at, user, address FROM planned_stops")?;
    let all = statement.query_map([], |row| {
        let name = |at: usize| row.get::<_, String>(at).map(Name::from);
        let by = Requester { user: row.get(5)?, address: row.get(6)? };
        let id = InstanceId { environment: name(0)?, host: name(1)?, component: name(2)? };
        Ok((id, PlannedStop { plan: read_number(row, 3)?, at: read_time(row, 4)?, by }))
    })?;
    all.collect()
}

/// Writes the highest reserved plan ID.
pub(crate) fn write_last_plan(connection: &Connection, last: u64) -> rusqlite::Result<()> {
    connection
        .execute("INSERT OR REPLACE INTO numbers (name, value) VALUES ('plan', ?)", [to_number(last)])?;
    Ok(())
}

/// Writes the highest reserved event ID.
pub(crate) fn write_last_event(connection: &Connection, last: u64) -> rusqlite::Result<()> {
    connection
        .execute("INSERT OR REPLACE INTO numbers (name, value) VALUES ('event', ?)", [to_number(last)])?;
    Ok(())
}

/// Deletes up to `most` events older than `cutoff`, and ended plans of that age. Returns true if there may be
/// more.
pub(crate) fn delete_events(
    connection: &mut Connection,
    cutoff: Timestamp,
    most: usize,
) -> rusqlite::Result<bool> {
    let (cutoff, most) = (cutoff.as_microsecond(), i64::try_from(most).unwrap_or(i64::MAX));
    let transaction = connection.transaction()?;
    transaction.execute("UPDATE retention SET cutoff = ?", [cutoff])?;
    let deleted = transaction.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < ? ORDER BY at LIMIT ?)",
        [cutoff, most],
    )?;
    transaction.execute("UPDATE retention SET cutoff = 0", [])?;
    transaction.execute("DELETE FROM plans WHERE ended < ?", [cutoff])?;
    transaction.execute(
        "DELETE FROM steps WHERE NOT EXISTS (SELECT 1 FROM plans WHERE plans.id = steps.plan)",
        [],
    )?;
    transaction.commit()?;
    connection.execute_batch("PRAGMA incremental_vacuum(500)")?;
    Ok(i64::try_from(deleted).unwrap_or(i64::MAX) >= most)
}

/// Returns the time before which all events must be deleted to keep at most `rows`; `None` if there are no
/// more than that.
pub(crate) fn event_cutoff(connection: &Connection, rows: usize) -> rusqlite::Result<Option<Timestamp>> {
    let newest_to_go: Option<i64> = connection
        .query_row(
            "SELECT at FROM events ORDER BY at DESC LIMIT 1 OFFSET ?",
            [i64::try_from(rows).unwrap_or(i64::MAX)],
            |row| row.get(0),
        )
        .optional()?;
    Ok(newest_to_go.and_then(|at| Timestamp::from_microsecond(at + 1).ok()))
}

/// Returns the matching events, the newest first. Ends early at [`MAX_ANSWER_BYTES`].
pub(crate) fn read_events(connection: &Connection, query: &EventQuery) -> rusqlite::Result<Vec<Event>> {
    let mut conditions: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(before) = query.before {
        conditions.push("id < ?".to_owned());
        values.push(to_number(before).into());
    }
    if let Some(after) = query.after {
        conditions.push("id > ?".to_owned());
        values.push(to_number(after).into());
    }
    if let Some(since) = query.since {
        // Two conditions: the first bounds the search by ID, the second stays correct if the clock was set
        // back.
        conditions.push("id >= (SELECT min(id) FROM events WHERE at >= ?) AND at >= ?".to_owned());
        values.extend([since.as_microsecond().into(), since.as_microsecond().into()]);
    }
    for (column, name) in
        [("environment", &query.environment), ("host", &query.host), ("component", &query.component)]
    {
        if let Some(name) = name {
            conditions.push(format!("{column}_key = ?"));
            values.push(name.folded().to_owned().into());
        }
    }
    if !query.kinds.is_empty() {
        conditions.push(format!("kind IN ({})", vec!["?"; query.kinds.len()].join(", ")));
        values.extend(query.kinds.iter().map(|kind| Value::from(kind.word().to_owned())));
    }
    let filter =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    values.push(i64::try_from(query.limit).unwrap_or(i64::MAX).into());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, at, kind, environment, host, component, was, is_now, text, user, address, plan \
         FROM events {filter} ORDER BY id DESC LIMIT ?"
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut events = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        let event = read_event(row)?;
        size += 200 + event.text.len();
        if size > MAX_ANSWER_BYTES && !events.is_empty() {
            break;
        }
        events.push(event);
    }
    Ok(events)
}

fn read_event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let name = |at: usize| -> rusqlite::Result<Option<Name>> {
        Ok(row.get::<_, Option<String>>(at)?.map(Name::from))
    };
    let kind: String = row.get(2)?;
    let user: Option<String> = row.get(9)?;
    let address: Option<String> = row.get(10)?;
    Ok(Event {
        id: read_number(row, 0)?,
        at: read_time(row, 1)?,
        kind: EventKind::from_word(&kind).ok_or_else(|| corrupt_value(2))?,
        environment: name(3)?,
        host: name(4)?,
        component: name(5)?,
        from: row.get(6)?,
        to: row.get(7)?,
        text: row.get(8)?,
        by: user.map(|user| Requester { user, address: address.unwrap_or_default() }),
        plan: row.get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
    })
}

fn read_unfinished_plans(connection: &Connection) -> rusqlite::Result<Vec<UnfinishedPlan>> {
    let mut statement = connection
        .prepare("SELECT id, at, user, address, plan FROM plans WHERE ended IS NULL ORDER BY id")?;
    let mut steps = connection.prepare("SELECT step, state, text FROM steps WHERE plan = ?")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let id = read_number(row, 0)?;
        let plan: String = row.get(4)?;
        let plan: Plan = match serde_json::from_str(&plan) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(plan = id, %error, "a recorded plan cannot be read and is passed over");
                continue;
            }
        };
        let mut states = vec![(StepState::Waiting, String::new()); plan.steps.len()];
        let mut rows = steps.query([to_number(id)])?;
        while let Some(row) = rows.next()? {
            let word: String = row.get(1)?;
            let state = StepState::ALL.into_iter().find(|state| state.word() == word);
            let at = usize::try_from(read_number(row, 0)?).unwrap_or(usize::MAX);
            if let (Some(state), Some(known)) = (state, states.get_mut(at)) {
                *known = (state, row.get(2)?);
            }
        }
        let by = Requester { user: row.get(2)?, address: row.get(3)? };
        all.push(UnfinishedPlan {
            begun: PlanStart { id, plan, at: read_time(row, 1)?, by, unrecorded: None },
            states,
        });
    }
    Ok(all)
}

fn read_maintenance(connection: &Connection) -> rusqlite::Result<Vec<Maintenance>> {
    let mut statement = connection.prepare(
        "SELECT environment, host, component, since, until, reason, user, address FROM maintenance ORDER BY rowid",
    )?;
    let all = statement.query_map([], |row| {
        let name = |at: usize| -> rusqlite::Result<Name> { Ok(row.get::<_, String>(at)?.into()) };
        let until: Option<i64> = row.get(4)?;
        Ok(Maintenance {
            environment: name(0)?,
            host: name(1)?,
            component: row.get::<_, Option<String>>(2)?.map(Name::from),
            since: read_time(row, 3)?,
            until: until
                .map(|at| Timestamp::from_microsecond(at).map_err(|_| corrupt_value(4)))
                .transpose()?,
            reason: row.get(5)?,
            by: Requester { user: row.get(6)?, address: row.get(7)? },
        })
    })?;
    all.collect()
}

fn read_known_values(connection: &Connection) -> rusqlite::Result<HashMap<HostOrInstance, String>> {
    let mut statement =
        connection.prepare("SELECT environment_key, host_key, component_key, value FROM known")?;
    let all = statement.query_map([], |row| {
        let component: String = row.get(2)?;
        let place = HostOrInstance {
            environment: row.get::<_, String>(0)?.into(),
            host: row.get::<_, String>(1)?.into(),
            component: (!component.is_empty()).then(|| component.into()),
        };
        Ok((place, row.get(3)?))
    })?;
    all.collect()
}

fn read_number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::unsigned_abs)
}

fn to_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Cuts a text to [`MAX_TEXT_BYTES`].
pub(crate) fn truncate_text(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    format!("{} ...", &text[..end])
}
