//! File access with the privileges of another user than the agent's own.

use std::ffi::CString;
use std::io;

use nix::unistd::{User, getgrouplist};
use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getuid};

/// User and groups with whose privileges a file is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileUser {
    /// Name for messages: `user kafka`, or `user 1001` for an ID without an account.
    pub(crate) shown: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    groups: Vec<Gid>,
}

impl FileUser {
    /// Looks up the user named `name`. Blocking: names may be looked up over the network.
    ///
    /// # Errors
    /// Returns an error if there is no such user or the lookup fails.
    pub(crate) fn from_name(name: &str) -> io::Result<Self> {
        let user = User::from_name(name)?;
        user.map_or_else(
            || Err(io::Error::other(format!("there is no user \"{name}\" on this host"))),
            Self::from_account,
        )
    }

    /// Looks up the owner of a file. An ID without an account has no groups. Blocking, like
    /// [`FileUser::from_name`].
    ///
    /// # Errors
    /// Returns an error if the lookup fails.
    pub(crate) fn from_owner(uid: Uid, gid: Gid) -> io::Result<Self> {
        match User::from_uid(nix::unistd::Uid::from_raw(uid.as_raw()))? {
            Some(user) => Self::from_account(user),
            None => Ok(Self { shown: format!("user {}", uid.as_raw()), uid, gid, groups: Vec::new() }),
        }
    }

    fn from_account(user: User) -> io::Result<Self> {
        let name = CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
        let groups = getgrouplist(&name, user.gid)?;
        Ok(Self {
            shown: format!("user {}", user.name),
            uid: Uid::from_raw(user.uid.as_raw()),
            gid: Gid::from_raw(user.gid.as_raw()),
            groups: groups.into_iter().map(|group| Gid::from_raw(group.as_raw())).collect(),
        })
    }

    /// Runs `work` with the privileges of this user, on a separate thread.
    ///
    /// Only the effective IDs of that thread change: Linux keeps credentials per thread (setresuid(2), "C
    /// library/kernel differences"), and the real and saved IDs stay those of the agent, so that the user can
    /// neither signal nor trace the thread (kill(2), ptrace(2)).
    ///
    /// # Errors
    /// Returns an error if the IDs cannot be changed, or if `work` fails.
    pub(crate) fn run_as<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let switched = || {
            rustix::thread::set_thread_groups(&self.groups)?;
            rustix::thread::set_thread_res_gid(getgid(), self.gid, getegid())?;
            // Last, since it removes the permission to change the others.
            rustix::thread::set_thread_res_uid(getuid(), self.uid, geteuid())?;
            work()
        };
        std::thread::scope(|scope| {
            let thread =
                std::thread::Builder::new().name("as-user".to_owned()).spawn_scoped(scope, switched)?;
            thread.join().map_err(|_| io::Error::other("the agent failed to open it"))?
        })
    }
}
