//! Carries a plan out: what is begun when, and what is not attempted any more.
//!
//! After a failure what depends on it is skipped, with one exception: what a restart has stopped is started again
//! where the failure kept what it needs from being touched at all. So it is after a cancel.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::plan::{Conduct, PlanEnd, Step, StepState};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::spoken;
use super::turn::{comes_back, lets_go, ready};

/// How many steps are under way at once where nobody says, and at most.
const PARALLEL: u32 = 8;
const MOST_PARALLEL: u32 = 64;

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A sentence, and perhaps a log's last lines below it.
    pub(crate) reason: String,
    /// Its agent could not be reached. That is a matter of one host, and says nothing of what does not depend on it.
    pub(crate) unreachable: bool,
}

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
    F: Future<Output = Result<String, Failure>> + Send + 'static,
{
    let steps = &account.begun().plan.steps;
    let mut under_way = UnderWay::default();
    loop {
        skip(account, conduct.keep_going, &under_way.unreachable);
        for at in ready(steps, &account.states()) {
            if under_way.tasks.len() >= parallel(conduct) || ending.is_cancelled() {
                break;
            }
            // Where the plan was cancelled in between, it is skipped in the next round.
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
    tasks: JoinSet<Result<String, Failure>>,
    steps: HashMap<Id, usize>,
    /// Those that failed since an agent could not be reached.
    unreachable: BTreeSet<usize>,
}

impl UnderWay {
    fn begin(
        &mut self,
        step: usize,
        performing: impl Future<Output = Result<String, Failure>> + Send + 'static,
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
            Ok((_, Err(Failure { reason, unreachable }))) => {
                if unreachable {
                    self.unreachable.insert(step);
                }
                (step, StepState::Failed, reason)
            }
            Err(error) => (step, StepState::Failed, format!("the aggregator failed: {error}")),
        })
    }
}

/// Skips what is not to be attempted any more; of what failed, the `unreachable` ones are in the way only of what
/// depends on them.
fn skip(account: &Account, keep_going: bool, unreachable: &BTreeSet<usize>) {
    let steps = &account.begun().plan.steps;
    let mut states = account.states();
    let is_cancelled = account.cancelled().is_cancelled();
    let fails = |state: &StepState| state.is_final() && *state != StepState::Done;
    if !is_cancelled && !states.iter().any(fails) {
        return;
    }
    let failed = |at: &usize| states[*at] == StepState::Failed && !unreachable.contains(at);
    let first_failure = (0..steps.len()).find(failed).filter(|_| !keep_going);
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
        let now = Timestamp::now();
        match (culprit, first_failure) {
            (Some(failed), _) => account.settle(at, now, StepState::Skipped, because(&steps[failed])),
            (None, _) if comes_back(steps, &states, at) => continue,
            (None, _) if is_cancelled => account.skip_for_cancel(at, now),
            (None, Some(failed)) => {
                let reason = because(&steps[failed]);
                let reason = format!("{reason} (--keep-going goes on with what does not depend on it)");
                account.settle(at, now, StepState::Skipped, reason);
            }
            (None, None) => continue,
        }
        states[at] = StepState::Skipped;
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
    F: Future<Output = Result<String, Failure>> + Send + 'static,
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
