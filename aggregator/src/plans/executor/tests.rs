//! Tests of plan execution with a scripted performer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rta_shared::action::ActionKind;
use rta_shared::plan::StepState::{self, Done, Failed, Skipped, Waiting};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::plans::run::tests::{plan_begin, plan_run as new_plan_run};

fn plan_run(after: &[&[usize]]) -> Arc<PlanRun> {
    Arc::new(new_plan_run(plan_begin(1, after)))
}

fn states(plan_run: &PlanRun) -> Vec<StepState> {
    plan_run.snapshot().steps.into_iter().map(|(state, _)| state).collect()
}

fn failure() -> StepFailure {
    StepFailure { reason: "no".to_owned(), unreachable: false }
}

/// Runs the plan without delays; the steps in `failing` fail. Returns the order in which the steps were done.
async fn run_without_delay(plan_run: &PlanRun, options: &ExecutionOptions, failing: &[usize]) -> Vec<usize> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let perform = |at: usize, _: Step| {
        order.lock().unwrap().push(at);
        let fails = failing.contains(&at);
        async move { if fails { Err(failure()) } else { Ok("yes".to_owned()) } }
    };
    let end = run_steps(plan_run, options, perform, async {}, &CancellationToken::new()).await.unwrap();
    assert_eq!(plan_run.snapshot().end, Some(end));
    let order = order.lock().unwrap();
    order.clone()
}

#[tokio::test]
async fn each_step_waits_for_those_before_it() {
    let plan_run = plan_run(&[&[], &[0], &[0], &[1, 2], &[]]);
    let order =
        run_without_delay(&plan_run, &ExecutionOptions { parallel: 1, ..ExecutionOptions::default() }, &[])
            .await;
    assert_eq!(order, [0, 1, 2, 3, 4]);
    assert_eq!(states(&plan_run), [Done; 5]);
    assert!(plan_run.snapshot().end.unwrap().is_complete());
}

#[tokio::test]
async fn plan_ends_only_when_the_outcomes_are_shown() {
    let plan_run = plan_run(&[&[]]);
    let is_ended = || plan_run.snapshot().end.is_some();
    let settle = async { assert!(states(&plan_run) == [Done] && !is_ended()) };
    let perform = |_: usize, _: Step| async { Ok(String::new()) };
    let options = ExecutionOptions::default();
    let end = run_steps(&plan_run, &options, perform, settle, &CancellationToken::new()).await;
    assert!(end.is_some() && is_ended());
}

#[tokio::test]
async fn an_empty_plan_ends_at_once() {
    let plan_run = plan_run(&[]);
    assert!(run_without_delay(&plan_run, &ExecutionOptions::default(), &[]).await.is_empty());
    assert!(plan_run.snapshot().end.unwrap().is_complete());
}

#[tokio::test]
async fn after_a_failure_nothing_new_is_begun() {
    let plan_run = plan_run(&[&[], &[0], &[1], &[]]);
    let order =
        run_without_delay(&plan_run, &ExecutionOptions { parallel: 1, ..ExecutionOptions::default() }, &[0])
            .await;
    assert_eq!(order, [0]);
    let snapshot = plan_run.snapshot();
    assert_eq!(states(&plan_run), [Failed, Skipped, Skipped, Skipped]);
    let reason = "not attempted, since the start of c0 on h failed";
    for (_, text) in &snapshot.steps[1..3] {
        assert_eq!(text, reason);
    }
    let advice = "(--keep-going goes on with what does not depend on it)";
    assert_eq!(snapshot.steps[3].1, format!("{reason} {advice}"));
    let end = snapshot.end.unwrap();
    assert_eq!((end.done, end.failed, end.skipped, end.cancelled), (0, 1, 3, false));
}

#[tokio::test]
async fn with_keep_going_only_what_waits_for_the_failed_one_is_skipped() {
    let plan_run = plan_run(&[&[], &[], &[0], &[1], &[2, 3], &[3]]);
    let options = ExecutionOptions { keep_going: true, ..ExecutionOptions::default() };
    run_without_delay(&plan_run, &options, &[0]).await;
    assert_eq!(states(&plan_run), [Failed, Done, Skipped, Done, Skipped, Done]);
    assert_eq!(plan_run.snapshot().steps[4].1, "not attempted, since the start of c0 on h failed");
}

#[tokio::test]
async fn a_dead_host_is_in_the_way_only_of_what_depends_on_it() {
    let plan_run = plan_run(&[&[], &[0], &[], &[], &[2, 3], &[]]);
    let perform = |at: usize, _: Step| async move {
        match at {
            0 => Err(StepFailure { unreachable: true, ..failure() }),
            3 => Err(failure()),
            _ => Ok(String::new()),
        }
    };
    let options = ExecutionOptions { parallel: 1, ..ExecutionOptions::default() };
    run_steps(&plan_run, &options, perform, async {}, &CancellationToken::new()).await.unwrap();
    // After another failure no new steps begin.
    assert_eq!(states(&plan_run), [Failed, Skipped, Done, Failed, Skipped, Skipped]);
    let texts: Vec<String> = plan_run.snapshot().steps.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts[1], "not attempted, since the start of c0 on h failed");
    assert!(
        texts[5].starts_with("not attempted, since the start of c3 on h failed (--keep-going"),
        "{texts:?}"
    );
}

/// Counters of the steps that wait to be released.
#[derive(Default)]
struct StepCounters {
    begun: AtomicUsize,
    most: AtomicUsize,
    now: AtomicUsize,
}

async fn hold_step(
    held: Arc<StepCounters>,
    gate: Arc<Semaphore>,
    fails: bool,
) -> Result<String, StepFailure> {
    held.begun.fetch_add(1, Ordering::SeqCst);
    let now = held.now.fetch_add(1, Ordering::SeqCst) + 1;
    held.most.fetch_max(now, Ordering::SeqCst);
    gate.acquire().await.unwrap().forget();
    held.now.fetch_sub(1, Ordering::SeqCst);
    if fails { Err(failure()) } else { Ok("yes".to_owned()) }
}

/// Plan of independent steps that wait to be released.
struct HeldPlan {
    plan_run: Arc<PlanRun>,
    held: Arc<StepCounters>,
    /// Each step that ends takes one permit.
    gate: Arc<Semaphore>,
    ending: CancellationToken,
    task: JoinHandle<Option<PlanEnd>>,
}

/// Creates a plan with this number of steps, of which `failing` fails.
fn start_held_plan(steps: usize, parallel: u32, failing: Option<usize>) -> HeldPlan {
    let plan_run = plan_run(&vec![&[][..]; steps]);
    let (held, gate) = (Arc::new(StepCounters::default()), Arc::new(Semaphore::new(0)));
    let ending = CancellationToken::new();
    let task = {
        let (plan_run, held, gate, ending) =
            (Arc::clone(&plan_run), Arc::clone(&held), Arc::clone(&gate), ending.clone());
        tokio::spawn(async move {
            let perform =
                |at: usize, _: Step| hold_step(Arc::clone(&held), Arc::clone(&gate), failing == Some(at));
            run_steps(
                &plan_run,
                &ExecutionOptions { parallel, ..ExecutionOptions::default() },
                perform,
                async {},
                &ending,
            )
            .await
        })
    };
    HeldPlan { plan_run, held, gate, ending, task }
}

/// Lets every other task run until nothing moves.
async fn settled() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_more_are_under_way_than_may_be() {
    for (parallel, most) in [(3, 3), (0, 8), (1_000, 64)] {
        let HeldPlan { plan_run, held, gate, task, .. } = start_held_plan(100, parallel, None);
        settled().await;
        assert_eq!(held.begun.load(Ordering::SeqCst), most);
        gate.add_permits(100);
        task.await.unwrap();
        assert_eq!(held.most.load(Ordering::SeqCst), most);
        assert_eq!(states(&plan_run), [Done; 100]);
    }
}

#[tokio::test]
async fn a_cancelled_plan_waits_for_what_is_under_way_and_begins_nothing() {
    let HeldPlan { plan_run, held, gate, task, .. } = start_held_plan(4, 2, None);
    settled().await;
    assert_eq!(plan_run.cancel(), Some(2));
    settled().await;
    // The steps that will not be done are skipped at once.
    assert_eq!(states(&plan_run)[2..], [Skipped, Skipped]);
    assert!(plan_run.is_under_way());
    gate.add_permits(2);
    let end = task.await.unwrap().unwrap();
    assert_eq!((end.done, end.skipped, end.cancelled), (2, 2, true));
    assert_eq!(held.begun.load(Ordering::SeqCst), 2);
    assert_eq!(plan_run.snapshot().steps[3].1, "not attempted: cancelled");
}

#[tokio::test]
async fn what_is_under_way_when_another_fails_is_waited_for() {
    let HeldPlan { plan_run, gate, task, .. } = start_held_plan(3, 2, Some(0));
    settled().await;
    gate.add_permits(1);
    settled().await;
    assert_eq!(states(&plan_run), [Failed, StepState::UnderWay, Skipped]);
    gate.add_permits(1);
    task.await.unwrap().unwrap();
    assert_eq!(states(&plan_run), [Failed, Done, Skipped]);
}

#[tokio::test]
async fn when_the_aggregator_ends_nothing_new_begins_and_the_plan_stays_open() {
    let HeldPlan { plan_run, held, ending, task, .. } = start_held_plan(4, 2, None);
    settled().await;
    ending.cancel();
    assert_eq!(task.await.unwrap(), None);
    assert!(plan_run.is_under_way());
    assert_eq!(held.begun.load(Ordering::SeqCst), 2);
    assert_eq!(states(&plan_run), [StepState::UnderWay, StepState::UnderWay, Waiting, Waiting]);
}

#[tokio::test]
async fn a_step_that_panics_is_a_failed_one() {
    let plan_run = plan_run(&[&[], &[0]]);
    let perform = |at: usize, _: Step| async move {
        assert_ne!(at, 0, "a broken performer");
        Ok(String::new())
    };
    run_steps(&plan_run, &ExecutionOptions::default(), perform, async {}, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(states(&plan_run), [Failed, Skipped]);
    assert!(plan_run.snapshot().steps[0].1.starts_with("the aggregator failed: "));
}

/// Creates a restart of the first of three instances: its two dependents are stopped before and started
/// again.
fn restart() -> Arc<PlanRun> {
    let mut begun = plan_begin(1, &[&[], &[], &[0, 1], &[0, 2], &[1, 2]]);
    let instances = [1, 2, 0, 1, 2].map(|at| begun.plan.steps[at].instance.clone());
    let actions =
        [ActionKind::Stop, ActionKind::Stop, ActionKind::Restart, ActionKind::Start, ActionKind::Start];
    for (step, (instance, action)) in begun.plan.steps.iter_mut().zip(instances.into_iter().zip(actions)) {
        step.instance = instance;
        step.action = action;
    }
    begun.plan.kind = ActionKind::Restart;
    Arc::new(new_plan_run(begun))
}

#[tokio::test]
async fn what_a_restart_stopped_comes_back_where_the_restart_was_not_attempted() {
    for keep_going in [false, true] {
        let plan_run = restart();
        let options = ExecutionOptions { keep_going, ..ExecutionOptions::default() };
        run_without_delay(&plan_run, &options, &[1]).await;
        assert_eq!(states(&plan_run), [Done, Failed, Skipped, Done, Skipped]);
    }
}

#[tokio::test]
async fn what_is_just_being_stopped_when_another_fails_comes_back_too() {
    let plan_run = restart();
    let gate = Arc::new(Semaphore::new(0));
    let perform = |at: usize, _: Step| {
        let gate = Arc::clone(&gate);
        async move {
            // The other stop has failed before this one ends.
            if at == 0 {
                gate.acquire().await.unwrap().forget();
            }
            gate.add_permits(1);
            if at == 1 { Err(failure()) } else { Ok(String::new()) }
        }
    };
    run_steps(&plan_run, &ExecutionOptions::default(), perform, async {}, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(states(&plan_run), [Done, Failed, Skipped, Done, Skipped]);
}

#[tokio::test]
async fn what_needs_something_that_did_not_come_back_stays_down() {
    let plan_run = restart();
    run_without_delay(&plan_run, &ExecutionOptions { keep_going: true, ..ExecutionOptions::default() }, &[2])
        .await;
    assert_eq!(states(&plan_run), [Done, Done, Failed, Skipped, Skipped]);
    assert_eq!(plan_run.snapshot().steps[4].1, "not attempted, since the restart of c0 on h failed");
}

#[tokio::test]
async fn a_cancelled_restart_brings_back_what_it_has_stopped() {
    let plan_run = restart();
    let perform = |at: usize, _: Step| {
        if at == 0 {
            assert_eq!(plan_run.cancel(), Some(3));
        }
        async { Ok(String::new()) }
    };
    let options = ExecutionOptions { parallel: 1, ..ExecutionOptions::default() };
    let end = run_steps(&plan_run, &options, perform, async {}, &CancellationToken::new()).await.unwrap();
    assert_eq!(states(&plan_run), [Done, Skipped, Skipped, Done, Skipped]);
    assert_eq!((end.done, end.skipped, end.cancelled), (2, 3, true));
}

#[tokio::test]
async fn a_restart_that_is_cancelled_when_all_is_stopped_brings_all_back() {
    for cancelled_at in [1, 2] {
        let plan_run = restart();
        let perform = |at: usize, _: Step| {
            if at == cancelled_at {
                plan_run.cancel();
            }
            async { Ok(String::new()) }
        };
        let options = ExecutionOptions { parallel: 1, ..ExecutionOptions::default() };
        let end = run_steps(&plan_run, &options, perform, async {}, &CancellationToken::new()).await.unwrap();
        let restarted = if cancelled_at == 1 { Skipped } else { Done };
        assert_eq!(states(&plan_run), [Done, Done, restarted, Done, Done]);
        assert_eq!(end.cancelled, cancelled_at == 1);
    }
}
