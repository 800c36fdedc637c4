//! All who have the same page open are in one room: what changed is found once, and the same bytes go to everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rta_shared::places::{Place, Places};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::view::{Change, Subject, Version, View};
use crate::operations::Operations;
use crate::web::viewer::Viewer;

/// How many pages may be open at once; more are refused, and go on without.
const OPEN: usize = 1_000;
/// How many different pages may be open at once: each is made anew at every change.
const ROOMS: usize = 64;
/// Nobody takes all there is: so many pages may be one person's, and so many different ones. Behind a proxy, where
/// nobody signs in, all are one.
const OPEN_OF_ONE: usize = 900;
const ROOMS_OF_ONE: usize = 56;
/// How many changes a slow reader may be behind; one that is further behind gets the whole page again.
const BEHIND: usize = 16;

/// The rooms in which pages are open; clones share them.
#[derive(Clone)]
pub(in crate::web) struct Rooms {
    pub(super) operations: Operations,
    open: Places<String>,
    begun: Places<String>,
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
pub(super) struct Room {
    pub(super) page: watch::Receiver<Version>,
    /// The sender is the task's alone: with the task this ends for all who read.
    pub(super) changes: broadcast::Receiver<Change>,
    _task: DropGuard,
    _begun: Place<String>,
}

/// One reader's place in a room.
pub(super) struct Seat {
    pub(super) room: Arc<Room>,
    _open: Place<String>,
}

/// Why somebody cannot be told of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// As many are open as may be.
    TooMany,
    /// What it shows is not there.
    NotThere,
}

impl Rooms {
    pub(in crate::web) fn new(operations: Operations) -> Self {
        Self {
            operations,
            open: Places::new(OPEN, OPEN_OF_ONE),
            begun: Places::new(ROOMS, ROOMS_OF_ONE),
            rooms: Arc::default(),
        }
    }

    /// A seat in the room of a page.
    ///
    /// # Errors
    /// There are too many, or what it shows is not there.
    pub(super) async fn enter(&self, subject: &Subject, viewer: &Viewer) -> Result<Seat, NoSeat> {
        let open = self.open.take(viewer.who().to_owned()).ok_or(NoSeat::TooMany)?;
        let (may_act, has_token) = (viewer.may_act, viewer.csrf.is_some());
        let key = Key { subject: subject.clone(), may_act, has_token };
        if let Some(room) = self.find(&key) {
            return Ok(Seat { room, _open: open });
        }
        let begun = self.begun.take(viewer.who().to_owned()).ok_or(NoSeat::TooMany)?;
        // What is sent is for all: the token of a session is put in by the page itself.
        let viewer = Viewer { csrf: viewer.csrf.as_ref().map(|_| String::new()), ..viewer.clone() };
        let made = View::new(self.operations.clone(), subject.clone(), viewer).await;
        let (view, page) = made.ok_or(NoSeat::NotThere)?;
        let (page, seen) = watch::channel(Version { number: 0, page });
        let mut rooms = self.lock();
        rooms.retain(|_, room| room.strong_count() > 0);
        if let Some(room) = rooms.get(&key).and_then(Weak::upgrade).filter(|room| room.is_alive()) {
            // Somebody was faster.
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

    /// The room that is there.
    fn find(&self, key: &Key) -> Option<Arc<Room>> {
        self.lock().get(key).and_then(Weak::upgrade).filter(|room| room.is_alive())
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
