//! Tests of the plans of rolling restarts.

use std::collections::BTreeSet;

use rta_shared::config::{Source, load_sources};
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::Health;

use super::*;
use crate::plans::schedule::{Schedule, SkipReason, StepEnd};

/// Kafka on three hosts: on the first with a viewer that needs the one of its host. A writer elsewhere needs
/// any.
const PLATFORM: &str = r#"
    [[component]]
    name = "kafka"
    criteria = [{ regex = 'kafka' }]
    start = { command = ["kafka"] }
    probe = { tcp = "127.0.0.1:9092" }
    [[component]]
    name = "viewer"
    criteria = [{ regex = 'viewer' }]
    depends_on = ["kafka"]
    start = { command = ["viewer"] }
    [[component]]
    name = "writer"
    criteria = [{ regex = 'writer' }]
    depends_on = [{ component = "kafka", host = "any" }]
    start = { command = ["writer"] }
    [[environment]]
    name = "E"
    host = [{ name = "k1", components = ["kafka", "viewer"] }, { name = "k2", components = ["kafka"] },
            { name = "k3", components = ["kafka"] }, { name = "w", components = ["writer"] }]
"#;

/// Plans the restart of a component on all hosts, where everything runs but `stopped`.
fn restart(
    component: &str,
    batch: u32,
    condition: GateCondition,
    stopped: &[usize],
) -> Result<Plan, OperationError> {
    let source = Source { name: "x.toml".to_owned(), text: PLATFORM.to_owned() };
    let platform = load_sources(&[source]).unwrap();
    let graph = DependencyGraph::new(&platform);
    let snapshot = |at: usize| {
        let (state, health) = match stopped.contains(&at) {
            true => (State::Stopped, Health::Down),
            false => (State::Running, Health::Up),
        };
        InstanceSnapshot { state: Some(state), health, startable: true }
    };
    let snapshots: Vec<InstanceSnapshot> = (0..graph.len()).map(snapshot).collect();
    let input = PlannerInput { graph: &graph, snapshots: &snapshots };
    let positions = (0..graph.len()).filter(|at| graph.id(*at).component == *component).collect();
    let selected = SelectedInstances { positions, is_single: false };
    let rolling = RollingRestart { batch, pause: SignedDuration::from_secs(30), condition };
    plan_rolling_restart(input, &selected, &rolling, false, |name| *name == *"kafka")
}

/// Describes each step: `2: check k3/kafka 30s [4 5]`.
fn described(plan: &Plan) -> Vec<String> {
    let step = |step: &Step| {
        let InstanceId { host, component, .. } = &step.instance;
        let pause = step.gate.as_ref().map(|gate| format!(" {}s", gate.pause.as_secs())).unwrap_or_default();
        let mark = if step.named { "" } else { "+" };
        let after: Vec<String> = step.after.iter().map(usize::to_string).collect();
        format!("{}: {mark}{} {host}/{component}{pause} [{}]", step.batch, step.word(), after.join(" "))
    };
    plan.steps.iter().map(step).collect()
}

#[test]
fn each_batch_begins_after_the_gates_of_the_one_before() {
    let plan = restart("kafka", 2, GateCondition::Probe, &[1]).unwrap();
    let expected = [
        "1: restart k1/kafka []",
        "1: restart k2/kafka []",
        "1: check k1/kafka 30s [0 1]",
        "1: check k2/kafka 30s [0 1]",
        "2: restart k3/kafka [2 3]",
        "2: check k3/kafka 0s [4]",
    ];
    assert_eq!(described(&plan), expected);
    assert_eq!(plan.steps[2].why, "it must be up and pass its probe, for 30s");
    assert_eq!(plan.steps[5].why, "it must be up and pass its probe");
}

#[test]
fn dependents_go_along_only_with_the_batch_that_takes_their_last_provider() {
    let plan = restart("kafka", 1, GateCondition::Up, &[]).unwrap();
    let expected = [
        "1: +stop k1/viewer []",
        "1: restart k1/kafka [0]",
        "1: +start k1/viewer [0 1]",
        "1: check k1/kafka 30s [2]",
        "2: restart k2/kafka [3]",
        "2: check k2/kafka 30s [4]",
        "3: restart k3/kafka [5]",
        "3: check k3/kafka 0s [6]",
    ];
    assert_eq!(described(&plan), expected);
    let at_once: Vec<String> = described(&restart("kafka", 3, GateCondition::Up, &[]).unwrap());
    assert!(at_once.contains(&"1: +stop w/writer []".to_owned()), "{at_once:?}");
}

#[test]
fn what_does_not_run_is_started_in_its_batch() {
    let plan = restart("kafka", 2, GateCondition::Up, &[1, 2]).unwrap();
    assert_eq!(described(&plan)[..2], ["1: start k2/kafka []", "1: restart k1/kafka []"]);
}

#[test]
fn batches_that_make_no_sense_are_refused() {
    let refused = |component, batch, condition| restart(component, batch, condition, &[]).unwrap_err();
    assert_eq!(refused("kafka", 0, GateCondition::Up).message, "a batch needs at least 1 host");
    assert_eq!(
        refused("writer", 1, GateCondition::Probe).message,
        "writer has no probe in the configuration that a batch could wait for; add one, or say --gate up"
    );
}

#[test]
fn failed_gate_skips_every_later_batch() {
    let plan = restart("kafka", 1, GateCondition::Up, &[]).unwrap();
    for keep_going in [false, true] {
        let mut schedule = Schedule::new(&plan.steps, keep_going);
        for step in 0..4 {
            assert_eq!(schedule.next_ready(), Some(step));
            schedule.begin_step(step);
            let end = if step == 3 { StepEnd::Failed } else { StepEnd::Done };
            let skipped: BTreeSet<_> = schedule
                .end_step(step, end)
                .into_iter()
                .map(|(at, why)| (at, why == SkipReason::DependsOn(3)))
                .collect();
            let later = (4..8).map(|at| (at, true)).filter(|_| step == 3);
            assert_eq!(skipped, later.collect());
        }
        assert!(schedule.is_over());
    }
}

#[test]
fn dependent_that_was_stopped_comes_back_if_the_restart_is_not_attempted() {
    let plan = restart("kafka", 1, GateCondition::Up, &[]).unwrap();
    let mut schedule = Schedule::new(&plan.steps, false);
    schedule.begin_step(0);
    schedule.end_step(0, StepEnd::Done);
    schedule.cancel();
    assert_eq!(schedule.next_ready(), Some(2), "the viewer is started again");
}
