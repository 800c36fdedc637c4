//! Recovery of plans that an earlier aggregator began and did not end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::action::ActionKind;
use rta_shared::down_cause::DownKind;
use rta_shared::overview::{InstanceId, InstanceOverview, Overview};
use rta_shared::plan::StepState;
use rta_shared::planned_stop::PlannedStop;

use crate::events::EventBus;
use crate::plans::run::{PlanChanges, PlanRun, PlanSnapshot};
use crate::store::UnfinishedPlan;

/// Text of a step that had not begun according to the record. The last moment may be missing in the record,
/// so the present state is appended.
const NOT_ATTEMPTED: &str = "not attempted: the aggregator ended before";

/// Reopens an interrupted plan: steps that had not begun are skipped, and steps under way have an unknown
/// outcome.
pub(crate) fn reopen_plan(
    unfinished: UnfinishedPlan,
    bus: EventBus,
    changes: PlanChanges,
    now: Timestamp,
) -> PlanRun {
    let UnfinishedPlan { begun, mut states } = unfinished;
    states.resize(begun.plan.steps.len(), (StepState::Waiting, String::new()));
    let plan_run = PlanRun::with_steps(begun, states.clone(), bus, changes);
    for (at, (state, text)) in states.into_iter().enumerate() {
        match state {
            StepState::Waiting => plan_run.end_step(at, now, StepState::Skipped, NOT_ATTEMPTED.to_owned()),
            StepState::UnderWay | StepState::Interrupted => {
                let text = "the aggregator ended meanwhile; its current state is being checked".to_owned();
                plan_run.end_step(at, now, StepState::Interrupted, text);
            }
            StepState::Done | StepState::Failed | StepState::Skipped => {
                plan_run.replay_step(at, now, state, text)
            }
        }
    }
    plan_run
}

/// Returns the instances that a plan has stopped on purpose and that have stopped or still stop, so that they
/// can be started again. Of a stop these are the interrupted steps, because the others are recorded one by one;
/// of a restart, all that it stopped and did not start again.
pub(crate) fn find_planned_stops(
    snapshot: &PlanSnapshot,
    overview: &Overview,
) -> Vec<(InstanceId, PlannedStop)> {
    let PlanSnapshot { begun, steps, .. } = snapshot;
    let is_stop = |action: ActionKind, state: StepState| match begun.plan.kind {
        ActionKind::Stop => state == StepState::Interrupted,
        // What it stopped with the instance that it restarts.
        ActionKind::Restart => {
            action == ActionKind::Stop && matches!(state, StepState::Interrupted | StepState::Done)
        }
        ActionKind::Start => false,
    };
    let steps = begun.plan.steps.iter().zip(steps);
    let candidates: HashSet<&InstanceId> = steps
        .filter(|(step, (state, _))| is_stop(step.action, *state))
        .map(|(step, _)| &step.instance)
        .collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    let instances = overview.instances().map(|located| (located.id(), located.instance));
    // The agent continues without the aggregator, and may not have finished yet.
    let is_down = |instance: &InstanceOverview| {
        instance.state.is_some_and(|state| state.is_known() && !state.is_started())
    };
    let stopped = instances.filter(|(id, instance)| candidates.contains(id) && is_down(instance));
    stopped
        .map(|(id, instance)| {
            let cause = instance.down_cause.as_ref();
            let at =
                cause.filter(|cause| matches!(cause.kind, DownKind::Stopped { .. })).map(|cause| cause.at);
            // If the time of the stop was not observed, that of the plan has to do.
            let at = at.filter(|at| *at >= begun.at).unwrap_or(begun.at);
            (id, PlannedStop { plan: begun.id, by: begun.by.clone(), at })
        })
        .collect()
}

/// Ends an interrupted plan, once `overview` contains the state of every host. Returns what
/// [`find_planned_stops`] finds.
pub(crate) fn close_plan(
    plan_run: &Arc<PlanRun>,
    overview: &Overview,
    now: Timestamp,
) -> Vec<(InstanceId, PlannedStop)> {
    let snapshot = plan_run.snapshot();
    let stopped = find_planned_stops(&snapshot, overview);
    let PlanSnapshot { begun, steps, .. } = snapshot;
    let known: HashMap<InstanceId, &InstanceOverview> =
        overview.instances().map(|located| (located.id(), located.instance)).collect();
    for (at, (step, (state, last_text))) in begun.plan.steps.iter().zip(steps).enumerate() {
        let what = match state {
            StepState::Interrupted => "the aggregator ended meanwhile",
            StepState::Skipped if last_text == NOT_ATTEMPTED => NOT_ATTEMPTED,
            _ => continue,
        };
        let text = format!("{what}; {}", state_sentence(known.get(&step.instance).copied()));
        if state == StepState::Interrupted {
            let instance = step.instance.name_in_text();
            tracing::warn!(plan = begun.id, action = step.word(), instance, text, "step interrupted");
        }
        plan_run.end_step(at, now, state, text);
    }
    let end = plan_run.end_plan(now);
    tracing::warn!(plan = plan_run.begun().id, %end, "the plan was interrupted by the aggregator's end");
    stopped
}

/// Returns the present state as a sentence, such as `it is running now`.
fn state_sentence(instance: Option<&InstanceOverview>) -> String {
    let Some(instance) = instance else { return "the configuration does not have it any more".to_owned() };
    match instance.state {
        Some(state) => format!("it is {state} now"),
        None => format!("its current state is unknown: {}", instance.reason),
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::down_cause::DownCause;
    use rta_shared::plan::PlanStart;
    use rta_shared::report::State;

    use super::*;
    use crate::plans::run::tests::plan_begin;
    use crate::sample_overview::sample;

    fn reopen(begun: PlanStart, states: Vec<(StepState, String)>, now: Timestamp) -> Arc<PlanRun> {
        let unfinished = UnfinishedPlan { begun, states };
        Arc::new(reopen_plan(unfinished, EventBus::default(), PlanChanges::default(), now))
    }

    #[test]
    fn it_is_told_what_was_done_what_was_not_and_how_the_rest_is_now() {
        let now = Timestamp::UNIX_EPOCH;
        let mut begun = plan_begin(3, &[&[], &[], &[], &[0], &[1]]);
        let known = [("c9t21193", "kafka server"), ("c2t08979", "cassandra"), ("h", "gone")];
        for (step, (host, component)) in begun.plan.steps.iter_mut().skip(1).zip(known) {
            step.instance =
                InstanceId { environment: "DEV".into(), host: host.into(), component: component.into() };
        }
        let under_way = || (StepState::UnderWay, String::new());
        let states = vec![
            (StepState::Done, "started in 1.0 s".to_owned()),
            under_way(),
            under_way(),
            (StepState::Interrupted, String::new()),
        ];
        let plan_run = reopen(begun, states, now);
        assert!(plan_run.is_under_way());
        assert_eq!(plan_run.cancel(), None, "nobody carries it out any more");
        let mut overview = sample();
        overview.environments[0].hosts[2].instances[0].reason = "the agent does not answer".to_owned();
        assert_eq!(close_plan(&plan_run, &overview, now), [], "it was no stop");
        let snapshot = plan_run.snapshot();
        let texts: Vec<(StepState, &str)> =
            snapshot.steps.iter().map(|(state, text)| (*state, text.as_str())).collect();
        let interrupted = StepState::Interrupted;
        assert_eq!(
            texts,
            [
                (StepState::Done, "started in 1.0 s"),
                (interrupted, "the aggregator ended meanwhile; it is stopped now"),
                (
                    interrupted,
                    "the aggregator ended meanwhile; its current state is unknown: the agent does not answer"
                ),
                (interrupted, "the aggregator ended meanwhile; the configuration does not have it any more"),
                (
                    StepState::Skipped,
                    "not attempted: the aggregator ended before; the configuration does not have it any more"
                ),
            ]
        );
        let end = snapshot.end.unwrap();
        assert_eq!((end.done, end.interrupted, end.skipped), (1, 3, 1));
    }

    #[test]
    fn stop_that_was_under_way_and_is_done_is_a_planned_stop() {
        let now = Timestamp::UNIX_EPOCH;
        let mut begun = plan_begin(3, &[&[], &[], &[]]);
        begun.plan.kind = ActionKind::Stop;
        let known =
            [("c9t21193", "kafka server"), ("c2t08978", "novelty detector"), ("c2t08979", "cassandra")];
        for (step, (host, component)) in begun.plan.steps.iter_mut().zip(known) {
            step.action = ActionKind::Stop;
            step.instance =
                InstanceId { environment: "DEV".into(), host: host.into(), component: component.into() };
        }
        let (first, by) = (begun.plan.steps[0].instance.clone(), begun.by.clone());
        // The second still runs, and the third was not requested.
        let under_way = || (StepState::UnderWay, String::new());
        let states = vec![under_way(), under_way()];
        let plan_run = reopen(begun, states, now);
        let mut overview = sample();
        for instance in overview.environments[0].hosts.iter_mut().flat_map(|host| &mut host.instances) {
            instance.state = Some(match instance.component == *"novelty detector" {
                true => State::Running,
                false => State::Stopped,
            });
        }
        assert_eq!(close_plan(&plan_run, &overview, now), [(first, PlannedStop { plan: 3, by, at: now })]);
    }

    #[test]
    fn time_of_a_planned_stop_is_that_of_the_stop() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let mut begun = plan_begin(3, &[&[]]);
        (begun.plan.kind, begun.at) = (ActionKind::Stop, second(100));
        begun.plan.steps[0].instance = InstanceId {
            environment: "DEV".into(),
            host: "c9t21193".into(),
            component: "kafka server".into(),
        };
        let steps = vec![(StepState::Interrupted, String::new())];
        let snapshot = PlanSnapshot { begun: begun.clone(), steps, end: None };
        for (observed, expected) in [(140, 140), (7, 100)] {
            let mut overview = sample();
            let kafka = &mut overview.environments[0].hosts[0].instances[0];
            kafka.state = Some(State::Stopped);
            let kind = DownKind::Stopped { by: begun.by.clone() };
            kafka.down_cause = Some(Box::new(DownCause { at: second(observed), kind, last_log_line: None }));
            let found = find_planned_stops(&snapshot, &overview);
            assert_eq!(found.iter().map(|(_, stop)| stop.at).collect::<Vec<_>>(), [second(expected)]);
        }
    }

    #[test]
    fn what_an_interrupted_restart_stopped_and_did_not_start_again_is_a_planned_stop() {
        let now = Timestamp::UNIX_EPOCH;
        let mut begun = plan_begin(6, &[&[], &[], &[]]);
        begun.plan.kind = ActionKind::Restart;
        let rows = [
            ("c2t08978", "novelty detector", ActionKind::Stop),
            ("c9t21193", "kafka server", ActionKind::Restart),
            ("c2t08978", "novelty detector", ActionKind::Start),
        ];
        for (step, (host, component, action)) in begun.plan.steps.iter_mut().zip(rows) {
            step.action = action;
            step.instance =
                InstanceId { environment: "DEV".into(), host: host.into(), component: component.into() };
        }
        let (first, by) = (begun.plan.steps[0].instance.clone(), begun.by.clone());
        let states = vec![(StepState::Done, String::new()), (StepState::UnderWay, String::new())];
        for (state, expected) in
            [(State::Stopped, vec![(first, PlannedStop { plan: 6, by, at: now })]), (State::Running, vec![])]
        {
            let plan_run = reopen(begun.clone(), states.clone(), now);
            let mut overview = sample();
            for instance in overview.environments[0].hosts.iter_mut().flat_map(|host| &mut host.instances) {
                instance.state = Some(state);
            }
            assert_eq!(close_plan(&plan_run, &overview, now), expected);
        }
    }
}
