//! The user at the other end of a local socket.

use std::ffi::CString;
use std::fmt;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};

/// Group whose members may perform actions through the local sockets.
pub const LOCAL_GROUP: &str = "rta";

/// User at the other end of a local socket, as reported by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalUser {
    /// UID in the server's own user namespace.
    pub uid: u32,
    /// Login name; empty if the host has none.
    pub name: String,
    /// True for root, the server's own user, and members of [`LOCAL_GROUP`], who may perform actions.
    pub is_member: bool,
}

impl LocalUser {
    /// Looks up the user with these IDs. This queries the host's user database, which may be slow.
    pub fn look_up(uid: u32, gid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let is_member = uid == 0 || uid == geteuid().as_raw() || is_in_group(user.as_ref(), gid);
        Self { uid, name: user.map(|user| user.name).unwrap_or_default(), is_member }
    }
}

impl fmt::Display for LocalUser {
    /// Writes `ann (uid 1000)`, or `uid 1000` if the host has no name for the user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "uid {}", self.uid),
            name => write!(f, "{name} (uid {})", self.uid),
        }
    }
}

/// Returns true if the group database of the host lists a user, whose process has the group `gid`, in
/// [`LOCAL_GROUP`]. The mode of the socket's file is checked against the groups of the process; both checks
/// must pass, so that a user who is removed from the group loses access at once.
fn is_in_group(user: Option<&User>, gid: u32) -> bool {
    let Some(group) = Group::from_name(LOCAL_GROUP).ok().flatten().map(|group| group.gid) else {
        return false;
    };
    let of_database = |user: &User| {
        let name = CString::new(user.name.as_str()).ok()?;
        getgrouplist(&name, user.gid).ok()
    };
    Gid::from_raw(gid) == group || user.and_then(of_database).is_some_and(|groups| groups.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_user_and_root_may_act_and_unknown_user_may_not() {
        let own = LocalUser::look_up(geteuid().as_raw(), nix::unistd::getegid().as_raw());
        assert!(own.is_member);
        assert!(LocalUser::look_up(0, 0).is_member);
        let stranger = LocalUser::look_up(3_999_999_999, 3_999_999_999);
        assert_eq!((stranger.is_member, stranger.to_string().as_str()), (false, "uid 3999999999"));
        let ann = LocalUser { uid: 1000, name: "ann".to_owned(), is_member: true };
        assert_eq!(ann.to_string(), "ann (uid 1000)");
    }
}
