//! Events and states of one plan: kept from its beginning, for any number of listeners.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use jiff::Timestamp;
use rta_shared::action::ActionProgress;
use rta_shared::plan::{PlanEnd, PlanEvent, PlanStart, StepChange, StepState};
use rta_shared::sanitize::truncated;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::plan_events::PlanEvents;
use super::schedule::restores_stopped;
use crate::events::EventBus;

/// Maximum number of streamed events. Later progress only updates the snapshot; the begin and the end of a
/// step are always streamed.
const MAX_STREAMED_EVENTS: usize = 10_000;
/// Maximum length of a step's text, in bytes.
const MAX_TEXT_BYTES: usize = 2 * 1024;
/// Maximum length of a failure's text, in bytes; it contains the last log lines.
const MAX_FAILURE_BYTES: usize = 16 * 1024;
/// Text of a step that was skipped because the plan was cancelled.
const SKIPPED_FOR_CANCEL: &str = "not attempted: cancelled";
/// Maximum number of process IDs kept of a progress update.
const MAX_PIDS: usize = 64;

/// Plan with its events and states.
#[derive(Debug)]
pub(crate) struct PlanRun {
    plan_events: PlanEvents,
    bus: EventBus,
    log: Mutex<PlanLog>,
    /// Number of events.
    event_count: watch::Sender<usize>,
    changes: PlanChanges,
    cancelled: CancellationToken,
    /// Token that is cancelled when this aggregator does not carry out the plan any more, whether it has ended
    /// or not.
    carried_out_until: CancellationToken,
    is_store_slow: AtomicBool,
}

/// Notifier of changes of all plans of a registry; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlanChanges(watch::Sender<()>);

impl PlanChanges {
    /// Returns a receiver that is notified of every later change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }

    /// Notifies all receivers.
    pub(crate) fn notify(&self) {
        self.0.send_replace(());
    }
}

#[derive(Debug)]
struct PlanLog {
    events: Vec<PlanEvent>,
    /// State and last text of each step.
    steps: Vec<(StepState, String)>,
    /// True if a step was skipped since the plan was cancelled.
    skipped_for_cancel: bool,
    end: Option<PlanEnd>,
    /// See [`PlanStart::unrecorded`].
    unrecorded: Option<String>,
}

/// State of a plan at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanSnapshot {
    pub(crate) begun: PlanStart,
    /// State and last text of each step.
    pub(crate) steps: Vec<(StepState, String)>,
    /// `None` while the plan is under way.
    pub(crate) end: Option<PlanEnd>,
}

impl PlanRun {
    /// Creates the run of a new plan. Its events go to `bus`, and `changes` notifies of its progress.
    pub(crate) fn new(begun: PlanStart, bus: EventBus, changes: PlanChanges) -> Self {
        let steps = vec![(StepState::Waiting, String::new()); begun.plan.steps.len()];
        Self::with_steps(begun, steps, bus, changes)
    }

    /// Creates the run of a plan whose steps already have these states.
    pub(crate) fn with_steps(
        begun: PlanStart,
        steps: Vec<(StepState, String)>,
        bus: EventBus,
        changes: PlanChanges,
    ) -> Self {
        let log = PlanLog {
            events: vec![PlanEvent::Begun(begun.clone())],
            steps,
            skipped_for_cancel: false,
            end: None,
            unrecorded: begun.unrecorded.clone(),
        };
        Self {
            plan_events: PlanEvents::new(begun),
            bus,
            log: Mutex::new(log),
            event_count: watch::Sender::new(1),
            changes,
            cancelled: CancellationToken::new(),
            carried_out_until: CancellationToken::new(),
            is_store_slow: AtomicBool::new(false),
        }
    }

    /// Returns the same run, whose streams end with `end`: another aggregator may lead the environment before
    /// the plan has ended.
    #[must_use]
    pub(crate) fn carried_out_until(self, end: CancellationToken) -> Self {
        Self { carried_out_until: end, ..self }
    }

    pub(crate) fn begun(&self) -> &PlanStart {
        &self.plan_events.begun
    }

    /// Publishes the beginning of the plan, and returns when it is on disk.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if it is not on disk.
    pub(crate) async fn publish_begin(&self) -> Result<(), String> {
        self.bus.publish_plan_begin(self.begun(), self.plan_events.begin_event()).await
    }

    /// Stores the reason why the plan was not on disk before its first step. New listeners receive it.
    pub(crate) fn note_unrecorded(&self, why: String) {
        self.with_log(|log| {
            if let Some(PlanEvent::Begun(begun)) = log.events.first_mut() {
                begun.unrecorded = Some(why.clone());
            }
            log.unrecorded = Some(why);
        });
        self.changes.notify();
    }

    /// Returns true if the event store exceeded its time limit once; later steps of this plan do not wait for it.
    pub(crate) fn is_store_slow(&self) -> bool {
        self.is_store_slow.load(Ordering::Relaxed)
    }

    /// Stores that the event store exceeded its time limit.
    pub(crate) fn note_slow_store(&self) {
        self.is_store_slow.store(true, Ordering::Relaxed);
    }

    /// Returns the token that is cancelled with the plan.
    pub(crate) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.with_log(|log| log.end.is_none())
    }

    /// Marks a step as under way. Returns false, without a change, if the plan was cancelled and the step
    /// does not restart what the plan has stopped.
    pub(crate) fn begin_step(&self, step: usize, at: Timestamp) -> bool {
        self.with_log(|log| {
            let begins = self.may_begin(log, step);
            if begins {
                self.change_step(log, step, at, StepState::UnderWay, String::new());
            }
            begins
        })
    }

    /// Returns true if a step that is under way, and has done nothing so far, may still begin; see
    /// [`Self::begin_step`].
    pub(crate) fn may_still_begin(&self, step: usize) -> bool {
        self.with_log(|log| self.may_begin(log, step))
    }

    /// Adds a progress update of a step.
    pub(crate) fn add_progress(&self, step: usize, at: Timestamp, mut progress: ActionProgress) {
        progress.text = truncated(&progress.text, MAX_TEXT_BYTES).into_owned();
        progress.pids.truncate(MAX_PIDS);
        let text = progress.text.clone();
        let change = StepChange { step, at, state: StepState::UnderWay, progress: Some(progress), text };
        self.with_log(|log| {
            if log.events.len() < MAX_STREAMED_EVENTS {
                self.append_change(log, change);
            } else {
                apply_to_snapshot(log, &change);
                self.changes.notify();
            }
        });
    }

    /// Applies the end of a step.
    pub(crate) fn end_step(&self, step: usize, at: Timestamp, state: StepState, text: String) {
        self.with_log(|log| self.change_step(log, step, at, state, text));
    }

    /// Skips a step because the plan was cancelled.
    pub(crate) fn skip_cancelled_step(&self, step: usize, at: Timestamp) {
        self.with_log(|log| {
            log.skipped_for_cancel = true;
            self.change_step(log, step, at, StepState::Skipped, SKIPPED_FOR_CANCEL.to_owned());
        });
    }

    /// Applies a state of a step that is recorded already.
    pub(crate) fn replay_step(&self, step: usize, at: Timestamp, state: StepState, text: String) {
        let change = step_change(step, at, state, &text);
        self.with_log(|log| self.append_change(log, change));
    }

    /// Applies the recorded states of the steps, and the end, of a plan that another aggregator carries out.
    pub(crate) fn follow_record(
        &self,
        states: &[(StepState, String)],
        ended_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.with_log(|log| {
            if log.end.is_some() {
                return;
            }
            for (step, (state, text)) in states.iter().enumerate() {
                if log.steps.get(step).is_some_and(|before| *before != (*state, text.clone())) {
                    let at = ended_at.unwrap_or(now);
                    log.skipped_for_cancel |= text == SKIPPED_FOR_CANCEL;
                    self.append_change(log, step_change(step, at, *state, text));
                }
            }
            if let Some(at) = ended_at {
                let end = plan_end(log, at);
                log.end = Some(end.clone());
                self.push_event(log, PlanEvent::Ended(end));
            }
        });
    }

    /// Ends the plan. Every step must have ended.
    pub(crate) fn end_plan(&self, at: Timestamp) -> PlanEnd {
        self.with_log(|log| {
            let end = plan_end(log, at);
            self.bus.publish_plan_end(self.begun().id, &end, self.plan_events.end_event(&end));
            log.end = Some(end.clone());
            self.push_event(log, PlanEvent::Ended(end.clone()));
            end
        })
    }

    /// Cancels the plan: steps that have not begun are skipped, except those that restart what the plan has
    /// stopped. Returns the number of skipped steps; `None` if all steps have ended.
    pub(crate) fn cancel(&self) -> Option<usize> {
        self.with_log(|log| {
            if log.end.is_some() || log.steps.iter().all(|(state, _)| state.is_final()) {
                return None;
            }
            self.cancelled.cancel();
            let is_skipped =
                |at: &usize| log.steps[*at].0 == StepState::Waiting && !self.restores_stopped(log, *at);
            Some((0..log.steps.len()).filter(is_skipped).count())
        })
    }

    /// Returns the current state of the plan.
    pub(crate) fn snapshot(&self) -> PlanSnapshot {
        self.with_log(|log| PlanSnapshot {
            begun: PlanStart { unrecorded: log.unrecorded.clone(), ..self.begun().clone() },
            steps: log.steps.clone(),
            end: log.end.clone(),
        })
    }

    /// Returns a stream of all events from the beginning to the end, future ones included, for as long as the
    /// plan is carried out here.
    pub(crate) fn stream_events(self: Arc<Self>) -> impl Stream<Item = PlanEvent> + Send + use<> {
        let length = self.event_count.subscribe();
        futures::stream::unfold((self, length, 0), async |(plan_run, mut length, next)| {
            loop {
                // Marked as seen before the read, so that a change in between is detected.
                length.borrow_and_update();
                let (event, is_over) =
                    plan_run.with_log(|log| (log.events.get(next).cloned(), log.end.is_some()));
                match event {
                    Some(event) => return Some((event, (plan_run, length, next + 1))),
                    None if is_over || plan_run.carried_out_until.is_cancelled() => return None,
                    None => match plan_run.carried_out_until.run_until_cancelled(length.changed()).await {
                        // The stream owns the plan run, and with it the sender.
                        Some(changed) => changed.ok()?,
                        // The last events are streamed, too.
                        None => continue,
                    },
                }
            }
        })
    }

    fn may_begin(&self, log: &PlanLog, step: usize) -> bool {
        !self.cancelled.is_cancelled() || self.restores_stopped(log, step)
    }

    fn restores_stopped(&self, log: &PlanLog, step: usize) -> bool {
        restores_stopped(&self.begun().plan.steps, |at| log.steps[at].0, step)
    }

    fn change_step(&self, log: &mut PlanLog, step: usize, at: Timestamp, state: StepState, text: String) {
        let change = step_change(step, at, state, &text);
        let event = log.steps.get(step).and_then(|before| self.plan_events.step_event(before, &change));
        self.bus.publish_step(self.begun().id, &change, event);
        self.append_change(log, change);
    }

    fn append_change(&self, log: &mut PlanLog, change: StepChange) {
        apply_to_snapshot(log, &change);
        self.push_event(log, PlanEvent::Step(change));
    }

    fn push_event(&self, log: &mut PlanLog, event: PlanEvent) {
        log.events.push(event);
        self.event_count.send_replace(log.events.len());
        self.changes.notify();
    }

    fn with_log<T>(&self, look: impl FnOnce(&mut PlanLog) -> T) -> T {
        // A panic while the lock is held cannot leave a change half-written.
        look(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts the states of the steps of a plan that ends.
fn plan_end(log: &PlanLog, at: Timestamp) -> PlanEnd {
    let count = |state| log.steps.iter().filter(|(other, _)| *other == state).count();
    PlanEnd {
        at,
        done: count(StepState::Done),
        failed: count(StepState::Failed),
        skipped: count(StepState::Skipped),
        interrupted: count(StepState::Interrupted),
        cancelled: log.skipped_for_cancel,
    }
}

/// Creates the change of a step; its text is cut to the limit.
fn step_change(step: usize, at: Timestamp, state: StepState, text: &str) -> StepChange {
    let longest = if state == StepState::Failed { MAX_FAILURE_BYTES } else { MAX_TEXT_BYTES };
    StepChange { step, at, state, progress: None, text: truncated(text, longest).into_owned() }
}

/// Applies a change to the snapshot without an event.
fn apply_to_snapshot(log: &mut PlanLog, change: &StepChange) {
    if let Some(step) = log.steps.get_mut(change.step) {
        *step = (change.state, change.text.clone());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use futures::StreamExt as _;
    use rta_shared::action::{ActionKind, ActionPhase, Requester};
    use rta_shared::overview::InstanceId;
    use rta_shared::plan::{Plan, Step};

    use super::*;

    /// Creates the beginning of a plan of starts; `after` lists the prerequisites of each step.
    pub(crate) fn plan_begin(id: u64, after: &[&[usize]]) -> PlanStart {
        let steps = after.iter().enumerate().map(|(at, after)| Step {
            instance: InstanceId {
                environment: "E".into(),
                host: "h".into(),
                component: format!("c{at}").into(),
            },
            action: ActionKind::Start,
            named: true,
            after: after.to_vec(),
            why: String::new(),
            irreversible: String::new(),
            batch: 0,
            gate: None,
        });
        let plan = Plan { kind: ActionKind::Start, steps: steps.collect() };
        PlanStart { id, plan, at: Timestamp::UNIX_EPOCH, by: Requester::default(), unrecorded: None }
    }

    /// Creates the run of a plan that nobody listens to.
    pub(crate) fn plan_run(begun: PlanStart) -> PlanRun {
        PlanRun::new(begun, EventBus::default(), PlanChanges::default())
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn progress() -> ActionProgress {
        ActionProgress { at: NOW, phase: ActionPhase::Waiting, text: "so".to_owned(), pids: vec![] }
    }

    #[tokio::test]
    async fn every_listener_hears_everything_once_whenever_it_comes() {
        let plan_run = Arc::new(plan_run(plan_begin(7, &[&[], &[0]])));
        let early = tokio::spawn(Arc::clone(&plan_run).stream_events().collect::<Vec<_>>());
        tokio::task::yield_now().await;
        assert!(plan_run.begin_step(0, NOW));
        let halfway = tokio::spawn(Arc::clone(&plan_run).stream_events().collect::<Vec<_>>());
        for _ in 0..100 {
            plan_run.add_progress(0, NOW, progress());
            tokio::task::yield_now().await;
        }
        plan_run.end_step(0, NOW, StepState::Done, "started".to_owned());
        plan_run.end_step(1, NOW, StepState::Skipped, "not attempted".to_owned());
        let end = plan_run.end_plan(NOW);
        assert_eq!((end.done, end.skipped, end.cancelled), (1, 1, false));
        let late: Vec<PlanEvent> = Arc::clone(&plan_run).stream_events().collect().await;
        assert_eq!(late.len(), 105);
        assert!(matches!(&late[0], PlanEvent::Begun(begun) if begun.id == 7));
        assert_eq!(late[104], PlanEvent::Ended(end));
        assert_eq!(early.await.unwrap(), late);
        assert_eq!(halfway.await.unwrap(), late);
        assert_eq!(
            plan_run.snapshot().steps,
            [(StepState::Done, "started".to_owned()), (StepState::Skipped, "not attempted".to_owned())]
        );
    }

    #[tokio::test]
    async fn stream_ends_when_the_plan_is_not_carried_out_any_more() {
        let end = CancellationToken::new();
        let plan_run = Arc::new(plan_run(plan_begin(7, &[&[]])).carried_out_until(end.clone()));
        let stream = tokio::spawn(Arc::clone(&plan_run).stream_events().collect::<Vec<_>>());
        tokio::task::yield_now().await;
        assert!(plan_run.begin_step(0, NOW));
        end.cancel();
        assert_eq!(stream.await.unwrap().len(), 2);
        // What was known is shown to later ones, too.
        assert_eq!(Arc::clone(&plan_run).stream_events().collect::<Vec<_>>().await.len(), 2);
    }

    #[test]
    fn what_was_cancelled_does_not_begin_and_what_has_ended_cannot_be_cancelled() {
        let plan_run = plan_run(plan_begin(1, &[&[], &[], &[]]));
        assert!(plan_run.begin_step(0, NOW) && plan_run.may_still_begin(0));
        assert_eq!(plan_run.cancel(), Some(2));
        assert!(!plan_run.may_still_begin(0));
        assert!(!plan_run.begin_step(1, NOW));
        let states: Vec<StepState> = plan_run.snapshot().steps.into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, [StepState::UnderWay, StepState::Waiting, StepState::Waiting]);
        plan_run.end_step(0, NOW, StepState::Done, String::new());
        plan_run.skip_cancelled_step(1, NOW);
        plan_run.skip_cancelled_step(2, NOW);
        // No step is left that a second cancel could skip.
        assert_eq!(plan_run.cancel(), None);
        assert!(plan_run.end_plan(NOW).cancelled);
        assert_eq!(plan_run.cancel(), None);
    }

    #[test]
    fn a_plan_that_was_cancelled_when_its_last_step_was_under_way_was_done() {
        let plan_run = plan_run(plan_begin(1, &[&[]]));
        assert!(plan_run.begin_step(0, NOW));
        assert_eq!(plan_run.cancel(), Some(0));
        plan_run.end_step(0, NOW, StepState::Done, String::new());
        let end = plan_run.end_plan(NOW);
        assert!(!end.cancelled && end.is_complete());
    }

    #[test]
    fn what_is_told_of_a_step_has_a_bound() {
        let plan_run = plan_run(plan_begin(1, &[&[]]));
        let text = "ü".repeat(100_000);
        plan_run.add_progress(
            0,
            NOW,
            ActionProgress { text: text.clone(), pids: vec![7; 1_000], ..progress() },
        );
        let shown = || plan_run.snapshot().steps[0].1.clone();
        assert!(shown().ends_with("ü…") && shown().len() <= MAX_TEXT_BYTES, "{}", shown().len());
        let PlanEvent::Step(StepChange { progress: Some(log), text: said, .. }) =
            plan_run.with_log(|log| log.events[1].clone())
        else {
            panic!("progress");
        };
        assert_eq!((log.text, log.pids.len()), (said, 64));
        plan_run.end_step(0, NOW, StepState::Failed, text.clone());
        assert!(shown().len() > MAX_TEXT_BYTES && shown().len() <= MAX_FAILURE_BYTES, "{}", shown().len());
        plan_run.replay_step(0, NOW, StepState::Done, text);
        assert!(shown().len() <= MAX_TEXT_BYTES);
    }

    #[test]
    fn progress_has_a_bound_and_ends_have_not() {
        let plan_run = plan_run(plan_begin(1, &[&[]]));
        for _ in 0..MAX_STREAMED_EVENTS + 50 {
            plan_run.add_progress(0, NOW, progress());
        }
        // The snapshot still contains the newest text.
        plan_run.add_progress(0, NOW, ActionProgress { text: "newest".to_owned(), ..progress() });
        assert_eq!(plan_run.snapshot().steps, [(StepState::UnderWay, "newest".to_owned())]);
        plan_run.end_step(0, NOW, StepState::Failed, "reason".to_owned());
        assert_eq!(plan_run.with_log(|log| log.events.len()), MAX_STREAMED_EVENTS + 1);
        assert_eq!(plan_run.snapshot().steps, [(StepState::Failed, "reason".to_owned())]);
    }
}
