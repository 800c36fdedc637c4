//! Planner: what is started, stopped and restarted, in which order, and why. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rta_shared::action::ActionKind;
use rta_shared::plan::{Plan, Step};
use tonic::Code;

use crate::operation_error::OperationError;
use crate::plans::planner_input::PlannerInput;
use crate::plans::selection::SelectedInstances;

/// Plans `kind` for the `selected` instances, and, unless `no_dependencies`, for their prerequisites and
/// dependents.
///
/// # Errors
/// Returns an error if a prerequisite would have to be started and cannot be.
pub(crate) fn make_plan(
    kind: ActionKind,
    input: PlannerInput<'_>,
    selected: &SelectedInstances,
    no_dependencies: bool,
) -> Result<Plan, OperationError> {
    let planner = Planner { input, selected, no_dependencies };
    let actions = match kind {
        ActionKind::Start => planner.plan_start()?,
        ActionKind::Stop => planner.plan_stop(),
        ActionKind::Restart => planner.plan_restart()?,
    };
    Ok(Plan { kind, steps: actions.order_steps(input, selected) })
}

struct Planner<'m> {
    input: PlannerInput<'m>,
    selected: &'m SelectedInstances,
    no_dependencies: bool,
}

/// Actions by position, not ordered yet.
#[derive(Default)]
struct PlannedActions {
    /// Instances to stop. Those that are in `to_start` too are started again.
    to_stop: BTreeSet<usize>,
    /// Instances to restart in one step.
    to_restart: BTreeSet<usize>,
    /// Instances to start.
    to_start: BTreeSet<usize>,
    /// Reasons for the instances that were not named.
    reasons: BTreeMap<usize, String>,
    /// Notes about stops.
    notes: BTreeMap<usize, String>,
}

impl Planner<'_> {
    fn plan_start(&self) -> Result<PlannedActions, OperationError> {
        let mut actions = PlannedActions::default();
        let mut roots = Vec::new();
        for at in self.selected.positions.iter().copied() {
            let snapshot = self.input.snapshot(at);
            if !snapshot.startable && self.selected.is_single {
                return Err(self.no_start_command_error(ActionKind::Start, at));
            }
            if snapshot.startable && (self.selected.is_single || !snapshot.is_running()) {
                actions.to_start.insert(at);
            }
            // An instance that is only watched, and does not run, needs no prerequisites.
            if snapshot.startable || snapshot.is_running() {
                roots.push(at);
            }
        }
        self.add_prerequisites(&roots, &mut actions)?;
        Ok(actions)
    }

    fn plan_stop(&self) -> PlannedActions {
        let is_included = |at: &usize| {
            let snapshot = self.input.snapshot(*at);
            self.selected.is_single || snapshot.is_alive() || !snapshot.is_known()
        };
        let mut actions = PlannedActions::default();
        actions.to_stop.extend(self.selected.positions.iter().copied().filter(is_included));
        if !self.no_dependencies {
            actions.reasons = self.input.dependents_losing_provider(&actions.to_stop);
            actions.to_stop.extend(actions.reasons.keys());
            actions.notes = self.input.notes_on_unknown_dependents(&actions.to_stop);
        }
        actions
    }

    fn plan_restart(&self) -> Result<PlannedActions, OperationError> {
        let mut actions = PlannedActions::default();
        let mut roots = Vec::new();
        let mut running = BTreeSet::new();
        for at in self.selected.positions.iter().copied() {
            let snapshot = self.input.snapshot(at);
            let may_run = snapshot.is_alive() || !snapshot.is_known();
            if !snapshot.startable && (self.selected.is_single || may_run) {
                return Err(self.no_start_command_error(ActionKind::Restart, at));
            }
            if snapshot.startable {
                roots.push(at);
                let set = if may_run { &mut running } else { &mut actions.to_start };
                set.insert(at);
            }
        }
        if !self.no_dependencies {
            actions.reasons = self.input.dependents_losing_provider(&running);
            for (at, why) in &actions.reasons {
                if !self.input.snapshot(*at).startable {
                    let dependent = self.input.display_name(*at);
                    let message = format!(
                        "{dependent} would be stopped, since {why}, and could not be started again: the configuration \
                         has no start command for it; stop it by hand, or say --no-dependencies"
                    );
                    return Err(OperationError::new(Code::FailedPrecondition, message));
                }
                running.insert(*at);
            }
            actions.notes = self.input.notes_on_unknown_dependents(&running);
        }
        let needs = self.input.prerequisites_within(&running);
        for at in &running {
            if needs[*at].is_empty() {
                actions.to_restart.insert(*at);
            } else {
                actions.to_stop.insert(*at);
                actions.to_start.insert(*at);
            }
        }
        self.add_prerequisites(&roots, &mut actions)?;
        Ok(actions)
    }

    /// Adds the missing prerequisites of `roots`.
    fn add_prerequisites(&self, roots: &[usize], actions: &mut PlannedActions) -> Result<(), OperationError> {
        if self.no_dependencies {
            return Ok(());
        }
        let begun = actions.to_start.union(&actions.to_restart).copied().collect();
        let missing = self.input.missing_prerequisites(roots, &begun)?;
        actions.to_start.extend(missing.keys());
        actions.reasons.extend(missing);
        Ok(())
    }

    fn no_start_command_error(&self, kind: ActionKind, at: usize) -> OperationError {
        let message = format!(
            "{kind} of {}: the configuration has no start command for it; it is watched only",
            self.input.display_name(at)
        );
        OperationError::new(Code::FailedPrecondition, message)
    }
}

impl PlannedActions {
    /// Orders the steps: first the starts that depend on nothing that is stopped; then the stops, dependents
    /// first; then the starts and restarts, prerequisites first.
    fn order_steps(&self, input: PlannerInput<'_>, selected: &SelectedInstances) -> Vec<Step> {
        let touched: BTreeSet<usize> =
            self.to_stop.iter().chain(&self.to_restart).chain(&self.to_start).copied().collect();
        let needs = input.prerequisites_within(&touched);
        let order = input.graph.prerequisites_first();
        let is_named = |at: usize| selected.positions.binary_search(&at).is_ok();
        let mut steps: Vec<Step> = Vec::new();
        let mut starts: HashMap<usize, usize> = HashMap::new();
        let mut stops: HashMap<usize, usize> = HashMap::new();
        let mut add = |at: usize, action, after: BTreeSet<usize>| {
            let comes_back = action == ActionKind::Start && self.to_stop.contains(&at);
            let mut why = match self.reasons.get(&at).filter(|_| !is_named(at)) {
                Some(_) if comes_back => "it ran before".to_owned(),
                why => why.cloned().unwrap_or_default(),
            };
            if let Some(note) = self.notes.get(&at).filter(|_| action != ActionKind::Start) {
                why = if why.is_empty() { note.clone() } else { format!("{why}; {note}") };
            }
            let instance = input.graph.id(at).clone();
            let is_final = action == ActionKind::Stop && !self.to_start.contains(&at);
            let irreversible = match is_final && !input.snapshot(at).startable {
                true => "the configuration has no start command for it".to_owned(),
                false => String::new(),
            };
            steps.push(Step {
                instance,
                action,
                named: is_named(at),
                after: after.into_iter().collect(),
                why,
                irreversible,
                batch: 0,
                gate: None,
            });
            steps.len() - 1
        };
        let of = |others: &BTreeSet<usize>, steps: &HashMap<usize, usize>| -> BTreeSet<usize> {
            others.iter().filter_map(|other| steps.get(other)).copied().collect()
        };
        for at in order.iter().copied().filter(|at| self.to_start.contains(at) && !self.to_stop.contains(at))
        {
            if needs[at].iter().all(|other| starts.contains_key(other)) {
                starts.insert(at, add(at, ActionKind::Start, of(&needs[at], &starts)));
            }
        }
        // Stops wait for these starts, so that the prerequisites of a later start run before anything is
        // stopped.
        let pulled_in: BTreeSet<usize> =
            starts.iter().filter(|(at, _)| !is_named(**at)).map(|(_, step)| *step).collect();
        let mut dependents: HashMap<usize, Vec<usize>> = HashMap::new();
        for other in &self.to_stop {
            for at in &needs[*other] {
                dependents.entry(*at).or_default().push(*other);
            }
        }
        // Stops of the dependents.
        let of_dependents = |at: usize, stops: &HashMap<usize, usize>| -> BTreeSet<usize> {
            dependents.get(&at).into_iter().flatten().filter_map(|other| stops.get(other)).copied().collect()
        };
        for at in order.iter().rev().copied().filter(|at| self.to_stop.contains(at)) {
            let after = &of_dependents(at, &stops) | &pulled_in;
            stops.insert(at, add(at, ActionKind::Stop, after));
        }
        for at in
            order.iter().copied().filter(|at| self.to_restart.contains(at) || self.to_start.contains(at))
        {
            if starts.contains_key(&at) {
                continue;
            }
            let mut after = of(&needs[at], &starts);
            let action = if self.to_restart.contains(&at) {
                after.extend(of_dependents(at, &stops));
                ActionKind::Restart
            } else {
                after.extend(stops.get(&at));
                ActionKind::Start
            };
            starts.insert(at, add(at, action, after));
        }
        steps
    }
}

#[cfg(test)]
mod tests;
