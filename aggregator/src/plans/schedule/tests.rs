//! Tests of the scheduler against its rules, which are applied here to every step after every change.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Action on each instance, and the prerequisites of each of its steps.
type PlanShape = Vec<(u8, Vec<Index>, Vec<Index>)>;

/// Creates steps in the order of real plans: first the stops, then the starts and restarts. A stopped
/// instance may be started again after that.
fn steps(shape: &PlanShape) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut stops: HashMap<usize, usize> = HashMap::new();
    let mut add = |instance: usize, action, waits: &[Index], own_stop: Option<usize>| {
        let count = steps.len();
        let others = waits.iter().filter(|_| count > 0).map(|index| index.index(count));
        let after: BTreeSet<usize> = others.chain(own_stop).collect();
        let instance = InstanceId {
            environment: "E".into(),
            host: "h".into(),
            component: format!("c{instance}").into(),
        };
        let after = after.into_iter().collect();
        steps.push(Step {
            instance,
            action,
            named: true,
            after,
            why: String::new(),
            irreversible: String::new(),
            batch: 0,
            gate: None,
        });
        count
    };
    let is_stopped = |kind: u8| kind % 4 < 2;
    for (instance, (_, waits, _)) in shape.iter().enumerate().filter(|(_, (kind, ..))| is_stopped(*kind)) {
        stops.insert(instance, add(instance, ActionKind::Stop, waits, None));
    }
    for (instance, (kind, _, waits)) in shape.iter().enumerate() {
        match kind % 4 {
            0 => {}
            1 => drop(add(instance, ActionKind::Start, waits, stops.get(&instance).copied())),
            2 => drop(add(instance, ActionKind::Start, waits, None)),
            _ => drop(add(instance, ActionKind::Restart, waits, None)),
        }
    }
    steps
}

/// Plain form of the rules; each pass costs time proportional to the whole plan.
struct PlainRules<'p> {
    steps: &'p [Step],
    keep_going: bool,
    states: Vec<StepState>,
    first_failure: Option<usize>,
    is_cancelled: bool,
    /// Failed step that explains each skipped stop whose start was skipped.
    stop_failures: Vec<Option<usize>>,
}

impl PlainRules<'_> {
    fn restores_stopped(&self, at: usize) -> bool {
        restores_stopped(self.steps, |before| self.states[before], at)
    }

    fn is_untouched(&self, at: usize) -> bool {
        let mut own =
            (0..self.steps.len()).filter(|one| self.steps[*one].instance == self.steps[at].instance);
        own.all(|one| self.states[one] == StepState::Skipped)
    }

    fn is_unblocked(&self, before: usize, at: usize) -> bool {
        match self.states[before] {
            StepState::Done => true,
            StepState::Skipped => self.restores_stopped(at) && self.is_untouched(before),
            _ => false,
        }
    }

    fn ready(&self) -> Vec<usize> {
        let is_ready = |at: &usize| {
            self.states[*at] == StepState::Waiting
                && self.steps[*at].after.iter().all(|before| self.is_unblocked(*before, *at))
        };
        (0..self.steps.len()).filter(is_ready).collect()
    }

    /// Repeats passes over the plan until nothing more is skipped, and after each step that starts again what was
    /// stopped.
    fn skip(&mut self) {
        loop {
            let before = self.states.clone();
            self.pass(false);
            if before == self.states {
                self.pass(true);
            }
            if before == self.states {
                return;
            }
        }
    }

    /// Skips what has to be; of what starts again what was stopped, none, or the first.
    fn pass(&mut self, mut skips_restoring: bool) {
        let mut root_failures: Vec<Option<usize>> = Vec::new();
        for at in 0..self.steps.len() {
            let is_in_the_way =
                |before: &usize| self.states[*before].is_final() && !self.is_unblocked(*before, at);
            let root_failure = match self.states[at] {
                StepState::Failed => Some(at),
                _ if self.stop_failures[at].is_some() => self.stop_failures[at],
                _ => {
                    let before = self.steps[at].after.iter().copied().filter(is_in_the_way);
                    before.filter_map(|before| root_failures[before]).next()
                }
            };
            root_failures.push(root_failure);
            let is_halted = self.is_cancelled || (self.first_failure.is_some() && !self.keep_going);
            let is_restoring = root_failure.is_some()
                && may_be_unblocked(self.steps, |before| self.states[before], at)
                && self.states[at] == StepState::Waiting;
            if is_restoring && !std::mem::take(&mut skips_restoring) {
                continue;
            }
            if self.states[at] == StepState::Waiting
                && (root_failure.is_some() || (is_halted && !self.restores_stopped(at)))
            {
                self.states[at] = StepState::Skipped;
                for before in &self.steps[at].after {
                    if is_own_stop(self.steps, *before, at) && self.states[*before] == StepState::Waiting {
                        self.states[*before] = StepState::Skipped;
                        self.stop_failures[*before] = root_failure;
                    }
                }
            }
        }
    }
}

fn waits() -> impl Strategy<Value = Vec<Index>> {
    proptest::collection::vec(any::<Index>(), 0..4)
}

proptest! {
    #[test]
    fn what_may_begin_and_what_is_skipped_follows_the_rules(
        shape in proptest::collection::vec((any::<u8>(), waits(), waits()), 1..16),
        keep_going in any::<bool>(),
        moves in proptest::collection::vec((any::<Index>(), 0_u8..12), 80),
    ) {
        let steps = steps(&shape);
        let mut schedule = Schedule::new(&steps, keep_going);
        let mut rules = PlainRules {
            steps: &steps,
            keep_going,
            states: vec![StepState::Waiting; steps.len()],
            first_failure: None,
            is_cancelled: false,
            stop_failures: vec![None; steps.len()],
        };
        let mut under_way: Vec<usize> = Vec::new();
        for (choice, kind) in moves {
            prop_assert_eq!(schedule.ready.iter().copied().collect::<Vec<_>>(), rules.ready());
            match schedule.next_ready() {
                Some(at) if kind < 5 => {
                    let is_started_again = |start: usize| schedule.states[start] != StepState::Skipped;
                    let mut starts = (0..steps.len()).filter(|start| {
                        steps[*start].after.contains(&at) && is_own_stop(&steps, at, *start)
                    });
                    prop_assert!(starts.all(is_started_again), "it stops what it will not start again");
                    schedule.begin_step(at);
                    rules.states[at] = StepState::UnderWay;
                    under_way.push(at);
                }
                _ if kind == 11 && !rules.is_cancelled => {
                    schedule.cancel();
                    rules.is_cancelled = true;
                }
                _ if !under_way.is_empty() => {
                    let at = under_way.swap_remove(choice.index(under_way.len()));
                    let end = match kind {
                        9 => StepEnd::Failed,
                        10 => StepEnd::Unreachable,
                        _ => StepEnd::Done,
                    };
                    schedule.end_step(at, end);
                    rules.states[at] = if end == StepEnd::Done { StepState::Done } else { StepState::Failed };
                    if end == StepEnd::Failed && !keep_going {
                        rules.first_failure.get_or_insert(at);
                    }
                }
                _ => {}
            }
            rules.skip();
            prop_assert_eq!(&schedule.states, &rules.states);
            prop_assert_eq!(schedule.is_over(), rules.states.iter().all(|state| state.is_final()));
        }
    }
}

/// Creates a step with this action on this instance, after those steps.
fn step(instance: usize, action: ActionKind, after: &[usize]) -> Step {
    let instance =
        InstanceId { environment: "E".into(), host: "h".into(), component: format!("c{instance}").into() };
    Step {
        instance,
        action,
        named: true,
        after: after.to_vec(),
        why: String::new(),
        irreversible: String::new(),
        batch: 0,
        gate: None,
    }
}

#[test]
fn skipped_steps_name_the_failure_that_they_depend_on() {
    let steps: Vec<Step> = [&[][..], &[0], &[1], &[]]
        .iter()
        .enumerate()
        .map(|(at, after)| step(at, ActionKind::Start, after))
        .collect();
    let mut schedule = Schedule::new(&steps, false);
    schedule.begin_step(0);
    let skipped = schedule.end_step(0, StepEnd::Failed);
    let expected =
        [(1, SkipReason::DependsOn(0)), (2, SkipReason::DependsOn(0)), (3, SkipReason::AfterFailure(0))];
    assert_eq!(skipped, expected);
    assert!(schedule.is_over());
}

#[test]
fn a_cancelled_plan_still_starts_what_it_has_stopped() {
    let steps = [
        step(0, ActionKind::Stop, &[]),
        step(1, ActionKind::Restart, &[0]),
        step(0, ActionKind::Start, &[0, 1]),
    ];
    let mut schedule = Schedule::new(&steps, false);
    schedule.begin_step(0);
    assert!(schedule.end_step(0, StepEnd::Done).is_empty());
    assert_eq!(schedule.cancel(), [(1, SkipReason::Cancelled)]);
    assert_eq!(schedule.next_ready(), Some(2));
}

#[test]
fn what_was_stopped_is_started_again_if_a_failure_leaves_what_it_needs_untouched() {
    let steps = [
        step(0, ActionKind::Stop, &[]),
        step(1, ActionKind::Stop, &[0]),
        step(2, ActionKind::Stop, &[]),
        step(3, ActionKind::Stop, &[]),
        step(4, ActionKind::Stop, &[2]),
        step(1, ActionKind::Start, &[1, 4]),
        step(3, ActionKind::Start, &[3, 5]),
    ];
    let mut schedule = Schedule::new(&steps, false);
    [0, 2, 3].iter().for_each(|at| schedule.begin_step(*at));
    assert!(schedule.end_step(3, StepEnd::Done).is_empty());
    let skipped = schedule.end_step(2, StepEnd::Failed);
    let expected =
        [(1, SkipReason::AfterFailure(2)), (4, SkipReason::DependsOn(2)), (5, SkipReason::DependsOn(2))];
    assert_eq!(skipped, expected);
    assert_eq!(schedule.next_ready(), Some(6), "component 1 was not touched");
}

#[test]
fn instance_is_not_stopped_when_its_start_is_skipped_already() {
    // A restart of 0, which 1 and 2 need; the agent of 1 cannot be reached.
    let steps = [
        step(1, ActionKind::Stop, &[]),
        step(2, ActionKind::Stop, &[]),
        step(0, ActionKind::Restart, &[0, 1]),
        step(1, ActionKind::Start, &[0, 2]),
        step(2, ActionKind::Start, &[1, 2]),
    ];
    let mut schedule = Schedule::new(&steps, false);
    schedule.begin_step(0);
    let skipped = schedule.end_step(0, StepEnd::Unreachable);
    assert_eq!(skipped, [1, 2, 3, 4].map(|at| (at, SkipReason::DependsOn(0))));
    assert!(schedule.is_over());
}

#[test]
fn what_was_stopped_is_started_again_if_what_it_needs_is_not_stopped_any_more() {
    // Stop 1 is under way; what its start waits for is left untouched, since its own start is skipped.
    let steps = [
        step(0, ActionKind::Stop, &[]),
        step(1, ActionKind::Stop, &[0]),
        step(2, ActionKind::Stop, &[1]),
        step(3, ActionKind::Stop, &[2]),
        step(4, ActionKind::Stop, &[]),
        step(1, ActionKind::Start, &[1, 3]),
        step(2, ActionKind::Start, &[2, 4]),
        step(3, ActionKind::Start, &[3, 4]),
    ];
    let mut schedule = Schedule::new(&steps, true);
    [0, 4].iter().for_each(|at| schedule.begin_step(*at));
    assert!(schedule.end_step(0, StepEnd::Done).is_empty());
    schedule.begin_step(1);
    let skipped: Vec<usize> = schedule.end_step(4, StepEnd::Failed).into_iter().map(|(at, _)| at).collect();
    assert_eq!(skipped, [2, 3, 6, 7]);
    assert!(schedule.end_step(1, StepEnd::Done).is_empty());
    assert_eq!(schedule.next_ready(), Some(5));
}
