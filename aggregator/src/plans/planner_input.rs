//! Missing prerequisites of an instance, and dependents that lose one when it stops.

use std::collections::{BTreeMap, BTreeSet};

use rta_shared::dependency::{DependencyGraph, Requirement};
use rta_shared::format::joined_list;
use rta_shared::name::Name;
use rta_shared::overview::{Health, Overview};
use rta_shared::report::State;
use tonic::Code;

use crate::operation_error::OperationError;

/// State of an instance when a plan is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstanceSnapshot {
    /// State that the agent reported; `None` if the host is unknown.
    pub(crate) state: Option<State>,
    pub(crate) health: Health,
    /// True if a start command is configured.
    pub(crate) startable: bool,
}

impl InstanceSnapshot {
    /// Returns true if all of it runs.
    pub(crate) fn is_running(self) -> bool {
        self.state.is_some_and(State::is_running)
    }

    /// Returns true if at least a part of it runs, so that others may depend on it.
    pub(crate) fn is_serving(self) -> bool {
        self.state.is_some_and(State::is_serving)
    }

    /// Returns true if a part of it runs, starts or stops.
    pub(crate) fn is_alive(self) -> bool {
        self.is_serving() || self.state.is_some_and(State::is_transient)
    }

    /// Returns true if the state is known.
    pub(crate) fn is_known(self) -> bool {
        self.state.is_some_and(State::is_known)
    }
}

/// Input of the planner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannerInput<'s> {
    pub(crate) graph: &'s DependencyGraph,
    /// State for each position of the graph.
    pub(crate) snapshots: &'s [InstanceSnapshot],
}

/// Returns the state of every instance of the graph by `overview`. `startable` returns true for a component
/// with a start command.
pub(crate) fn instance_snapshots(
    graph: &DependencyGraph,
    overview: &Overview,
    startable: impl Fn(&Name) -> bool,
) -> Vec<InstanceSnapshot> {
    // By name, because the overview may still belong to another configuration than the graph.
    let seen: BTreeMap<_, _> = overview.instances().map(|located| (located.id(), located.instance)).collect();
    let snapshot = |at| {
        let id = graph.id(at);
        let seen = seen.get(id);
        InstanceSnapshot {
            state: seen.and_then(|seen| seen.run_state()),
            health: seen.map_or(Health::Unknown, |seen| seen.health),
            startable: startable(&id.component),
        }
    };
    (0..graph.len()).map(snapshot).collect()
}

impl PlannerInput<'_> {
    pub(crate) fn snapshot(self, at: usize) -> InstanceSnapshot {
        self.snapshots[at]
    }

    /// Returns the name for texts: `kafka server on h1`.
    pub(crate) fn display_name(self, at: usize) -> String {
        self.graph.id(at).name_in_text()
    }

    /// Returns what must be started beside `begun` so that all prerequisites of `roots` run, each with the
    /// reason. Running instances are not touched, but their missing prerequisites are included.
    ///
    /// # Errors
    /// Returns an error if a prerequisite cannot be started or its state is unknown.
    pub(crate) fn missing_prerequisites(
        self,
        roots: &[usize],
        begun: &BTreeSet<usize>,
    ) -> Result<BTreeMap<usize, String>, OperationError> {
        let mut missing = BTreeMap::new();
        let mut visited = BTreeSet::new();
        let mut waiting: Vec<usize> = roots.iter().rev().copied().collect();
        while let Some(at) = waiting.pop() {
            if !visited.insert(at) {
                continue;
            }
            for requirement in self.graph.requirements(at) {
                let provider = self.choose_provider(at, requirement, |other| {
                    begun.contains(&other) || missing.contains_key(&other)
                })?;
                if !self.snapshot(provider).is_running() && !begun.contains(&provider) {
                    missing.entry(provider).or_insert_with(|| format!("{} needs it", self.display_name(at)));
                }
                waiting.push(provider);
            }
        }
        Ok(missing)
    }

    /// Chooses the provider of a requirement: one that runs, one that will run, or one that can be started.
    fn choose_provider(
        self,
        needing: usize,
        requirement: &Requirement,
        will_run: impl Fn(usize) -> bool,
    ) -> Result<usize, OperationError> {
        let providers = || requirement.providers.iter().copied();
        let running = || providers().filter(|at| self.snapshot(*at).is_running());
        let found = running()
            .find(|at| self.snapshot(*at).health == Health::Up)
            .or_else(|| running().next())
            .or_else(|| providers().find(|at| will_run(*at)))
            .or_else(|| providers().find(|at| self.snapshot(*at).startable && self.snapshot(*at).is_known()));
        if let Some(found) = found {
            return Ok(found);
        }
        let needing = self.display_name(needing);
        let advice = "or say --no-dependencies";
        let message = match providers().find(|at| !self.snapshot(*at).is_known()) {
            Some(unknown) => format!(
                "{needing} needs {}, of which it is not known whether it runs; see to its host, {advice}",
                self.display_name(unknown)
            ),
            None => {
                let names = joined_list(providers().map(|at| self.display_name(at)), " or ");
                format!(
                    "{needing} needs {names}, which does not run, and for which the configuration has no start \
                     command; start it by hand, {advice}"
                )
            }
        };
        Err(OperationError::new(Code::FailedPrecondition, message))
    }

    /// Returns the alive instances that lose the last provider of a requirement when `down` stops, each with
    /// the reason.
    pub(crate) fn dependents_losing_provider(self, down: &BTreeSet<usize>) -> BTreeMap<usize, String> {
        let mut left: BTreeMap<usize, String> = BTreeMap::new();
        // Prerequisites come first, so that one pass finds all.
        for at in self.graph.prerequisites_first().iter().copied() {
            if down.contains(&at) || !self.snapshot(at).is_alive() {
                continue;
            }
            let lost = self.lost_provider(at, |other| down.contains(&other) || left.contains_key(&other));
            if let Some(lost) = lost {
                left.insert(at, format!("it needs {}", self.display_name(lost)));
            }
        }
        left
    }

    /// Returns a note for each provider in `down` that instances of unknown state need too.
    pub(crate) fn notes_on_unknown_dependents(self, down: &BTreeSet<usize>) -> BTreeMap<usize, String> {
        let mut needing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in (0..self.graph.len()).filter(|at| !down.contains(at) && !self.snapshot(*at).is_known()) {
            if let Some(lost) = self.lost_provider(at, |other| down.contains(&other)) {
                needing.entry(lost).or_default().push(at);
            }
        }
        let sentence = |needing: Vec<usize>| {
            let names = joined_list(needing.iter().map(|at| self.display_name(*at)), ", ");
            let is_silent = needing.iter().all(|at| self.snapshot(*at).state.is_none());
            match (needing.len(), is_silent) {
                (1, true) => format!("{names}, whose host does not answer, needs it too"),
                (1, false) => format!("{names}, of which it is not known whether it runs, needs it too"),
                (_, true) => format!("{names}, whose hosts do not answer, need it too"),
                (_, false) => format!("{names}, of which it is not known whether they run, need it too"),
            }
        };
        needing.into_iter().map(|(lost, needing)| (lost, sentence(needing))).collect()
    }

    /// Returns the first serving provider of a requirement for which every serving provider `goes`.
    fn lost_provider(self, at: usize, goes: impl Fn(usize) -> bool) -> Option<usize> {
        self.graph.requirements(at).iter().find_map(|requirement| {
            let mut serving =
                requirement.providers.iter().copied().filter(|at| self.snapshot(*at).is_serving());
            let first = serving.next()?;
            (goes(first) && serving.all(&goes)).then_some(first)
        })
    }

    /// Returns, for each position, the nearest members of `set` that it needs, directly or through running
    /// instances.
    pub(crate) fn prerequisites_within(self, set: &BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
        let mut needs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.graph.len()];
        for at in self.graph.prerequisites_first().iter().copied() {
            let mut own = BTreeSet::new();
            for provider in self.graph.requirements(at).iter().flat_map(|requirement| &requirement.providers)
            {
                if set.contains(provider) {
                    own.insert(*provider);
                } else if self.snapshot(*provider).is_serving() {
                    own.extend(&needs[*provider]);
                }
            }
            needs[at] = own;
        }
        needs
    }
}
