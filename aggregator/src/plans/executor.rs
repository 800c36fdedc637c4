//! Execution of a plan: begins the steps that are ready, and stores their outcomes.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::plan::{ExecutionOptions, PlanEnd, Step, StepState};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::schedule::{Schedule, SkipReason, SkippedStep, StepEnd};
use crate::plans::run::PlanRun;

/// Default and maximum number of steps under way at once.
const DEFAULT_PARALLEL: u32 = 8;
const MAX_PARALLEL: u32 = 64;

/// Failure of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepFailure {
    /// Sentence, possibly followed by the last log lines.
    pub(crate) reason: String,
    /// True if the agent could not be reached. That concerns one host, and only the steps that depend on it.
    pub(crate) unreachable: bool,
}

/// Returns the maximum number of steps under way at once.
fn parallel_limit(options: &ExecutionOptions) -> usize {
    let requested = if options.parallel == 0 { DEFAULT_PARALLEL } else { options.parallel };
    usize::try_from(requested.min(MAX_PARALLEL)).unwrap_or(1)
}

/// Runs the plan of `plan_run`. `perform` executes one step, given its position, and returns its outcome; `settle` ends
/// when the overview shows the outcomes of all steps, before which the plan does not end. Returns `None` if the
/// aggregator is `ending` before the plan has ended.
pub(crate) async fn run_steps<F>(
    plan_run: &PlanRun,
    options: &ExecutionOptions,
    perform: impl Fn(usize, Step) -> F,
    settle: impl Future<Output = ()>,
    ending: &CancellationToken,
) -> Option<PlanEnd>
where
    F: Future<Output = Result<String, StepFailure>> + Send + 'static,
{
    let steps = &plan_run.begun().plan.steps;
    let mut schedule = Schedule::new(steps, options.keep_going);
    let mut under_way = RunningSteps::default();
    let mut is_cancelled = false;
    loop {
        if !is_cancelled && plan_run.cancelled().is_cancelled() {
            is_cancelled = true;
            skip_steps(plan_run, schedule.cancel());
        }
        while under_way.tasks.len() < parallel_limit(options) && !ending.is_cancelled() {
            let Some(at) = schedule.next_ready() else { break };
            // Cancelled in between: the next round skips it.
            if !plan_run.begin_step(at, Timestamp::now()) {
                break;
            }
            schedule.begin_step(at);
            under_way.begin(at, perform(at, steps[at].clone()));
        }
        if under_way.tasks.is_empty() {
            match (schedule.is_over(), ending.is_cancelled()) {
                (true, _) => break,
                (false, true) => return None,
                // Cancelled just now.
                (false, false) => continue,
            }
        }
        tokio::select! {
            ended = under_way.next() => {
                if let Some((at, end, text)) = ended {
                    let state = if end == StepEnd::Done { StepState::Done } else { StepState::Failed };
                    plan_run.end_step(at, Timestamp::now(), state, text);
                    skip_steps(plan_run, schedule.end_step(at, end));
                }
            }
            () = plan_run.cancelled().cancelled(), if !is_cancelled => {}
            // Steps under way on the agents continue; the next aggregator determines their outcome.
            () = ending.cancelled() => return None,
        }
    }
    tokio::select! {
        biased;
        // The next aggregator ends the plan.
        () = ending.cancelled() => None,
        () = settle => Some(plan_run.end_plan(Timestamp::now())),
    }
}

/// Marks the skipped steps.
fn skip_steps(plan_run: &PlanRun, skipped: Vec<SkippedStep>) {
    let steps = &plan_run.begun().plan.steps;
    let now = Timestamp::now();
    for (at, why) in skipped {
        match why {
            SkipReason::DependsOn(failed) => {
                plan_run.end_step(at, now, StepState::Skipped, failure_reason(&steps[failed]));
            }
            SkipReason::AfterFailure(failed) => {
                let reason = failure_reason(&steps[failed]);
                let reason = format!("{reason} (--keep-going goes on with what does not depend on it)");
                plan_run.end_step(at, now, StepState::Skipped, reason);
            }
            SkipReason::Cancelled => plan_run.skip_cancelled_step(at, now),
        }
    }
}

/// Steps under way.
#[derive(Default)]
struct RunningSteps {
    tasks: JoinSet<Result<String, StepFailure>>,
    steps: HashMap<Id, usize>,
}

impl RunningSteps {
    fn begin(
        &mut self,
        step: usize,
        performing: impl Future<Output = Result<String, StepFailure>> + Send + 'static,
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
            Ok((_, Err(StepFailure { reason, unreachable: true }))) => (step, StepEnd::Unreachable, reason),
            Ok((_, Err(StepFailure { reason, unreachable: false }))) => (step, StepEnd::Failed, reason),
            Err(error) => (step, StepEnd::Failed, format!("the aggregator failed: {error}")),
        })
    }
}

fn failure_reason(failed: &Step) -> String {
    format!("not attempted, since the {} of {} failed", failed.word(), failed.instance.name_in_text())
}

/// Runs a plan in a task that owns its arguments.
pub(crate) async fn run_plan<F>(
    plan_run: Arc<PlanRun>,
    options: ExecutionOptions,
    perform: impl Fn(usize, Step) -> F,
    settle: impl Future<Output = ()>,
    ending: CancellationToken,
) where
    F: Future<Output = Result<String, StepFailure>> + Send + 'static,
{
    let id = plan_run.begun().id;
    match run_steps(&plan_run, &options, perform, settle, &ending).await {
        Some(end) if end.is_complete() => tracing::info!(plan = id, %end, "plan ended"),
        Some(end) => tracing::warn!(plan = id, %end, "plan ended"),
        None => tracing::warn!(plan = id, "the aggregator ends before the plan"),
    }
}

#[cfg(test)]
mod tests;
