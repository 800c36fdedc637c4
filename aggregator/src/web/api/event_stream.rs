//! Server-sent events for programs (HTML standard, section 9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use rta_shared::keyed_semaphore::{KeyedSemaphore, Permit};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;

/// Interval of comments, by which a client detects a lost connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum length of a stream. A client that asks again continues where it was, and its rights are checked
/// again.
const MAX_STREAM_TIME: Duration = Duration::from_secs(15 * 60);
/// Maximum number of streams: in total, and of one client.
const MAX_STREAMS: usize = 256;
const MAX_STREAMS_OF_CLIENT: usize = 16;
/// Seconds after which a client may try again if there are too many streams.
const RETRY_SECONDS: u64 = 30;

/// Limit of streams; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct StreamLimit(KeyedSemaphore<String>);

impl Default for StreamLimit {
    fn default() -> Self {
        Self(KeyedSemaphore::new(MAX_STREAMS, MAX_STREAMS_OF_CLIENT))
    }
}

impl StreamLimit {
    /// Returns a permit for one more stream.
    ///
    /// # Errors
    /// Returns an error if there are too many.
    pub(super) fn acquire(&self, context: &RequestContext) -> Result<Permit<String>, ApiProblem> {
        let permit = self.0.acquire(context.client_name().to_owned());
        permit.ok_or_else(|| {
            let sentence = format!(
                "Too many streams are open at the same time: {MAX_STREAMS_OF_CLIENT} of one user, or {MAX_STREAMS} in all."
            );
            ApiProblem::too_many(sentence, RETRY_SECONDS)
        })
    }
}

/// Creates an event with JSON. `id` is what the client sends back as `Last-Event-ID`.
pub(super) fn json_event(name: &str, id: Option<u64>, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    let event = match id {
        Some(id) => event.id(id.to_string()),
        None => event,
    };
    // Serialization of these types cannot fail.
    event.data(serde_json::to_string(data).unwrap_or_default())
}

/// Returns the ID of the last event that the client received in an earlier stream.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// Answers with a stream, until its end, the shutdown, or the maximum length.
pub(super) fn respond(
    events: impl Stream<Item = Event> + Send + 'static,
    permit: Permit<String>,
    shutdown: CancellationToken,
) -> Response {
    let end = async move {
        tokio::select! { () = shutdown.cancelled_owned() => {}, () = tokio::time::sleep(MAX_STREAM_TIME) => {} }
    };
    let events = events.take_until(Box::pin(end)).map(move |event| {
        // Held as long as the stream.
        let _ = &permit;
        Ok::<_, Infallible>(event)
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL));
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store")), unbuffered], sse).into_response()
}
