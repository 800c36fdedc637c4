//! Events of actions for those who follow them: the caller that began an action, and again the same one after its
//! connection broke.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use rta_shared::action::ActionEvent;
use tokio::sync::watch;
use tonic::Status;

/// Event of an action: its progress, and finally its result.
pub(crate) type ActionEventResult = Result<ActionEvent, Status>;

/// Events of one action so far, of which the result or the error is the last. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActionFeed(watch::Sender<Vec<ActionEventResult>>);

impl ActionFeed {
    /// Adds an event. `ProgressSender` limits their number.
    pub(super) fn send(&self, event: ActionEventResult) {
        self.0.send_modify(|events| events.push(event));
    }

    fn is_ended(&self) -> bool {
        self.0.borrow().last().is_some_and(is_last)
    }

    /// Returns all events from the first one on; the stream ends with the last.
    pub(crate) fn follow(&self) -> impl Stream<Item = ActionEventResult> + use<> {
        futures::stream::unfold(Some((self.0.subscribe(), 0)), async |next| {
            let (mut events, at) = next?;
            // The senders end before the last event only if the agent ends.
            let event = events.wait_for(|events| events.len() > at).await.ok()?.get(at)?.clone();
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

/// Last actions that clients began with an ID. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct FollowableActions(Arc<Mutex<VecDeque<FollowableAction>>>);

#[derive(Debug)]
struct FollowableAction {
    request_id: String,
    /// `None`: its client asked for it before it began, and was told that it had not.
    feed: Option<ActionFeed>,
}

impl FollowableActions {
    /// Adds an action that begins. Returns false if it must not: its client asked for it before, and was told that it
    /// had not begun. An action without ID always may.
    pub(super) fn begin(&self, request_id: &str, feed: &ActionFeed) -> bool {
        let mut actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if request_id.is_empty() {
            return true;
        }
        if actions.iter().any(|action| action.request_id == request_id) {
            return false;
        }
        push(&mut actions, request_id, Some(feed.clone()));
        true
    }

    /// Returns the events of the action with this ID; `None` if it has not begun, and now never will.
    pub(super) fn find(&self, request_id: &str) -> Option<ActionFeed> {
        let mut actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match actions.iter().find(|action| action.request_id == request_id) {
            Some(found) => found.feed.clone(),
            None => {
                push(&mut actions, request_id, None);
                None
            }
        }
    }
}

/// Adds an action, and forgets the oldest ones that are not under way.
fn push(actions: &mut VecDeque<FollowableAction>, request_id: &str, feed: Option<ActionFeed>) {
    let is_over = |action: &FollowableAction| action.feed.as_ref().is_none_or(ActionFeed::is_ended);
    while actions.len() >= MAX_ACTIONS
        && let Some(oldest) = actions.iter().position(is_over)
    {
        actions.remove(oldest);
    }
    actions.push_back(FollowableAction { request_id: request_id.to_owned(), feed });
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
        assert!(actions.begin("1", &feed) && actions.begin("", &feed) && actions.begin("", &feed));
        assert_eq!(actions.find("1").map(|feed| feed.0.borrow().len()), Some(1));
        // Who asked for it has been told that it did not begin.
        assert!(actions.find("2").is_none() && actions.find("").is_none());
        assert!(!actions.begin("2", &feed) && !actions.begin("1", &feed));
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
        assert!(actions.find("running").is_some() && actions.find("0").is_none());
        assert!(actions.find(&(2 * MAX_ACTIONS - 1).to_string()).is_some());
        assert_eq!(actions.0.lock().unwrap().len(), MAX_ACTIONS);
    }
}
