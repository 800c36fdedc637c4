//! The account that a command runs as.

use nix::unistd::{Gid, Uid, User, getgrouplist};
use tonic::Code;

use super::refusal::Refusal;

/// The account to switch to.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: std::path::PathBuf,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
}

/// The account named `user`; `None` where that is the agent's own. Blocking: names may be
/// looked up over the network.
pub(super) fn account(user: Option<&str>) -> Result<Option<Account>, Refusal> {
    let Some(name) = user else { return Ok(None) };
    let refused = |reason: String| Refusal::new(Code::FailedPrecondition, reason);
    let known = User::from_name(name)
        .map_err(|error| refused(format!("the user \"{name}\" cannot be looked up: {error}")))?
        .ok_or_else(|| refused(format!("there is no user \"{name}\" on this host")))?;
    let own = Uid::effective();
    if known.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        let own = User::from_uid(own).ok().flatten().map_or_else(|| own.to_string(), |user| user.name);
        return Err(refused(format!(
            "the agent runs as {own} and may not switch to user \"{name}\"; run the agent as root or as that user"
        )));
    }
    let lookup = std::ffi::CString::new(name)
        .map_err(|_| nix::Error::EINVAL)
        .and_then(|name| getgrouplist(&name, known.gid));
    let groups = lookup
        .map_err(|error| refused(format!("the groups of user \"{name}\" cannot be looked up: {error}")))?;
    Ok(Some(Account { name: known.name, home: known.dir, uid: known.uid, gid: known.gid, groups }))
}
