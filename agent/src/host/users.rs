//! Users by name and by number.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::unistd::{Uid, User};
use rta_shared::config::HostConfig;

/// Looks up the users in the criteria of `config` that have no number yet. Blocking: names may be looked up
/// over the network.
pub fn resolve_users(config: &mut HostConfig) {
    config.resolve_users(resolve_uid);
}

/// Returns the number of a user: that of the account with this name, otherwise the name itself if it is a
/// number.
fn resolve_uid(name: &str) -> Option<u32> {
    let account = User::from_name(name).inspect_err(|error| {
        tracing::warn!(user = name, %error, "a user cannot be looked up");
    });
    account.ok().flatten().map(|user| user.uid.as_raw()).or_else(|| name.parse().ok())
}

/// Returns the name of a user; its number if it has no account. Blocking, like [`resolve_users`].
pub(crate) fn user_name(uid: u32) -> String {
    let account = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    account.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Names of users, for a thread that must not wait for a directory service. Names of local accounts are
/// available at once; others are looked up by a separate thread, and are numbers until then.
#[derive(Debug)]
pub(crate) struct UserNames {
    known: HashMap<u32, String>,
    pending: HashSet<u32>,
    lookup: Option<NameLookup>,
}

#[derive(Debug)]
struct NameLookup {
    asked: Sender<u32>,
    found: Receiver<(u32, String)>,
}

impl UserNames {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), pending: HashSet::new(), lookup: None }
    }

    /// Returns the name of a user, or its number for the time being.
    pub(crate) fn name(&mut self, uid: u32) -> String {
        for (uid, name) in self.lookup.iter().flat_map(|lookup| lookup.found.try_iter()) {
            self.pending.remove(&uid);
            self.known.insert(uid, name);
        }
        if let Some(name) = self.known.get(&uid) {
            return name.clone();
        }
        if let Some(name) = find_local_name(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), uid)
        {
            self.known.insert(uid, name.clone());
            return name;
        }
        if self.pending.insert(uid) {
            // If no thread can be created, the number stays.
            let lookup = self.lookup.get_or_insert_with(NameLookup::start);
            let _ = lookup.asked.send(uid);
        }
        uid.to_string()
    }
}

impl NameLookup {
    fn start() -> Self {
        let (asked, questions) = channel();
        let (answers, found) = channel();
        let work = move || {
            for uid in questions {
                if answers.send((uid, user_name(uid))).is_err() {
                    return;
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("user names".to_owned()).spawn(work) {
            tracing::warn!(%error, "no thread to look up users");
        }
        Self { asked, found }
    }
}

/// Returns the name of a local account from the content of /etc/passwd (passwd(5)).
fn find_local_name(accounts: &str, uid: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_account_has_its_name_and_any_other_user_a_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nkafka:x:77:77::/:/bin/false\n";
        assert_eq!(find_local_name(accounts, 77).as_deref(), Some("kafka"));
        assert_eq!(find_local_name(accounts, 7), None);
        let mut names = UserNames::new();
        assert_eq!(names.name(0), "root");
        // No account has it; the lookup returns the same number.
        assert_eq!(names.name(3_999_999_999), "3999999999");
        assert_eq!(names.name(3_999_999_999), "3999999999");
    }

    #[test]
    fn user_is_looked_up_by_name_and_by_number() {
        assert_eq!(resolve_uid("root"), Some(0));
        assert_eq!(resolve_uid("3999999999"), Some(3_999_999_999));
        assert_eq!(resolve_uid("no such user"), None);
        assert_eq!(user_name(0), "root");
    }
}
