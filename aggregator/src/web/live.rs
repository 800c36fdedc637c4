//! Telling open pages what changes, by server-sent events (HTML standard, section 9.2).
//!
//! All who have the same page open are in one room: what changed is found once, and the same bytes go to everybody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::actions::Shown;
use super::graph;
use super::instance::Which;
use super::page::{self, Node, Selection};
use super::viewer::Viewer;
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
    /// The sender is the task's alone: with the task this ends for all who read.
    changes: broadcast::Receiver<Arc<str>>,
    _task: DropGuard,
}

impl Rooms {
    pub(super) fn new(operations: Operations) -> Self {
        Self { operations, open: Arc::new(Semaphore::new(OPEN)), rooms: Arc::default() }
    }

    /// The room of a page; `None` where there are too many, or what it shows is not there.
    async fn enter(&self, subject: &Subject, viewer: &Viewer) -> Option<Arc<Room>> {
        let (may_act, has_token) = (viewer.may_act, viewer.csrf.is_some());
        let key = Key { subject: subject.clone(), may_act, has_token };
        if let Some(room) = self.find(&key)? {
            return Some(room);
        }
        // What is sent is for all: the token of a session is put in by the page itself.
        let viewer = Viewer { csrf: viewer.csrf.as_ref().map(|_| String::new()), ..viewer.clone() };
        let view = View { operations: self.operations.clone(), subject: subject.clone(), viewer };
        // Off the runtime, and while nobody waits for it: a page of a thousand hosts takes a while.
        let (made, view) = tokio::task::spawn_blocking(move || (view.make(), view)).await.ok()?;
        let (page, seen) = watch::channel(Arc::new(made?));
        let mut rooms = self.lock();
        if let Some(room) = rooms.get(&key).and_then(Weak::upgrade).filter(|room| room.is_alive()) {
            // Somebody was faster.
            return Some(room);
        }
        let (changes, heard) = broadcast::channel(BEHIND);
        let ended = CancellationToken::new();
        tokio::spawn(ended.clone().run_until_cancelled_owned(view.follow(page, changes)));
        let room = Arc::new(Room { page: seen, changes: heard, _task: ended.drop_guard() });
        rooms.insert(key, Arc::downgrade(&room));
        Some(room)
    }

    /// The room that is there, or that there is none yet; `None` where there may be no more.
    fn find(&self, key: &Key) -> Option<Option<Arc<Room>>> {
        let mut rooms = self.lock();
        if let Some(room) = rooms.get(key).and_then(Weak::upgrade).filter(|room| room.is_alive()) {
            return Some(Some(room));
        }
        rooms.retain(|_, room| room.strong_count() > 0);
        (rooms.len() < ROOMS).then_some(None)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Whether its page is still made anew.
    fn is_alive(&self) -> bool {
        self.page.has_changed().is_ok()
    }
}

/// A page as one room sees it.
struct View {
    operations: Operations,
    subject: Subject,
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
            Subject::Instance(id) => {
                let (detail, overview) = (self.operations.detail_of(id), self.operations.overview());
                Some(page::detail_parts(&detail, &overview, &self.viewer, Timestamp::now()))
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
            let (made, back) = match made {
                Ok(made) => made,
                Err(error) => return tracing::error!(%error, "an open page could not be made anew"),
            };
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
    listen(&rooms, &Subject::Overview(selection.tidied()), &viewer).await
}

/// What becomes of a plan.
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

/// What becomes of an instance.
pub(super) async fn instance(
    Extension(rooms): Extension<Rooms>,
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(which): Query<Which>,
) -> Response {
    match operations.detail(&which.target()).await {
        Ok(detail) => listen(&rooms, &Subject::Instance(detail.id), &viewer).await,
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    }
}

/// What becomes of what needs what.
pub(super) async fn graph(
    Extension(rooms): Extension<Rooms>,
    viewer: Viewer,
    Query(which): Query<graph::Which>,
) -> Response {
    listen(&rooms, &Subject::Graph(Name::from(which.environment.trim())), &viewer).await
}

async fn listen(rooms: &Rooms, subject: &Subject, viewer: &Viewer) -> Response {
    let place = Arc::clone(&rooms.open).try_acquire_owned().ok();
    let entered = match place {
        Some(place) => rooms.enter(subject, viewer).await.map(|room| (place, room)),
        None => None,
    };
    let Some((place, room)) = entered else {
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
    let changes = room.changes.resubscribe();
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
                        changes = room.changes.resubscribe();
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
