//! Execution of a plan: begins the steps that are ready, and stores their outcomes.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::plan::{ExecutionOptions, PlanEnd, Step, StepState};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::schedule::{Schedule, SkipReason, Skipped, StepEnd};

/// Default and maximum number of steps under way at once.
const PARALLEL: u32 = 8;
const MOST_PARALLEL: u32 = 64;

/// Failure of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Sentence, possibly followed by the last log lines.
    pub(crate) reason: String,
    /// True if the agent could not be reached. That concerns one host, and only the steps that depend on it.
    pub(crate) unreachable: bool,
}

/// Returns the maximum number of steps under way at once.
fn parallel(conduct: &ExecutionOptions) -> usize {
    let wished = if conduct.parallel == 0 { PARALLEL } else { conduct.parallel };
    usize::try_from(wished.min(MOST_PARALLEL)).unwrap_or(1)
}

/// Runs the plan of `account`. `perform` executes one step, given its position, and returns its outcome.
/// Returns `None` if the aggregator is `ending` before the plan has ended.
pub(crate) async fn run<F>(
    account: &Account,
    conduct: &ExecutionOptions,
    perform: impl Fn(usize, Step) -> F,
    ending: &CancellationToken,
) -> Option<PlanEnd>
where
    F: Future<Output = Result<String, Failure>> + Send + 'static,
{
    let steps = &account.begun().plan.steps;
    let mut schedule = Schedule::new(steps, conduct.keep_going);
    let mut under_way = UnderWay::default();
    let mut is_cancelled = false;
    loop {
        if !is_cancelled && account.cancelled().is_cancelled() {
            is_cancelled = true;
            skip(account, schedule.cancel());
        }
        while under_way.tasks.len() < parallel(conduct) && !ending.is_cancelled() {
            let Some(at) = schedule.next_ready() else { break };
            // Cancelled in between: the next round skips it.
            if !account.begin(at, Timestamp::now()) {
                break;
            }
            schedule.begin(at);
            under_way.begin(at, perform(at, steps[at].clone()));
        }
        if under_way.tasks.is_empty() {
            match (schedule.is_over(), ending.is_cancelled()) {
                (true, _) => return Some(account.end(Timestamp::now())),
                (false, true) => return None,
                // Cancelled just now.
                (false, false) => continue,
            }
        }
        tokio::select! {
            ended = under_way.next() => {
                if let Some((at, end, text)) = ended {
                    let state = if end == StepEnd::Done { StepState::Done } else { StepState::Failed };
                    account.settle(at, Timestamp::now(), state, text);
                    skip(account, schedule.settle(at, end));
                }
            }
            () = account.cancelled().cancelled(), if !is_cancelled => {}
            // Steps under way on the agents continue; the next aggregator determines their outcome.
            () = ending.cancelled() => return None,
        }
    }
}

/// Marks the skipped steps.
fn skip(account: &Account, skipped: Vec<Skipped>) {
    let steps = &account.begun().plan.steps;
    let now = Timestamp::now();
    for (at, why) in skipped {
        match why {
            SkipReason::DependsOn(failed) => {
                account.settle(at, now, StepState::Skipped, because(&steps[failed]));
            }
            SkipReason::AfterFailure(failed) => {
                let reason = because(&steps[failed]);
                let reason = format!("{reason} (--keep-going goes on with what does not depend on it)");
                account.settle(at, now, StepState::Skipped, reason);
            }
            SkipReason::Cancelled => account.skip_for_cancel(at, now),
        }
    }
}

/// Steps under way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<Result<String, Failure>>,
    steps: HashMap<Id, usize>,
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

    /// Waits for the next step to end. Returns its position, its end and its text; `None` if there is none.
    async fn next(&mut self) -> Option<(usize, StepEnd, String)> {
        let joined = self.tasks.join_next_with_id().await?;
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let step = self.steps.remove(&id)?;
        Some(match joined {
            Ok((_, Ok(text))) => (step, StepEnd::Done, text),
            Ok((_, Err(Failure { reason, unreachable: true }))) => (step, StepEnd::Unreachable, reason),
            Ok((_, Err(Failure { reason, unreachable: false }))) => (step, StepEnd::Failed, reason),
            Err(error) => (step, StepEnd::Failed, format!("the aggregator failed: {error}")),
        })
    }
}

fn because(failed: &Step) -> String {
    format!("not attempted, since the {} of {} failed", failed.action, failed.instance.name_in_text())
}

/// Runs a plan in a task that owns its arguments.
pub(crate) async fn run_to_the_end<F>(
    account: Arc<Account>,
    conduct: ExecutionOptions,
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
