//! Events of actions for those who follow them: the caller that began an action, and again the same one after its
//! connection broke.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use rta_shared::action::ActionEvent;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

/// Event of an action: its progress, and finally its result.
pub(crate) type ActionEventResult = Result<ActionEvent, Status>;

/// Events of one action. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActionFeed(watch::Sender<SentEvents>);

/// Events of one action so far, of which the result or the error is the last.
#[derive(Debug, Default)]
struct SentEvents {
    events: Vec<ActionEventResult>,
    /// Time of the last one.
    ended_at: Option<Instant>,
}

impl ActionFeed {
    /// Adds an event. `ProgressSender` limits their number.
    pub(super) fn send(&self, event: ActionEventResult) {
        self.0.send_modify(|sent| {
            sent.ended_at = is_last(&event).then(Instant::now);
            sent.events.push(event);
        });
    }

    fn ended_at(&self) -> Option<Instant> {
        self.0.borrow().ended_at
    }

    /// Returns all events from the first one on; the stream ends with the last.
    pub(crate) fn follow(&self) -> impl Stream<Item = ActionEventResult> + use<> {
        futures::stream::unfold(Some((self.0.subscribe(), 0)), async |next| {
            let (mut events, at) = next?;
            // The senders end before the last event only if the agent ends.
            let event = events.wait_for(|sent| sent.events.len() > at).await.ok()?.events.get(at)?.clone();
            let next = (!is_last(&event)).then_some((events, at + 1));
            Some((event, next))
        })
    }
}

fn is_last(event: &ActionEventResult) -> bool {
    !matches!(event, Ok(ActionEvent::Progress(_)))
}

/// Maximum number of actions that are remembered, besides those under way. A plan has up to 64 steps under way, which
/// may all lose their connection at once.
const MAX_ACTIONS: usize = 512;

/// Time after the end of a forgotten action in which nothing is said of an unknown one: it may be the same. Clients
/// ask within seconds after their connection broke.
const RECENTLY_ENDED: Duration = Duration::from_mins(1);

/// Last actions that clients began with an ID. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct FollowableActions(Arc<Mutex<RecentActions>>);

#[derive(Debug, Default)]
struct RecentActions {
    actions: VecDeque<FollowableAction>,
    /// Latest end of a forgotten action.
    forgotten_up_to: Option<Instant>,
}

/// Result of looking an action up for a client that asks for it again.
#[derive(Clone, Debug)]
pub(crate) enum ActionLookup<T> {
    /// It has begun; these are its events.
    Begun(T),
    /// It has not begun, and now never will.
    NotBegun,
    /// It may have begun in an earlier run of the agent, or been forgotten; otherwise it never will.
    Unknown,
}

impl<T> ActionLookup<T> {
    pub(super) fn map<U>(self, to_events: impl FnOnce(T) -> U) -> ActionLookup<U> {
        match self {
            Self::Begun(events) => ActionLookup::Begun(to_events(events)),
            Self::NotBegun => ActionLookup::NotBegun,
            Self::Unknown => ActionLookup::Unknown,
        }
    }
}

#[derive(Debug)]
struct FollowableAction {
    request_id: String,
    /// Result of looking it up: its events, or what a client that asked before it began was told.
    lookup: ActionLookup<ActionFeed>,
}

impl FollowableActions {
    /// Adds an action that begins. Returns false if it must not: its client asked for it before, and was told that it
    /// had not begun. An action without ID always may.
    pub(super) fn begin(&self, request_id: &str, feed: &ActionFeed) -> bool {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if request_id.is_empty() {
            return true;
        }
        if recent.actions.iter().any(|action| action.request_id == request_id) {
            return false;
        }
        recent.add(request_id, ActionLookup::Begun(feed.clone()));
        true
    }

    /// Finds the action with this ID. One that is not found never begins from now on.
    pub(super) fn find(&self, request_id: &str) -> ActionLookup<ActionFeed> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = recent.actions.iter().find(|action| action.request_id == request_id) {
            return known.lookup.clone();
        }
        let lookup = match recent.forgotten_up_to.is_some_and(|end| end.elapsed() < RECENTLY_ENDED) {
            true => ActionLookup::Unknown,
            false => ActionLookup::NotBegun,
        };
        recent.add(request_id, lookup.clone());
        lookup
    }
}

impl RecentActions {
    /// Adds an action, and forgets the oldest ones that are not under way.
    fn add(&mut self, request_id: &str, lookup: ActionLookup<ActionFeed>) {
        let is_over = |action: &FollowableAction| match &action.lookup {
            ActionLookup::Begun(feed) => feed.ended_at().is_some(),
            ActionLookup::NotBegun | ActionLookup::Unknown => true,
        };
        while self.actions.len() >= MAX_ACTIONS
            && let Some(oldest) = self.actions.iter().position(is_over)
        {
            let forgotten = self.actions.remove(oldest).map(|action| action.lookup);
            if let Some(ActionLookup::Begun(feed)) = forgotten {
                self.forgotten_up_to = self.forgotten_up_to.max(feed.ended_at());
            }
        }
        self.actions.push_back(FollowableAction { request_id: request_id.to_owned(), lookup });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt as _;
    use jiff::Timestamp;
    use rta_shared::action::{ActionOutcome, ActionPhase, ActionProgress, ActionResult};

    use super::*;

    fn progress(text: &str) -> ActionEventResult {
        let at = Timestamp::UNIX_EPOCH;
        let progress =
            ActionProgress { at, phase: ActionPhase::Waiting, text: text.to_owned(), pids: vec![] };
        Ok(ActionEvent::Progress(progress))
    }

    fn done() -> ActionEventResult {
        let outcome = ActionOutcome::Started;
        Ok(ActionEvent::Done(ActionResult { outcome, pids: vec![7], took: Duration::ZERO, warning: None }))
    }

    fn texts(events: Vec<ActionEventResult>) -> Vec<String> {
        let text = |event: ActionEventResult| match event {
            Ok(ActionEvent::Progress(progress)) => progress.text,
            Ok(ActionEvent::Done(done)) => done.outcome.to_string(),
            Err(status) => status.message().to_owned(),
        };
        events.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn who_follows_late_or_again_gets_every_event_once() {
        for (last, text) in [(done(), "started"), (Err(Status::internal("it ended")), "it ended")] {
            let feed = ActionFeed::default();
            feed.send(progress("one"));
            let mut early = Box::pin(feed.follow());
            assert_eq!(texts(vec![early.next().await.unwrap()]), ["one"]);
            let waiting = tokio::spawn(early.collect::<Vec<_>>());
            feed.send(progress("two"));
            feed.send(last);
            assert_eq!(texts(waiting.await.unwrap()), ["two", text]);
            let late = feed.follow();
            drop(feed);
            assert_eq!(texts(late.collect().await), ["one", "two", text]);
        }
    }

    #[test]
    fn action_is_found_by_its_id_and_does_not_begin_after_it_was_missed() {
        let actions = FollowableActions::default();
        let feed = ActionFeed::default();
        feed.send(progress("one"));
        let begin = |request_id: &str| actions.begin(request_id, &feed);
        assert!(begin("1") && begin("") && begin(""));
        assert!(matches!(actions.find("1"), ActionLookup::Begun(feed) if feed.0.borrow().events.len() == 1));
        // Who asked for it has been told that it did not begin.
        for request_id in ["2", "2", ""] {
            assert!(matches!(actions.find(request_id), ActionLookup::NotBegun));
        }
        assert!(!begin("2") && !begin("1"));
    }

    #[test]
    fn only_actions_that_have_ended_are_forgotten() {
        let actions = FollowableActions::default();
        let running = ActionFeed::default();
        assert!(actions.begin("running", &running));
        for at in 0..2 * MAX_ACTIONS {
            let feed = ActionFeed::default();
            feed.send(done());
            assert!(actions.begin(&at.to_string(), &feed));
        }
        let last = (2 * MAX_ACTIONS - 1).to_string();
        for request_id in ["running", &last] {
            assert!(matches!(actions.find(request_id), ActionLookup::Begun(_)));
        }
        assert_eq!(actions.0.lock().unwrap().actions.len(), MAX_ACTIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_of_an_unknown_action_soon_after_the_end_of_a_forgotten_one() {
        let actions = FollowableActions::default();
        // Those that never began may be forgotten.
        for at in 0..=MAX_ACTIONS {
            assert!(matches!(actions.find(&at.to_string()), ActionLookup::NotBegun));
        }
        let ended = ActionFeed::default();
        ended.send(done());
        for at in 0..=MAX_ACTIONS {
            assert!(actions.begin(&format!("ended {at}"), &ended));
        }
        for _ in 0..2 {
            assert!(matches!(actions.find("ended 0"), ActionLookup::Unknown));
        }
        tokio::time::advance(RECENTLY_ENDED).await;
        assert!(matches!(actions.find("other"), ActionLookup::NotBegun));
    }
}
