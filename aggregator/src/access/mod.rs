//! Who may look and who may act: users and tokens, what they prove themselves with, and their sessions.
//!
//! | module | holds |
//! |---|---|
//! | `users` | the file of users and tokens, checked as a whole |
//! | `password` | passwords and their hashes, and tokens |
//! | `sessions` | who is signed in; pure, with the time given |
//! | `attempts` | wrong passwords of late, and what they cost; pure, with the time given |
//! | `queue` | whose password is checked next; pure |
//! | `turns` | so many checks at a time, in that order |

mod attempts;
mod password;
mod queue;
mod sessions;
mod turns;
mod users;

use std::io;
use std::net::IpAddr;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::OwnedTasks;
use tokio::time::sleep;

use attempts::Origin;
use sessions::Sessions;
use turns::Turns;
use users::Users;

pub use password::{hash, new_token};
pub(crate) use password::{is_veiled, veiled};
pub(crate) use users::Role;

/// How often it is looked whether the file has changed.
const LOOK: Duration = Duration::from_secs(2);
/// The most passwords that are checked at once: each takes some 20 MB of memory and a processor for some 20 ms.
const MOST_CHECKS: usize = 4;

/// Who may look and who may act; clones share it.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Nobody acts by the page.
    read_only: bool,
    /// `None`: nobody signs in.
    users: Option<UsersFile>,
    sessions: Mutex<Sessions>,
    turns: Turns,
}

/// The users file, and what it says.
#[derive(Debug)]
struct UsersFile {
    path: PathBuf,
    /// The file from which `users` were read first.
    stamp: Option<Stamp>,
    users: RwLock<Arc<Users>>,
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// A person who signed in with a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedIn {
    pub(crate) person: Person,
    /// What their forms carry.
    pub(crate) csrf: String,
}

/// Why somebody is not signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotSignedIn {
    /// The name or the password is not right; which is not told.
    Wrong,
    /// Too many sign in at this moment, most of them as this one does: from its network, to its account.
    Busy,
}

impl Access {
    /// Whoever reaches the page may look, and act unless it is `read_only`.
    pub fn open(read_only: bool) -> Self {
        Self::with(None, read_only)
    }

    /// The users and tokens of the file `path`, which is read again when it changes: see [`Access::follow_file`].
    ///
    /// # Errors
    /// Every problem of the file, one a line.
    pub fn users(path: &Path, read_only: bool) -> Result<Self, String> {
        let (stamp, users) = (stamp(path), Users::load(path)?);
        let file = UsersFile { path: path.to_owned(), stamp, users: RwLock::new(Arc::new(users)) };
        Ok(Self::with(Some(file), read_only))
    }

    /// Follows the users file, if there is one, in a thread of its own, since the disk may hang: one of `tasks`, which
    /// tells `impairments` of a file that is not right.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be made.
    pub(crate) fn follow_file(&self, tasks: &OwnedTasks, impairments: &ImpairmentList) -> io::Result<()> {
        if self.0.users.is_none() {
            return Ok(());
        }
        let guard = tasks.guard("the watch over the users file").may_end();
        let (inner, impairments) = (Arc::downgrade(&self.0), impairments.clone());
        std::thread::Builder::new().name("users".to_owned()).spawn(move || {
            let _guard = guard;
            follow_file(&inner, &impairments);
        })?;
        Ok(())
    }

    fn with(users: Option<UsersFile>, read_only: bool) -> Self {
        // Half of the processors are left for those who are signed in.
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Turns::new((processors / 2).clamp(1, MOST_CHECKS));
        Self(Arc::new(Inner { read_only, users, sessions: Mutex::default(), turns }))
    }

    /// Whether people have to sign in to act.
    pub(crate) fn has_users(&self) -> bool {
        self.0.users.is_some()
    }

    /// Whether nobody acts by the page.
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// Whether one looks without signing in.
    pub(crate) fn is_viewing_open(&self) -> bool {
        self.current().is_none_or(|users| users.is_viewing_open)
    }

    /// The users as the file has them now.
    fn current(&self) -> Option<Arc<Users>> {
        let users = self.0.users.as_ref()?.users.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&users))
    }

    /// Signs somebody in; the value of the session's cookie. A right password is let in as soon as it is checked; a wrong
    /// one is answered later the more there were before.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn sign_in(
        &self,
        name: &str,
        password: String,
        address: IpAddr,
    ) -> Result<String, NotSignedIn> {
        let arrived = Instant::now();
        let Some(users) = self.current() else { return Err(NotSignedIn::Wrong) };
        let user = users.users.iter().find(|user| user.name == name).cloned();
        let origin = Origin::new(address, user.as_ref().map(|user| user.name.as_str()));
        let Some(turn) = self.0.turns.take(&origin).await else {
            // Asking again at once would only keep the queue full.
            self.pause(&origin, arrived).await;
            return Err(NotSignedIn::Busy);
        };
        let hash = user.as_ref().map(|user| user.password.clone());
        // Somebody who is not known takes as long. The turn is over when the work is done, whoever waits for that.
        let is_right = tokio::task::spawn_blocking(move || {
            let is_right = password::is_right(hash.as_deref(), &password);
            drop(turn);
            is_right
        });
        let is_right = is_right.await.unwrap_or_default();
        match user.filter(|_| is_right) {
            Some(user) => {
                self.0.turns.succeeded(&origin);
                tracing::info!(name, %address, "signed in");
                let begun = self.sessions().begin(&user, Instant::now());
                begun.ok_or(NotSignedIn::Wrong)
            }
            None => {
                tracing::warn!(name = rta_shared::text::echoed(name), %address, "a wrong name or password");
                self.pause(&origin, arrived).await;
                Err(NotSignedIn::Wrong)
            }
        }
    }

    /// Waits until an attempt that arrived at that moment and was in vain is answered.
    async fn pause(&self, origin: &Origin, arrived: Instant) {
        let pause = self.0.turns.pause(origin);
        sleep(pause.saturating_sub(arrived.elapsed())).await;
    }

    /// Who has the session of this cookie; `None` where it is over.
    pub(crate) fn signed_in(&self, cookie: &str) -> Option<SignedIn> {
        let users = self.current()?;
        self.sessions().find(cookie, &users, Instant::now())
    }

    /// Ends the session of this cookie.
    pub(crate) fn sign_out(&self, cookie: &str) {
        self.sessions().end(cookie);
    }

    /// Returns the role of the user of this name; `None`: there is no such user.
    pub(crate) fn role_of(&self, name: &str) -> Option<Role> {
        let users = self.current()?;
        let user = users.users.iter().find(|user| user.name.eq_ignore_ascii_case(name))?;
        Some(user.role)
    }

    /// Who has this token; `None`: nobody.
    pub(crate) fn of_token(&self, token: &str) -> Option<Person> {
        self.current()?.of_token(token)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request says in its header "Authorization", if that is a token (RFC 6750).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Reads the users file again when it has changed, for as long as anybody needs it. One that is not right changes
/// nothing, is told, and tried again.
fn follow_file(inner: &Weak<Inner>, impairments: &ImpairmentList) {
    let mut read = None;
    let mut told = String::new();
    loop {
        std::thread::sleep(LOOK);
        let Some(inner) = inner.upgrade() else { return };
        let Some(file) = &inner.users else { return };
        let now = stamp(&file.path);
        if now == read.unwrap_or(file.stamp) {
            continue;
        }
        match Users::load(&file.path) {
            Ok(users) => {
                tracing::info!(
                    users = users.users.len(),
                    tokens = users.tokens.len(),
                    "users were read anew"
                );
                *file.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
                impairments.set(ImpairedPart::Users, None);
                (read, told) = (Some(now), String::new());
            }
            Err(problems) if problems != told => {
                tracing::error!(problems, "the file of users is not right; the old one goes on");
                impairments.set(ImpairedPart::Users, Some(refused(&problems)));
                told = problems;
            }
            Err(_) => {}
        }
    }
}

/// Returns what is told of a users file with these problems, one a line.
fn refused(problems: &str) -> String {
    let mut lines = problems.lines();
    let first = lines.next().unwrap_or_default();
    let more = match lines.count() {
        0 => String::new(),
        more => format!(" (and {more} more problems)"),
    };
    format!("{first}{more}; the users from before are used until rta-aggregator ends: repair the file")
}

/// What tells a file from what it was: its inode, its size, and when its content or its rights changed, in
/// nanoseconds after 1970.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}
