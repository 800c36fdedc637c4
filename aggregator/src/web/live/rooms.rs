//! Shared subscriptions: all readers of the same page share one room, so that each change is computed once
//! and the same bytes are sent to everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rta_shared::keyed_semaphore::{KeyedSemaphore, Permit};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::view::{Change, Subject, Version, View};
use crate::operations::Operations;
use crate::web::viewer::Viewer;

/// Maximum number of open pages; more are refused, and continue without live changes.
const OPEN: usize = 1_000;
/// Maximum number of different open pages: each is rendered at every change.
const ROOMS: usize = 64;
/// Limits for one user: open pages, and different open pages. Behind a proxy without sign-in, all clients
/// count as one.
const OPEN_OF_ONE: usize = 900;
const ROOMS_OF_ONE: usize = 56;
/// Maximum number of changes that a slow reader may lag behind; beyond that it receives the whole page again.
const BEHIND: usize = 16;

/// Rooms of open pages; clones share them.
#[derive(Clone)]
pub(in crate::web) struct Rooms {
    pub(super) operations: Operations,
    open: KeyedSemaphore<String>,
    begun: KeyedSemaphore<String>,
    rooms: Arc<Mutex<HashMap<Key, Weak<Room>>>>,
}

/// Content of a room's page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    subject: Subject,
    /// True if the page has buttons for actions.
    may_act: bool,
    /// True if forms carry a token.
    has_token: bool,
}

/// Readers of the same page. Its task ends when the last of them drops it.
pub(super) struct Room {
    pub(super) page: watch::Receiver<Version>,
    /// The task owns the only sender, so that this ends for all readers with the task.
    pub(super) changes: broadcast::Receiver<Change>,
    _task: DropGuard,
    _begun: Permit<String>,
}

/// Subscription of one reader.
pub(super) struct Seat {
    pub(super) room: Arc<Room>,
    _open: Permit<String>,
}

/// Reason why a subscription fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// The limit of open pages is reached.
    TooMany,
    /// The subject of the page does not exist.
    NotThere,
}

impl Rooms {
    pub(in crate::web) fn new(operations: Operations) -> Self {
        Self {
            operations,
            open: KeyedSemaphore::new(OPEN, OPEN_OF_ONE),
            begun: KeyedSemaphore::new(ROOMS, ROOMS_OF_ONE),
            rooms: Arc::default(),
        }
    }

    /// Subscribes to a page.
    ///
    /// # Errors
    /// Returns an error if a limit is reached, or if the subject of the page does not exist.
    pub(super) async fn enter(&self, subject: &Subject, viewer: &Viewer) -> Result<Seat, NoSeat> {
        let open = self.open.acquire(viewer.who().to_owned()).ok_or(NoSeat::TooMany)?;
        let (may_act, has_token) = (viewer.may_act, viewer.csrf.is_some());
        let key = Key { subject: subject.clone(), may_act, has_token };
        if let Some(room) = self.find(&key) {
            return Ok(Seat { room, _open: open });
        }
        let begun = self.begun.acquire(viewer.who().to_owned()).ok_or(NoSeat::TooMany)?;
        // The changes are sent to all readers: the script inserts the token of its session.
        let viewer = Viewer { csrf: viewer.csrf.as_ref().map(|_| String::new()), ..viewer.clone() };
        let made = View::new(self.operations.clone(), subject.clone(), viewer).await;
        let (view, page) = made.ok_or(NoSeat::NotThere)?;
        let (page, seen) = watch::channel(Version { number: 0, page });
        let mut rooms = self.lock();
        rooms.retain(|_, room| room.strong_count() > 0);
        if let Some(room) = rooms.get(&key).and_then(Weak::upgrade).filter(|room| room.is_alive()) {
            // Another reader created the room in the meantime.
            return Ok(Seat { room, _open: open });
        }
        let (changes, heard) = broadcast::channel(BEHIND);
        let ended = CancellationToken::new();
        tokio::spawn(ended.clone().run_until_cancelled_owned(view.follow(page, changes)));
        let room = Room { page: seen, changes: heard, _task: ended.drop_guard(), _begun: begun };
        let room = Arc::new(room);
        rooms.insert(key, Arc::downgrade(&room));
        Ok(Seat { room, _open: open })
    }

    /// Returns the existing room.
    fn find(&self, key: &Key) -> Option<Arc<Room>> {
        self.lock().get(key).and_then(Weak::upgrade).filter(|room| room.is_alive())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Returns true if the task that renders the page still runs.
    fn is_alive(&self) -> bool {
        self.page.has_changed().is_ok()
    }
}
