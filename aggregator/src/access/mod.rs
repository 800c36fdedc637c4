//! Who may look and who may act: users and tokens, what they prove themselves with, and their sessions.
//!
//! | module | holds |
//! |---|---|
//! | `users` | the file of users and tokens, checked as a whole |
//! | `password` | passwords and their hashes, and tokens |
//! | `sessions` | who is signed in; pure, with the time given |
//! | `attempts` | how soon a password may be tried again; pure, with the time given |

mod attempts;
mod password;
mod sessions;
mod users;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;

use attempts::{Attempts, Who};
use sessions::Sessions;
use users::Users;

pub use password::{hash, new_token};
pub(crate) use password::{is_veiled, veiled};
pub(crate) use users::Role;

/// How often it is looked whether the file has changed.
const LOOK: Duration = Duration::from_secs(2);
/// How many passwords are checked at once: each takes some 20 MB of memory for some 20 ms.
const CHECKED: usize = 4;

/// Who may look and who may act; clones share it.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Nobody acts by the page.
    read_only: bool,
    /// Cookies go by HTTPS alone.
    is_secure: bool,
    /// `None`: nobody signs in.
    file: Option<Mutex<File>>,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
    checks: Semaphore,
}

/// The file of users as it was read last.
#[derive(Debug)]
struct File {
    path: PathBuf,
    users: Arc<Users>,
    /// Of the file that was read last, right or not.
    modified: Option<SystemTime>,
    looked_at: Instant,
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
    /// After too many attempts, so long has to be waited.
    TooSoon(Duration),
}

impl Access {
    /// Whoever reaches the page may look, and act unless it is `read_only`.
    pub fn open(read_only: bool) -> Self {
        Self::with(None, read_only, false)
    }

    /// The users and tokens of the file `path`, which is read again when it changes. With `is_secure` the page is
    /// served by HTTPS.
    ///
    /// # Errors
    /// Every problem of the file, one a line.
    pub fn users(path: &Path, read_only: bool, is_secure: bool) -> Result<Self, String> {
        let modified = modified(path);
        let users = Arc::new(Users::load(path)?);
        let file = File { path: path.to_owned(), users, modified, looked_at: Instant::now() };
        Ok(Self::with(Some(Mutex::new(file)), read_only, is_secure))
    }

    fn with(file: Option<Mutex<File>>, read_only: bool, is_secure: bool) -> Self {
        Self(Arc::new(Inner {
            read_only,
            is_secure,
            file,
            sessions: Mutex::default(),
            attempts: Mutex::default(),
            checks: Semaphore::new(CHECKED),
        }))
    }

    /// Whether people have to sign in to act.
    pub(crate) fn has_users(&self) -> bool {
        self.0.file.is_some()
    }

    /// Whether nobody acts by the page.
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// Whether the page is served by HTTPS.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.is_secure
    }

    /// Whether one looks without signing in.
    pub(crate) fn is_viewing_open(&self) -> bool {
        self.current().is_none_or(|users| users.is_viewing_open)
    }

    /// The users as the file has them now. One that is not right changes nothing, and is told in the log.
    fn current(&self) -> Option<Arc<Users>> {
        let mut file = self.0.file.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if file.looked_at.elapsed() >= LOOK {
            file.looked_at = Instant::now();
            let modified = modified(&file.path);
            if modified != file.modified {
                file.modified = modified;
                match Users::load(&file.path) {
                    Ok(users) => {
                        tracing::info!(
                            users = users.users.len(),
                            tokens = users.tokens.len(),
                            "users were read anew"
                        );
                        file.users = Arc::new(users);
                    }
                    Err(problems) => {
                        tracing::error!(problems, "the file of users is not right; the old one goes on")
                    }
                }
            }
        }
        Some(Arc::clone(&file.users))
    }

    /// Signs somebody in; the value of the session's cookie.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn sign_in(
        &self,
        name: &str,
        password: String,
        address: &str,
    ) -> Result<String, NotSignedIn> {
        let Some(users) = self.current() else { return Err(NotSignedIn::Wrong) };
        let who = [Who::Name(name.to_lowercase()), Who::Address(address.to_owned())];
        if let Some(wait) = self.attempts().wait(&who, Instant::now()) {
            return Err(NotSignedIn::TooSoon(wait));
        }
        let user = users.users.iter().find(|user| user.name == name).cloned();
        let hash = user.as_ref().map(|user| user.password.clone());
        let Ok(_checked) = self.0.checks.acquire().await else { return Err(NotSignedIn::Wrong) };
        // Somebody who is not known takes as long.
        let is_right =
            tokio::task::spawn_blocking(move || password::is_right(hash.as_deref(), &password)).await;
        match user.filter(|_| is_right.unwrap_or_default()) {
            Some(user) => {
                self.attempts().forget(&who);
                tracing::info!(name, address, "signed in");
                let begun = self.sessions().begin(&user, Instant::now());
                begun.ok_or(NotSignedIn::Wrong)
            }
            None => {
                self.attempts().fail(&who, Instant::now());
                tracing::warn!(name = rta_shared::text::echoed(name), address, "a wrong name or password");
                Err(NotSignedIn::Wrong)
            }
        }
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

    /// Who has this token; `None`: nobody.
    pub(crate) fn of_token(&self, token: &str) -> Option<Person> {
        self.current()?.of_token(token)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request says in its header "Authorization", if that is a token (RFC 6750).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}
