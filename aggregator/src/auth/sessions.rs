//! Sessions of signed-in users.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::password::{constant_time_eq, random_hex, token_digest};
use super::users::{UserEntry, UserList};
use super::{ActScope, Principal, UserSession};
use crate::store::SharedSession;

/// Maximum time without use of a session.
const IDLE_TIMEOUT: Duration = Duration::from_secs(12 * 3600);
/// Maximum lifetime of a session.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of sessions; beyond it the least recently used one ends.
const MAX_SESSIONS: usize = 10_000;
/// Length of the value of each session's cookie.
pub(super) const COOKIE_LENGTH: usize = 64;
/// Interval in which the use of a session is reported to the other aggregators.
const TOUCH_INTERVAL: Duration = Duration::from_secs(300);

/// Sessions by the digest of their cookie's value.
#[derive(Debug, Default)]
pub(crate) struct SessionStore(HashMap<String, StoredSession>);

#[derive(Clone, Debug)]
struct StoredSession {
    name: String,
    /// Digest of the password hash at sign-in: the session ends if the hash changes.
    password_digest: String,
    csrf: String,
    begun: SessionTime,
    used: SessionTime,
    /// Time at which the last use was reported.
    touched_at: Instant,
}

/// Moment that may be earlier than this machine's boot.
#[derive(Clone, Copy, Debug)]
struct SessionTime {
    known_at: Instant,
    /// Time that had passed then.
    earlier: Duration,
}

impl SessionTime {
    fn new(known_at: Instant, earlier: Duration) -> Self {
        Self { known_at, earlier }
    }

    fn elapsed(self, now: Instant) -> Duration {
        self.earlier + now.saturating_duration_since(self.known_at)
    }
}

impl StoredSession {
    fn is_over(&self, now: Instant) -> bool {
        self.used.elapsed(now) >= IDLE_TIMEOUT || self.begun.elapsed(now) >= MAX_LIFETIME
    }
}

/// Session that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundSession {
    pub(super) session: UserSession,
    /// True if its use is to be reported to the other aggregators.
    pub(super) is_touch_due: bool,
}

/// Returns the digest by which the session of a cookie is known.
pub(super) fn session_digest(cookie: &str) -> String {
    token_digest(cookie)
}

impl SessionStore {
    /// Begins a session, and returns the value of its cookie, with the session as it is shared. `None` if there is no
    /// randomness.
    pub(super) fn begin(&mut self, user: &UserEntry, now: Instant) -> Option<(String, SharedSession)> {
        let (id, csrf) = (random_hex()?, random_hex()?);
        let shared = SharedSession {
            digest: session_digest(&id),
            user: user.name.clone(),
            password_digest: token_digest(&user.password),
            csrf,
            age: Duration::ZERO,
            idle: Duration::ZERO,
        };
        self.add(shared.clone(), now);
        Some((id, shared))
    }

    /// Adds a session that another aggregator began.
    pub(super) fn add(&mut self, shared: SharedSession, now: Instant) {
        self.0.retain(|_, session| !session.is_over(now));
        if self.0.len() >= MAX_SESSIONS
            && let Some(oldest) = self
                .0
                .iter()
                .max_by_key(|(_, session)| session.used.elapsed(now))
                .map(|(digest, _)| digest.clone())
        {
            self.0.remove(&oldest);
        }
        let SharedSession { digest, user, password_digest, csrf, age, idle } = shared;
        let session = StoredSession {
            name: user,
            password_digest,
            csrf,
            begun: SessionTime::new(now, age),
            used: SessionTime::new(now, idle),
            touched_at: now,
        };
        self.0.insert(digest, session);
    }

    /// Returns the user of a session, if it is still valid with the current users.
    pub(super) fn find(&mut self, digest: &str, users: &UserList, now: Instant) -> Option<FoundSession> {
        let session = self.0.get_mut(digest)?;
        let user = users
            .users
            .iter()
            .find(|user| {
                user.name == session.name
                    && constant_time_eq(&token_digest(&user.password), &session.password_digest)
            })
            .filter(|_| !session.is_over(now));
        let Some(user) = user else {
            self.0.remove(digest);
            return None;
        };
        session.used = SessionTime::new(now, Duration::ZERO);
        let is_touch_due = now.saturating_duration_since(session.touched_at) >= TOUCH_INTERVAL;
        if is_touch_due {
            session.touched_at = now;
        }
        let principal = Principal { name: user.name.clone(), role: user.role, scope: ActScope::default() };
        Some(FoundSession { session: UserSession { principal, csrf: session.csrf.clone() }, is_touch_due })
    }

    /// Returns true if there is a session with this digest, valid or not.
    pub(super) fn has(&self, digest: &str) -> bool {
        self.0.contains_key(digest)
    }

    pub(super) fn end(&mut self, digest: &str) {
        self.0.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::users::UserRole;
    use super::*;

    fn ann(password: &str, role: UserRole) -> UserEntry {
        UserEntry { name: "ann".to_owned(), role, password: password.to_owned() }
    }

    fn users(user: UserEntry) -> UserList {
        UserList { is_viewing_open: false, users: vec![user], tokens: vec![] }
    }

    fn begin(sessions: &mut SessionStore, user: &UserEntry, now: Instant) -> String {
        sessions.begin(user, now).unwrap().1.digest
    }

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_signing_out() {
        let (mut sessions, start) = (SessionStore::default(), Instant::now());
        let known = users(ann("h", UserRole::Operator));
        let id = begin(&mut sessions, &known.users[0], start);
        let found = sessions.find(&id, &known, start + IDLE_TIMEOUT / 2).unwrap();
        assert!(found.is_touch_due);
        let ann = Principal { name: "ann".to_owned(), role: UserRole::Operator, scope: ActScope::default() };
        assert_eq!(found.session.principal, ann);
        assert!(!sessions.find(&id, &known, start + IDLE_TIMEOUT / 2).unwrap().is_touch_due);
        assert!(sessions.find("another", &known, start).is_none());
        assert!(sessions.find(&id, &known, start + IDLE_TIMEOUT + IDLE_TIMEOUT / 4).is_some());
        assert!(sessions.find(&id, &known, start + MAX_LIFETIME).is_none());
        let id = begin(&mut sessions, &known.users[0], start);
        assert!(sessions.find(&id, &known, start + IDLE_TIMEOUT).is_none());
        let id = begin(&mut sessions, &known.users[0], start);
        sessions.end(&id);
        assert!(sessions.find(&id, &known, start).is_none());
    }

    #[test]
    fn session_of_another_aggregator_has_the_age_that_it_had_there() {
        let (mut sessions, now) = (SessionStore::default(), Instant::now());
        let known = users(ann("h", UserRole::Operator));
        let mut other = SessionStore::default();
        let (cookie, shared) = other.begin(&known.users[0], now).unwrap();
        assert!(shared.digest == session_digest(&cookie) && !format!("{shared:?}").contains(&cookie));
        sessions.add(SharedSession { age: MAX_LIFETIME / 2, ..shared.clone() }, now);
        let found = sessions.find(&shared.digest, &known, now).unwrap();
        assert_eq!(found.session.csrf, shared.csrf);
        let later = now + IDLE_TIMEOUT / 2;
        assert!(sessions.find(&shared.digest, &known, later).is_some());
        assert!(sessions.find(&shared.digest, &known, now + MAX_LIFETIME / 2).is_none(), "too old");
        sessions.add(SharedSession { idle: IDLE_TIMEOUT, ..shared.clone() }, now);
        assert!(sessions.find(&shared.digest, &known, now).is_none(), "not used for too long");
    }

    #[test]
    fn it_is_of_the_user_as_they_are_now() {
        let (mut sessions, now) = (SessionStore::default(), Instant::now());
        let id = begin(&mut sessions, &ann("h", UserRole::Operator), now);
        let viewer = users(ann("h", UserRole::Viewer));
        assert_eq!(sessions.find(&id, &viewer, now).unwrap().session.principal.role, UserRole::Viewer);
        let changed = users(ann("other", UserRole::Viewer));
        assert!(sessions.find(&id, &changed, now).is_none());
        assert!(sessions.find(&id, &viewer, now).is_none(), "it is over for good");
    }

    #[test]
    fn every_session_has_secrets_of_its_own_and_there_are_only_so_many() {
        let (mut sessions, start) = (SessionStore::default(), Instant::now());
        let known = users(ann("h", UserRole::Operator));
        let (cookie, first) = sessions.begin(&known.users[0], start).unwrap();
        let (_, second) = sessions.begin(&known.users[0], start + Duration::from_secs(1)).unwrap();
        assert!(first.digest != second.digest && first.csrf != second.csrf && cookie.len() == COOKIE_LENGTH);
        for _ in 0..MAX_SESSIONS {
            begin(&mut sessions, &known.users[0], start + Duration::from_secs(2));
        }
        assert_eq!(sessions.0.len(), MAX_SESSIONS);
        assert!(sessions.find(&first.digest, &known, start).is_none());
    }
}
