//! User account that a command runs as.

use std::ffi::{CString, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Account of a command's process.
#[derive(Clone, Debug)]
pub(crate) struct UserAccount {
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    pub(crate) shell: PathBuf,
    /// `None`: the agent's own privileges.
    pub(crate) credentials: Option<Credentials>,
}

/// User and groups that a process switches to before it runs the command.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) groups: Vec<Gid>,
}

impl UserAccount {
    /// Returns the agent's own account. Blocking the first time: it may be looked up over the network.
    pub(crate) fn own() -> Self {
        static OWN: OnceLock<UserAccount> = OnceLock::new();
        OWN.get_or_init(|| {
            let uid = Uid::effective();
            match User::from_uid(uid) {
                Ok(Some(user)) => {
                    Self { name: user.name, home: user.dir, shell: user.shell, credentials: None }
                }
                // A user ID without a name, as in containers.
                Ok(None) | Err(_) => Self {
                    name: uid.to_string(),
                    home: "/".into(),
                    shell: "/bin/sh".into(),
                    credentials: None,
                },
            }
        })
        .clone()
    }

    /// Returns the account of `user` with `group` as its group; `None`: the agent's own user, and the user's
    /// own group. Blocking: names may be looked up over the network.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if there is no such user or group on this host, or if the agent may
    /// not switch to it.
    pub(crate) fn find(user: Option<&str>, group: Option<&str>) -> Result<Self, String> {
        let own = Uid::effective();
        let user = match user {
            None if group.is_none() => return Ok(Self::own()),
            None => User::from_uid(own)
                .map_err(|error| format!("the agent's own user cannot be looked up: {error}"))?
                .ok_or_else(|| {
                    format!("the agent's own user {own} has no name, so that its groups are not known")
                })?,
            Some(name) => User::from_name(name)
                .map_err(|error| format!("the user \"{name}\" cannot be looked up: {error}"))?
                .ok_or_else(|| format!("there is no user \"{name}\" on this host"))?,
        };
        let gid = match group {
            None => user.gid,
            Some(name) => {
                Group::from_name(name)
                    .map_err(|error| format!("the group \"{name}\" cannot be looked up: {error}"))?
                    .ok_or_else(|| format!("there is no group \"{name}\" on this host"))?
                    .gid
            }
        };
        let is_own_group = group.is_none() || gid == Gid::effective();
        if user.uid == own && is_own_group {
            return Ok(Self::own());
        }
        if !own.is_root() {
            let own = Self::own().name;
            let to_what = match group.filter(|_| user.uid == own_uid()) {
                Some(group) => format!("group \"{group}\""),
                None => format!("user \"{}\"", user.name),
            };
            return Err(format!(
                "the agent runs as {own} and may not switch to {to_what}; run the agent as root or as that user"
            ));
        }
        let groups = CString::new(user.name.as_str())
            .map_err(|_| nix::Error::EINVAL)
            .and_then(|name| getgrouplist(&name, gid))
            .map_err(|error| format!("the groups of user \"{}\" cannot be looked up: {error}", user.name))?;
        let rights = Some(Credentials { uid: user.uid, gid, groups });
        Ok(Self { name: user.name, home: user.dir, shell: user.shell, credentials: rights })
    }

    /// Returns the variables that every command gets, independent of the agent's own.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 6] {
        /// Search path for programs, as in systemd (file-hierarchy(7)).
        const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let language = std::env::var_os("LANG").filter(|language| !language.is_empty());
        [
            ("PATH", PATH.into()),
            ("HOME", self.home.clone().into()),
            ("USER", self.name.clone().into()),
            ("LOGNAME", self.name.clone().into()),
            ("SHELL", self.shell.clone().into()),
            ("LANG", language.unwrap_or_else(|| "C.UTF-8".into())),
        ]
    }
}

fn own_uid() -> Uid {
    Uid::effective()
}
