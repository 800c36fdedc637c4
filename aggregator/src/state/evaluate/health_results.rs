//! Health of every instance, kept up to date: only what changed is evaluated, and what depends on it.

use std::collections::BTreeSet;

use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::Health;
use rta_shared::report::ComponentReport;

use super::requirement_groups::{Element, RequirementGroups};
use super::rules::{HealthResult, UnmetGroup, evaluate_instance};

/// Health of every instance of a graph, by its position.
#[derive(Debug)]
pub(super) struct HealthResults {
    groups: RequirementGroups,
    results: Vec<HealthResult>,
    group_states: Vec<GroupState>,
}

#[derive(Debug)]
struct GroupState {
    /// Number of providers that are up.
    up: usize,
    /// `None` if one is up.
    unmet: Option<UnmetGroup>,
}

impl HealthResults {
    /// Creates the results of a graph of which nothing is known yet: everything has to be evaluated.
    pub(super) fn new(graph: &DependencyGraph) -> Self {
        let groups = RequirementGroups::new(graph);
        let results = vec![HealthResult::without_cause(Health::Unknown, ""); groups.instance_count()];
        let state = |providers: &[usize]| GroupState { up: 0, unmet: UnmetGroup::new(providers, &results) };
        let group_states = groups.groups().iter().map(|group| state(&group.providers)).collect();
        Self { groups, results, group_states }
    }

    /// Returns the result of the instance at a position.
    pub(super) fn of(&self, at: usize) -> &HealthResult {
        &self.results[at]
    }

    /// Evaluates the instances at the positions `stale`, and all others whose result follows from a change
    /// of these. `seen` returns the report of an instance. Adds the positions whose results changed to
    /// `changed`.
    ///
    /// An instance is evaluated at most once, since it follows everything that it depends on.
    pub(super) fn update<'r>(
        &mut self,
        graph: &DependencyGraph,
        stale: impl Iterator<Item = usize>,
        seen: impl Fn(usize) -> Result<&'r ComponentReport, String>,
        changed: &mut BTreeSet<usize>,
    ) {
        let mut due: BTreeSet<usize> = stale.map(|at| self.groups.rank(at)).collect();
        while let Some(rank) = due.pop_first() {
            match self.groups.element(rank) {
                Element::Instance(at) => {
                    let unmet =
                        self.groups.needs(at).iter().filter_map(|one| self.group_states[*one].unmet.as_ref());
                    let now = evaluate_instance(graph, at, &seen(at), unmet);
                    if now == self.results[at] {
                        continue;
                    }
                    changed.insert(at);
                    let before = std::mem::replace(&mut self.results[at], now);
                    self.note_change(at, &before, &mut due);
                }
                Element::Group(number) => self.update_group(number, &mut due),
            }
        }
    }

    /// Makes the groups of a changed instance due, if the change matters to its dependents.
    fn note_change(&mut self, at: usize, before: &HealthResult, due: &mut BTreeSet<usize>) {
        let now = &self.results[at];
        if now.serves_like(before) {
            return;
        }
        let is_up = |result: &HealthResult| usize::from(result.health == Health::Up);
        for number in self.groups.serves(at) {
            let state = &mut self.group_states[*number];
            state.up = state.up + is_up(now) - is_up(before);
            due.insert(self.groups.groups()[*number].rank);
        }
    }

    /// Makes the dependents of a group due, if its state changed.
    fn update_group(&mut self, number: usize, due: &mut BTreeSet<usize>) {
        let group = &self.groups.groups()[number];
        let state = &mut self.group_states[number];
        let unmet = match state.up {
            0 => UnmetGroup::new(&group.providers, &self.results),
            _ => None,
        };
        if unmet != state.unmet {
            state.unmet = unmet;
            due.extend(group.dependents.iter().map(|at| self.groups.rank(*at)));
        }
    }
}
