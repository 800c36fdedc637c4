//! Whose turn it is: pure. What a step waits for, and what is done even where the rest is not attempted any more.

use rta_shared::control::ActionKind;
use rta_shared::plan::{Step, StepState};

/// The steps whose turn has come, in the plan's order.
pub(super) fn ready(steps: &[Step], states: &[StepState]) -> Vec<usize> {
    let is_ready = |at: &usize| {
        states[*at] == StepState::Waiting
            && steps[*at].after.iter().all(|before| lets_go(steps, states, *before, *at))
    };
    (0..steps.len()).filter(is_ready).collect()
}

/// Whether the step `at` need not wait any longer for the one `before`.
pub(super) fn lets_go(steps: &[Step], states: &[StepState], before: usize, at: usize) -> bool {
    match states[before] {
        StepState::Done => true,
        StepState::Skipped => comes_back(steps, states, at) && is_untouched(steps, states, before),
        StepState::Waiting | StepState::UnderWay | StepState::Failed | StepState::Interrupted => false,
    }
}

/// Whether a step starts again what this plan has stopped, or is just stopping. That is done even after a
/// failure elsewhere, and after a cancel: nobody asked for it to be down.
pub(super) fn comes_back(steps: &[Step], states: &[StepState], at: usize) -> bool {
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
