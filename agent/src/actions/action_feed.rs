//! Events of actions for those who follow them: the caller that began an action, and again the same one after its
//! connection broke.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use rta_shared::action::ActionEvent;
use rta_shared::name::Name;
use tokio::sync::watch;

use super::progress::ActionEventResult;

/// Events of one action so far, of which the result or the error is the last. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActionFeed(watch::Sender<Vec<ActionEventResult>>);

impl ActionFeed {
    /// Adds an event. `ProgressSender` limits their number.
    pub(super) fn send(&self, event: ActionEventResult) {
        self.0.send_modify(|events| events.push(event));
    }

    /// Returns all events from the first one on; the stream ends with the last.
    pub(crate) fn follow(&self) -> impl Stream<Item = ActionEventResult> + use<> {
        futures::stream::unfold(Some((self.0.subscribe(), 0)), async |next| {
            let (mut events, at) = next?;
            // The senders end before the last event only if the agent ends.
            let event = events.wait_for(|events| events.len() > at).await.ok()?.get(at)?.clone();
            let is_last = !matches!(event, Ok(ActionEvent::Progress(_)));
            Some((event, (!is_last).then_some((events, at + 1))))
        })
    }
}

/// Last action of each component that a client began with an ID. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct FollowableActions(Arc<Mutex<HashMap<Name, FollowableAction>>>);

#[derive(Debug)]
struct FollowableAction {
    request_id: String,
    feed: ActionFeed,
}

impl FollowableActions {
    /// Adds an action of a component in place of an earlier one, and forgets those of components for which
    /// `is_configured` does not hold.
    pub(super) fn add(
        &self,
        component: &Name,
        request_id: String,
        feed: ActionFeed,
        is_configured: impl Fn(&Name) -> bool,
    ) {
        let mut actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        actions.retain(|name, _| is_configured(name));
        actions.insert(component.clone(), FollowableAction { request_id, feed });
    }

    /// Returns the events of the action with this ID; `None` if it is unknown.
    pub(super) fn find(&self, request_id: &str) -> Option<ActionFeed> {
        let actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = actions.values().find(|action| action.request_id == request_id && !request_id.is_empty());
        found.map(|action| action.feed.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt as _;
    use jiff::Timestamp;
    use rta_shared::action::{ActionOutcome, ActionPhase, ActionProgress, ActionResult};
    use tonic::Status;

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
    fn last_action_of_a_configured_component_is_found_by_its_id() {
        let actions = FollowableActions::default();
        let add = |component: &str, id: &str| {
            let feed = ActionFeed::default();
            feed.send(progress(id));
            actions.add(&Name::from(component), id.to_owned(), feed, |name| name.as_str() != "removed");
        };
        let finds = |id: &str| actions.find(id).is_some_and(|feed| feed.0.borrow().len() == 1);
        add("app", "1");
        add("removed", "2");
        assert!(finds("1") && finds("2") && !finds("3"));
        add("app", "3");
        assert!(!finds("1") && !finds("2") && finds("3"));
        add("web", "");
        assert!(!finds("") && finds("3"));
    }
}
