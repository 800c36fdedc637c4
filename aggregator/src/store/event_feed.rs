//! Live feed of events: assigns sequence numbers and broadcasts to subscribers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use tokio::sync::broadcast;

use super::event_counts::EventCounts;
use super::rows::truncate_text;

/// Number of events that a subscriber may lag behind before it misses some. The outage of a large platform
/// makes some thousands at once.
const MAX_LAG: usize = 8192;

/// Live feed of events; clones share it. One lock orders the numbers, the records and the broadcasts alike,
/// and nothing waits while it is held.
#[derive(Clone, Debug)]
pub(crate) struct EventFeed(Arc<FeedState>);

#[derive(Debug)]
struct FeedState {
    /// Sequence number of the last event.
    last_id: Mutex<u64>,
    live: broadcast::Sender<Arc<Event>>,
    counts: EventCounts,
    mode: FeedMode,
}

/// Who numbers the events of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FeedMode {
    /// The feed itself.
    Numbering,
    /// The database, when it has written them. They are broadcast after that.
    NumberedWhenWritten,
    /// Nobody here: they are those of other aggregators' record.
    Record,
}

/// Receiver of the events after a certain one.
#[derive(Debug)]
pub(crate) struct EventSubscription {
    /// Sequence number of the last event before the subscription. That one and all earlier ones are with the
    /// store; the subscription receives all later ones.
    pub(crate) last_id: u64,
    live: broadcast::Receiver<Arc<Event>>,
}

/// Item of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LiveEvent {
    /// Event that just happened.
    Event(Arc<Event>),
    /// Number of events that the subscriber missed because it was too slow.
    Missed(u64),
}

impl Default for EventFeed {
    fn default() -> Self {
        Self::new(FeedMode::Numbering)
    }
}

impl EventFeed {
    fn new(mode: FeedMode) -> Self {
        Self(Arc::new(FeedState {
            last_id: Mutex::new(0),
            live: broadcast::Sender::new(MAX_LAG),
            counts: EventCounts::default(),
            mode,
        }))
    }

    /// Creates the feed of another aggregator's record. Announced events are dropped: the leader announces
    /// its own.
    pub(super) fn of_record() -> Self {
        Self::new(FeedMode::Record)
    }

    /// Creates the feed of one of several writers. Announced events are broadcast when they are written.
    pub(super) fn of_shared_writer() -> Self {
        Self::new(FeedMode::NumberedWhenWritten)
    }

    /// Broadcasts an event that is written.
    pub(super) fn repeat(&self, event: Arc<Event>) {
        let mut last_id = self.lock();
        *last_id = event.id.max(*last_id);
        self.0.counts.count(event.kind);
        // There may be no subscriber at this moment.
        let _ = self.0.live.send(event);
    }

    /// Assigns the next sequence number to an event, hands it to `record`, and broadcasts it. Of several
    /// writers the event has no number yet, and is broadcast when it is written.
    pub(crate) fn announce<T>(&self, event: Event, record: impl FnOnce(&Arc<Event>) -> T) -> T {
        // Subscribers receive what the store will return later.
        let at = Timestamp::from_microsecond(event.at.as_microsecond()).unwrap_or(event.at);
        let event = Event { id: 0, at, text: truncate_text(&event.text), ..event };
        if self.0.mode != FeedMode::Numbering {
            return record(&Arc::new(event));
        }
        let mut last_id = self.lock();
        *last_id += 1;
        let event = Arc::new(Event { id: *last_id, ..event });
        let recorded = record(&event);
        self.0.counts.count(event.kind);
        // There may be no subscriber at this moment.
        let _ = self.0.live.send(event);
        recorded
    }

    /// Subscribes to all later events.
    pub(crate) fn subscribe(&self) -> EventSubscription {
        let last_id = self.lock();
        EventSubscription { last_id: *last_id, live: self.0.live.subscribe() }
    }

    /// Returns the sequence number of the last event.
    pub(crate) fn last_id(&self) -> u64 {
        *self.lock()
    }

    /// Returns the number of events of each kind since the program began.
    pub(crate) fn counts(&self) -> Vec<(EventKind, u64)> {
        self.0.counts.all()
    }

    /// Continues after `id` if the sequence has not reached it yet.
    pub(super) fn continue_after(&self, id: u64) {
        let mut last_id = self.lock();
        *last_id = id.max(*last_id);
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // A panic while the lock is held leaves at worst an unused number.
        self.0.last_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSubscription {
    /// Waits for the next event; `None` if the feed has ended.
    pub(crate) async fn next(&mut self) -> Option<LiveEvent> {
        match self.live.recv().await {
            Ok(event) => Some(LiveEvent::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(LiveEvent::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
