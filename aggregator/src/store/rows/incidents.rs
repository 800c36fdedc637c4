//! Incidents, and which events belong to them.

use jiff::{SignedDuration, Timestamp};
use rta_shared::incident::Incident;

use super::{StoredNumber, read_greatest, read_number};
use crate::store::query::{IncidentQuery, StoredIncidents};
use crate::store::sql::{SqlRow, SqlSession, SqlValue, StoreError, values};

/// Age up to which a restarted aggregator knows incidents that are over: they may come back.
const RECENT: SignedDuration = SignedDuration::from_mins(30);

/// Writes an incident. The words by which it is found only grow.
///
/// # Errors
/// Returns an error if the database fails or if the incident cannot be serialized as JSON.
pub(crate) fn write_incident(session: &mut dyn SqlSession, incident: &Incident) -> Result<(), StoreError> {
    let detail = serde_json::to_string(incident).map_err(|error| {
        StoreError::other(format!("incident {} cannot be written as JSON: {error}", incident.id))
    })?;
    session.queue(
        "INSERT INTO incidents (id, begun, ended, detail) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) \
         DO UPDATE SET begun = excluded.begun, ended = excluded.ended, detail = excluded.detail",
        values![incident.id, incident.begun_at, incident.ended_at, &detail],
    )?;
    let environments = incident.environments();
    let environments = environments.iter().map(|name| ("environment", name.folded().to_owned()));
    let persons = incident.persons.iter().map(|person| ("person", person.to_lowercase()));
    for (kind, value) in environments.chain(persons) {
        session.queue(
            "INSERT INTO incident_keys (kind, value, incident) VALUES (?1, ?2, ?3) \
             ON CONFLICT (kind, value, incident) DO NOTHING",
            values![kind, &value, incident.id],
        )?;
    }
    Ok(())
}

/// Writes that an event belongs to an incident.
pub(crate) fn write_event_reference(
    session: &mut dyn SqlSession,
    incident: u64,
    event: u64,
) -> Result<(), StoreError> {
    session.queue(
        "INSERT INTO incident_events (incident, event) VALUES (?1, ?2) ON CONFLICT (incident, event) DO NOTHING",
        values![incident, event],
    )
}

/// Returns the matching incidents, the newest first.
pub(crate) fn read_incidents(
    session: &mut dyn SqlSession,
    query: &IncidentQuery,
) -> Result<Vec<Incident>, StoreError> {
    let mut conditions = Vec::new();
    let mut values: Vec<SqlValue<'_>> = Vec::new();
    let environment = query.environment.as_ref().map(|name| name.folded().to_owned());
    let person = query.person.as_ref().map(|person| person.to_lowercase());
    let key = "id IN (SELECT incident FROM incident_keys WHERE kind = ";
    let wanted: [(&str, Option<SqlValue<'_>>); 5] = [
        ("id = {}", query.id.map(SqlValue::from)),
        ("id < {}", query.before.map(SqlValue::from)),
        ("(ended IS NULL OR ended >= {})", query.since.map(SqlValue::from)),
        ("'environment' AND value = {})", environment.as_deref().map(SqlValue::from)),
        ("'person' AND value = {})", person.as_deref().map(SqlValue::from)),
    ];
    for (condition, value) in wanted {
        let Some(value) = value else { continue };
        values.push(value);
        let condition = condition.replace("{}", &format!("?{}", values.len()));
        let prefix = if condition.starts_with('\'') { key } else { "" };
        conditions.push(format!("{prefix}{condition}"));
    }
    if query.is_open {
        conditions.push("ended IS NULL".to_owned());
    }
    let filter =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    values.push(query.limit.into());
    let sql = format!("SELECT id, detail FROM incidents {filter} ORDER BY id DESC LIMIT ?{}", values.len());
    let found = session.query_all(&sql, &values, read_incident)?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads an incident. One that cannot be read is logged and left out.
fn read_incident(row: &dyn SqlRow) -> Result<Option<Incident>, StoreError> {
    let (id, detail) = (row.number(0)?, row.text(1)?);
    Ok(serde_json::from_str(&detail)
        .inspect_err(|error| {
            tracing::error!(incident = id, %error, "a recorded incident cannot be read and is passed over");
        })
        .ok())
}

/// Reads the open incidents, and those that ended recently.
pub(super) fn read_stored(
    session: &mut dyn SqlSession,
    now: Timestamp,
    last_active: Option<Timestamp>,
) -> Result<StoredIncidents, StoreError> {
    let last_id = read_number(session, StoredNumber::Incident)?.unwrap_or(0);
    let since = now.checked_sub(RECENT).unwrap_or(Timestamp::MIN);
    let query = IncidentQuery { since: Some(since), limit: usize::MAX, ..IncidentQuery::default() };
    let mut incidents = read_incidents(session, &query)?;
    incidents.reverse();
    let last_id = last_id.max(read_greatest(session, "incidents")?).unsigned_abs();
    Ok(StoredIncidents { incidents, last_id, last_active })
}

/// Deletes the incidents that ended before `cutoff`, and what refers to deleted incidents and events.
pub(crate) fn delete_ended(session: &mut dyn SqlSession, cutoff: Timestamp) -> Result<(), StoreError> {
    let deleted = session.execute("DELETE FROM incidents WHERE ended < ?1", values![cutoff])?;
    if deleted > 0 {
        for table in ["incident_keys", "incident_events"] {
            let sql = format!("DELETE FROM {table} WHERE incident NOT IN (SELECT id FROM incidents)");
            session.execute(&sql, &[])?;
        }
    }
    // An open incident may be older than its oldest events.
    session.execute("DELETE FROM incident_events WHERE event < (SELECT min(id) FROM events)", &[])?;
    Ok(())
}
