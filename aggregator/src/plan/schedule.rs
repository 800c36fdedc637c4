//! Decides which steps of a plan may begin, and which are not attempted any more. Pure.
//!
//! A change costs work in proportion to the steps that wait for the changed one: a plan of thousands of steps is
//! scheduled in time proportional to its steps and to what they wait for.
//!
//! After a failure what depends on it is skipped, with one exception: what a restart has stopped is started again
//! where the failure kept what it needs from being touched at all. So it is after a cancel.

use std::collections::{BTreeSet, HashMap};

use rta_shared::control::ActionKind;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{Step, StepState};

/// Why a step is not attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SkipReason {
    /// It waits for a step that failed, directly or through others: the failed one's position.
    DependsOn(usize),
    /// After this step's failure nothing new begins.
    AfterFailure(usize),
    /// The plan was cancelled.
    Cancelled,
}

/// A step that is not attempted, by its position.
pub(super) type Skipped = (usize, SkipReason);

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepEnd {
    Done,
    /// Nothing new begins after it, unless the plan keeps going.
    Failed,
    /// Its agent could not be reached. That is in the way only of what depends on it.
    Unreachable,
}

/// How the steps of one plan stand.
#[derive(Debug)]
pub(super) struct Schedule<'p> {
    steps: &'p [Step],
    keep_going: bool,
    states: Vec<StepState>,
    /// For each step, those that wait for it.
    dependents: Vec<Vec<usize>>,
    /// For each step, how many of those that it waits for have not ended.
    unfinished: Vec<usize>,
    /// For each step, the position of its instance in `instances`.
    instance_of: Vec<usize>,
    instances: Vec<InstanceSteps>,
    /// For each step that failed or was skipped for a failure that it depends on: the failed step.
    culprits: Vec<Option<usize>>,
    /// The steps whose turn has come.
    ready: BTreeSet<usize>,
    /// How many steps have ended or were skipped.
    settled: usize,
    /// Why nothing new begins, but for what starts again what the plan has stopped.
    halted: Option<SkipReason>,
}

/// The steps of one instance.
#[derive(Debug, Default)]
struct InstanceSteps {
    all: Vec<usize>,
    skipped: usize,
}

impl<'p> Schedule<'p> {
    /// Schedules `steps`, each of which waits only for earlier ones. With `keep_going` a failure is in the way only of
    /// what depends on it.
    pub(super) fn new(steps: &'p [Step], keep_going: bool) -> Self {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
        let mut known: HashMap<&InstanceId, usize> = HashMap::new();
        let mut instances: Vec<InstanceSteps> = Vec::new();
        let mut instance_of = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            step.after.iter().for_each(|before| dependents[*before].push(at));
            let instance = *known.entry(&step.instance).or_insert_with(|| {
                instances.push(InstanceSteps::default());
                instances.len() - 1
            });
            instances[instance].all.push(at);
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
            culprits: vec![None; steps.len()],
            settled: 0,
            halted: None,
        }
    }

    /// Returns the first step whose turn has come.
    pub(super) fn next_ready(&self) -> Option<usize> {
        self.ready.first().copied()
    }

    /// Whether every step has ended or was skipped.
    pub(super) fn is_over(&self) -> bool {
        self.settled == self.steps.len()
    }

    /// Notes that a step is under way.
    pub(super) fn begin(&mut self, at: usize) {
        self.ready.remove(&at);
        self.states[at] = StepState::UnderWay;
    }

    /// Notes how a step has ended. Returns the steps that are not attempted for it, in the plan's order.
    pub(super) fn settle(&mut self, at: usize, end: StepEnd) -> Vec<Skipped> {
        let state = if end == StepEnd::Done { StepState::Done } else { StepState::Failed };
        let mut skipped = Vec::new();
        if state == StepState::Failed {
            self.culprits[at] = Some(at);
        }
        let affected = self.mark(at, state);
        self.spread(affected, &mut skipped);
        if end == StepEnd::Failed && !self.keep_going && self.halted.is_none() {
            self.halt(SkipReason::AfterFailure(at), &mut skipped);
        }
        skipped
    }

    /// Keeps from beginning what has not begun. Returns those steps, in the plan's order.
    pub(super) fn cancel(&mut self) -> Vec<Skipped> {
        let mut skipped = Vec::new();
        self.halt(SkipReason::Cancelled, &mut skipped);
        skipped
    }

    fn halt(&mut self, why: SkipReason, skipped: &mut Vec<Skipped>) {
        self.halted = Some(why);
        let waiting = (0..self.steps.len()).filter(|at| self.states[*at] == StepState::Waiting).collect();
        self.spread(waiting, skipped);
    }

    /// Looks at the `affected` steps, and at those that are affected by what becomes of these. Those before a step have
    /// smaller positions, and are looked at first.
    fn spread(&mut self, mut affected: BTreeSet<usize>, skipped: &mut Vec<Skipped>) {
        while let Some(at) = affected.pop_first() {
            if self.states[at] != StepState::Waiting {
                continue;
            }
            match self.reason_to_skip(at) {
                Some(why) => {
                    if let SkipReason::DependsOn(failed) = why {
                        self.culprits[at] = Some(failed);
                    }
                    skipped.push((at, why));
                    affected.append(&mut self.mark(at, StepState::Skipped));
                }
                None => self.look_whether_ready(at),
            }
        }
    }

    fn reason_to_skip(&self, at: usize) -> Option<SkipReason> {
        let is_in_the_way = |before: &usize| self.states[*before].is_final() && !self.lets_begin(*before, at);
        let before = self.steps[at].after.iter().copied().filter(is_in_the_way);
        match before.filter_map(|before| self.culprits[before]).next() {
            Some(failed) => Some(SkipReason::DependsOn(failed)),
            None => self.halted.filter(|_| !self.restores_stopped(at)),
        }
    }

    fn look_whether_ready(&mut self, at: usize) {
        if self.unfinished[at] == 0 && self.steps[at].after.iter().all(|before| self.lets_begin(*before, at))
        {
            self.ready.insert(at);
        }
    }

    /// Notes that a step has ended so. Returns the steps that may be affected by it.
    fn mark(&mut self, at: usize, state: StepState) -> BTreeSet<usize> {
        self.states[at] = state;
        self.ready.remove(&at);
        self.settled += 1;
        let mut affected = BTreeSet::new();
        for dependent in &self.dependents[at] {
            self.unfinished[*dependent] -= 1;
            // What waits for others too, and for nothing that failed, goes on waiting.
            if state != StepState::Done || self.unfinished[*dependent] == 0 {
                affected.insert(*dependent);
            }
        }
        if state == StepState::Skipped {
            let instance = &mut self.instances[self.instance_of[at]];
            instance.skipped += 1;
            // Only now it is certain that the instance stays as it was.
            if instance.skipped == instance.all.len() {
                affected.extend(instance.all.iter().flat_map(|step| &self.dependents[*step]));
            }
        }
        affected
    }

    /// Whether the step `at` need not wait any longer for the one `before`.
    fn lets_begin(&self, before: usize, at: usize) -> bool {
        match self.states[before] {
            StepState::Done => true,
            StepState::Skipped => self.restores_stopped(at) && self.is_untouched(before),
            StepState::Waiting | StepState::UnderWay | StepState::Failed | StepState::Interrupted => false,
        }
    }

    /// Whether a step's instance is as it was before the plan, and stays so.
    fn is_untouched(&self, at: usize) -> bool {
        let instance = &self.instances[self.instance_of[at]];
        instance.skipped == instance.all.len()
    }

    fn restores_stopped(&self, at: usize) -> bool {
        restores_stopped(self.steps, |before| self.states[before], at)
    }
}

/// Whether a step starts again what this plan has stopped, or is just stopping. That is done even after a failure
/// elsewhere, and after a cancel: nobody asked for it to be down.
pub(super) fn restores_stopped(steps: &[Step], state: impl Fn(usize) -> StepState, at: usize) -> bool {
    let step = &steps[at];
    step.action == ActionKind::Start
        && step.after.iter().any(|before| {
            matches!(state(*before), StepState::Done | StepState::UnderWay)
                && steps[*before].action == ActionKind::Stop
                && steps[*before].instance == step.instance
        })
}

#[cfg(test)]
mod tests;
