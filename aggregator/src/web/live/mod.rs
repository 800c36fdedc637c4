//! Live changes of open pages, as server-sent events (HTML standard, section 9.2).
//!
//! | module | holds |
//! |---|---|
//! | `subscriptions` | subscriptions to shared pages |
//! | `shared_values` | values created once for all who ask for them |
//! | `event_list` | the events of an open page of events |
//! | `incident_list` | the incidents of an open page of incidents |
//! | `renderer` | rendering of a shared page after every change |

mod event_list;
mod incident_list;
mod renderer;
mod shared_values;
mod subscriptions;

use crate::web::pages::graph;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use rta_shared::name::Name;
use tokio::sync::broadcast;

use self::renderer::PageSubject;
use self::subscriptions::{SubscribeError, Subscription};
use crate::api::Operations;
use crate::web::instance_query::InstanceQuery;
use crate::web::pages::events::handler::EventsQuery;
use crate::web::pages::incidents::query::IncidentsQuery;
use crate::web::pages::overview::selection::Selection;
use crate::web::pages::plan::handler::PlanQuery;
use crate::web::request_context::RequestContext;

pub(super) use subscriptions::Subscriptions;

/// Interval of keep-alive messages, which let the page detect a lost connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum length of a stream; the reconnect checks the reader's rights again.
const MAX_STREAM_TIME: Duration = Duration::from_secs(15 * 60);

/// Streams the changes of the overview page.
pub(super) async fn overview(
    Extension(subscriptions): Extension<Subscriptions>,
    context: RequestContext,
    Query(selection): Query<Selection>,
) -> Response {
    stream_page(&subscriptions, &PageSubject::Overview(selection.tidied()), &context).await
}

/// Streams the changes of a plan's page.
pub(super) async fn plan(
    Extension(subscriptions): Extension<Subscriptions>,
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<PlanQuery>,
) -> Response {
    match operations.plan_run(query.id) {
        Ok(_) => stream_page(&subscriptions, &PageSubject::Plan(query.id), &context).await,
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    }
}

/// Streams the changes of an instance's page.
pub(super) async fn instance(
    Extension(subscriptions): Extension<Subscriptions>,
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<InstanceQuery>,
) -> Response {
    match operations.resolve_id(&query.into()) {
        Ok(id) => stream_page(&subscriptions, &PageSubject::Instance(id), &context).await,
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    }
}

/// Streams the changes of a dependency graph's page.
pub(super) async fn graph(
    Extension(subscriptions): Extension<Subscriptions>,
    context: RequestContext,
    Query(query): Query<graph::handler::EnvironmentQuery>,
) -> Response {
    stream_page(&subscriptions, &PageSubject::Graph(Name::from(query.environment.trim())), &context).await
}

/// Streams the changes of the page of events.
pub(super) async fn events(
    Extension(subscriptions): Extension<Subscriptions>,
    context: RequestContext,
    Query(query): Query<EventsQuery>,
) -> Response {
    stream_page(&subscriptions, &PageSubject::Events(query), &context).await
}

/// Streams the changes of the page of incidents.
pub(super) async fn incidents(
    Extension(subscriptions): Extension<Subscriptions>,
    context: RequestContext,
    Query(query): Query<IncidentsQuery>,
) -> Response {
    stream_page(&subscriptions, &PageSubject::Incidents(query), &context).await
}

async fn stream_page(
    subscriptions: &Subscriptions,
    subject: &PageSubject,
    context: &RequestContext,
) -> Response {
    let subscription = match subscriptions.subscribe(subject, context).await {
        Ok(subscription) => subscription,
        Err(SubscribeError::TooMany) => {
            let text =
                "Too many pages are open at the same time; this one shows what was when it was loaded.\n";
            return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "30")], text).into_response();
        }
        Err(SubscribeError::NotFound) => {
            return (StatusCode::NOT_FOUND, "There is no such page.\n").into_response();
        }
    };
    let over = subscriptions.operations.shutdown_token().cancelled_owned();
    let end = async {
        tokio::select! { () = over => {}, () = tokio::time::sleep(MAX_STREAM_TIME) => {} }
    };
    let events = stream_changes(subscription).take_until(Box::pin(end));
    ([(CACHE_CONTROL, "no-store")], Sse::new(events)).into_response()
}

/// Streams the whole page, then its changes and keep-alive messages.
fn stream_changes(subscription: Subscription) -> impl Stream<Item = Result<Event, Infallible>> {
    // Subscribed before the page is read, so that no change is missed in between.
    let changes = subscription.view.changes.resubscribe();
    let beats = tokio::time::interval(KEEP_ALIVE_INTERVAL);
    // Number of the version that the reader has; `None`: none yet.
    let state = (subscription, changes, beats, None);
    futures::stream::unfold(state, async |(subscription, mut changes, mut beats, mut has)| {
        let whole = |has: &mut Option<u64>| {
            let version = subscription.view.page.borrow();
            *has = Some(version.number);
            patch_event(&maud::html! { (&version.page) }.0)
        };
        let event = loop {
            let Some(number) = has else { break whole(&mut has) };
            tokio::select! {
                changed = changes.recv() => match changed {
                    // The change is part of the page that was sent at the start.
                    Ok(change) if change.number <= number => {}
                    Ok(change) => {
                        has = Some(change.number);
                        break patch_event(&change.html);
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        changes = subscription.view.changes.resubscribe();
                        break whole(&mut has);
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = beats.tick() => {
                    break Event::default().event("beat").data(Timestamp::now().as_millisecond().to_string());
                }
            }
        };
        Some((event, (subscription, changes, beats, has)))
    })
    .map(Ok)
}

fn patch_event(html: &str) -> Event {
    // An event must not contain a carriage return, and none matters in a page.
    Event::default().event("patch").data(html.replace('\r', " "))
}
