//! Plans and their steps.

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

/// Reads the plans without an end. One that cannot be read is logged and left out.
pub(super) fn read_unfinished(session: &mut dyn SqlSession) -> Result<Vec<UnfinishedPlan>, StoreError> {
    let plans = session.query_all(
        "SELECT id, at, \"user\", address, plan FROM plans WHERE ended IS NULL ORDER BY id",
        &[],
        |row| {
            let by = Requester { user: row.text(2)?, address: row.text(3)? };
            Ok((row.number(0)?, row.time(1)?, by, row.text(4)?))
        },
    )?;
    let mut all = Vec::new();
    for (id, at, by, plan) in plans {
        let plan: Plan = match serde_json::from_str(&plan) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(plan = id, %error, "a recorded plan cannot be read and is passed over");
                continue;
            }
        };
        let mut states = vec![(StepState::Waiting, String::new()); plan.steps.len()];
        let steps =
            session.query_all("SELECT step, state, text FROM steps WHERE plan = ?1", values![id], |row| {
                Ok((row.number(0)?, row.text(1)?, row.text(2)?))
            })?;
        for (step, word, text) in steps {
            let state = StepState::ALL.into_iter().find(|state| state.word() == word);
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            if let (Some(state), Some(known)) = (state, states.get_mut(step)) {
                *known = (state, text);
            }
        }
        all.push(UnfinishedPlan { begun: PlanStart { id, plan, at, by, unrecorded: None }, states });
    }
    Ok(all)
}
