//! Name of the current user.

use nix::unistd::{Uid, User};

/// Returns the self-declared user name: `$USER`, else the login name of the process's user, else its UID.
pub(crate) fn current_user() -> String {
    if let Some(name) = std::env::var("USER").ok().filter(|name| !name.is_empty()) {
        return name;
    }
    let uid = Uid::current();
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}
