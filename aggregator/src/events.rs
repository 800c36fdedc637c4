//! Event bus: numbers every event where it happens, hands it to the store, and broadcasts it to subscribers.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::plan::{PlanEnd, PlanStart, StepChange};

use crate::audit::{AuditLog, Refusal};
use crate::store::{EventFeed, EventStoreHandle, EventSubscription};

/// Event bus; clones share it. Publishing never waits: a slow disk or a slow subscriber loses events, and
/// shows how many, and delays nobody.
#[derive(Clone, Debug)]
pub struct EventBus {
    feed: EventFeed,
    store: EventStoreHandle,
    audit: AuditLog,
    /// Record of the events of no environment, of one of several aggregators, whose own store is only read.
    unled: Arc<Mutex<UnledRecord>>,
}

/// Maximum number of events that wait for the record of no environment; later ones are lost.
const MAX_WAITING: usize = 1000;

/// Record of the events of no environment.
#[derive(Debug)]
enum UnledRecord {
    /// It is not open yet; these events wait for it.
    Opening(Vec<Arc<Event>>),
    Open(EventStoreHandle),
}

impl UnledRecord {
    fn append_event(&mut self, event: &Arc<Event>) {
        match self {
            Self::Open(store) => store.append_event(event),
            Self::Opening(waiting) if waiting.len() < MAX_WAITING => waiting.push(Arc::clone(event)),
            Self::Opening(_) => {
                tracing::error!(text = event.text, "an event is lost, since the record cannot be opened");
            }
        }
    }
}

impl EventBus {
    /// Creates the bus whose events are recorded by `store`.
    pub fn new(store: EventStoreHandle) -> Self {
        let unled = Arc::new(Mutex::new(UnledRecord::Opening(Vec::new())));
        Self { feed: store.feed().clone(), store, audit: AuditLog::default(), unled }
    }

    /// Records the events of no environment in this store, with those that waited for it. Those of an
    /// environment are its leader's.
    pub(crate) fn record_unled_in(&self, store: EventStoreHandle) {
        let mut unled = self.unled.lock().unwrap_or_else(PoisonError::into_inner);
        if let UnledRecord::Opening(waiting) = &*unled {
            waiting.iter().for_each(|event| store.append_event(event));
        }
        *unled = UnledRecord::Open(store);
    }

    /// Returns the bus whose events are also in the audit log.
    pub(crate) fn with_audit(self, audit: AuditLog) -> Self {
        Self { audit, ..self }
    }

    /// Returns the store that records the events.
    pub(crate) fn store(&self) -> &EventStoreHandle {
        &self.store
    }

    /// Returns the number of events of each kind since the aggregator began.
    pub(crate) fn counts(&self) -> Vec<(EventKind, u64)> {
        self.feed.counts()
    }

    /// Subscribes to all later events.
    pub(crate) fn subscribe(&self) -> EventSubscription {
        self.feed.subscribe()
    }

    /// Publishes an event. Its sequence number is assigned here, whatever number it has.
    pub(crate) fn publish(&self, event: Event) {
        self.announce(event, |event| {
            let is_unled = event.environment.is_none() && event.plan.is_none();
            match self.store.is_shared_record() && is_unled {
                true => self.unled.lock().unwrap_or_else(PoisonError::into_inner).append_event(event),
                false => self.store.append_event(event),
            }
        });
    }

    /// Publishes the beginning of a plan, and returns when the plan and its event are on disk (in memory
    /// without a data folder).
    ///
    /// # Errors
    /// Returns an error, as a sentence, if they are not on disk. They are recorded later if that becomes
    /// possible.
    pub(crate) async fn publish_plan_begin(&self, begun: &PlanStart, event: Event) -> Result<(), String> {
        let written = self.announce(event, |event| self.store.record_plan_begin(begun, event));
        written.wait().await
    }

    /// Publishes a change of a step's state, with its event if it makes one.
    pub(crate) fn publish_step(&self, plan: u64, change: &StepChange, event: Option<Event>) {
        match event {
            Some(event) => {
                self.announce(event, |event| self.store.record_step(plan, change, Some(event)));
            }
            None => self.store.record_step(plan, change, None),
        }
    }

    /// Publishes the end of a plan.
    pub(crate) fn publish_plan_end(&self, plan: u64, end: &PlanEnd, event: Event) {
        self.announce(event, |event| self.store.record_plan_end(plan, end, event));
    }

    /// Numbers an event, hands it to `record` and the audit log, and broadcasts it.
    fn announce<T>(&self, event: Event, record: impl FnOnce(&Arc<Event>) -> T) -> T {
        self.feed.announce(event, |event| {
            self.audit.record_event(event);
            record(event)
        })
    }

    /// Records a refused request in the audit log alone.
    pub(crate) fn record_refusal(&self, refusal: Refusal) {
        self.audit.record_refusal(refusal);
    }

    /// Publishes that the aggregator began.
    pub(crate) fn publish_start(&self) {
        let text = format!("rta-aggregator {} began", env!("CARGO_PKG_VERSION"));
        let event = Event::new(Timestamp::now(), EventKind::Aggregator, text);
        self.publish(Event { to: Some("began".to_owned()), ..event });
    }

    /// Publishes that the aggregator ends.
    pub(crate) fn publish_shutdown(&self) {
        let text = "rta-aggregator ended".to_owned();
        let event = Event::new(Timestamp::now(), EventKind::Aggregator, text);
        self.publish(Event { to: Some("ended".to_owned()), ..event });
    }
}

#[cfg(test)]
impl Default for EventBus {
    /// Creates a bus that records nothing.
    fn default() -> Self {
        Self::new(EventStoreHandle::default())
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::plan::StepState;
    use rta_tests::PostgresServer;

    use super::*;
    use crate::plans::plan_events::PlanEvents;
    use crate::plans::run::tests::plan_begin;
    use crate::store::{
        EventQuery, EventStore, LiveEvent, PostgresLocation, StoreLocation, StoreOptions, WriterScope,
    };

    fn event(text: &str) -> Event {
        Event::new(Timestamp::now(), EventKind::Aggregator, text.to_owned())
    }

    async fn next(subscription: &mut EventSubscription) -> Arc<Event> {
        match subscription.next().await {
            Some(LiveEvent::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    async fn recorded(store: &EventStoreHandle, query: EventQuery) -> Vec<(u64, String)> {
        let mut events = store.query_events(query).await.unwrap();
        events.reverse();
        events.into_iter().map(|event| (event.id, event.text)).collect()
    }

    #[tokio::test]
    async fn subscriber_receives_what_the_store_records_in_the_same_order() {
        let record = EventStore::in_memory();
        let bus = EventBus::new(record.handle());
        bus.publish(event("before"));
        let mut subscription = bus.subscribe();
        let publishers = (0..4).map(|publisher| {
            let bus = bus.clone();
            std::thread::spawn(move || {
                (0..50).for_each(|number| bus.publish(event(&format!("{publisher} {number}"))));
            })
        });
        publishers.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        let before = EventQuery { before: Some(subscription.last_id + 1), ..EventQuery::default() };
        let mut all = recorded(&record.handle(), before).await;
        assert_eq!(all, [(1, "before".to_owned())]);
        for _ in 0..200 {
            let event = next(&mut subscription).await;
            all.push((event.id, event.text.clone()));
        }
        let query = EventQuery { limit: 1000, ..EventQuery::default() };
        assert_eq!(recorded(&record.handle(), query).await, all);
        assert!(all.is_sorted_by(|(one, _), (next, _)| one + 1 == *next));
        record.close().await;
    }

    #[test]
    fn event_of_no_environment_waits_for_its_record() {
        let Some(server) = PostgresServer::shared() else { return };
        let location = PostgresLocation::parse(&server.create_database()).unwrap();
        let read = EventStore::follow(location.clone());
        let bus = EventBus::new(read.handle());
        bus.publish(event("before"));
        let options = StoreOptions {
            location: StoreLocation::Postgres(location),
            scope: WriterScope::Unled,
            ..StoreOptions::default()
        };
        let unled = EventStore::open(&options);
        bus.record_unled_in(unled.handle());
        bus.publish(event("after"));
        // This one is for the leader of the environment to record.
        bus.publish(Event { environment: Some("ITG".into()), ..event("elsewhere") });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            unled.handle().flush().await;
            let texts = recorded(&unled.handle(), EventQuery::default()).await;
            assert_eq!(texts, [(1, "before".to_owned()), (2, "after".to_owned())]);
            read.close().await;
            unled.close().await;
        });
    }

    #[tokio::test]
    async fn slow_subscriber_learns_how_many_events_it_missed() {
        let bus = EventBus::default();
        let mut subscription = bus.subscribe();
        (0..10_000).for_each(|number| bus.publish(event(&number.to_string())));
        assert_eq!(subscription.next().await, Some(LiveEvent::Missed(10_000 - 8192)));
        assert_eq!(next(&mut subscription).await.id, 10_000 - 8192 + 1);
    }

    #[tokio::test]
    async fn numbers_continue_after_a_restart_and_are_not_reused_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            location: StoreLocation::Folder(folder.path().to_owned()),
            ..StoreOptions::default()
        };
        let record = EventStore::open(&options);
        let bus = EventBus::new(record.handle());
        (1..=3).for_each(|number| bus.publish(event(&number.to_string())));
        record.close().await;
        let record = EventStore::open(&options);
        let bus = EventBus::new(record.handle());
        assert_eq!(bus.subscribe().last_id, 3);
        bus.publish(event("4"));
        record.handle().flush().await;
        // Announced, but never written.
        bus.feed.announce(event("5"), |_| ());
        drop(bus);
        record.abandon();
        let record = EventStore::open(&options);
        let bus = EventBus::new(record.handle());
        assert!(bus.subscribe().last_id > 5, "{}", bus.subscribe().last_id);
        record.close().await;
    }

    #[tokio::test]
    async fn plan_and_its_events_are_recorded_together() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            location: StoreLocation::Folder(folder.path().to_owned()),
            ..StoreOptions::default()
        };
        let record = EventStore::open(&options);
        let bus = EventBus::new(record.handle());
        let mut subscription = bus.subscribe();
        // An older one is soon deleted.
        let begun = PlanStart { at: Timestamp::now(), ..plan_begin(7, &[&[]]) };
        let events = PlanEvents::new(begun.clone());
        assert_eq!(bus.publish_plan_begin(&begun, events.begin_event()).await, Ok(()));
        let change = StepChange {
            step: 0,
            at: begun.at,
            state: StepState::UnderWay,
            progress: None,
            text: String::new(),
        };
        let before = (StepState::Waiting, String::new());
        bus.publish_step(7, &change, events.step_event(&before, &change));
        // A step without an event.
        bus.publish_step(7, &change, None);
        drop(bus);
        record.handle().flush().await;
        record.abandon();
        let record = EventStore::open(&options);
        let unfinished = record.handle().unfinished_plans();
        assert_eq!(unfinished[0].begun.id, 7);
        assert_eq!(unfinished[0].states, [(StepState::UnderWay, String::new())]);
        let texts: Vec<String> = recorded(&record.handle(), EventQuery::default())
            .await
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(texts, ["start of c0 on h: 1 step", "start of c0 on h: under way"]);
        for text in texts {
            assert_eq!(next(&mut subscription).await.text, text);
        }
        record.close().await;
    }
}
