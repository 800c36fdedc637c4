//! Planner: what is started, stopped and restarted, in which order, and why. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rta_shared::action::ActionKind;
use rta_shared::plan::{Plan, Step};
use tonic::Code;

use super::reach::Situation;
use super::select::Named;
use crate::operation_error::OperationError;

/// Plans `kind` for the `named` instances, and, unless `no_dependencies`, for their prerequisites and
/// dependents.
///
/// # Errors
/// Returns an error if a prerequisite would have to be started and cannot be.
pub(crate) fn make(
    kind: ActionKind,
    situation: Situation<'_>,
    named: &Named,
    no_dependencies: bool,
) -> Result<Plan, OperationError> {
    let maker = Maker { situation, named, no_dependencies };
    let actions = match kind {
        ActionKind::Start => maker.start()?,
        ActionKind::Stop => maker.stop(),
        ActionKind::Restart => maker.restart()?,
    };
    Ok(Plan { kind, steps: actions.steps(situation, named) })
}

struct Maker<'m> {
    situation: Situation<'m>,
    named: &'m Named,
    no_dependencies: bool,
}

/// Actions by position, not ordered yet.
#[derive(Default)]
struct Actions {
    /// Instances to stop. Those that are in `up` too are started again.
    down: BTreeSet<usize>,
    /// Instances to restart in one step.
    once: BTreeSet<usize>,
    /// Instances to start.
    up: BTreeSet<usize>,
    /// Reasons for the instances that were not named.
    why: BTreeMap<usize, String>,
    /// Notes about stops.
    notes: BTreeMap<usize, String>,
}

impl Maker<'_> {
    fn start(&self) -> Result<Actions, OperationError> {
        let mut actions = Actions::default();
        let mut roots = Vec::new();
        for at in self.named.positions.iter().copied() {
            let standing = self.situation.standing(at);
            if !standing.startable && self.named.alone {
                return Err(self.watched_only(ActionKind::Start, at));
            }
            if standing.startable && (self.named.alone || !standing.runs()) {
                actions.up.insert(at);
            }
            // An instance that is only watched, and does not run, needs no prerequisites.
            if standing.startable || standing.runs() {
                roots.push(at);
            }
        }
        self.pull_in(&roots, &mut actions)?;
        Ok(actions)
    }

    fn stop(&self) -> Actions {
        let is_meant = |at: &usize| {
            let standing = self.situation.standing(*at);
            self.named.alone || standing.is_alive() || !standing.is_known()
        };
        let mut actions = Actions::default();
        actions.down.extend(self.named.positions.iter().copied().filter(is_meant));
        if !self.no_dependencies {
            actions.why = self.situation.left_without(&actions.down);
            actions.down.extend(actions.why.keys());
            actions.notes = self.situation.perhaps_left_without(&actions.down);
        }
        actions
    }

    fn restart(&self) -> Result<Actions, OperationError> {
        let mut actions = Actions::default();
        let mut roots = Vec::new();
        let mut running = BTreeSet::new();
        for at in self.named.positions.iter().copied() {
            let standing = self.situation.standing(at);
            let may_run = standing.is_alive() || !standing.is_known();
            if !standing.startable && (self.named.alone || may_run) {
                return Err(self.watched_only(ActionKind::Restart, at));
            }
            if standing.startable {
                roots.push(at);
                let set = if may_run { &mut running } else { &mut actions.up };
                set.insert(at);
            }
        }
        if !self.no_dependencies {
            actions.why = self.situation.left_without(&running);
            for (at, why) in &actions.why {
                if !self.situation.standing(*at).startable {
                    let taken = self.situation.spoken(*at);
                    let message = format!(
                        "{taken} would be stopped, since {why}, and could not be started again: the configuration \
                         has no start command for it; stop it by hand, or say --no-dependencies"
                    );
                    return Err(OperationError::new(Code::FailedPrecondition, message));
                }
                running.insert(*at);
            }
            actions.notes = self.situation.perhaps_left_without(&running);
        }
        let needs = self.situation.needs_within(&running);
        for at in &running {
            if needs[*at].is_empty() {
                actions.once.insert(*at);
            } else {
                actions.down.insert(*at);
                actions.up.insert(*at);
            }
        }
        self.pull_in(&roots, &mut actions)?;
        Ok(actions)
    }

    /// Adds the missing prerequisites of `roots`.
    fn pull_in(&self, roots: &[usize], actions: &mut Actions) -> Result<(), OperationError> {
        if self.no_dependencies {
            return Ok(());
        }
        let begun = actions.up.union(&actions.once).copied().collect();
        let missing = self.situation.missing(roots, &begun)?;
        actions.up.extend(missing.keys());
        actions.why.extend(missing);
        Ok(())
    }

    fn watched_only(&self, kind: ActionKind, at: usize) -> OperationError {
        let message = format!(
            "{kind} of {}: the configuration has no start command for it; it is watched only",
            self.situation.spoken(at)
        );
        OperationError::new(Code::FailedPrecondition, message)
    }
}

impl Actions {
    /// Orders the steps: first the starts that depend on nothing that is stopped; then the stops, dependents
    /// first; then the starts and restarts, prerequisites first.
    fn steps(&self, situation: Situation<'_>, named: &Named) -> Vec<Step> {
        let touched: BTreeSet<usize> = self.down.iter().chain(&self.once).chain(&self.up).copied().collect();
        let needs = situation.needs_within(&touched);
        let order = situation.graph.prerequisites_first();
        let is_named = |at: usize| named.positions.binary_search(&at).is_ok();
        let mut steps: Vec<Step> = Vec::new();
        let mut starts: HashMap<usize, usize> = HashMap::new();
        let mut stops: HashMap<usize, usize> = HashMap::new();
        let mut add = |at: usize, action, after: BTreeSet<usize>| {
            let comes_back = action == ActionKind::Start && self.down.contains(&at);
            let mut why = match self.why.get(&at).filter(|_| !is_named(at)) {
                Some(_) if comes_back => "it ran before".to_owned(),
                why => why.cloned().unwrap_or_default(),
            };
            if let Some(note) = self.notes.get(&at).filter(|_| action != ActionKind::Start) {
                why = if why.is_empty() { note.clone() } else { format!("{why}; {note}") };
            }
            let instance = situation.graph.id(at).clone();
            let is_final = action == ActionKind::Stop && !self.up.contains(&at);
            let irreversible = match is_final && !situation.standing(at).startable {
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
            });
            steps.len() - 1
        };
        let of = |others: &BTreeSet<usize>, steps: &HashMap<usize, usize>| -> BTreeSet<usize> {
            others.iter().filter_map(|other| steps.get(other)).copied().collect()
        };
        for at in order.iter().copied().filter(|at| self.up.contains(at) && !self.down.contains(at)) {
            if needs[at].iter().all(|other| starts.contains_key(other)) {
                starts.insert(at, add(at, ActionKind::Start, of(&needs[at], &starts)));
            }
        }
        // Stops wait for these starts, so that the prerequisites of a later start run before anything is
        // stopped.
        let pulled_in: BTreeSet<usize> =
            starts.iter().filter(|(at, _)| !is_named(**at)).map(|(_, step)| *step).collect();
        let mut dependents: HashMap<usize, Vec<usize>> = HashMap::new();
        for other in &self.down {
            for at in &needs[*other] {
                dependents.entry(*at).or_default().push(*other);
            }
        }
        // Stops of the dependents.
        let of_dependents = |at: usize, stops: &HashMap<usize, usize>| -> BTreeSet<usize> {
            dependents.get(&at).into_iter().flatten().filter_map(|other| stops.get(other)).copied().collect()
        };
        for at in order.iter().rev().copied().filter(|at| self.down.contains(at)) {
            let after = &of_dependents(at, &stops) | &pulled_in;
            stops.insert(at, add(at, ActionKind::Stop, after));
        }
        for at in order.iter().copied().filter(|at| self.once.contains(at) || self.up.contains(at)) {
            if starts.contains_key(&at) {
                continue;
            }
            let mut after = of(&needs[at], &starts);
            let action = if self.once.contains(&at) {
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
