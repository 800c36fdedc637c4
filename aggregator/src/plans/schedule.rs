//! Scheduler: decides which steps of a plan may begin, and which are skipped. Pure.
//!
//! The cost of a change is proportional to the number of steps that wait for the changed one, so that the
//! total cost of a plan is proportional to its steps and their prerequisites.
//!
//! After a failure the steps that depend on it are skipped, with one exception: an instance that a restart
//! stopped is started again if its prerequisites were left untouched because of the failure. The same applies
//! after a cancel. An instance whose start is skipped is not stopped any more.

use std::collections::{BTreeSet, HashMap};

use rta_shared::action::ActionKind;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{Step, StepState};

/// Reason for a step to be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// Waits, directly or indirectly, for the failed step at this position.
    DependsOn(usize),
    /// The step at this position failed, and no new steps begin.
    AfterFailure(usize),
    /// The plan was cancelled.
    Cancelled,
}

/// Position of a skipped step, and the reason.
pub(crate) type SkippedStep = (usize, SkipReason);

/// End of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepEnd {
    Done,
    /// No new steps begin, unless the plan keeps going.
    Failed,
    /// The agent could not be reached. Only the steps that depend on this one are skipped.
    Unreachable,
}

/// States of the steps of one plan.
#[derive(Debug)]
pub(crate) struct Schedule<'p> {
    steps: &'p [Step],
    keep_going: bool,
    states: Vec<StepState>,
    /// Steps that wait for each step.
    dependents: Vec<Vec<usize>>,
    /// Number of prerequisites of each step that have not ended.
    unfinished: Vec<usize>,
    /// Position of each step's instance in `instances`.
    instance_of: Vec<usize>,
    instances: Vec<InstanceSteps>,
    /// Failed step that explains each failed or skipped step.
    root_failures: Vec<Option<usize>>,
    /// Steps that may begin now.
    ready: BTreeSet<usize>,
    /// Number of steps that have ended or were skipped.
    settled: usize,
    /// Reason why no new steps begin, except those that restart what the plan has stopped.
    halted: Option<SkipReason>,
}

/// Steps of one instance, in one batch of a rolling restart.
#[derive(Debug, Default)]
struct InstanceSteps {
    all: Vec<usize>,
    skipped: usize,
}

impl<'p> Schedule<'p> {
    /// Creates a schedule of `steps`, each of which waits only for earlier ones. With `keep_going` a failure
    /// skips only the steps that depend on it.
    pub(crate) fn new(steps: &'p [Step], keep_going: bool) -> Self {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
        let mut known: HashMap<(&InstanceId, u32), usize> = HashMap::new();
        let mut instances: Vec<InstanceSteps> = Vec::new();
        let mut instance_of = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            step.after.iter().for_each(|before| dependents[*before].push(at));
            let instance = *known.entry((&step.instance, step.batch)).or_insert_with(|| {
                instances.push(InstanceSteps::default());
                instances.len() - 1
            });
            // A gate does not touch its instance.
            if step.gate.is_none() {
                instances[instance].all.push(at);
            }
            instance_of.push(instance);
        }
        let unfinished: Vec<usize> = steps.iter().map(|step| step.after.len()).collect();
        Self {
            steps,
            keep_going,
            states: vec![StepState::Waiting; steps.len()],
            dependents,
            ready: (0..steps.len()).filter(|at| unfinished[*at] == 0).collect(),
            unfinished,
            instance_of,
            instances,
            root_failures: vec![None; steps.len()],
            settled: 0,
            halted: None,
        }
    }

    /// Returns the first step that may begin.
    pub(crate) fn next_ready(&self) -> Option<usize> {
        self.ready.first().copied()
    }

    /// Returns true if every step has ended or was skipped.
    pub(crate) fn is_over(&self) -> bool {
        self.settled == self.steps.len()
    }

    /// Marks a step as under way.
    pub(crate) fn begin_step(&mut self, at: usize) {
        self.ready.remove(&at);
        self.states[at] = StepState::UnderWay;
    }

    /// Applies the end of a step. Returns the steps that are skipped because of it, in the plan's order.
    pub(crate) fn end_step(&mut self, at: usize, end: StepEnd) -> Vec<SkippedStep> {
        let state = if end == StepEnd::Done { StepState::Done } else { StepState::Failed };
        let mut skipped = Vec::new();
        if state == StepState::Failed {
            self.root_failures[at] = Some(at);
        }
        let mut affected = self.set_final_state(at, state);
        if end == StepEnd::Failed && !self.keep_going && self.halted.is_none() {
            // Together with what depends on the failed step, in the plan's order: what an instance needs is left
            // untouched only if all its steps are skipped.
            affected.append(&mut self.halt(SkipReason::AfterFailure(at)));
        }
        self.propagate(affected, &mut skipped);
        skipped.sort_by_key(|(at, _)| *at);
        skipped
    }

    /// Skips the steps that have not begun. Returns them, in the plan's order.
    pub(crate) fn cancel(&mut self) -> Vec<SkippedStep> {
        let mut skipped = Vec::new();
        let affected = self.halt(SkipReason::Cancelled);
        self.propagate(affected, &mut skipped);
        skipped
    }

    /// Lets no new steps begin. Returns those that this affects.
    fn halt(&mut self, why: SkipReason) -> BTreeSet<usize> {
        self.halted = Some(why);
        (0..self.steps.len()).filter(|at| self.states[*at] == StepState::Waiting).collect()
    }

    /// Skips or readies the `affected` steps, and the steps affected by that in turn. Prerequisites have
    /// smaller positions and are therefore visited first. Steps that start again what was stopped come last: only
    /// then is it known what is left untouched.
    fn propagate(&mut self, mut affected: BTreeSet<usize>, skipped: &mut Vec<SkippedStep>) {
        let mut undecided = BTreeSet::new();
        loop {
            let (next, is_last) = match affected.pop_first() {
                Some(at) => (Some(at), false),
                None => (undecided.pop_first(), true),
            };
            let Some(at) = next else { return };
            if self.states[at] != StepState::Waiting {
                continue;
            }
            match self.reason_to_skip(at) {
                Some(_) if !is_last && may_be_unblocked(self.steps, |before| self.states[before], at) => {
                    undecided.insert(at);
                }
                Some(why) => {
                    if let SkipReason::DependsOn(failed) = why {
                        self.root_failures[at] = Some(failed);
                    }
                    skipped.push((at, why));
                    affected.append(&mut self.set_final_state(at, StepState::Skipped));
                    if let Some(stop) = self.own_waiting_stop(at) {
                        self.root_failures[stop] = self.root_failures[at];
                        skipped.push((stop, why));
                        affected.append(&mut self.set_final_state(stop, StepState::Skipped));
                    }
                }
                None => self.update_ready(at),
            }
        }
    }

    /// Returns the step that is to stop the instance before the start `at`, if it has not begun.
    fn own_waiting_stop(&self, at: usize) -> Option<usize> {
        let mut stops = self.steps[at].after.iter().copied();
        stops
            .find(|before| is_own_stop(self.steps, *before, at) && self.states[*before] == StepState::Waiting)
    }

    fn reason_to_skip(&self, at: usize) -> Option<SkipReason> {
        let is_in_the_way =
            |before: &usize| self.states[*before].is_final() && !self.is_unblocked(*before, at);
        let before = self.steps[at].after.iter().copied().filter(is_in_the_way);
        match before.filter_map(|before| self.root_failures[before]).next() {
            Some(failed) => Some(SkipReason::DependsOn(failed)),
            None => self.halted.filter(|_| !self.restores_stopped(at)),
        }
    }

    fn update_ready(&mut self, at: usize) {
        if self.unfinished[at] == 0
            && self.steps[at].after.iter().all(|before| self.is_unblocked(*before, at))
        {
            self.ready.insert(at);
        }
    }

    /// Sets the final state of a step. Returns the steps that it may affect.
    fn set_final_state(&mut self, at: usize, state: StepState) -> BTreeSet<usize> {
        self.states[at] = state;
        self.ready.remove(&at);
        self.settled += 1;
        let mut affected = BTreeSet::new();
        for dependent in &self.dependents[at] {
            self.unfinished[*dependent] -= 1;
            // Steps that wait for others too, and for nothing that failed, continue to wait.
            if state != StepState::Done || self.unfinished[*dependent] == 0 {
                affected.insert(*dependent);
            }
        }
        if state == StepState::Skipped && self.steps[at].gate.is_none() {
            let instance = &mut self.instances[self.instance_of[at]];
            instance.skipped += 1;
            // Only when all its steps are skipped is the instance certain to stay untouched.
            if instance.skipped == instance.all.len() {
                affected.extend(instance.all.iter().flat_map(|step| &self.dependents[*step]));
            }
        }
        affected
    }

    /// Returns true if the step `at` no longer waits for the step `before`.
    fn is_unblocked(&self, before: usize, at: usize) -> bool {
        match self.states[before] {
            StepState::Done => true,
            StepState::Skipped => self.restores_stopped(at) && self.is_untouched(before),
            StepState::Waiting | StepState::UnderWay | StepState::Failed | StepState::Interrupted => false,
        }
    }

    /// Returns true if the plan has not touched a step's instance and will not touch it.
    fn is_untouched(&self, at: usize) -> bool {
        let instance = &self.instances[self.instance_of[at]];
        instance.skipped == instance.all.len()
    }

    fn restores_stopped(&self, at: usize) -> bool {
        restores_stopped(self.steps, |before| self.states[before], at)
    }
}

/// Returns true if a step starts again what this plan has stopped or is stopping. Such a step runs even after
/// a failure elsewhere or a cancel, since nobody requested a stop.
pub(crate) fn restores_stopped(steps: &[Step], state: impl Fn(usize) -> StepState, at: usize) -> bool {
    steps[at].after.iter().any(|before| {
        matches!(state(*before), StepState::Done | StepState::UnderWay) && is_own_stop(steps, *before, at)
    })
}

/// Returns true if the step `at` starts again what was stopped, and waits for nothing that failed: what it needs may
/// yet turn out to be untouched.
fn may_be_unblocked(steps: &[Step], state: impl Fn(usize) -> StepState, at: usize) -> bool {
    restores_stopped(steps, &state, at)
        && steps[at].after.iter().all(|before| state(*before) != StepState::Failed)
}

/// Returns true if the step `before` stops the instance that the step `at` starts.
fn is_own_stop(steps: &[Step], before: usize, at: usize) -> bool {
    let (stop, start) = (&steps[before], &steps[at]);
    stop.action == ActionKind::Stop && start.action == ActionKind::Start && stop.instance == start.instance
}

#[cfg(test)]
mod tests;
