//! Event list of an open page: the newest matching events, kept current by the event bus.

use std::pin::Pin;
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use rta_shared::event::Event;

use crate::api::Operations;
use crate::api::event_watch::EventWatchRequest;
use crate::operation_error::OperationError;
use crate::store::LiveEvent;
use crate::web::pages::events::handler::EventsQuery;
use crate::web::pages::events::view::MAX_LISTED;

/// Interval between two attempts to read events that cannot be read.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Newest events that match a query.
pub(super) struct LiveEventList {
    query: EventsQuery,
    /// The newest first, one more than the page shows; an error if they cannot be read.
    pub(super) events: Result<Vec<Event>, OperationError>,
    /// Later events; `None` if the watch failed.
    later: Option<Pin<Box<dyn Stream<Item = LiveEvent> + Send>>>,
}

impl LiveEventList {
    /// Loads the recorded events and subscribes to the later ones.
    pub(super) async fn load(operations: &Operations, query: EventsQuery) -> Self {
        let watch = async {
            let filter = query.to_filter(Timestamp::now())?;
            operations.watch_events(&EventWatchRequest { filter, limit: MAX_LISTED + 1, after: None }).await
        };
        match watch.await {
            Ok(mut watch) => {
                let mut events = std::mem::take(&mut watch.recorded);
                events.reverse();
                Self { query, events: Ok(events), later: Some(Box::pin(watch.into_stream())) }
            }
            Err(error) => Self { query, events: Err(error), later: None },
        }
    }

    /// Waits until the list has changed. May be cancelled and called again.
    pub(super) async fn wait_for_change(&mut self, operations: &Operations) {
        let mut next = match &mut self.later {
            Some(later) => later.next().await,
            None => None,
        };
        // Events that are there already are shown together.
        for _ in 0..MAX_LISTED {
            match next {
                Some(LiveEvent::Event(event)) => self.insert(&event),
                Some(LiveEvent::Missed(_)) => break,
                None => {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    break;
                }
            }
            match self.later.as_mut().and_then(|later| later.next().now_or_never()) {
                Some(item) => next = item,
                None => return,
            }
        }
        *self = Self::load(operations, self.query.clone()).await;
    }

    fn insert(&mut self, event: &Event) {
        if let Ok(events) = &mut self.events {
            events.insert(0, event.clone());
            events.truncate(MAX_LISTED + 1);
        }
    }
}
