//! Watching events: the recorded ones, then every new one.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures::Stream;
use futures::stream::BoxStream;
use rta_shared::event::Event;
use rta_shared::proto::v1;
use rta_shared::selector::Selector;
use tokio::sync::watch;
use tonic::Code;

use crate::api::Operations;
use crate::api::history::EventFilter;
use crate::operation_error::OperationError;
use crate::store::{EventQuery, EventStoreHandle, EventSubscription, LiveEvent, MAX_EVENTS};

/// Request to watch events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventWatchRequest {
    /// Filter; its `limit` is replaced by the one below.
    pub(crate) filter: EventFilter,
    /// Maximum number of recorded events; 0: none.
    pub(crate) limit: usize,
    /// ID after which an earlier watch continues, with all later events; `None`: there was none.
    pub(crate) after: Option<u64>,
}

impl TryFrom<v1::WatchEventsRequest> for EventWatchRequest {
    type Error = OperationError;

    fn try_from(request: v1::WatchEventsRequest) -> Result<Self, OperationError> {
        let since = request.oldest();
        let since = since.map_err(|_| OperationError::new(Code::InvalidArgument, "since is no time"))?;
        let v1::WatchEventsRequest { environment, host, component, kinds, limit, after, .. } = request;
        let v1::WatchEventsRequest { plan, person, incident, .. } = request;
        let selector = Selector { environment, host, component };
        Ok(Self {
            filter: EventFilter {
                since,
                selector,
                kinds,
                plan: (plan != 0).then_some(plan),
                person,
                incident: (incident != 0).then_some(incident),
                ..EventFilter::default()
            },
            limit: usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_EVENTS),
            after,
        })
    }
}

/// Watched events.
#[derive(Debug)]
pub(crate) struct EventWatch {
    /// Recorded events, the oldest first.
    pub(crate) recorded: Vec<Event>,
    /// Maximum number of events before the recorded ones that a continued watch misses.
    pub(crate) missed: u64,
    /// ID up to which all events are among the recorded ones.
    pub(crate) last_id: u64,
    later: LaterEvents,
}

/// Source of the later events.
#[derive(Debug)]
enum LaterEvents {
    /// Those of the feed that match.
    Feed(Box<EventQuery>, EventSubscription),
    /// Those of one incident, which is known only after they happened.
    Incident(Box<IncidentEvents>),
}

/// Events of one incident as they become known.
#[derive(Debug)]
struct IncidentEvents {
    store: EventStoreHandle,
    query: EventQuery,
    /// Changes when an incident does.
    changes: watch::Receiver<u64>,
    /// IDs of the events that were sent, or were there before the watch.
    known: HashSet<u64>,
    /// Events to send.
    waiting: VecDeque<Event>,
}

impl IncidentEvents {
    /// Returns the next event; `None` if the aggregator ends.
    async fn next(&mut self) -> Option<LiveEvent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(LiveEvent::Event(Arc::new(event)));
            }
            self.changes.changed().await.ok()?;
            match self.store.query_events(self.query.clone()).await {
                Ok(events) => {
                    let new = events.into_iter().rev().filter(|event| self.known.insert(event.id));
                    self.waiting.extend(new);
                }
                // The next change reads again.
                Err(reason) => tracing::warn!(reason, "the events of an incident cannot be read"),
            }
        }
    }
}

impl Operations {
    /// Watches events: returns recorded ones, and receives all later ones.
    ///
    /// # Errors
    /// Returns an error if a kind or name is unknown or too long, or if the event store cannot be read.
    pub(crate) async fn watch_events(
        &self,
        request: &EventWatchRequest,
    ) -> Result<EventWatch, OperationError> {
        // The subscription receives all events after `last_id`, and the store has all others.
        let subscription = self.events.subscribe();
        let mut incident_changes = self.incidents.watch_changes();
        incident_changes.mark_unchanged();
        let last_id = subscription.last_id;
        // Any event shows that a name is meant that was removed from the configuration.
        let named = EventFilter { since: None, limit: 1, ..request.filter.clone() };
        let (query, _) = self.find_events(&named).await?;
        let query = EventQuery { limit: MAX_EVENTS, ..query };
        let until_now =
            EventQuery { since: request.filter.since, before: Some(last_id + 1), ..query.clone() };
        let (mut recorded, missed) = match request.after {
            Some(after) => self.events_after(after, until_now).await?,
            None if request.limit == 0 => (Vec::new(), 0),
            None => (self.query_events(EventQuery { limit: request.limit, ..until_now }).await?, 0),
        };
        recorded.reverse();
        let later = match query.incident {
            None => LaterEvents::Feed(Box::new(query), subscription),
            Some(_) => {
                let there = self.query_events(query.clone()).await?;
                LaterEvents::Incident(Box::new(IncidentEvents {
                    store: self.store.clone(),
                    query,
                    changes: incident_changes,
                    known: there.iter().map(|event| event.id).collect(),
                    waiting: VecDeque::new(),
                }))
            }
        };
        Ok(EventWatch { recorded, missed, last_id, later })
    }

    /// Returns the events after an ID, the newest first, and the number of events that are left out because
    /// they are too many.
    async fn events_after(&self, after: u64, query: EventQuery) -> Result<(Vec<Event>, u64), OperationError> {
        let end = query.before.unwrap_or_default();
        let after = if after < end { after } else { 0 };
        let mut events: Vec<Event> = Vec::new();
        loop {
            // One answer of the store has a limited size.
            let before = events.last().map_or(end, |event| event.id);
            let older = EventQuery { after: Some(after), before: Some(before), ..query.clone() };
            let older = self.query_events(older).await?;
            if older.is_empty() {
                return Ok((events, 0));
            }
            if events.len() >= MAX_EVENTS {
                return Ok((events, before.saturating_sub(after + 1)));
            }
            events.extend(older);
        }
    }
}

impl EventWatch {
    /// Returns the later events as they happen.
    pub(crate) fn into_stream(self) -> impl Stream<Item = LiveEvent> + Send {
        let later: BoxStream<'static, LiveEvent> = match self.later {
            LaterEvents::Feed(query, subscription) => Box::pin(matching_events(*query, subscription)),
            LaterEvents::Incident(events) => Box::pin(futures::stream::unfold(events, async |mut events| {
                Some((events.next().await?, events))
            })),
        };
        later
    }
}

/// Returns the events of a subscription that match.
fn matching_events(
    query: EventQuery,
    subscription: EventSubscription,
) -> impl Stream<Item = LiveEvent> + Send {
    futures::stream::unfold((query, subscription), async |(query, mut subscription)| {
        loop {
            match subscription.next().await? {
                LiveEvent::Event(event) if !query.matches(&event) => {}
                item => return Some((item, (query, subscription))),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use jiff::Timestamp;
    use rta_shared::event::EventKind;
    use rta_shared::impairment::ImpairmentList;
    use rta_shared::lifecycle::tasks::OwnedTasks;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::api::OperationOptions;
    use crate::config_manager::ConfigSource;
    use crate::events::EventBus;
    use crate::store::EventStore;

    fn event(kind: EventKind, text: &str) -> Event {
        Event::new(Timestamp::now(), kind, text.to_owned())
    }

    fn texts<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<&'e str> {
        events.into_iter().map(|event| event.text.as_str()).collect()
    }

    /// Returns the bus and the operations of an empty platform whose events go to `record`, and their task, which is
    /// to be kept.
    fn operations_of(record: &EventStore) -> (EventBus, Operations, impl Future<Output = ()> + use<>) {
        let (bus, shutdown) = (EventBus::new(record.handle()), CancellationToken::new());
        let (operations, task) = Operations::start(
            ConfigSource::Fixed(rta_shared::config::Platform::default()),
            bus.clone(),
            None,
            OperationOptions::default(),
            &OwnedTasks::new(shutdown.clone()),
            &ImpairmentList::default(),
            &shutdown,
        )
        .unwrap();
        (bus, operations, task)
    }

    #[tokio::test]
    async fn recorded_events_are_followed_by_new_ones_without_gap_or_repetition() {
        let record = EventStore::in_memory();
        let (bus, operations, _task) = operations_of(&record);
        for number in 1..=5 {
            bus.publish(event(EventKind::Config, &format!("recorded {number}")));
            bus.publish(event(EventKind::Host, "another kind"));
        }
        let filter = EventFilter { kinds: vec!["config".to_owned()], ..EventFilter::default() };
        let request = EventWatchRequest { filter, limit: 2, after: None };
        let watch = operations.watch_events(&request).await.unwrap();
        assert_eq!(texts(&watch.recorded), ["recorded 4", "recorded 5"]);
        assert_eq!((watch.missed, watch.last_id), (0, 10));
        bus.publish(event(EventKind::Host, "another kind"));
        bus.publish(event(EventKind::Config, "new"));
        let new = Box::pin(watch.into_stream()).next().await;
        assert!(matches!(&new, Some(LiveEvent::Event(event)) if event.text == "new"), "{new:?}");

        let continued = EventWatchRequest { after: Some(5), ..request.clone() };
        let continued = operations.watch_events(&continued).await.unwrap();
        assert_eq!(texts(&continued.recorded), ["recorded 4", "recorded 5", "new"]);
        // The record is a new one: its IDs began again.
        let earlier = EventWatchRequest { after: Some(1000), ..request.clone() };
        assert_eq!(operations.watch_events(&earlier).await.unwrap().recorded.len(), 6);
        let none = EventWatchRequest { limit: 0, ..request };
        assert!(operations.watch_events(&none).await.unwrap().recorded.is_empty());
        record.close().await;
    }

    #[tokio::test]
    async fn continued_watch_reads_many_events_and_says_how_many_are_too_many() {
        let record = EventStore::in_memory();
        let (bus, operations, _task) = operations_of(&record);
        let text = "x".repeat(1000);
        for _ in 0..3 {
            (0..4000).for_each(|_| bus.publish(event(EventKind::Config, &text)));
            record.handle().flush().await;
        }
        let watch = |after| {
            let request = EventWatchRequest { after: Some(after), ..EventWatchRequest::default() };
            let operations = &operations;
            async move { operations.watch_events(&request).await.unwrap() }
        };
        let some = watch(4000).await;
        let ids: Vec<u64> = some.recorded.iter().map(|event| event.id).collect();
        assert_eq!((ids, some.missed), ((4001..=12_000).collect(), 0));
        let all = watch(0).await;
        let first = all.recorded[0].id;
        assert!(first > 1 && all.missed == first - 1, "{first} {}", all.missed);
        record.close().await;
    }
}
