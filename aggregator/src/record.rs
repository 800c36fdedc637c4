//! A stand-in for the record: it numbers plans, and remembers nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rta_shared::plan::{PlanBegun, PlanEnd, StepChange, StepState};

/// Where what happens is recorded; clones share it. Every call returns at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<AtomicU64>);

impl Recorder {
    /// A number that no plan had before.
    pub(crate) fn next_plan_id(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A plan begins.
    pub(crate) fn plan_begun(&self, _: &PlanBegun) {}

    /// A step of it came to something.
    pub(crate) fn step_changed(&self, _: u64, _: &StepChange) {}

    /// It ended.
    pub(crate) fn plan_ended(&self, _: u64, _: &PlanEnd) {}

    /// The plans that an earlier aggregator began and did not end.
    pub(crate) fn unfinished(&self) -> Vec<Unfinished> {
        Vec::new()
    }
}

/// A plan that has not ended.
pub(crate) struct Unfinished {
    pub(crate) begun: PlanBegun,
    /// How each step stood, and what was said of it last.
    pub(crate) states: Vec<(StepState, String)>,
}
