//! Reads and writes of the rows of the database.
//!
//! | module | holds |
//! |---|---|
//! | `dictionary` | names, words and texts that rows refer to by number |
//! | `events` | events |
//! | `incidents` | incidents, and which events belong to them |
//! | `plans` | plans and their steps |
//! | `state` | maintenance, active and planned, known values and planned stops |
//! | `samples` | timeline samples and recording gaps |

pub(super) mod dictionary;
pub(super) mod events;
pub(super) mod incidents;
pub(super) mod plans;
pub(super) mod samples;
pub(super) mod state;

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use rta_shared::incident::Incident;
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::{Health, InstanceId};
use rta_shared::planned_maintenance::PlannedMaintenance;
use rta_shared::planned_stop::PlannedStop;

use dictionary::Dictionary;

use super::notifications::{StoredNotifications, read_notifications};
use super::query::StoredIncidents;
use super::sql::{SqlSession, StoreError, values};
use super::{HostOrInstance, UnfinishedPlan};

/// Maximum length of the text of an event or a step, in bytes. The text of a failure contains the last log
/// lines.
const MAX_TEXT_BYTES: usize = 4096;
/// Period that is searched for the last health changes: a record may be long.
const HEALTH_CHANGE_PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// State left by an earlier aggregator.
#[derive(Debug, Default)]
pub(crate) struct RecoveredState {
    pub(crate) unfinished: Vec<UnfinishedPlan>,
    pub(crate) maintenance: Vec<Maintenance>,
    /// Hosts whose maintenance is recorded.
    pub(crate) maintained_hosts: HashSet<Name>,
    pub(crate) planned_maintenance: Vec<PlannedMaintenance>,
    /// Highest ID of planned maintenance in use.
    pub(crate) last_planned_maintenance: u64,
    pub(crate) known_values: HashMap<HostOrInstance, String>,
    pub(crate) planned_stops: HashMap<InstanceId, PlannedStop>,
    /// Last health change of each instance, within the last [`HEALTH_CHANGE_PERIOD`].
    pub(crate) health_changes: HashMap<InstanceId, (Health, Timestamp)>,
    /// Instances that were seen to run.
    pub(crate) earlier_runs: HashSet<InstanceId>,
    pub(crate) notifications: StoredNotifications,
    pub(crate) incidents: StoredIncidents,
    /// Highest plan ID in use.
    pub(crate) last_plan: u64,
    /// Highest event ID in use or reserved.
    pub(crate) last_event: u64,
    /// Last time at which an aggregator is known to have run; `None` if none has.
    pub(crate) last_active: Option<Timestamp>,
}

/// Facts about the rows of the open database, which the writer remembers in order not to ask for them.
#[derive(Debug, Default)]
pub(crate) struct RowCache {
    /// Highest ID of an event that is or was in the database.
    pub(crate) last_event: u64,
    last_sample: i64,
    pub(crate) dictionary: Dictionary,
    /// Number of the last turn of this writer, of several.
    last_turn: i64,
}

impl RowCache {
    /// Reads the facts.
    pub(crate) fn read(session: &mut dyn SqlSession, is_in_memory: bool) -> Result<Self, StoreError> {
        Ok(Self {
            last_event: read_greatest(session, "events")?.unsigned_abs(),
            last_sample: read_greatest(session, "marks")?,
            dictionary: Dictionary::read(session, is_in_memory)?,
            last_turn: 0,
        })
    }

    /// Reads what other writers have added, if one wrote since the last turn of this one. To be called in the
    /// turn with this number.
    pub(crate) fn catch_up(&mut self, session: &mut dyn SqlSession, turn: i64) -> Result<(), StoreError> {
        if turn != self.last_turn.saturating_add(1) {
            let reserved = read_number(session, StoredNumber::Event)?.unwrap_or(0);
            self.last_event = read_greatest(session, "events")?.max(reserved).unsigned_abs();
            self.last_sample = read_greatest(session, "marks")?;
            self.dictionary.read_new(session)?;
            self.dictionary.read_last_text(session)?;
        }
        self.last_turn = turn;
        Ok(())
    }
}

/// Number that is kept under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoredNumber {
    /// Highest reserved plan ID.
    Plan,
    /// Highest reserved event ID.
    Event,
    /// Highest incident ID in use.
    Incident,
    /// Last time at which the aggregator ran, in microseconds.
    LastActive,
    /// Highest ID of planned maintenance.
    PlannedMaintenance,
}

impl StoredNumber {
    fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Event => "event",
            Self::Incident => "incident",
            Self::LastActive => "alive",
            Self::PlannedMaintenance => "planned maintenance",
        }
    }
}

/// Returns the name of the number that has the last time at which an aggregator led an environment.
pub(crate) fn activity_name(environment: &Name) -> String {
    format!("{} in {}", StoredNumber::LastActive.name(), environment.folded())
}

/// Reads the state left by an earlier aggregator, of an environment or of all.
pub(crate) fn read_recovered_state(
    session: &mut dyn SqlSession,
    now: Timestamp,
    environment: Option<&Name>,
) -> Result<RecoveredState, StoreError> {
    let last_plan = read_number(session, StoredNumber::Plan)?.unwrap_or(0);
    let last_event = read_number(session, StoredNumber::Event)?.unwrap_or(0);
    let from = now.checked_sub(HEALTH_CHANGE_PERIOD).unwrap_or(Timestamp::MIN);
    let last_active = match environment {
        Some(environment) => read_named_number(session, &activity_name(environment))?,
        None => None,
    };
    // An environment that was never led apart from the others was led with them.
    let last_active = match last_active {
        Some(at) => Some(at),
        None => read_number(session, StoredNumber::LastActive)?,
    };
    let last_planned = read_number(session, StoredNumber::PlannedMaintenance)?.unwrap_or(0);
    let last_active = last_active.and_then(|at| Timestamp::from_microsecond(at).ok());
    let all = RecoveredState {
        unfinished: plans::read_unfinished(session)?,
        maintenance: state::read_maintenance(session)?,
        maintained_hosts: events::read_maintained_hosts(session)?,
        planned_maintenance: state::read_planned_maintenance(session)?,
        last_planned_maintenance: last_planned
            .max(read_greatest(session, "planned_maintenance")?)
            .unsigned_abs(),
        known_values: state::read_known_values(session)?,
        planned_stops: state::read_planned_stops(session)?,
        health_changes: events::read_health_changes(session, from)?,
        earlier_runs: samples::read_runs(session)?,
        notifications: read_notifications(session, environment)?,
        incidents: incidents::read_stored(session, now, last_active)?,
        last_plan: last_plan.max(read_greatest(session, "plans")?).unsigned_abs(),
        last_event: last_event.max(read_greatest(session, "events")?).unsigned_abs(),
        last_active,
    };
    Ok(match environment {
        Some(environment) => all.of_environment(environment),
        None => all,
    })
}

impl RecoveredState {
    /// Returns the part that belongs to this environment.
    fn of_environment(mut self, environment: &Name) -> Self {
        // One of several environments belongs to that of its first step.
        self.unfinished.retain(|plan| {
            let first = plan.begun.plan.steps.first();
            first.is_some_and(|step| step.instance.environment == *environment)
        });
        self.maintenance.retain(|one| one.environment == *environment);
        // One without an environment is of before, when one aggregator led all of them.
        self.planned_maintenance.retain(|one| {
            let of = Name::from(one.environment.as_str());
            one.environment.is_empty() || of == *environment
        });
        self.known_values.retain(|place, _| place.environment == *environment);
        self.planned_stops.retain(|id, _| id.environment == *environment);
        self.health_changes.retain(|id, _| id.environment == *environment);
        let is_first =
            |one: &Incident| one.environments().first().is_none_or(|first| **first == *environment);
        self.incidents.incidents.retain(is_first);
        self
    }
}

/// Returns the highest ID in a table; 0 if it is empty.
fn read_greatest(session: &mut dyn SqlSession, table: &str) -> Result<i64, StoreError> {
    let sql = format!("SELECT max(id) FROM {table}");
    Ok(session.query_first(&sql, &[], |row| row.optional_integer(0))?.flatten().unwrap_or(0))
}

/// Writes a number under its name.
pub(crate) fn write_number(
    session: &mut dyn SqlSession,
    number: StoredNumber,
    value: i64,
) -> Result<(), StoreError> {
    write_named_number(session, number.name(), value)
}

/// Writes a number under this name.
pub(crate) fn write_named_number(
    session: &mut dyn SqlSession,
    name: &str,
    value: i64,
) -> Result<(), StoreError> {
    session.queue(
        "INSERT INTO numbers (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        values![name, value],
    )
}

/// Reserves the next number of a table for one of several writers, at once and for ever.
pub(crate) fn reserve_number(
    session: &mut dyn SqlSession,
    number: StoredNumber,
    table: &str,
) -> Result<u64, StoreError> {
    let sql = format!(
        "INSERT INTO numbers (name, value) VALUES (?1, (SELECT coalesce(max(id), 0) + 1 FROM {table})) \
         ON CONFLICT (name) DO UPDATE SET value = numbers.value + 1 RETURNING value"
    );
    let reserved = session.query_first(&sql, values![number.name()], |row| row.number(0))?;
    reserved.ok_or_else(|| StoreError::other("no number was reserved"))
}

fn read_number(session: &mut dyn SqlSession, number: StoredNumber) -> Result<Option<i64>, StoreError> {
    read_named_number(session, number.name())
}

fn read_named_number(session: &mut dyn SqlSession, name: &str) -> Result<Option<i64>, StoreError> {
    session.query_first("SELECT value FROM numbers WHERE name = ?1", values![name], |row| row.integer(0))
}

/// Cuts a text to [`MAX_TEXT_BYTES`].
pub(crate) fn truncate_text(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    format!("{} ...", &text[..end])
}
