//! Telling open pages what changes, by server-sent events (HTML standard, section 9.2).
//!
//! All who have the same page open are in one room: what changed is found once, and the same bytes go to everybody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
use rta_shared::overview::InstanceId;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::DropGuard;

use super::graph;
use super::instance::Which;
use super::page::{self, Node, Selection};
use super::viewer::Viewer;
use crate::detail::Detail;
use crate::operations::Operations;

/// How many pages may be open at once; more are refused, and go on without.
const OPEN: usize = 1_000;
/// How many different pages may be open at once: each is made anew at every change.
const ROOMS: usize = 64;
/// How often it is said that there is nothing to say, so that a lost connection is known.
const BEAT: Duration = Duration::from_secs(5);
/// How often what is used, and other times, are brought up to date.
const REFRESH: Duration = Duration::from_secs(10);
/// While a plan is under way its steps are looked at this often.
const STEPS: Duration = Duration::from_millis(200);
/// After a page was made, so long passes before it is made again: changes that come together are sent together.
const PAUSE: Duration = Duration::from_millis(40);
/// After so long a reader has to ask again, so that one who may not look any more is found out.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How many changes a slow reader may be behind; one that is further behind gets the whole page again.
const BEHIND: usize = 16;

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Overview(Selection),
    Plan(u64),
    Instance(InstanceId),
    /// Of the environment of this name.
    Graph(Name),
}

/// The rooms in which pages are open; clones share them.
#[derive(Clone)]
pub(super) struct Rooms {
    operations: Operations,
    open: Arc<Semaphore>,
    rooms: Arc<Mutex<HashMap<Key, Weak<Room>>>>,
}

/// What a room shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    subject: Subject,
    /// There are buttons.
    may_act: bool,
    /// Forms carry a token.
    has_token: bool,
}

/// Who has the same page open. Its task ends with the last who holds it.
struct Room {
    page: watch::Receiver<Arc<Node>>,
    changes: broadcast::Sender<Arc<str>>,
    _task: DropGuard,
}

impl Rooms {
    pub(super) fn new(operations: Operations) -> Self {
        Self { operations, open: Arc::new(Semaphore::new(OPEN)), rooms: Arc::default() }
    }

    /// The room of a page; `None` where there are too many, or what it shows is not there.
    fn enter(&self, subject: &Subject, detail: Option<Detail>, viewer: &Viewer) -> Option<Arc<Room>> {
        let (may_act, has_token) = (viewer.may_act, viewer.csrf.is_some());
        let key = Key { subject: subject.clone(), may_act, has_token };
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(&key).and_then(Weak::upgrade) {
            return Some(room);
        }
        rooms.retain(|_, room| room.strong_count() > 0);
        if rooms.len() >= ROOMS {
            return None;
        }
        // What is sent is for all: the token of a session is put in by the page itself.
        let viewer = Viewer { csrf: viewer.csrf.as_ref().map(|_| String::new()), ..viewer.clone() };
        let view = View { operations: self.operations.clone(), subject: subject.clone(), detail, viewer };
        let (page, seen) = watch::channel(Arc::new(view.make()?));
        let (changes, _) = broadcast::channel(BEHIND);
        let ended = tokio_util::sync::CancellationToken::new();
        tokio::spawn(ended.clone().run_until_cancelled_owned(view.follow(page, changes.clone())));
        let room = Arc::new(Room { page: seen, changes, _task: ended.drop_guard() });
        rooms.insert(key, Arc::downgrade(&room));
        Some(room)
    }
}

/// A page as one room sees it.
struct View {
    operations: Operations,
    subject: Subject,
    /// Of an instance's page.
    detail: Option<Detail>,
    viewer: Viewer,
}

impl View {
    fn make(&self) -> Option<Node> {
        match &self.subject {
            Subject::Overview(selection) => {
                let plans: Vec<_> =
                    self.operations.accounts().iter().map(|account| account.snapshot()).collect();
                let overview = self.operations.overview();
                Some(page::parts(&overview, &plans, selection, &self.viewer, Timestamp::now()))
            }
            Subject::Instance(_) => {
                let overview = self.operations.overview();
                Some(page::detail_parts(self.detail.as_ref()?, &overview, &self.viewer, Timestamp::now()))
            }
            Subject::Graph(environment) => graph::parts(&self.operations, environment.as_str()).ok(),
            Subject::Plan(id) => {
                let account = self.operations.account(*id).ok()?;
                Some(page::plan::parts(&self.viewer, &account.snapshot()))
            }
        }
    }

    /// Whether something is under way that the overview does not tell.
    fn is_busy(&self) -> bool {
        self.operations.accounts().iter().any(|account| account.is_under_way())
    }

    /// Makes the page whenever something changes, and tells what differs.
    async fn follow(self, page: watch::Sender<Arc<Node>>, changes: broadcast::Sender<Arc<str>>) {
        let mut overviews = self.operations.watch();
        let mut shown = Arc::clone(&overviews.borrow_and_update());
        let mut refresh = tokio::time::interval_at(Instant::now() + REFRESH, REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut view = self;
        let mut was_busy = false;
        loop {
            let is_busy = view.is_busy();
            tokio::select! {
                changed = overviews.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let overview = Arc::clone(&overviews.borrow_and_update());
                    // Times alone are brought up to date now and then.
                    if overview.says_the_same_as(&shown) {
                        continue;
                    }
                    shown = overview;
                }
                _ = refresh.tick() => {}
                () = tokio::time::sleep(STEPS), if is_busy || was_busy => {}
            }
            was_busy = is_busy;
            // Off the runtime: a page of a thousand hosts takes a while.
            let made = tokio::task::spawn_blocking(move || (view.make(), view)).await;
            let Ok((made, back)) = made else { return };
            view = back;
            let Some(now) = made else { return };
            let before = page.send_replace(Arc::new(now));
            let html = page.borrow().changes(&before);
            if !html.is_empty() {
                // There may be nobody at this moment.
                let _ = changes.send(Arc::from(html));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What becomes of the overview.
pub(super) async fn overview(
    Extension(rooms): Extension<Rooms>,
    viewer: Viewer,
    Query(selection): Query<Selection>,
) -> Response {
    listen(&rooms, &Subject::Overview(selection.tidied()), None, &viewer)
}

/// `id=7`
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    id: u64,
}

/// What becomes of a plan.
pub(super) async fn plan(
    Extension(rooms): Extension<Rooms>,
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Response {
    match operations.account(shown.id) {
        Ok(_) => listen(&rooms, &Subject::Plan(shown.id), None, &viewer),
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    }
}

/// What becomes of an instance.
pub(super) async fn instance(
    Extension(rooms): Extension<Rooms>,
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(which): Query<Which>,
) -> Response {
    match operations.detail(&which.target()).await {
        Ok(detail) => listen(&rooms, &Subject::Instance(detail.id.clone()), Some(detail), &viewer),
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    }
}

/// What becomes of what needs what.
pub(super) async fn graph(
    Extension(rooms): Extension<Rooms>,
    viewer: Viewer,
    Query(which): Query<graph::Which>,
) -> Response {
    listen(&rooms, &Subject::Graph(Name::from(which.environment.trim())), None, &viewer)
}

fn listen(rooms: &Rooms, subject: &Subject, detail: Option<Detail>, viewer: &Viewer) -> Response {
    let place = Arc::clone(&rooms.open).try_acquire_owned().ok();
    let Some((place, room)) = place.and_then(|place| Some((place, rooms.enter(subject, detail, viewer)?)))
    else {
        let text = "Too many pages are open at the same time; this one shows what was when it was loaded.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "30")], text).into_response();
    };
    let over = rooms.operations.ending().cancelled_owned();
    let end = async {
        tokio::select! { () = over => {}, () = tokio::time::sleep(LONGEST) => {} }
    };
    let events = told(room, place).take_until(Box::pin(end));
    ([(CACHE_CONTROL, "no-store")], Sse::new(events)).into_response()
}

/// What one reader is told: the page as it is, then what changes, and that the connection lives.
fn told(room: Arc<Room>, place: OwnedSemaphorePermit) -> impl Stream<Item = Result<Event, Infallible>> {
    // Before the page is read, so that nothing is missed in between.
    let changes = room.changes.subscribe();
    let beats = tokio::time::interval(BEAT);
    let state = (room, changes, beats, place, true);
    futures::stream::unfold(state, async |(room, mut changes, mut beats, place, is_first)| {
        let whole = |room: &Room| patch(&maud::html! { (room.page.borrow().as_ref()) }.0);
        let event = if is_first {
            whole(&room)
        } else {
            tokio::select! {
                changed = changes.recv() => match changed {
                    Ok(html) => patch(&html),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        changes = room.changes.subscribe();
                        whole(&room)
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = beats.tick() => {
                    Event::default().event("beat").data(Timestamp::now().as_millisecond().to_string())
                }
            }
        };
        Some((event, (room, changes, beats, place, false)))
    })
    .map(Ok)
}

fn patch(html: &str) -> Event {
    // The standard has no carriage returns in it, and a page none that matter.
    Event::default().event("patch").data(html.replace('\r', " "))
}
