//! Sessions of signed-in users.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::password::{is_same, random};
use super::users::{User, Users};
use super::{Person, SignedIn};

/// Maximum time without use of a session.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// Maximum lifetime of a session.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of sessions; beyond it the least recently used one ends.
const MOST: usize = 10_000;

/// Sessions by the value of their cookie.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<String, Session>);

#[derive(Clone, Debug)]
struct Session {
    name: String,
    /// Password hash at sign-in: the session ends if the hash changes.
    password: String,
    csrf: String,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= IDLE || now.duration_since(self.begun) >= LONGEST
    }
}

impl Sessions {
    /// Begins a session, and returns the value of its cookie. `None` if there is no randomness.
    pub(super) fn begin(&mut self, user: &User, now: Instant) -> Option<String> {
        self.0.retain(|_, session| !session.is_over(now));
        if self.0.len() >= MOST
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone())
        {
            self.0.remove(&oldest);
        }
        let (id, csrf) = (random()?, random()?);
        let (name, password) = (user.name.clone(), user.password.clone());
        self.0.insert(id.clone(), Session { name, password, csrf, begun: now, used: now });
        Some(id)
    }

    /// Returns the user of a session, if it is still valid with the current users.
    pub(super) fn find(&mut self, id: &str, users: &Users, now: Instant) -> Option<SignedIn> {
        let session = self.0.get_mut(id)?;
        let user = users
            .users
            .iter()
            .find(|user| user.name == session.name && is_same(&user.password, &session.password))
            .filter(|_| !session.is_over(now));
        let Some(user) = user else {
            self.0.remove(id);
            return None;
        };
        session.used = now;
        let person = Person { name: user.name.clone(), role: user.role };
        Some(SignedIn { person, csrf: session.csrf.clone() })
    }

    pub(super) fn end(&mut self, id: &str) {
        self.0.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::users::Role;
    use super::*;

    fn ann(password: &str, role: Role) -> User {
        User { name: "ann".to_owned(), role, password: password.to_owned() }
    }

    fn users(user: User) -> Users {
        Users { is_viewing_open: false, users: vec![user], tokens: vec![] }
    }

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_signing_out() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let known = users(ann("h", Role::Operator));
        let id = sessions.begin(&known.users[0], start).unwrap();
        let found = sessions.find(&id, &known, start + IDLE / 2).unwrap();
        assert_eq!(found.person, Person { name: "ann".to_owned(), role: Role::Operator });
        assert!(sessions.find("another", &known, start).is_none());
        assert!(sessions.find(&id, &known, start + IDLE + IDLE / 4).is_some());
        assert!(sessions.find(&id, &known, start + LONGEST).is_none());
        let id = sessions.begin(&known.users[0], start).unwrap();
        assert!(sessions.find(&id, &known, start + IDLE).is_none());
        let id = sessions.begin(&known.users[0], start).unwrap();
        sessions.end(&id);
        assert!(sessions.find(&id, &known, start).is_none());
    }

    #[test]
    fn it_is_of_the_user_as_they_are_now() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.begin(&ann("h", Role::Operator), now).unwrap();
        let viewer = users(ann("h", Role::Viewer));
        assert_eq!(sessions.find(&id, &viewer, now).unwrap().person.role, Role::Viewer);
        let changed = users(ann("other", Role::Viewer));
        assert!(sessions.find(&id, &changed, now).is_none());
        assert!(sessions.find(&id, &viewer, now).is_none(), "it is over for good");
    }

    #[test]
    fn every_session_has_secrets_of_its_own_and_there_are_only_so_many() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let known = users(ann("h", Role::Operator));
        let first = sessions.begin(&known.users[0], start).unwrap();
        let second = sessions.begin(&known.users[0], start + Duration::from_secs(1)).unwrap();
        let (one, two) = (sessions.find(&first, &known, start), sessions.find(&second, &known, start));
        assert!(first != second && one.unwrap().csrf != two.unwrap().csrf && first.len() == 64);
        for _ in 0..MOST {
            sessions.begin(&known.users[0], start + Duration::from_secs(2)).unwrap();
        }
        assert_eq!(sessions.0.len(), MOST);
        assert!(sessions.find(&first, &known, start).is_none());
    }
}
