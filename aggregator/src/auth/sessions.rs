//! Sessions of signed-in users.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::password::{constant_time_eq, random_hex};
use super::users::{UserEntry, UserList};
use super::{Principal, UserSession};

/// Maximum time without use of a session.
const IDLE_TIMEOUT: Duration = Duration::from_secs(12 * 3600);
/// Maximum lifetime of a session.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of sessions; beyond it the least recently used one ends.
const MAX_SESSIONS: usize = 10_000;

/// Sessions by the value of their cookie.
#[derive(Debug, Default)]
pub(crate) struct SessionStore(HashMap<String, StoredSession>);

#[derive(Clone, Debug)]
struct StoredSession {
    name: String,
    /// Password hash at sign-in: the session ends if the hash changes.
    password: String,
    csrf: String,
    begun: Instant,
    used: Instant,
}

impl StoredSession {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= IDLE_TIMEOUT || now.duration_since(self.begun) >= MAX_LIFETIME
    }
}

impl SessionStore {
    /// Begins a session, and returns the value of its cookie. `None` if there is no randomness.
    pub(crate) fn begin(&mut self, user: &UserEntry, now: Instant) -> Option<String> {
        self.0.retain(|_, session| !session.is_over(now));
        if self.0.len() >= MAX_SESSIONS
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone())
        {
            self.0.remove(&oldest);
        }
        let (id, csrf) = (random_hex()?, random_hex()?);
        let (name, password) = (user.name.clone(), user.password.clone());
        self.0.insert(id.clone(), StoredSession { name, password, csrf, begun: now, used: now });
        Some(id)
    }

    /// Returns the user of a session, if it is still valid with the current users.
    pub(crate) fn find(&mut self, id: &str, users: &UserList, now: Instant) -> Option<UserSession> {
        let session = self.0.get_mut(id)?;
        let user = users
            .users
            .iter()
            .find(|user| user.name == session.name && constant_time_eq(&user.password, &session.password))
            .filter(|_| !session.is_over(now));
        let Some(user) = user else {
            self.0.remove(id);
            return None;
        };
        session.used = now;
        let principal = Principal { name: user.name.clone(), role: user.role };
        Some(UserSession { principal, csrf: session.csrf.clone() })
    }

    pub(crate) fn end(&mut self, id: &str) {
        self.0.remove(id);
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

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_signing_out() {
        let (mut sessions, start) = (SessionStore::default(), Instant::now());
        let known = users(ann("h", UserRole::Operator));
        let id = sessions.begin(&known.users[0], start).unwrap();
        let found = sessions.find(&id, &known, start + IDLE_TIMEOUT / 2).unwrap();
        assert_eq!(found.principal, Principal { name: "ann".to_owned(), role: UserRole::Operator });
        assert!(sessions.find("another", &known, start).is_none());
        assert!(sessions.find(&id, &known, start + IDLE_TIMEOUT + IDLE_TIMEOUT / 4).is_some());
        assert!(sessions.find(&id, &known, start + MAX_LIFETIME).is_none());
        let id = sessions.begin(&known.users[0], start).unwrap();
        assert!(sessions.find(&id, &known, start + IDLE_TIMEOUT).is_none());
        let id = sessions.begin(&known.users[0], start).unwrap();
        sessions.end(&id);
        assert!(sessions.find(&id, &known, start).is_none());
    }

    #[test]
    fn it_is_of_the_user_as_they_are_now() {
        let (mut sessions, now) = (SessionStore::default(), Instant::now());
        let id = sessions.begin(&ann("h", UserRole::Operator), now).unwrap();
        let viewer = users(ann("h", UserRole::Viewer));
        assert_eq!(sessions.find(&id, &viewer, now).unwrap().principal.role, UserRole::Viewer);
        let changed = users(ann("other", UserRole::Viewer));
        assert!(sessions.find(&id, &changed, now).is_none());
        assert!(sessions.find(&id, &viewer, now).is_none(), "it is over for good");
    }

    #[test]
    fn every_session_has_secrets_of_its_own_and_there_are_only_so_many() {
        let (mut sessions, start) = (SessionStore::default(), Instant::now());
        let known = users(ann("h", UserRole::Operator));
        let first = sessions.begin(&known.users[0], start).unwrap();
        let second = sessions.begin(&known.users[0], start + Duration::from_secs(1)).unwrap();
        let (one, two) = (sessions.find(&first, &known, start), sessions.find(&second, &known, start));
        assert!(first != second && one.unwrap().csrf != two.unwrap().csrf && first.len() == 64);
        for _ in 0..MAX_SESSIONS {
            sessions.begin(&known.users[0], start + Duration::from_secs(2)).unwrap();
        }
        assert_eq!(sessions.0.len(), MAX_SESSIONS);
        assert!(sessions.find(&first, &known, start).is_none());
    }
}
