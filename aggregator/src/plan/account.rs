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

use super::schedule::restores_stopped;
use crate::record::Recorder;

/// Maximum number of streamed events. Later progress only updates the snapshot; the begin and the end of a
/// step are always streamed.
const CHANGES: usize = 10_000;
/// Maximum length of a step's text, in bytes.
const LONGEST: usize = 2 * 1024;
/// Maximum length of a failure's text, in bytes; it contains the last log lines.
const LONGEST_FAILURE: usize = 16 * 1024;
/// Maximum number of process IDs kept of a progress update.
const PIDS: usize = 64;

/// Plan with its events and states.
#[derive(Debug)]
pub(crate) struct Account {
    begun: PlanStart,
    recorder: Recorder,
    told: Mutex<Told>,
    /// Number of events.
    length: watch::Sender<usize>,
    cancelled: CancellationToken,
    is_record_slow: AtomicBool,
}

#[derive(Debug)]
struct Told {
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
pub(crate) struct Snapshot {
    pub(crate) begun: PlanStart,
    /// State and last text of each step.
    pub(crate) steps: Vec<(StepState, String)>,
    /// `None` while the plan is under way.
    pub(crate) end: Option<PlanEnd>,
}

impl Account {
    /// Creates the account of a new or recovered plan. Changes go to `recorder`.
    pub(crate) fn new(begun: PlanStart, recorder: Recorder) -> Self {
        let steps = begun.plan.steps.len();
        let told = Told {
            events: vec![PlanEvent::Begun(begun.clone())],
            steps: vec![(StepState::Waiting, String::new()); steps],
            skipped_for_cancel: false,
            end: None,
            unrecorded: begun.unrecorded.clone(),
        };
        Self {
            begun,
            recorder,
            told: Mutex::new(told),
            length: watch::Sender::new(1),
            cancelled: CancellationToken::new(),
            is_record_slow: AtomicBool::new(false),
        }
    }

    pub(crate) fn begun(&self) -> &PlanStart {
        &self.begun
    }

    /// Stores the reason why the plan was not on disk before its first step. New listeners receive it.
    pub(crate) fn note_unrecorded(&self, why: String) {
        self.locked(|told| {
            if let Some(PlanEvent::Begun(begun)) = told.events.first_mut() {
                begun.unrecorded = Some(why.clone());
            }
            told.unrecorded = Some(why);
        });
    }

    /// Returns true if the record exceeded its time limit once; later steps of this plan do not wait for it.
    pub(crate) fn is_record_slow(&self) -> bool {
        self.is_record_slow.load(Ordering::Relaxed)
    }

    /// Stores that the record exceeded its time limit.
    pub(crate) fn note_slow_record(&self) {
        self.is_record_slow.store(true, Ordering::Relaxed);
    }

    /// Returns the token that is cancelled with the plan.
    pub(crate) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.locked(|told| told.end.is_none())
    }

    /// Marks a step as under way. Returns false, without a change, if the plan was cancelled and the step
    /// does not restart what the plan has stopped.
    pub(crate) fn begin(&self, step: usize, at: Timestamp) -> bool {
        self.locked(|told| {
            let begins = !self.cancelled.is_cancelled() || self.restores_stopped(told, step);
            if begins {
                self.change(told, step, at, StepState::UnderWay, String::new());
            }
            begins
        })
    }

    /// Adds a progress update of a step.
    pub(crate) fn progress(&self, step: usize, at: Timestamp, mut progress: ActionProgress) {
        progress.text = truncated(&progress.text, LONGEST).into_owned();
        progress.pids.truncate(PIDS);
        let text = progress.text.clone();
        let change = StepChange { step, at, state: StepState::UnderWay, progress: Some(progress), text };
        self.locked(|told| {
            if told.events.len() < CHANGES {
                self.note(told, change);
            } else {
                show(told, &change);
            }
        });
    }

    /// Applies the end of a step.
    pub(crate) fn settle(&self, step: usize, at: Timestamp, state: StepState, text: String) {
        self.locked(|told| self.change(told, step, at, state, text));
    }

    /// Skips a step because the plan was cancelled.
    pub(crate) fn skip_for_cancel(&self, step: usize, at: Timestamp) {
        self.locked(|told| {
            told.skipped_for_cancel = true;
            self.change(told, step, at, StepState::Skipped, "not attempted: cancelled".to_owned());
        });
    }

    /// Applies a state of a step that is recorded already.
    pub(crate) fn recall(&self, step: usize, at: Timestamp, state: StepState, text: String) {
        let change = change(step, at, state, &text);
        self.locked(|told| self.note(told, change));
    }

    /// Ends the plan. Every step must have ended.
    pub(crate) fn end(&self, at: Timestamp) -> PlanEnd {
        self.locked(|told| {
            let count = |state| told.steps.iter().filter(|(other, _)| *other == state).count();
            let end = PlanEnd {
                at,
                done: count(StepState::Done),
                failed: count(StepState::Failed),
                skipped: count(StepState::Skipped),
                interrupted: count(StepState::Interrupted),
                cancelled: told.skipped_for_cancel,
            };
            self.recorder.plan_ended(self.begun.id, &end);
            told.end = Some(end.clone());
            self.tell(told, PlanEvent::Ended(end.clone()));
            end
        })
    }

    /// Cancels the plan: steps that have not begun are skipped, except those that restart what the plan has
    /// stopped. Returns the number of skipped steps; `None` if all steps have ended.
    pub(crate) fn cancel(&self) -> Option<usize> {
        self.locked(|told| {
            if told.steps.iter().all(|(state, _)| state.is_final()) {
                return None;
            }
            self.cancelled.cancel();
            let is_skipped =
                |at: &usize| told.steps[*at].0 == StepState::Waiting && !self.restores_stopped(told, *at);
            Some((0..told.steps.len()).filter(is_skipped).count())
        })
    }

    /// Returns the current state of the plan.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.locked(|told| Snapshot {
            begun: PlanStart { unrecorded: told.unrecorded.clone(), ..self.begun.clone() },
            steps: told.steps.clone(),
            end: told.end.clone(),
        })
    }

    /// Returns a stream of all events from the beginning to the end, future ones included.
    pub(crate) fn listen(self: Arc<Self>) -> impl Stream<Item = PlanEvent> + Send + use<> {
        let length = self.length.subscribe();
        futures::stream::unfold((self, length, 0), async |(account, mut length, next)| {
            loop {
                // Marked as seen before the read, so that a change in between is detected.
                length.borrow_and_update();
                let (event, is_over) =
                    account.locked(|told| (told.events.get(next).cloned(), told.end.is_some()));
                match event {
                    Some(event) => return Some((event, (account, length, next + 1))),
                    None if is_over => return None,
                    // The sender is part of the account, which the stream holds.
                    None => length.changed().await.ok()?,
                }
            }
        })
    }

    fn restores_stopped(&self, told: &Told, step: usize) -> bool {
        restores_stopped(&self.begun.plan.steps, |at| told.steps[at].0, step)
    }

    fn change(&self, told: &mut Told, step: usize, at: Timestamp, state: StepState, text: String) {
        let change = change(step, at, state, &text);
        self.recorder.step_changed(self.begun.id, &change);
        self.note(told, change);
    }

    fn note(&self, told: &mut Told, change: StepChange) {
        show(told, &change);
        self.tell(told, PlanEvent::Step(change));
    }

    fn tell(&self, told: &mut Told, event: PlanEvent) {
        told.events.push(event);
        self.length.send_replace(told.events.len());
    }

    fn locked<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        // A panic while the lock is held cannot leave a change half-written.
        look(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Creates the change of a step; its text is cut to the limit.
fn change(step: usize, at: Timestamp, state: StepState, text: &str) -> StepChange {
    let longest = if state == StepState::Failed { LONGEST_FAILURE } else { LONGEST };
    StepChange { step, at, state, progress: None, text: truncated(text, longest).into_owned() }
}

/// Applies a change to the snapshot without an event.
fn show(told: &mut Told, change: &StepChange) {
    if let Some(step) = told.steps.get_mut(change.step) {
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
    pub(crate) fn beginning(id: u64, after: &[&[usize]]) -> PlanStart {
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
        });
        let plan = Plan { kind: ActionKind::Start, steps: steps.collect() };
        PlanStart { id, plan, at: Timestamp::UNIX_EPOCH, by: Requester::default(), unrecorded: None }
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn progress() -> ActionProgress {
        ActionProgress { at: NOW, phase: ActionPhase::Waiting, text: "so".to_owned(), pids: vec![] }
    }

    #[tokio::test]
    async fn every_listener_hears_everything_once_whenever_it_comes() {
        let account = Arc::new(Account::new(beginning(7, &[&[], &[0]]), Recorder::default()));
        let early = tokio::spawn(Arc::clone(&account).listen().collect::<Vec<_>>());
        tokio::task::yield_now().await;
        assert!(account.begin(0, NOW));
        let halfway = tokio::spawn(Arc::clone(&account).listen().collect::<Vec<_>>());
        for _ in 0..100 {
            account.progress(0, NOW, progress());
            tokio::task::yield_now().await;
        }
        account.settle(0, NOW, StepState::Done, "started".to_owned());
        account.settle(1, NOW, StepState::Skipped, "not attempted".to_owned());
        let end = account.end(NOW);
        assert_eq!((end.done, end.skipped, end.cancelled), (1, 1, false));
        let late: Vec<PlanEvent> = Arc::clone(&account).listen().collect().await;
        assert_eq!(late.len(), 105);
        assert!(matches!(&late[0], PlanEvent::Begun(begun) if begun.id == 7));
        assert_eq!(late[104], PlanEvent::Ended(end));
        assert_eq!(early.await.unwrap(), late);
        assert_eq!(halfway.await.unwrap(), late);
        assert_eq!(
            account.snapshot().steps,
            [(StepState::Done, "started".to_owned()), (StepState::Skipped, "not attempted".to_owned())]
        );
    }

    #[test]
    fn what_was_cancelled_does_not_begin_and_what_has_ended_cannot_be_cancelled() {
        let account = Account::new(beginning(1, &[&[], &[], &[]]), Recorder::default());
        assert!(account.begin(0, NOW));
        assert_eq!(account.cancel(), Some(2));
        assert!(!account.begin(1, NOW));
        let states: Vec<StepState> = account.snapshot().steps.into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, [StepState::UnderWay, StepState::Waiting, StepState::Waiting]);
        account.settle(0, NOW, StepState::Done, String::new());
        account.skip_for_cancel(1, NOW);
        account.skip_for_cancel(2, NOW);
        // No step is left that a second cancel could skip.
        assert_eq!(account.cancel(), None);
        assert!(account.end(NOW).cancelled);
        assert_eq!(account.cancel(), None);
    }

    #[test]
    fn a_plan_that_was_cancelled_when_its_last_step_was_under_way_was_done() {
        let account = Account::new(beginning(1, &[&[]]), Recorder::default());
        assert!(account.begin(0, NOW));
        assert_eq!(account.cancel(), Some(0));
        account.settle(0, NOW, StepState::Done, String::new());
        let end = account.end(NOW);
        assert!(!end.cancelled && end.is_complete());
    }

    #[test]
    fn what_is_told_of_a_step_has_a_bound() {
        let account = Account::new(beginning(1, &[&[]]), Recorder::default());
        let text = "ü".repeat(100_000);
        account.progress(0, NOW, ActionProgress { text: text.clone(), pids: vec![7; 1_000], ..progress() });
        let shown = || account.snapshot().steps[0].1.clone();
        assert!(shown().ends_with("ü…") && shown().len() <= LONGEST, "{}", shown().len());
        let PlanEvent::Step(StepChange { progress: Some(told), text: said, .. }) =
            account.locked(|told| told.events[1].clone())
        else {
            panic!("progress");
        };
        assert_eq!((told.text, told.pids.len()), (said, 64));
        account.settle(0, NOW, StepState::Failed, text.clone());
        assert!(shown().len() > LONGEST && shown().len() <= LONGEST_FAILURE, "{}", shown().len());
        account.recall(0, NOW, StepState::Done, text);
        assert!(shown().len() <= LONGEST);
    }

    #[test]
    fn progress_has_a_bound_and_ends_have_not() {
        let account = Account::new(beginning(1, &[&[]]), Recorder::default());
        for _ in 0..CHANGES + 50 {
            account.progress(0, NOW, progress());
        }
        // The snapshot still contains the newest text.
        account.progress(0, NOW, ActionProgress { text: "newest".to_owned(), ..progress() });
        assert_eq!(account.snapshot().steps, [(StepState::UnderWay, "newest".to_owned())]);
        account.settle(0, NOW, StepState::Failed, "reason".to_owned());
        assert_eq!(account.locked(|told| told.events.len()), CHANGES + 1);
        assert_eq!(account.snapshot().steps, [(StepState::Failed, "reason".to_owned())]);
    }
}
