//! Events.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::name::Name;
use rta_shared::overview::{Health, InstanceId};

use super::dictionary::{Dictionary, Place};
use super::{RowCache, truncate_text};
use crate::store::query::EventQuery;
use crate::store::sql::{SqlRow, SqlSession, SqlValue, StoreError, values};

/// Maximum size of the events in one answer, in bytes: gRPC allows 4 MiB.
pub(crate) const MAX_ANSWER_BYTES: usize = 3 << 20;
/// Query for events, with the columns that [`read_event`] expects.
const SELECT: &str = "SELECT events.id, events.at, kind, place, was, is_now, texts.text, by_user, address, plan, \
                      (SELECT min(incident) FROM incident_events WHERE event = events.id) \
                      FROM events LEFT JOIN texts ON texts.id = events.text";
/// Number of the word for [`EventKind::Health`], which the index of kinds leaves out.
const HEALTH_KIND: i64 = 1;
/// Share of all places from which on events are searched from the newest on, not by the index of places.
const LARGE_SHARE: f64 = 0.05;

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
        && let Some(taken) = read_by_id(session, &cache.dictionary, id)?
    {
        if is_same(&taken, event) {
            return Ok(id);
        }
        id = cache.last_event + 1;
        tracing::warn!(id = event.id, "another event has this number; the event is recorded under a new one");
    }
    insert_event(session, &mut cache.dictionary, id, event)?;
    cache.last_event = cache.last_event.max(id);
    Ok(id)
}

fn is_same(written: &Event, event: &Event) -> bool {
    let at = Timestamp::from_microsecond(event.at.as_microsecond()).unwrap_or(event.at);
    *written == Event { at, text: truncate_text(&event.text), incident: written.incident, ..event.clone() }
}

fn insert_event(
    session: &mut dyn SqlSession,
    dictionary: &mut Dictionary,
    id: u64,
    event: &Event,
) -> Result<(), StoreError> {
    let kind = dictionary.write_word(session, event.kind.word())?;
    let names = [&event.environment, &event.host, &event.component].map(Option::as_ref);
    let place = dictionary.write_place(session, names)?;
    let mut word = |word: Option<&String>| word.map(|word| dictionary.write_word(session, word)).transpose();
    let (was, is_now) = (word(event.from.as_ref())?, word(event.to.as_ref())?);
    let by = event.by.as_ref();
    let (user, address) = (word(by.map(|by| &by.user))?, word(by.map(|by| &by.address))?);
    let text = dictionary.write_text(session, &event.text, event.at)?;
    session.queue(
        "INSERT INTO events (id, at, kind, place, was, is_now, text, by_user, address, plan) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        values![id, event.at, kind, place, was, is_now, text, user, address, event.plan],
    )
}

/// Deletes up to `most` events older than `cutoff`, and up to `most` texts that none of the others refers to.
/// Returns true if there may be more.
pub(crate) fn delete_events(
    session: &mut dyn SqlSession,
    dictionary: &Dictionary,
    cutoff: Timestamp,
    most: usize,
) -> Result<bool, StoreError> {
    session.execute("UPDATE retention SET cutoff = ?1", values![cutoff])?;
    let deleted = session.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < ?1 ORDER BY at LIMIT ?2)",
        values![cutoff, most],
    )?;
    let mut is_more = usize::try_from(deleted).unwrap_or(usize::MAX) >= most;
    if !is_more {
        let deleted = session.execute(
            "DELETE FROM texts WHERE id IN (SELECT id FROM texts WHERE at < ?1 ORDER BY at LIMIT ?2)",
            values![dictionary.text_cutoff(cutoff), most],
        )?;
        is_more = usize::try_from(deleted).unwrap_or(usize::MAX) >= most;
    }
    session.execute("UPDATE retention SET cutoff = 0", &[])?;
    Ok(is_more)
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

/// Returns the highest ID of an event; 0 if there is none.
pub(crate) fn read_last_id(session: &mut dyn SqlSession) -> Result<u64, StoreError> {
    super::read_greatest(session, "events").map(i64::unsigned_abs)
}

/// Returns the last health change of each instance since `from`.
pub(super) fn read_health_changes(
    session: &mut dyn SqlSession,
    from: Timestamp,
) -> Result<HashMap<InstanceId, (Health, Timestamp)>, StoreError> {
    let mut changed = HashMap::new();
    session.query(
        "SELECT environments.name, hosts.name, components.name, states.word, at FROM events \
         JOIN words AS kinds ON kinds.id = kind JOIN words AS states ON states.id = is_now \
         JOIN places ON places.id = place JOIN names AS environments ON environments.id = environment \
         JOIN names AS hosts ON hosts.id = host JOIN names AS components ON components.id = component \
         WHERE at >= ?1 AND kinds.word = ?2 ORDER BY at, events.id",
        values![from, EventKind::Health.word()],
        &mut |row| {
            let id = InstanceId { environment: row.name(0)?, host: row.name(1)?, component: row.name(2)? };
            if let (Some(health), Ok(at)) = (Health::from_word(&row.text(3)?), row.time(4)) {
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
        "SELECT name FROM names WHERE id IN (SELECT host FROM places WHERE id IN \
         (SELECT place FROM events WHERE kind <> 1 AND kind = (SELECT id FROM words WHERE word = ?1) \
         AND is_now IS NOT NULL))",
        values![EventKind::Maintenance.word()],
        |row| row.name(0),
    )?;
    Ok(hosts.into_iter().collect())
}

/// Returns the approximate size of an event in an answer, in bytes.
pub(crate) fn answer_bytes(event: &Event) -> usize {
    200 + event.text.len()
}

/// Returns the matching events, the newest first. Ends early at [`MAX_ANSWER_BYTES`], of which the events
/// that are in the answer already take `size`.
pub(crate) fn read_events(
    session: &mut dyn SqlSession,
    dictionary: &Dictionary,
    query: &EventQuery,
    mut size: usize,
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
        add(&mut conditions, &mut values, "events.id < {}", before.into());
    }
    if let Some(after) = query.after {
        add(&mut conditions, &mut values, "events.id > {}", after.into());
    }
    if let Some(since) = query.since {
        // Two conditions: the first bounds the search by ID, the second stays correct if the clock was set
        // back.
        let condition = "events.id >= (SELECT min(id) FROM events WHERE at >= {}) AND events.at >= {}";
        add(&mut conditions, &mut values, condition, since.into());
    }
    let names = [&query.environment, &query.host, &query.component];
    if names.iter().any(|name| name.is_some()) {
        let mut ids = [0; 3];
        for (id, name) in ids.iter_mut().zip(names) {
            if let Some(name) = name {
                let Some(known) = dictionary.find_name(name) else { return Ok(Vec::new()) };
                *id = known;
            }
        }
        let [environment, host, component] = ids;
        let share = dictionary.share_of_places(Place { environment, host, component });
        // A plus keeps the index from being used.
        let place = if share > LARGE_SHARE { "+place" } else { "place" };
        let mut wanted = Vec::new();
        for (column, id) in [("environment", environment), ("host", host), ("component", component)] {
            if id != 0 {
                add(&mut wanted, &mut values, &format!("{column} = {{}}"), id.into());
            }
        }
        conditions.push(format!("{place} IN (SELECT id FROM places WHERE {})", wanted.join(" AND ")));
    }
    if !query.kinds.is_empty() {
        let first = values.len() + 1;
        let known = query.kinds.iter().filter_map(|kind| dictionary.find_word(kind.word()));
        values.extend(known.map(SqlValue::from));
        if values.len() < first {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (first..=values.len()).map(|number| format!("?{number}")).collect();
        conditions.push(format!("kind IN ({})", places.join(", ")));
        if !query.kinds.contains(&EventKind::Health) {
            // The index of the other kinds is used only with its condition.
            conditions.push(format!("kind <> {HEALTH_KIND}"));
        }
    }
    if let Some(plan) = query.plan {
        add(&mut conditions, &mut values, "plan = {}", plan.into());
    }
    if let Some(person) = &query.person {
        let Some(user) = dictionary.find_word(person) else { return Ok(Vec::new()) };
        add(&mut conditions, &mut values, "by_user = {}", user.into());
    }
    if let Some(incident) = query.incident {
        let condition = "events.id IN (SELECT event FROM incident_events WHERE incident = {})";
        add(&mut conditions, &mut values, condition, incident.into());
    }
    let filter =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    values.push(query.limit.into());
    let sql = format!("{SELECT} {filter} ORDER BY events.id DESC LIMIT ?{}", values.len());
    let mut events = Vec::new();
    let is_first = size == 0;
    session.query(&sql, &values, &mut |row| {
        let event = read_event(row, dictionary)?;
        size += answer_bytes(&event);
        if size > MAX_ANSWER_BYTES && !(is_first && events.is_empty()) {
            return Ok(false);
        }
        events.push(event);
        Ok(true)
    })?;
    Ok(events)
}

fn read_by_id(
    session: &mut dyn SqlSession,
    dictionary: &Dictionary,
    id: u64,
) -> Result<Option<Event>, StoreError> {
    let sql = format!("{SELECT} WHERE events.id = ?1");
    session.query_first(&sql, values![id], |row| read_event(row, dictionary))
}

fn read_event(row: &dyn SqlRow, dictionary: &Dictionary) -> Result<Event, StoreError> {
    let word = |at: usize| -> Result<Option<String>, StoreError> {
        row.optional_integer(at)?.map(|id| dictionary.word(id).map(str::to_owned)).transpose()
    };
    let name = |id: i64| (id != 0).then(|| dictionary.name(id)).transpose();
    let Place { environment, host, component } = match row.integer(3)? {
        0 => Place::default(),
        place => dictionary.place(place)?,
    };
    let kind = dictionary.word(row.integer(2)?)?;
    let address = word(8)?.unwrap_or_default();
    Ok(Event {
        id: row.number(0)?,
        at: row.time(1)?,
        kind: EventKind::from_word(kind).ok_or_else(|| StoreError::invalid_value(2))?,
        environment: name(environment)?,
        host: name(host)?,
        component: name(component)?,
        from: word(4)?,
        to: word(5)?,
        text: row.optional_text(6)?.unwrap_or_default(),
        by: word(7)?.map(|user| Requester { user, address }),
        plan: row.optional_integer(9)?.map(i64::unsigned_abs),
        incident: row.optional_integer(10)?.map(i64::unsigned_abs),
    })
}
