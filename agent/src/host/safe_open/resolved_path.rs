//! Resolves a path folder by folder, each held open, and determines who could have changed it on the way.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};

use super::file_user::FileUser;

/// Maximum number of symbolic links on one path, as in path_resolution(7).
const MAX_LINKS: usize = 40;
/// Mode of folders that are created.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// Users that can change the entries of a folder, besides root and the agent's own user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FolderWriters {
    /// No other user.
    Nobody,
    /// Everybody can add entries, and only their owners can remove them: the sticky bit of /tmp.
    OwnersOfEntries,
    /// The members of a group, those of an access control list (its mask shows as the group's bits, acl(5)),
    /// or everybody.
    Others,
    /// The owner of the folder.
    Owner(Uid, Gid),
}

impl FolderWriters {
    fn from_stat(folder: &Stat) -> Self {
        let mode = Mode::from_raw_mode(folder.st_mode);
        if !is_trusted(Uid::from_raw(folder.st_uid)) {
            Self::Owner(Uid::from_raw(folder.st_uid), Gid::from_raw(folder.st_gid))
        } else if !mode.intersects(Mode::WGRP | Mode::WOTH) {
            Self::Nobody
        } else if mode.contains(Mode::SVTX) {
            Self::OwnersOfEntries
        } else {
            Self::Others
        }
    }
}

/// Returns true for root and for the agent's own user.
pub(crate) fn is_trusted(uid: Uid) -> bool {
    uid.is_root() || uid == geteuid()
}

/// Result of resolving a path as far as possible with the agent's own privileges.
#[derive(Debug)]
pub(crate) struct ResolvedPath {
    /// Folder in which the rest of the path begins.
    pub(crate) folder: OwnedFd,
    /// Remaining names; the last one is the file's.
    pub(crate) rest: Vec<OsString>,
    /// User with whose privileges the rest is opened; `None`: the agent's own.
    pub(crate) user: Option<FileUser>,
    /// True if another user could have placed other entries on the way: the file itself must be checked.
    pub(crate) is_exposed: bool,
}

/// Resolves the absolute path `path` of a file that `user` is to have access to (`None`: the agent's own
/// user).
///
/// Symbolic links are followed where only root and the agent's own user can have placed them: `/var/log` may
/// lead to `/data/log`. From a folder that anybody else can change on, no link is followed. If that is
/// `user`, or the owner of the folder, the rest of the path is opened with their privileges: they reach
/// nothing that they could not open themselves. With `create`, missing folders are created.
///
/// # Errors
/// Returns an error if the path cannot be resolved, or leads through a link that is not followed.
pub(crate) fn resolve_path(path: &Path, user: Option<&FileUser>, create: bool) -> io::Result<ResolvedPath> {
    if !path.is_absolute() {
        return Err(io::Error::other("it is no absolute path"));
    }
    let mut pending = names(path);
    let root = open_folder(CWD, OsStr::new("/"))?;
    let mut trusted = FolderWriters::from_stat(&rustix::fs::fstat(&root)?);
    let mut folders = vec![(root, trusted)];
    let mut links = 0;
    let mut is_exposed = false;
    loop {
        let Some((folder, changers)) = folders.last() else { return Err(Errno::NOENT.into()) };
        trusted = *changers;
        let identity = match trusted {
            FolderWriters::Owner(..) | FolderWriters::Others if !geteuid().is_root() => None,
            FolderWriters::Owner(uid, gid) => {
                Some(user.map_or_else(|| FileUser::from_owner(uid, gid), |user| Ok(user.clone()))?)
            }
            FolderWriters::Others => user.filter(|user| can_change(user, folder.as_fd())).cloned(),
            FolderWriters::Nobody | FolderWriters::OwnersOfEntries => None,
        };
        is_exposed |= matches!(trusted, FolderWriters::Others | FolderWriters::Owner(..));
        let is_last = pending.len() <= 1;
        if identity.is_some() || is_last && (is_exposed || trusted == FolderWriters::OwnersOfEntries) {
            let rest: Vec<OsString> = pending.into();
            if rest.is_empty() {
                return Err(Errno::ISDIR.into());
            }
            let (folder, _) = folders.pop().ok_or(Errno::NOENT)?;
            return Ok(ResolvedPath { folder, rest, user: identity, is_exposed: true });
        }
        let Some(name) = pending.pop_front() else { return Err(Errno::ISDIR.into()) };
        if name == ".." {
            if is_exposed {
                return Err(refused_parent());
            }
            if folders.len() > 1 {
                folders.pop();
            }
            continue;
        }
        let entry = match rustix::fs::openat(folder, &name, PATH_FLAGS, Mode::empty()) {
            Err(Errno::NOENT) if is_last => {
                let (folder, _) = folders.pop().ok_or(Errno::NOENT)?;
                return Ok(ResolvedPath { folder, rest: vec![name], user: None, is_exposed });
            }
            Err(Errno::NOENT) if create => {
                create_folder(folder.as_fd(), &name)?;
                pending.push_front(name);
                continue;
            }
            entry => entry?,
        };
        let stat = rustix::fs::fstat(&entry)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink if is_exposed || trusted != FolderWriters::Nobody => {
                return Err(refused_link(&name));
            }
            FileType::Symlink if is_last && create => {
                return Err(io::Error::other("it is a symbolic link; name the file itself"));
            }
            // Nobody else can have placed it now, but its owner may have done so earlier.
            FileType::Symlink if is_last && !is_trusted(Uid::from_raw(stat.st_uid)) => {
                return Err(io::Error::other("it is a symbolic link of another user; name the file itself"));
            }
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&entry, "", Vec::new())?.into_bytes();
                let target = std::path::PathBuf::from(OsString::from_vec(target));
                if target.is_absolute() {
                    folders.truncate(1);
                }
                let mut through = names(&target);
                through.append(&mut pending);
                pending = through;
            }
            FileType::Directory => folders.push((entry, FolderWriters::from_stat(&stat))),
            _ if is_last => {
                let (folder, _) = folders.pop().ok_or(Errno::NOENT)?;
                return Ok(ResolvedPath { folder, rest: vec![name], user: None, is_exposed });
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
}

/// Opens the folder that contains the last of `names`, below `folder`, with the privileges of the calling
/// thread. No link is followed.
///
/// # Errors
/// Returns an error if a folder is missing and not to be created, or is a link.
pub(crate) fn descend<'n>(
    folder: BorrowedFd<'_>,
    names: &'n [OsString],
    create: bool,
) -> io::Result<(OwnedFd, &'n OsStr)> {
    let (file, folders) = names.split_last().ok_or(Errno::ISDIR)?;
    if names.iter().any(|name| name == "..") {
        return Err(refused_parent());
    }
    let mut current = folder.try_clone_to_owned()?;
    for name in folders {
        let opened = open_folder(current.as_fd(), name);
        current = match opened {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) && create => {
                create_folder(current.as_fd(), name)?;
                open_folder(current.as_fd(), name)?
            }
            opened => opened?,
        };
    }
    Ok((current, file))
}

/// Opens an entry only for inspection: it is not read, and a device or a pipe is not triggered.
pub(crate) const PATH_FLAGS: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Returns the error for an entry `name` that is a link and is not followed.
pub(crate) fn refused_link(name: &OsStr) -> io::Error {
    io::Error::other(format!(
        "\"{}\" in it is a symbolic link, in a folder that others than root can change; name the place itself",
        name.display()
    ))
}

fn refused_parent() -> io::Error {
    io::Error::other("\"..\" is not followed in a folder that others than root can change")
}

fn open_folder(at: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let entry = rustix::fs::openat(at, name, PATH_FLAGS, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode) {
        FileType::Directory => Ok(entry),
        FileType::Symlink => Err(refused_link(name)),
        _ => Err(Errno::NOTDIR.into()),
    }
}

fn create_folder(at: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::mkdirat(at, name, FOLDER_MODE) {
        // Another process was faster; its folder is checked like any other.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns true if `user` can change the entries of `folder`, access control lists included, or if that is
/// not known.
fn can_change(user: &FileUser, folder: BorrowedFd<'_>) -> bool {
    let refused = user.run_as(|| {
        let access = rustix::fs::accessat(folder, ".", rustix::fs::Access::WRITE_OK, AtFlags::EACCESS);
        Ok(matches!(access, Err(Errno::ACCESS | Errno::PERM | Errno::ROFS)))
    });
    !refused.unwrap_or(false)
}

/// Returns the names of `path` after the root, without `.` and empty ones.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
