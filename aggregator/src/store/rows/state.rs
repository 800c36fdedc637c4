//! Maintenance, active and planned, known values and planned stops.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::planned_maintenance::PlannedMaintenance;
use rta_shared::planned_stop::PlannedStop;

use crate::store::HostOrInstance;
use crate::store::sql::{SqlSession, StoreError, values};

/// Replaces the recorded maintenance, of an environment or of all.
pub(crate) fn write_maintenance(
    session: &mut dyn SqlSession,
    all: &[Maintenance],
    environment: Option<&Name>,
) -> Result<(), StoreError> {
    match environment {
        Some(environment) => session
            .queue("DELETE FROM maintenance WHERE lower(environment) = ?1", values![environment.folded()])?,
        None => session.queue("DELETE FROM maintenance", &[])?,
    }
    for one in all {
        session.queue(
            "INSERT INTO maintenance (environment, host, component, since, until, reason, \"user\", address) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            values![
                one.environment.as_str(),
                one.host.as_str(),
                one.component.as_ref().map(Name::as_str),
                one.since,
                one.until,
                &one.reason,
                &one.by.user,
                &one.by.address,
            ],
        )?;
    }
    Ok(())
}

/// Reads the recorded maintenance.
pub(crate) fn read_maintenance(session: &mut dyn SqlSession) -> Result<Vec<Maintenance>, StoreError> {
    session.query_all(
        "SELECT environment, host, component, since, until, reason, \"user\", address FROM maintenance \
         ORDER BY since, environment, host, component",
        &[],
        |row| {
            let is_limited = row.optional_integer(4)?.is_some();
            Ok(Maintenance {
                environment: row.name(0)?,
                host: row.name(1)?,
                component: row.optional_text(2)?.map(Name::from),
                since: row.time(3)?,
                until: is_limited.then(|| row.time(4)).transpose()?,
                reason: row.text(5)?,
                by: Requester { user: row.text(6)?, address: row.text(7)? },
            })
        },
    )
}

/// Replaces the planned maintenance; of several writers, only that which this one has `known`, by its IDs.
pub(crate) fn write_planned_maintenance(
    session: &mut dyn SqlSession,
    all: &[PlannedMaintenance],
    known: Option<&BTreeSet<u64>>,
) -> Result<(), StoreError> {
    match known {
        Some(known) => {
            for id in known {
                session.queue("DELETE FROM planned_maintenance WHERE id = ?1", values![*id])?;
            }
        }
        None => session.queue("DELETE FROM planned_maintenance", &[])?,
    }
    for planned in all {
        let json = serde_json::to_string(planned)
            .map_err(|error| StoreError::other(format!("planned maintenance cannot be written: {error}")))?;
        session.queue(
            "INSERT INTO planned_maintenance (id, planned) VALUES (?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET planned = excluded.planned",
            values![planned.id, &json],
        )?;
    }
    Ok(())
}

/// Reads the planned maintenance.
pub(crate) fn read_planned_maintenance(
    session: &mut dyn SqlSession,
) -> Result<Vec<PlannedMaintenance>, StoreError> {
    session.query_all("SELECT planned FROM planned_maintenance ORDER BY id", &[], |row| {
        serde_json::from_str(&row.text(0)?).map_err(|_| StoreError::invalid_value(0))
    })
}

/// Writes the known value of an instance or a host.
pub(crate) fn write_known_value(
    session: &mut dyn SqlSession,
    place: &HostOrInstance,
    value: &str,
) -> Result<(), StoreError> {
    let HostOrInstance { environment, host, component } = place;
    let component = component.as_ref().map_or("", Name::folded);
    session.queue(
        "INSERT INTO known (environment_key, host_key, component_key, value) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (environment_key, host_key, component_key) DO UPDATE SET value = excluded.value",
        values![environment.folded(), host.folded(), component, value],
    )?;
    Ok(())
}

/// Reads the known values.
pub(super) fn read_known_values(
    session: &mut dyn SqlSession,
) -> Result<HashMap<HostOrInstance, String>, StoreError> {
    let all = session.query_all(
        "SELECT environment_key, host_key, component_key, value FROM known",
        &[],
        |row| {
            let component = row.name(2)?;
            let component = (!component.as_str().is_empty()).then_some(component);
            Ok((HostOrInstance { environment: row.name(0)?, host: row.name(1)?, component }, row.text(3)?))
        },
    )?;
    Ok(all.into_iter().collect())
}

/// Writes a planned stop; `None` deletes it.
pub(crate) fn write_planned_stop(
    session: &mut dyn SqlSession,
    id: &InstanceId,
    stop: Option<&PlannedStop>,
) -> Result<(), StoreError> {
    let [environment, host, component] = [&id.environment, &id.host, &id.component].map(Name::folded);
    match stop {
        Some(PlannedStop { plan, by, at }) => session.queue(
            "INSERT INTO planned_stops (environment, host, component, plan, at, \"user\", address) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (environment, host, component) DO UPDATE \
             SET plan = excluded.plan, at = excluded.at, \"user\" = excluded.\"user\", address = excluded.address",
            values![environment, host, component, *plan, *at, &by.user, &by.address],
        ),
        None => session.queue(
            "DELETE FROM planned_stops WHERE environment = ?1 AND host = ?2 AND component = ?3",
            values![environment, host, component],
        ),
    }
}

/// Reads the planned stops.
pub(crate) fn read_planned_stops(
    session: &mut dyn SqlSession,
) -> Result<HashMap<InstanceId, PlannedStop>, StoreError> {
    let all = session.query_all(
        "SELECT environment, host, component, plan, at, \"user\", address FROM planned_stops",
        &[],
        |row| {
            let id = InstanceId { environment: row.name(0)?, host: row.name(1)?, component: row.name(2)? };
            let at: Timestamp = row.time(4)?;
            let by = Requester { user: row.text(5)?, address: row.text(6)? };
            Ok((id, PlannedStop { plan: row.number(3)?, at, by }))
        },
    )?;
    Ok(all.into_iter().collect())
}
