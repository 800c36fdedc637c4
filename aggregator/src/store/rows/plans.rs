//! Plans and their steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::plan::{Plan, PlanStart, StepState};

use super::truncate_text;
use crate::store::UnfinishedPlan;
use crate::store::sql::{SqlSession, StoreError, values};

/// Writes the beginning of a plan.
///
/// # Errors
/// Returns an error if the database fails or if the plan cannot be serialized as JSON.
pub(crate) fn write_plan(session: &mut dyn SqlSession, begun: &PlanStart) -> Result<(), StoreError> {
    let plan = serde_json::to_string(&begun.plan).map_err(|error| {
        StoreError::other(format!("plan {} cannot be written as JSON: {error}", begun.id))
    })?;
    session.queue(
        "INSERT INTO plans (id, at, \"user\", address, plan, ended) VALUES (?1, ?2, ?3, ?4, ?5, NULL) \
         ON CONFLICT (id) DO UPDATE SET at = excluded.at, \"user\" = excluded.\"user\", \
         address = excluded.address, plan = excluded.plan, ended = NULL",
        values![begun.id, begun.at, &begun.by.user, &begun.by.address, &plan],
    )?;
    Ok(())
}

/// Writes the state of a step of a plan.
pub(crate) fn write_step(
    session: &mut dyn SqlSession,
    plan: u64,
    step: usize,
    (state, text): &(StepState, String),
) -> Result<(), StoreError> {
    session.queue(
        "INSERT INTO steps (plan, step, state, text) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (plan, step) DO UPDATE SET state = excluded.state, text = excluded.text",
        values![plan, step, state.word(), &truncate_text(text)],
    )?;
    Ok(())
}

/// Writes the end of a plan.
pub(crate) fn write_plan_end(
    session: &mut dyn SqlSession,
    plan: u64,
    at: Timestamp,
) -> Result<(), StoreError> {
    session.queue("UPDATE plans SET ended = ?1 WHERE id = ?2", values![at, plan])?;
    Ok(())
}

/// Deletes the plans that ended before `cutoff`, with their steps.
pub(crate) fn delete_ended(session: &mut dyn SqlSession, cutoff: Timestamp) -> Result<(), StoreError> {
    session.execute("DELETE FROM plans WHERE ended < ?1", values![cutoff])?;
    session.execute(
        "DELETE FROM steps WHERE NOT EXISTS (SELECT 1 FROM plans WHERE plans.id = steps.plan)",
        &[],
    )?;
    Ok(())
}

/// Plan as it is recorded, of an aggregator that carries it out or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedPlan {
    /// Beginning of the plan.
    pub(crate) begun: PlanStart,
    /// State and last text of each step.
    pub(crate) states: Vec<(StepState, String)>,
    /// Time of its end; `None`: it is under way.
    pub(crate) ended_at: Option<Timestamp>,
}

/// Reads the plans without an end. One that cannot be read is logged and left out.
pub(super) fn read_unfinished(session: &mut dyn SqlSession) -> Result<Vec<UnfinishedPlan>, StoreError> {
    let sql = "SELECT id FROM plans WHERE ended IS NULL ORDER BY id";
    let mut all = Vec::new();
    for id in session.query_all(sql, &[], |row| row.number(0))? {
        if let Some(begun) = read_begin(session, id)? {
            all.push(UnfinishedPlan { states: read_states(session, &begun)?, begun });
        }
    }
    Ok(all)
}

/// Reads the plans without an end and the last `limit` ones. Those in `known` are read only as far as they may have
/// changed.
pub(crate) fn read_recent_plans(
    session: &mut dyn SqlSession,
    known: &BTreeMap<u64, Arc<RecordedPlan>>,
    limit: usize,
) -> Result<BTreeMap<u64, Arc<RecordedPlan>>, StoreError> {
    let rows = session.query_all(
        "SELECT id, ended FROM plans WHERE ended IS NULL OR id IN (SELECT id FROM plans ORDER BY id DESC LIMIT ?1)",
        values![limit],
        |row| {
            let has_ended = row.optional_integer(1)?.is_some();
            Ok((row.number(0)?, has_ended.then(|| row.time(1)).transpose()?))
        },
    )?;
    let mut all = BTreeMap::new();
    for (id, ended_at) in rows {
        let before = known.get(&id);
        if let Some(before) = before.filter(|before| before.ended_at.is_some() && before.ended_at == ended_at)
        {
            all.insert(id, Arc::clone(before));
            continue;
        }
        let begun = match before {
            Some(before) => Some(before.begun.clone()),
            None => read_begin(session, id)?,
        };
        let Some(begun) = begun else { continue };
        let read = RecordedPlan { states: read_states(session, &begun)?, begun, ended_at };
        all.insert(id, Arc::new(read));
    }
    Ok(all)
}

/// Reads a plan; `None`: the record does not have it, or it cannot be read.
pub(crate) fn read_plan(session: &mut dyn SqlSession, id: u64) -> Result<Option<RecordedPlan>, StoreError> {
    let Some(begun) = read_begin(session, id)? else { return Ok(None) };
    let ended = session.query_first("SELECT ended FROM plans WHERE id = ?1", values![id], |row| {
        let has_ended = row.optional_integer(0)?.is_some();
        has_ended.then(|| row.time(0)).transpose()
    })?;
    Ok(Some(RecordedPlan { states: read_states(session, &begun)?, begun, ended_at: ended.flatten() }))
}

/// Reads the beginning of a plan; `None`, with a message in the log, if it cannot be read.
fn read_begin(session: &mut dyn SqlSession, id: u64) -> Result<Option<PlanStart>, StoreError> {
    let row = session.query_first(
        "SELECT at, \"user\", address, plan FROM plans WHERE id = ?1",
        values![id],
        |row| Ok((row.time(0)?, Requester { user: row.text(1)?, address: row.text(2)? }, row.text(3)?)),
    )?;
    let Some((at, by, plan)) = row else { return Ok(None) };
    match serde_json::from_str::<Plan>(&plan) {
        Ok(plan) => Ok(Some(PlanStart { id, plan, at, by, unrecorded: None })),
        Err(error) => {
            tracing::error!(plan = id, %error, "a recorded plan cannot be read and is passed over");
            Ok(None)
        }
    }
}

/// Reads the state and last text of each step of a plan.
fn read_states(
    session: &mut dyn SqlSession,
    begun: &PlanStart,
) -> Result<Vec<(StepState, String)>, StoreError> {
    let mut states = vec![(StepState::Waiting, String::new()); begun.plan.steps.len()];
    let sql = "SELECT step, state, text FROM steps WHERE plan = ?1";
    let steps =
        session.query_all(sql, values![begun.id], |row| Ok((row.number(0)?, row.text(1)?, row.text(2)?)))?;
    for (step, word, text) in steps {
        let state = StepState::ALL.into_iter().find(|state| state.word() == word);
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        if let (Some(state), Some(known)) = (state, states.get_mut(step)) {
            *known = (state, text);
        }
    }
    Ok(states)
}
