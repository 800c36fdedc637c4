//! Properties that hold for every plan, tested on random platforms in random states.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;
use rta_shared::action::ActionKind;
use rta_shared::config::{
    Component, ComponentNotes, Dependency, DependencyPlace, Environment, Host, LimitRules, Platform,
    RestartRule, StopRule,
};
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::Health;
use rta_shared::plan::Plan;
use rta_shared::report::State;

use crate::plans::planner::make_plan;
use crate::plans::planner_input::{InstanceSnapshot, PlannerInput};
use crate::plans::selection::SelectedInstances;

/// Platform with its state and a request.
#[derive(Debug)]
struct TestCase {
    graph: DependencyGraph,
    snapshots: Vec<InstanceSnapshot>,
    selected: SelectedInstances,
    /// Choice of the ready step that is done next.
    choices: Vec<Index>,
}

/// Hosts that carry each component, and what it needs of the components before it.
type PlatformShape = Vec<(u8, Vec<(Index, u8)>)>;

const HOSTS: usize = 3;

fn platform(shape: &PlatformShape) -> Platform {
    let name = |at: usize| format!("c{at}").into();
    // Each component is carried by a host, so that every requirement has a provider.
    let carries = |at: usize, host: usize| {
        let hosts = shape[at].0;
        hosts & (1 << host) != 0 || (hosts.trailing_zeros() >= 3 && host == 0)
    };
    let components = shape.iter().enumerate().map(|(at, (_, needs))| Component {
        name: name(at),
        aliases: vec![],
        parts: vec![],
        depends_on: needs
            .iter()
            .filter(|_| at > 0)
            .map(|(of, place)| Dependency {
                component: name(of.index(at)),
                place: if *place % 2 == 0 { DependencyPlace::Nearest } else { DependencyPlace::Any },
            })
            .collect(),
        start: None,
        stop: StopRule::default(),
        probe: None,
        limits: LimitRules::default(),
        notes: ComponentNotes::default(),
        log: None,
        restart: RestartRule::default(),
        wanted: false,
    });
    let hosts = (0..HOSTS).map(|host| Host {
        name: format!("h{host}").into(),
        environment: "E".into(),
        role: None,
        components: (0..shape.len()).filter(|at| carries(*at, host)).map(name).collect(),
        agent: String::new(),
        ip: vec![],
        variables: BTreeMap::new(),
        owner: None,
        labels: BTreeMap::new(),
    });
    Platform {
        components: components.collect(),
        roles: vec![],
        environments: vec![Environment {
            name: "E".into(),
            hosts: hosts.collect(),
            owner: None,
            labels: BTreeMap::new(),
        }],
        digest: String::new(),
    }
}

fn case(states: impl Strategy<Value = (Option<State>, bool)> + 'static) -> impl Strategy<Value = TestCase> {
    let needs = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    let shape = proptest::collection::vec((0_u8..8, needs), 1..9);
    let snapshots = proptest::collection::vec(states, HOSTS * 9);
    let names = proptest::collection::vec(any::<Index>(), 1..4);
    let choices = proptest::collection::vec(any::<Index>(), 60);
    (shape, snapshots, names, any::<bool>(), choices).prop_map(|(shape, snapshots, names, alone, choices)| {
        let graph = DependencyGraph::new(&platform(&shape));
        let snapshots = snapshots.into_iter().take(graph.len()).map(|(state, startable)| {
            let health = if state == Some(State::Running) { Health::Degraded } else { Health::Down };
            InstanceSnapshot { state, health, startable }
        });
        let mut positions: BTreeSet<usize> = names.iter().map(|name| name.index(graph.len())).collect();
        if alone {
            positions.retain(|at| *at == names[0].index(graph.len()));
        }
        let selected = SelectedInstances { positions: positions.into_iter().collect(), is_single: alone };
        TestCase { snapshots: snapshots.collect(), graph, selected, choices }
    })
}

/// Generates cases in which every instance can be started, and is either running or stopped.
fn simple() -> impl Strategy<Value = TestCase> {
    case(any::<bool>().prop_map(|runs| (Some(if runs { State::Running } else { State::Stopped }), true)))
}

/// Generates cases with every state that an agent can report.
fn wild() -> impl Strategy<Value = TestCase> {
    let states = [
        Some(State::Running),
        Some(State::Partial),
        Some(State::Stopped),
        Some(State::Starting),
        Some(State::Stopping),
        Some(State::Unknown),
        None,
    ];
    case((proptest::sample::select(states.to_vec()), proptest::bool::weighted(0.9)))
}

impl TestCase {
    fn input(&self) -> PlannerInput<'_> {
        PlannerInput { graph: &self.graph, snapshots: &self.snapshots }
    }

    fn make_plan(&self, kind: ActionKind) -> Option<Plan> {
        make_plan(kind, self.input(), &self.selected, false).ok()
    }

    fn at(&self, plan: &Plan, step: usize) -> usize {
        (0..self.graph.len()).find(|at| *self.graph.id(*at) == plan.steps[step].instance).unwrap()
    }

    fn running(&self) -> Vec<bool> {
        self.snapshots.iter().map(|snapshot| snapshot.is_running()).collect()
    }

    /// Returns true if every requirement of the instance that was met in `before` is met now.
    fn is_served(&self, at: usize, now: &[bool], before: Option<&[bool]>) -> bool {
        self.graph.requirements(at).iter().all(|requirement| {
            let runs = |running: &[bool]| requirement.providers.iter().any(|provider| running[*provider]);
            runs(now) || before.is_some_and(|before| !runs(before))
        })
    }

    /// Runs the steps in some order that the plan allows. `look` receives the state before and after each
    /// step.
    fn simulate(&self, plan: &Plan, mut look: impl FnMut(usize, ActionKind, &[bool], &[bool])) -> Vec<bool> {
        let mut running = self.running();
        let mut done: BTreeSet<usize> = BTreeSet::new();
        let mut choices = self.choices.iter();
        while done.len() < plan.steps.len() {
            let ready: Vec<usize> = (0..plan.steps.len())
                .filter(|step| !done.contains(step))
                .filter(|step| plan.steps[*step].after.iter().all(|before| done.contains(before)))
                .collect();
            let step = ready[choices.next().map_or(0, |choice| choice.index(ready.len()))];
            let (at, action) = (self.at(plan, step), plan.steps[step].action);
            let before = running.clone();
            running[at] = action != ActionKind::Stop;
            look(at, action, &before, &running);
            done.insert(step);
        }
        running
    }

    /// Returns everything reachable from the named instances in one direction of the graph.
    fn closure(&self, upwards: bool) -> BTreeSet<usize> {
        let mut closure: BTreeSet<usize> = self.selected.positions.iter().copied().collect();
        loop {
            let more: Vec<usize> = (0..self.graph.len())
                .flat_map(|at| {
                    let needed = self.graph.requirements(at).iter().flat_map(|needed| &needed.providers);
                    needed.map(move |provider| (at, *provider))
                })
                .filter_map(|(at, provider)| {
                    let (from, to) = if upwards { (at, provider) } else { (provider, at) };
                    (closure.contains(&from) && !closure.contains(&to)).then_some(to)
                })
                .collect();
            if more.is_empty() {
                return closure;
            }
            closure.extend(more);
        }
    }
}

proptest! {
    #[test]
    fn steps_come_after_those_that_they_wait_for(case in wild()) {
        for kind in [ActionKind::Start, ActionKind::Stop, ActionKind::Restart] {
            let Some(plan) = case.make_plan(kind) else { continue };
            for (at, step) in plan.steps.iter().enumerate() {
                prop_assert!(step.after.iter().all(|before| *before < at));
                prop_assert!(step.after.windows(2).all(|pair| pair[0] < pair[1]));
                // A named step may have a note about further dependents.
                prop_assert!(step.named || !step.why.is_empty());
                prop_assert!(!step.named || step.why.is_empty() || step.why.contains("it too"));
                let selected = case.selected.positions.contains(&case.at(&plan, at));
                prop_assert_eq!(step.named, selected);
                let same = plan.steps.iter().filter(|other| {
                    other.instance == step.instance && other.action == step.action
                });
                prop_assert_eq!(same.count(), 1);
            }
        }
    }

    #[test]
    fn a_start_starts_prerequisites_first_and_only_what_is_missing(case in wild()) {
        let Some(plan) = case.make_plan(ActionKind::Start) else { return Ok(()) };
        let closure = case.closure(true);
        for (position, step) in plan.steps.iter().enumerate() {
            let at = case.at(&plan, position);
            prop_assert_eq!(step.action, ActionKind::Start);
            prop_assert!(closure.contains(&at) && case.snapshots[at].startable);
            prop_assert!(!case.snapshots[at].is_running() || (step.named && case.selected.is_single));
            if !step.named {
                // A prerequisite is pulled in only if no other provider runs.
                let is_needed = closure.iter().any(|needing| {
                    case.graph.requirements(*needing).iter().any(|requirement| {
                        requirement.providers.contains(&at)
                            && !requirement.providers.iter().any(|other| case.snapshots[*other].is_running())
                    })
                });
                prop_assert!(is_needed);
            }
        }
    }

    #[test]
    fn a_start_ends_with_the_named_running_and_everything_served_on_the_way(case in simple()) {
        let plan = case.make_plan(ActionKind::Start);
        prop_assert!(plan.is_some(), "everything can be started");
        let plan = plan.unwrap();
        let mut unserved = Vec::new();
        let after = case.simulate(&plan, |at, _, before, _| {
            if !case.is_served(at, before, None) {
                unserved.push(at);
            }
        });
        prop_assert_eq!(unserved, Vec::<usize>::new());
        for (at, runs) in after.iter().enumerate() {
            let touched = plan.steps.iter().any(|step| step.instance == *case.graph.id(at));
            prop_assert_eq!(*runs, touched || case.running()[at]);
        }
        for at in &case.selected.positions {
            prop_assert!(after[*at] && case.is_served(*at, &after, None));
        }
    }

    #[test]
    fn a_stop_takes_dependents_first_and_leaves_nobody_without(case in simple()) {
        let plan = case.make_plan(ActionKind::Stop).unwrap();
        let before = case.running();
        let closure = case.closure(false);
        let mut left = Vec::new();
        let after = case.simulate(&plan, |at, action, _, now| {
            assert_eq!(action, ActionKind::Stop);
            assert!(closure.contains(&at));
            left.extend((0..now.len()).filter(|other| now[*other] && !case.is_served(*other, now, Some(&before))));
        });
        prop_assert_eq!(left, Vec::<usize>::new());
        for (at, runs) in after.iter().enumerate() {
            let touched = plan.steps.iter().any(|step| step.instance == *case.graph.id(at));
            prop_assert_eq!(*runs, before[at] && !touched);
        }
        prop_assert!(case.selected.positions.iter().all(|at| !after[*at]));
    }

    #[test]
    fn nobody_is_taken_down_who_could_stay(case in wild()) {
        let plan = case.make_plan(ActionKind::Stop).unwrap();
        let down: BTreeSet<usize> = (0..plan.steps.len()).map(|step| case.at(&plan, step)).collect();
        for (position, step) in plan.steps.iter().enumerate().filter(|(_, step)| !step.named) {
            let at = case.at(&plan, position);
            prop_assert!(case.snapshots[at].is_alive());
            let loses = case.graph.requirements(at).iter().any(|requirement| {
                let mut serving = requirement.providers.iter().filter(|other| case.snapshots[**other].is_serving());
                serving.clone().next().is_some() && serving.all(|other| down.contains(other))
            });
            prop_assert!(loses, "{:?}", step);
        }
    }

    #[test]
    fn a_stop_is_a_start_reversed(case in simple()) {
        // Stops everything that runs, then starts it again from that state.
        let everything = SelectedInstances { positions: (0..case.graph.len()).collect(), is_single: false };
        let stop = make_plan(ActionKind::Stop, case.input(), &everything, false).unwrap();
        let stopped: Vec<InstanceSnapshot> = case.snapshots.iter()
            .map(|snapshot| InstanceSnapshot { state: Some(State::Stopped), ..*snapshot })
            .collect();
        let selected: Vec<usize> = (0..case.graph.len()).filter(|at| case.snapshots[*at].is_running()).collect();
        let again = SelectedInstances { positions: selected, is_single: false };
        let input = PlannerInput { graph: &case.graph, snapshots: &stopped };
        let start = make_plan(ActionKind::Start, input, &again, true).unwrap();
        let mut backwards: Vec<_> = start.steps.iter().map(|step| &step.instance).collect();
        backwards.reverse();
        let forwards: Vec<_> = stop.steps.iter().map(|step| &step.instance).collect();
        prop_assert_eq!(forwards, backwards);
    }

    #[test]
    fn a_restart_ends_with_everything_back_and_nobody_ever_without(case in simple()) {
        let plan = case.make_plan(ActionKind::Restart).unwrap();
        let before = case.running();
        let mut broken = Vec::new();
        let after = case.simulate(&plan, |at, action, then, now| {
            // In the middle of a restart it does not run.
            let mut lowest = now.to_vec();
            if action == ActionKind::Restart {
                lowest[at] = false;
            }
            broken.extend((0..now.len()).filter(|other| {
                lowest[*other] && !case.is_served(*other, &lowest, Some(&before))
            }));
            let selected = case.selected.positions.contains(&at);
            if action != ActionKind::Stop && !case.is_served(at, then, (!selected).then_some(&before)) {
                broken.push(at);
            }
        });
        prop_assert_eq!(broken, Vec::<usize>::new());
        for (at, runs) in after.iter().enumerate() {
            let selected = case.selected.positions.contains(&at);
            let stopped = plan.steps.iter().any(|step| {
                step.instance == *case.graph.id(at) && step.action != ActionKind::Start
            });
            prop_assert!(*runs || !before[at]);
            prop_assert!(!selected || *runs);
            // Every named instance that ran has stopped once.
            prop_assert!(!selected || !before[at] || stopped);
        }
    }
}
