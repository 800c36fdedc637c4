//! Carries a plan out: what is begun when, and what is not attempted any more.
//!
//! After a failure what depends on it is skipped, with one exception: what a restart has stopped is started again
//! where the failure kept what it needs from being touched at all.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::control::ActionKind;
use rta_shared::plan::{Conduct, PlanEnd, Step, StepState};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::spoken;

/// How many steps are under way at once where nobody says, and at most.
const PARALLEL: u32 = 8;
const MOST_PARALLEL: u32 = 64;

/// How many steps may be under way at once by this conduct.
fn parallel(conduct: &Conduct) -> usize {
    let wished = if conduct.parallel == 0 { PARALLEL } else { conduct.parallel };
    usize::try_from(wished.min(MOST_PARALLEL)).unwrap_or(1)
}

/// Carries out the plan of `account`; `perform` does one step, by its position, and says how that went. `None`:
/// the aggregator is `ending`, and the plan has not ended.
pub(crate) async fn run<F>(
    account: &Account,
    conduct: &Conduct,
    perform: impl Fn(usize, Step) -> F,
    ending: &CancellationToken,
) -> Option<PlanEnd>
where
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    let steps = &account.begun().plan.steps;
    let mut under_way = UnderWay::default();
    loop {
        skip(account, conduct.keep_going);
        for at in ready(steps, &account.states()) {
            if under_way.tasks.len() >= parallel(conduct) || ending.is_cancelled() {
                break;
            }
            // One that was cancelled in between is skipped in the next round.
            if account.begin(at, Timestamp::now()) {
                under_way.begin(at, perform(at, steps[at].clone()));
            }
        }
        let is_cancelled = account.cancelled().is_cancelled();
        if under_way.tasks.is_empty() {
            let is_over = account.states().into_iter().all(StepState::is_final);
            match (is_over, ending.is_cancelled()) {
                (true, _) => return Some(account.end(Timestamp::now())),
                (false, true) => return None,
                // It was cancelled just now.
                (false, false) => continue,
            }
        }
        tokio::select! {
            ended = under_way.next() => {
                if let Some((at, state, text)) = ended {
                    account.settle(at, Timestamp::now(), state, text);
                }
            }
            () = account.cancelled().cancelled(), if !is_cancelled => {}
            // What is under way on the agents ends by itself; how, is looked at by the next aggregator.
            () = ending.cancelled() => return None,
        }
    }
}

/// The steps that are being performed.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<Result<String, String>>,
    steps: HashMap<Id, usize>,
}

impl UnderWay {
    fn begin(
        &mut self,
        step: usize,
        performing: impl Future<Output = Result<String, String>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(performing);
        self.steps.insert(task.id(), step);
    }

    /// The next one that ends, and how; `None` where there is none.
    async fn next(&mut self) -> Option<(usize, StepState, String)> {
        let joined = self.tasks.join_next_with_id().await?;
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let step = self.steps.remove(&id)?;
        Some(match joined {
            Ok((_, Ok(text))) => (step, StepState::Done, text),
            Ok((_, Err(reason))) => (step, StepState::Failed, reason),
            Err(error) => (step, StepState::Failed, format!("the aggregator failed: {error}")),
        })
    }
}

/// The steps whose turn has come, in the plan's order.
fn ready(steps: &[Step], states: &[StepState]) -> Vec<usize> {
    let is_ready = |at: &usize| {
        states[*at] == StepState::Waiting
            && steps[*at].after.iter().all(|before| lets_go(steps, states, *before, *at))
    };
    (0..steps.len()).filter(is_ready).collect()
}

/// Whether the step `at` need not wait any longer for the one `before`.
fn lets_go(steps: &[Step], states: &[StepState], before: usize, at: usize) -> bool {
    match states[before] {
        StepState::Done => true,
        StepState::Skipped => comes_back(steps, states, at) && is_untouched(steps, states, before),
        StepState::Waiting | StepState::UnderWay | StepState::Failed | StepState::Interrupted => false,
    }
}

/// Whether a step starts again what this plan has stopped, or is just stopping. That is done even after a
/// failure elsewhere: nobody asked for it to be down.
fn comes_back(steps: &[Step], states: &[StepState], at: usize) -> bool {
    let step = &steps[at];
    step.action == ActionKind::Start
        && step.after.iter().any(|before| {
            matches!(states[*before], StepState::Done | StepState::UnderWay)
                && steps[*before].action == ActionKind::Stop
                && steps[*before].instance == step.instance
        })
}

/// Whether a step's instance is as it was before the plan, and stays so.
fn is_untouched(steps: &[Step], states: &[StepState], at: usize) -> bool {
    let mut own = (0..steps.len()).filter(|other| steps[*other].instance == steps[at].instance);
    own.all(|other| states[other] == StepState::Skipped)
}

/// Skips what is not to be attempted any more.
fn skip(account: &Account, keep_going: bool) {
    let steps = &account.begun().plan.steps;
    let mut states = account.states();
    let first_failure = states.iter().position(|state| *state == StepState::Failed);
    let is_cancelled = account.cancelled().is_cancelled();
    // The step whose failure is in the way of each; those before a step come before it.
    let mut culprits: Vec<Option<usize>> = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        let is_in_the_way =
            |before: &usize| states[*before].is_final() && !lets_go(steps, &states, *before, at);
        let culprit = match states[at] {
            StepState::Failed => Some(at),
            _ => step.after.iter().copied().filter(is_in_the_way).find_map(|before| culprits[before]),
        };
        culprits.push(culprit);
        if states[at] != StepState::Waiting {
            continue;
        }
        let reason = match (culprit, first_failure) {
            (Some(failed), _) => because(&steps[failed]),
            _ if is_cancelled => "not attempted: cancelled".to_owned(),
            (None, Some(failed)) if !keep_going && !comes_back(steps, &states, at) => because(&steps[failed]),
            (None, _) => continue,
        };
        states[at] = StepState::Skipped;
        account.settle(at, Timestamp::now(), StepState::Skipped, reason);
    }
}

fn because(failed: &Step) -> String {
    format!("not attempted, since the {} of {} failed", failed.action, spoken(&failed.instance))
}

/// A plan's task, which holds what it needs.
pub(crate) async fn run_to_the_end<F>(
    account: Arc<Account>,
    conduct: Conduct,
    perform: impl Fn(usize, Step) -> F,
    ending: CancellationToken,
) where
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    let id = account.begun().id;
    match run(&account, &conduct, perform, &ending).await {
        Some(end) if end.is_complete() => tracing::info!(plan = id, %end, "plan ended"),
        Some(end) => tracing::warn!(plan = id, %end, "plan ended"),
        None => tracing::warn!(plan = id, "the aggregator ends before the plan"),
    }
}

#[cfg(test)]
mod tests;
