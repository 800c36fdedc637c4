//! Rolling restarts: a plan of one batch of hosts after the other, with gates between them. Pure.

use std::collections::{BTreeSet, HashMap};

use jiff::SignedDuration;
use rta_shared::action::ActionKind;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{BatchGate, GateCondition, Plan, RollingRestart, Step};
use rta_shared::report::State;
use tonic::Code;

use crate::operation_error::OperationError;
use crate::plans::planner::make_plan;
use crate::plans::planner_input::{InstanceSnapshot, PlannerInput};
use crate::plans::selection::SelectedInstances;

/// Maximum time for which a batch pauses, so that a slip of the pen does not stop a plan for days.
const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(24);

/// Plans the restart of the `selected` instances batch by batch over their hosts. Each batch is the plan of a
/// restart by itself, for the state that the batches before it leave. `has_probe` returns true for a
/// component with a probe.
///
/// # Errors
/// Returns an error if the batches are malformed, if a gate cannot be evaluated, or if there is no plan for a
/// batch.
pub(crate) fn plan_rolling_restart(
    input: PlannerInput<'_>,
    selected: &SelectedInstances,
    rolling: &RollingRestart,
    no_dependencies: bool,
    has_probe: impl Fn(&Name) -> bool,
) -> Result<Plan, OperationError> {
    let invalid = |message: &str| Err(OperationError::new(Code::InvalidArgument, message));
    let Some(size) = usize::try_from(rolling.batch).ok().filter(|size| *size > 0) else {
        return invalid("a batch needs at least 1 host");
    };
    if rolling.pause.is_negative() || rolling.pause > MAX_PAUSE {
        return invalid("the pause between two batches must be between 0 and 24 hours");
    }
    if rolling.condition == GateCondition::Probe {
        refuse_without_probe(input, selected, has_probe)?;
    }
    let mut snapshots = input.snapshots.to_vec();
    let positions: HashMap<&InstanceId, usize> =
        (0..input.graph.len()).map(|at| (input.graph.id(at), at)).collect();
    let mut plan = RollingPlan { steps: Vec::new(), gates: Vec::new() };
    let batches = split_batches(input, selected, size);
    let last = batches.len();
    for (number, batch) in (1..).zip(batches) {
        let batch = SelectedInstances { positions: batch, is_single: false };
        let input = PlannerInput { snapshots: &snapshots, ..input };
        let steps = make_plan(ActionKind::Restart, input, &batch, no_dependencies)?.steps;
        note_started(&steps, &positions, &mut snapshots);
        let pause = if usize::try_from(number) == Ok(last) { SignedDuration::ZERO } else { rolling.pause };
        plan.add_batch(number, steps, &BatchGate { condition: rolling.condition, pause });
    }
    // An instance of a later batch can be a dependent of an earlier one.
    for step in &mut plan.steps {
        let at = positions.get(&step.instance);
        step.named = at.is_some_and(|at| selected.positions.binary_search(at).is_ok());
    }
    Ok(Plan { kind: ActionKind::Restart, steps: plan.steps })
}

/// Returns an error if a selected component has no probe that a gate could wait for.
fn refuse_without_probe(
    input: PlannerInput<'_>,
    selected: &SelectedInstances,
    has_probe: impl Fn(&Name) -> bool,
) -> Result<(), OperationError> {
    let mut components = selected.positions.iter().map(|at| &input.graph.id(*at).component);
    match components.find(|component| !has_probe(component)) {
        None => Ok(()),
        Some(component) => {
            let message = format!(
                "{component} has no probe in the configuration that a batch could wait for; add one, or say --gate up"
            );
            Err(OperationError::new(Code::FailedPrecondition, message))
        }
    }
}

/// Splits the selected instances into batches of `size` hosts, in the configuration's order.
fn split_batches(input: PlannerInput<'_>, selected: &SelectedInstances, size: usize) -> Vec<Vec<usize>> {
    let mut by_host: Vec<Vec<usize>> = Vec::new();
    let mut last = None;
    for at in selected.positions.iter().copied() {
        let host = Some(&input.graph.id(at).host);
        if host != last {
            by_host.push(Vec::new());
            last = host;
        }
        by_host.iter_mut().last().into_iter().for_each(|of_host| of_host.push(at));
    }
    by_host.chunks(size).map(|hosts| hosts.concat()).collect()
}

/// Changes the snapshots to those after these steps: what was started or restarted runs.
fn note_started(steps: &[Step], positions: &HashMap<&InstanceId, usize>, snapshots: &mut [InstanceSnapshot]) {
    for step in steps.iter().filter(|step| step.action != ActionKind::Stop) {
        let snapshot = positions.get(&step.instance).and_then(|at| snapshots.get_mut(*at));
        if let Some(snapshot) = snapshot {
            snapshot.state = Some(State::Running);
        }
    }
}

/// Steps of the batches so far.
struct RollingPlan {
    steps: Vec<Step>,
    /// Positions of the gates of the last batch.
    gates: Vec<usize>,
}

impl RollingPlan {
    /// Appends the steps of a batch, which begin after the gates before it, and a gate for each named
    /// instance, which waits until all steps of the batch are done.
    fn add_batch(&mut self, number: u32, steps: Vec<Step>, gate: &BatchGate) {
        let first = self.steps.len();
        let mut ends: BTreeSet<usize> = (first..first + steps.len()).collect();
        let named: BTreeSet<InstanceId> = steps
            .iter()
            .filter(|step| step.named && step.action != ActionKind::Stop)
            .map(|step| step.instance.clone())
            .collect();
        for mut step in steps {
            step.after.iter_mut().for_each(|before| *before += first);
            step.after.iter().for_each(|before| {
                ends.remove(before);
            });
            if step.after.is_empty() {
                step.after.clone_from(&self.gates);
            }
            step.batch = number;
            self.steps.push(step);
        }
        let after: Vec<usize> = ends.into_iter().collect();
        if named.is_empty() {
            return;
        }
        self.gates.clear();
        for instance in named {
            self.gates.push(self.steps.len());
            self.steps.push(Step {
                instance,
                action: ActionKind::Restart,
                named: true,
                after: after.clone(),
                why: gate_sentence(gate),
                irreversible: String::new(),
                batch: number,
                gate: Some(gate.clone()),
            });
        }
    }
}

/// Returns what a gate waits for, as a sentence: `it must be up for 30s`.
fn gate_sentence(gate: &BatchGate) -> String {
    let condition = match gate.condition {
        GateCondition::Up => "it must be up",
        GateCondition::Probe => "it must be up and pass its probe",
    };
    match gate.pause.is_zero() {
        true => condition.to_owned(),
        false => format!("{condition}, for {:#}", gate.pause),
    }
}

#[cfg(test)]
mod tests;
