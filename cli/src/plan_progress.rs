//! State of a plan, derived from its events; no I/O.

use std::collections::HashSet;
use std::time::Instant;

use rta_shared::action::ActionPhase;
use rta_shared::plan::{PlanStart, StepChange, StepState};

/// State of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepProgress {
    pub(crate) state: StepState,
    /// Phase that the agent has reached, while the step is in progress.
    pub(crate) phase: Option<ActionPhase>,
    /// Text of the last event.
    pub(crate) text: String,
    /// Local time of the event that the step is in progress, because clocks of other hosts may differ.
    pub(crate) started_at: Option<Instant>,
}

/// Plan in execution.
#[derive(Clone, Debug)]
pub(crate) struct PlanProgress {
    pub(crate) begun: PlanStart,
    /// State of each step.
    pub(crate) steps: Vec<StepProgress>,
    /// Number of waiting steps.
    pub(crate) waiting: usize,
    seen_changes: HashSet<(usize, StepState, String)>,
}

impl PlanProgress {
    pub(crate) fn new(begun: PlanStart) -> Self {
        let waiting =
            StepProgress { state: StepState::Waiting, phase: None, text: String::new(), started_at: None };
        let count = begun.plan.steps.len();
        Self { steps: vec![waiting; count], waiting: count, begun, seen_changes: HashSet::new() }
    }

    /// Applies an event received at `now`; returns true if it is new. After a reconnect events are replayed
    /// from the beginning, and no event changes a step that has ended.
    pub(crate) fn apply(&mut self, change: &StepChange, now: Instant) -> bool {
        let Some(step) = self.steps.get_mut(change.step) else { return false };
        if step.state.is_final()
            || !self.seen_changes.insert((change.step, change.state, change.text.clone()))
        {
            return false;
        }
        if step.state == StepState::Waiting && change.state != StepState::Waiting {
            self.waiting -= 1;
        }
        step.state = change.state;
        step.phase = change.progress.as_ref().map(|progress| progress.phase);
        step.text.clone_from(&change.text);
        if change.state == StepState::UnderWay {
            step.started_at.get_or_insert(now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::action::{ActionKind, Requester};
    use rta_shared::plan::{Plan, Step};

    use super::*;

    #[test]
    fn what_is_told_again_is_no_news_and_an_end_is_final() {
        let step = Step {
            instance: rta_shared::overview::InstanceId {
                environment: "E".into(),
                host: "h".into(),
                component: "c".into(),
            },
            action: ActionKind::Start,
            named: true,
            after: vec![],
            why: String::new(),
            irreversible: String::new(),
            batch: 0,
            gate: None,
        };
        let plan = Plan { kind: ActionKind::Start, steps: vec![step] };
        let at = Timestamp::UNIX_EPOCH;
        let mut progress =
            PlanProgress::new(PlanStart { id: 1, plan, at, by: Requester::default(), unrecorded: None });
        let now = Instant::now();
        let mut tell = |step, state, text: &str| {
            progress.apply(&StepChange { step, at, state, progress: None, text: text.to_owned() }, now)
        };
        assert!(tell(0, StepState::UnderWay, "launched"));
        assert!(!tell(0, StepState::UnderWay, "launched"));
        assert!(tell(0, StepState::Done, "started"));
        assert!(!tell(0, StepState::UnderWay, "matched"));
        assert!(!tell(7, StepState::Done, "of no step"));
        assert_eq!((progress.steps[0].state, progress.steps[0].started_at), (StepState::Done, Some(now)));
    }
}
