//! Live changes of open pages, as server-sent events (HTML standard, section 9.2).
//!
//! | module | holds |
//! |---|---|
//! | `rooms` | subscriptions to shared pages |
//! | `view` | rendering of a shared page after every change |

mod rooms;
mod view;

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

use self::rooms::{NoSeat, Seat};
use self::view::Subject;
use super::actions::Shown;
use super::graph;
use super::page::Selection;
use super::viewer::Viewer;
use super::which::Which;
use crate::operations::Operations;

pub(super) use rooms::Rooms;

/// Interval of keep-alive messages, which let the page detect a lost connection.
const BEAT: Duration = Duration::from_secs(5);
/// Maximum length of a stream; the reconnect checks the reader's rights again.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Streams the changes of the overview page.
pub(super) async fn overview(
    Extension(rooms): Extension<Rooms>,
    viewer: Viewer,
    Query(selection): Query<Selection>,
) -> Response {
    listen(&rooms, &Subject::Overview(selection.tidied()), &viewer).await
}

/// Streams the changes of a plan's page.
pub(super) async fn plan(
    Extension(rooms): Extension<Rooms>,
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Response {
    match operations.account(shown.id) {
        Ok(_) => listen(&rooms, &Subject::Plan(shown.id), &viewer).await,
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    }
}

/// Streams the changes of an instance's page.
pub(super) async fn instance(
    Extension(rooms): Extension<Rooms>,
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(which): Query<Which>,
) -> Response {
    match operations.id_of(&which.into()) {
        Ok(id) => listen(&rooms, &Subject::Instance(id), &viewer).await,
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    }
}

/// Streams the changes of a dependency graph's page.
pub(super) async fn graph(
    Extension(rooms): Extension<Rooms>,
    viewer: Viewer,
    Query(which): Query<graph::Which>,
) -> Response {
    listen(&rooms, &Subject::Graph(Name::from(which.environment.trim())), &viewer).await
}

async fn listen(rooms: &Rooms, subject: &Subject, viewer: &Viewer) -> Response {
    let seat = match rooms.enter(subject, viewer).await {
        Ok(seat) => seat,
        Err(NoSeat::TooMany) => {
            let text =
                "Too many pages are open at the same time; this one shows what was when it was loaded.\n";
            return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "30")], text).into_response();
        }
        Err(NoSeat::NotThere) => return (StatusCode::NOT_FOUND, "There is no such page.\n").into_response(),
    };
    let over = rooms.operations.ending().cancelled_owned();
    let end = async {
        tokio::select! { () = over => {}, () = tokio::time::sleep(LONGEST) => {} }
    };
    let events = told(seat).take_until(Box::pin(end));
    ([(CACHE_CONTROL, "no-store")], Sse::new(events)).into_response()
}

/// Streams the whole page, then its changes and keep-alive messages.
fn told(seat: Seat) -> impl Stream<Item = Result<Event, Infallible>> {
    // Subscribed before the page is read, so that no change is missed in between.
    let changes = seat.room.changes.resubscribe();
    let beats = tokio::time::interval(BEAT);
    // Number of the version that the reader has; `None`: none yet.
    let state = (seat, changes, beats, None);
    futures::stream::unfold(state, async |(seat, mut changes, mut beats, mut has)| {
        let whole = |has: &mut Option<u64>| {
            let version = seat.room.page.borrow();
            *has = Some(version.number);
            patch(&maud::html! { (&version.page) }.0)
        };
        let event = loop {
            let Some(number) = has else { break whole(&mut has) };
            tokio::select! {
                changed = changes.recv() => match changed {
                    // The change is part of the page that was sent at the start.
                    Ok(change) if change.number <= number => {}
                    Ok(change) => {
                        has = Some(change.number);
                        break patch(&change.html);
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        changes = seat.room.changes.resubscribe();
                        break whole(&mut has);
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = beats.tick() => {
                    break Event::default().event("beat").data(Timestamp::now().as_millisecond().to_string());
                }
            }
        };
        Some((event, (seat, changes, beats, has)))
    })
    .map(Ok)
}

fn patch(html: &str) -> Event {
    // An event must not contain a carriage return, and none matters in a page.
    Event::default().event("patch").data(html.replace('\r', " "))
}
