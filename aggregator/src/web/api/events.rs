//! Events as they happen.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::StreamExt as _;
use jiff::Timestamp;
use rta_shared::event::Event;
use serde::Serialize;

use super::event_stream::{StreamLimit, json_event, last_event_id, respond};
use crate::api::Operations;
use crate::api::event_watch::EventWatchRequest;
use crate::store::{LiveEvent, MAX_EVENTS};
use crate::web::pages::events::handler::EventsQuery;
use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;

/// Number of events that were left out.
#[derive(Serialize)]
struct MissedEvents {
    missed: u64,
}

/// End of the recorded events: all later ones are new.
#[derive(Serialize)]
struct CaughtUp {
    last_id: u64,
}

/// Answers `GET /api/v1/events/stream`: recorded events, of which `limit` is the number, and then each new one. A
/// client that comes back with `Last-Event-ID` receives all events after that one.
pub(super) async fn stream(
    State(operations): State<Operations>,
    Extension(limit): Extension<StreamLimit>,
    context: RequestContext,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiProblem> {
    let permit = limit.acquire(&context)?;
    let filter = query.to_filter(Timestamp::now())?;
    let limit = filter.limit.min(MAX_EVENTS);
    let request = EventWatchRequest { filter, limit, after: last_event_id(&headers) };
    let mut watch = operations.watch_events(&request).await?;
    let missed =
        (watch.missed > 0).then(|| json_event("missed", None, &MissedEvents { missed: watch.missed }));
    let recorded = std::mem::take(&mut watch.recorded);
    let recorded = recorded.into_iter().map(|event| recorded_event(&event));
    let caught_up = json_event("caught-up", Some(watch.last_id), &CaughtUp { last_id: watch.last_id });
    let begin: Vec<_> = missed.into_iter().chain(recorded).chain([caught_up]).collect();
    let later = watch.into_stream().map(|item| match item {
        LiveEvent::Event(event) => recorded_event(&event),
        LiveEvent::Missed(missed) => json_event("missed", None, &MissedEvents { missed }),
    });
    Ok(respond(futures::stream::iter(begin).chain(later), permit, operations.shutdown_token()))
}

fn recorded_event(event: &Event) -> axum::response::sse::Event {
    json_event("event", Some(event.id), event)
}
