//! Authentication and authorization: users and tokens, their credentials, and their sessions.
//!
//! | module | holds |
//! |---|---|
//! | `users` | the file of users and tokens, validated as a whole |
//! | `accounts` | listing and removing entries of that file |
//! | `password` | passwords and their hashes, and tokens |
//! | `scope` | scopes of tokens: where they may act; pure |
//! | `sessions` | sessions of signed-in users; pure, takes the time as a value |
//! | `session_sharing` | sessions that all aggregators over one database share |
//! | `rate_limit` | rate limit for wrong passwords; pure, takes the time as a value |
//! | `failed_sign_ins` | failed sign-ins to record; pure |
//! | `fair_queue` | order of password checks; pure |
//! | `check_slots` | limit of concurrent checks, in that order |

mod accounts;
mod check_slots;
mod failed_sign_ins;
mod fair_queue;
pub(crate) mod grpc;
mod password;
mod rate_limit;
mod scope;
mod session_sharing;
mod sessions;
mod users;

use std::io;
use std::net::IpAddr;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::sanitize::quoted_input;
use tokio::time::sleep;

use crate::audit::{AuditLog, Refusal};
use crate::store::PostgresLocation;

use check_slots::CheckSlots;
use failed_sign_ins::FailedSignIns;
use session_sharing::{EndedSessions, SessionSharing};
use sessions::{COOKIE_LENGTH, SessionStore, session_digest};
use users::UserList;

pub use accounts::{list_accounts, revoke_account};
pub(crate) use failed_sign_ins::REPORT_INTERVAL;
pub use password::{hash_password, new_token};
pub(crate) use password::{mask_token, matches_masked};
pub(crate) use rate_limit::SignInOrigin;
pub(crate) use scope::{ActScope, ActingCaller, new_requester};
pub(crate) use users::{TokenError, UserRole};

/// Interval between two checks for a changed users file.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum number of concurrent password checks: each takes some 20 MB of memory and a processor for some 20
/// ms.
const MAX_CONCURRENT_CHECKS: usize = 4;

/// Users, tokens and sessions; clones share them.
#[derive(Clone, Debug)]
pub struct AccessControl(Arc<AccessState>);

#[derive(Debug)]
struct AccessState {
    /// True if nobody may act through the page.
    read_only: bool,
    /// `None`: there are no users, and nobody signs in.
    users: Option<UsersFile>,
    sessions: Mutex<SessionStore>,
    /// Set if other aggregators share the sessions.
    sharing: OnceLock<SessionSharing>,
    failed_sign_ins: Mutex<FailedSignIns>,
    check_slots: CheckSlots,
    /// Audit log of refused requests.
    audit: OnceLock<AuditLog>,
}

/// Users file and its content.
#[derive(Debug)]
struct UsersFile {
    path: PathBuf,
    /// Stamp of the file at the first read.
    stamp: Option<FileStamp>,
    users: RwLock<Arc<UserList>>,
}

/// Authenticated user or token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) name: String,
    pub(crate) role: UserRole,
    /// Where they may act.
    pub(crate) scope: ActScope,
}

/// Authenticated user with a browser session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserSession {
    pub(crate) principal: Principal,
    /// Token that each form of the session carries.
    pub(crate) csrf: String,
}

/// Reason for a failed sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignInError {
    /// The name or the password is wrong; the caller cannot tell which.
    Wrong,
    /// Too many sign-ins are in progress, most of them from the same network or on the same account as this
    /// one.
    Busy,
}

impl AccessControl {
    /// Creates access without users: every client may view, and may act unless `read_only`.
    pub fn without_users(read_only: bool) -> Self {
        Self::with(None, read_only)
    }

    /// Creates access with the users and tokens of the file `path`. See `AccessControl::follow_file` for
    /// later changes.
    ///
    /// # Errors
    /// Returns every problem of the file, one a line.
    pub fn with_users_file(path: &Path, read_only: bool) -> Result<Self, String> {
        let (stamp, users) = (file_stamp(path), UserList::load(path)?);
        let file = UsersFile { path: path.to_owned(), stamp, users: RwLock::new(Arc::new(users)) };
        Ok(Self::with(Some(file), read_only))
    }

    /// Reloads the users file, if there is one, when it changes. Runs in a thread of its own, since the disk
    /// may hang; the thread is one of `tasks`, and reports an invalid file to `impairments`.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be created.
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

    /// Shares the sessions with all aggregators over this database, now and after a restart.
    ///
    /// # Errors
    /// Returns an error if the thread for that cannot be created.
    pub fn share_sessions(&self, location: PostgresLocation) -> io::Result<()> {
        if self.0.users.is_some() {
            let sharing = SessionSharing::start(location, Arc::downgrade(&self.0))?;
            // A second call would change nothing.
            let _ = self.0.sharing.set(sharing);
        }
        Ok(())
    }

    fn with(users: Option<UsersFile>, read_only: bool) -> Self {
        // Half of the processors are left for users who are signed in.
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let slots = CheckSlots::new((processors / 2).clamp(1, MAX_CONCURRENT_CHECKS));
        Self(Arc::new(AccessState {
            read_only,
            users,
            sessions: Mutex::default(),
            sharing: OnceLock::new(),
            failed_sign_ins: Mutex::default(),
            check_slots: slots,
            audit: OnceLock::new(),
        }))
    }

    /// Sets the audit log of refused requests.
    pub(crate) fn report_refusals_to(&self, audit: &AuditLog) {
        // From one term to the next it is the same one.
        let _ = self.0.audit.set(audit.clone());
    }

    /// Records a refused request.
    pub(crate) fn record_refusal(&self, refusal: Refusal) {
        if let Some(audit) = self.0.audit.get() {
            audit.record_refusal(refusal);
        }
    }

    /// Returns true if people have to sign in to act.
    pub(crate) fn has_users(&self) -> bool {
        self.0.users.is_some()
    }

    /// Returns true if nobody may act through the page.
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// Returns true if viewing needs no sign-in.
    pub(crate) fn is_viewing_open(&self) -> bool {
        self.current_users().is_none_or(|users| users.is_viewing_open)
    }

    /// Returns the users as last read from the file.
    fn current_users(&self) -> Option<Arc<UserList>> {
        let users = self.0.users.as_ref()?.users.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&users))
    }

    /// Signs a user in, and returns the value of the session's cookie. A correct password is accepted as soon
    /// as it is checked; the answer to a wrong one is delayed by the number of wrong ones before.
    /// `on_failure` is called before the delay for a failure that is to be recorded at once: see
    /// [`AccessControl::end_failure_interval`] for further ones.
    ///
    /// # Errors
    /// Returns an error if the credentials are wrong or too many sign-ins are in progress.
    pub(crate) async fn sign_in(
        &self,
        name: &str,
        password: String,
        address: IpAddr,
        on_failure: impl FnOnce(SignInOrigin),
    ) -> Result<String, SignInError> {
        let arrived = Instant::now();
        let Some(users) = self.current_users() else { return Err(SignInError::Wrong) };
        let user = users.users.iter().find(|user| user.name == name).cloned();
        let origin = SignInOrigin::new(address, user.as_ref().map(|user| user.name.as_str()));
        let Some(slot) = self.0.check_slots.acquire(&origin).await else {
            // An immediate retry would only keep the queue full.
            self.delay_answer(&origin, arrived).await;
            return Err(SignInError::Busy);
        };
        let hash = user.as_ref().map(|user| user.password.clone());
        // The check takes as long for an unknown user. The turn ends with the check, even if the client is
        // gone.
        let is_right = tokio::task::spawn_blocking(move || {
            let is_right = password::check_password(hash.as_deref(), &password);
            drop(slot);
            is_right
        });
        let is_right = is_right.await.unwrap_or_default();
        match user.filter(|_| is_right) {
            Some(user) => {
                self.0.check_slots.forget_failures(&origin);
                tracing::info!(name, %address, "signed in");
                let begun = self.sessions().begin(&user, Instant::now());
                let (cookie, shared) = begun.ok_or(SignInError::Wrong)?;
                if let Some(sharing) = self.0.sharing.get() {
                    // Without the database the session is one of this aggregator alone.
                    sharing.begin(shared).await;
                }
                Ok(cookie)
            }
            None => {
                // A name that no user has may be a password that was typed into the wrong field.
                let name = origin.account().map(quoted_input);
                tracing::warn!(name, %address, "a wrong name or password");
                if self.failed_sign_ins().count_failure(&origin) {
                    on_failure(origin.clone());
                }
                self.delay_answer(&origin, arrived).await;
                Err(SignInError::Wrong)
            }
        }
    }

    /// Delays the answer to a failed attempt that arrived at that moment.
    async fn delay_answer(&self, origin: &SignInOrigin, arrived: Instant) {
        let pause = self.0.check_slots.answer_delay(origin);
        sleep(pause.saturating_sub(arrived.elapsed())).await;
    }

    /// Returns the user of the session of this cookie, which another aggregator may have begun; `None` if it
    /// is over.
    pub(crate) async fn find_session(&self, cookie: &str) -> Option<UserSession> {
        let (users, digest) = (self.current_users()?, session_digest(cookie));
        let sharing = self.0.sharing.get();
        if let Some(sharing) = sharing
            && cookie.len() == COOKIE_LENGTH
            && !self.sessions().has(&digest)
        {
            let shared = sharing.find(&digest).await?;
            self.sessions().add(shared, Instant::now());
        }
        let found = self.sessions().find(&digest, &users, Instant::now())?;
        if let Some(sharing) = sharing.filter(|_| found.is_touch_due) {
            sharing.touch(&digest);
        }
        Some(found.session)
    }

    /// Ends the session of this cookie, here at once and elsewhere within a second. Returns false if the
    /// other aggregators do not learn of it, because the database does not answer.
    pub(crate) async fn sign_out(&self, cookie: &str) -> bool {
        let digest = session_digest(cookie);
        self.sessions().end(&digest);
        match self.0.sharing.get() {
            Some(sharing) => sharing.end(&digest).await,
            None => true,
        }
    }

    /// Returns the role of the user of this name; `None` if there is no such user.
    pub(crate) fn role_of(&self, name: &str) -> Option<UserRole> {
        let users = self.current_users()?;
        let user = users.users.iter().find(|user| user.name.eq_ignore_ascii_case(name))?;
        Some(user.role)
    }

    /// Returns the owner of this token.
    ///
    /// # Errors
    /// Returns an error if it is unknown or has expired.
    pub(crate) fn principal_of_token(&self, token: &str) -> Result<Principal, TokenError> {
        let users = self.current_users().ok_or(TokenError::Unknown)?;
        users.principal_of_token(token, Timestamp::now())
    }

    /// Returns the number of failed sign-ins since the last call; `None` if there was none, and the next one
    /// is to be recorded at once.
    pub(crate) fn end_failure_interval(&self, origin: &SignInOrigin) -> Option<usize> {
        self.failed_sign_ins().end_interval(origin)
    }

    fn failed_sign_ins(&self) -> MutexGuard<'_, FailedSignIns> {
        self.0.failed_sign_ins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, SessionStore> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndedSessions for AccessState {
    fn end_sessions(&self, digests: &[String]) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        digests.iter().for_each(|digest| sessions.end(digest));
    }
}

/// Returns the token of an "Authorization" header, if it has one (RFC 6750).
pub(crate) fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Reloads the users file when it has changed, until `inner` is dropped. An invalid file changes nothing, is
/// reported, and is tried again.
fn follow_file(inner: &Weak<AccessState>, impairments: &ImpairmentList) {
    let mut read = None;
    let mut text = String::new();
    loop {
        std::thread::sleep(FILE_CHECK_INTERVAL);
        let Some(inner) = inner.upgrade() else { return };
        let Some(file) = &inner.users else { return };
        let now = file_stamp(&file.path);
        if now == read.unwrap_or(file.stamp) {
            continue;
        }
        match UserList::load(&file.path) {
            Ok(users) => {
                tracing::info!(users = users.users.len(), tokens = users.tokens.len(), "users file reloaded");
                *file.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
                impairments.set(ImpairedPart::Users, None);
                (read, text) = (Some(now), String::new());
            }
            Err(problems) if problems != text => {
                tracing::error!(problems, "file of users invalid; the previous one stays in use");
                impairments.set(ImpairedPart::Users, Some(file_problem_sentence(&problems)));
                text = problems;
            }
            Err(_) => {}
        }
    }
}

/// Returns the sentence about a users file with these problems, one a line.
fn file_problem_sentence(problems: &str) -> String {
    let mut lines = problems.lines();
    let first = lines.next().unwrap_or_default();
    let more = match lines.count() {
        0 => String::new(),
        more => format!(" (and {more} more problems)"),
    };
    format!("{first}{more}; the users from before are used until rta-aggregator ends: repair the file")
}

/// Identity of a file's content: its inode, its size, and the time of the last change of its content or
/// permissions, since 1970 in seconds and nanoseconds.
type FileStamp = (u64, u64, i64, i64);

fn file_stamp(path: &Path) -> Option<FileStamp> {
    let metadata = path.metadata().ok()?;
    Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}
