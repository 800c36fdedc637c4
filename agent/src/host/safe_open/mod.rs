//! Opens files in folders that other users can change, without being redirected.
//!
//! A component's log often lies in a folder of the component's own user, who could replace the folder or the
//! file by a link, a pipe or a device. The agent, which may be root, must then neither show another file of
//! the host nor write to one.
//!
//! | module | holds |
//! |---|---|
//! | `resolved_path` | resolves a path: which links are followed, with whose privileges the rest is opened |
//! | `file_user` | opening with the privileges of another user |

mod file_user;
mod resolved_path;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat, fchown};
use rustix::process::{Gid, Uid, geteuid};

use self::file_user::FileUser;
use self::resolved_path::{PATH_FLAGS, ResolvedPath, descend, is_trusted, refused_link, resolve_path};

/// Flags of every open call: follows no link, blocks on no pipe, and makes no terminal the controlling one.
const FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// Mode of files that are created.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
/// Number of attempts to open a file for appending that another process creates and removes at the same time.
const ATTEMPTS: usize = 5;
/// Device of /dev/null (null(4)).
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Opens the regular file at the absolute path `path` for reading. `user` is the expected owner; `None`: the
/// agent's own user. Blocking.
///
/// # Errors
/// Returns an error if the file cannot be opened, is not a regular file, or lies behind a link that is not
/// followed.
pub(crate) fn open_to_read(path: &Path, user: Option<&str>) -> io::Result<File> {
    let user = find_file_user(user)?;
    let reached = resolve_path(path, user.as_ref(), false)?;
    let is_exposed = reached.is_exposed;
    reached.open(false, "read", |folder, name, is_own| {
        let found = stat_entry(folder, name)?;
        // With the agent's own privileges, in a folder that others can change: the owner of the file
        // determines who may open it.
        let owner = Uid::from_raw(found.st_uid);
        if is_own && is_exposed && geteuid().is_root() && !is_trusted(owner) {
            let owner = match user.as_ref().filter(|user| user.uid == owner) {
                Some(user) => user.clone(),
                None => FileUser::from_owner(owner, Gid::from_raw(found.st_gid))?,
            };
            return owner.run_as(|| open_regular(folder, name, OFlags::RDONLY));
        }
        let file = open_regular(folder, name, OFlags::RDONLY)?;
        if is_own && is_exposed && file.metadata()?.nlink() != 1 {
            return Err(io::Error::other(
                "it has several names (hard links), in a folder that others can change",
            ));
        }
        Ok(file)
    })
}

/// Opens the file at the absolute path `path` for appending, and returns it with its length. Missing folders
/// and the file are created; a new file belongs to `user` (`None`: the agent's own). /dev/null is accepted.
/// Blocking.
///
/// # Errors
/// Returns an error if the file cannot be opened or created, is neither a regular file with a single name nor
/// /dev/null, belongs to a different user, or lies behind a link that is not followed.
pub(crate) fn open_to_append(path: &Path, user: Option<&str>) -> io::Result<(File, u64)> {
    let user = find_file_user(user)?;
    let reached = resolve_path(path, user.as_ref(), true)?;
    reached.open(true, "write", |folder, name, is_own| {
        let owner = user.as_ref().filter(|_| is_own);
        for _ in 0..ATTEMPTS {
            match create(folder, name, owner) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((created?, 0)),
            }
            match append_to(folder, name, user.as_ref(), is_own) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        }
        Err(io::Error::other("it is created and removed again and again"))
    })
}

/// Returns the identity of the user named `name`; `None` for the agent's own user, and if the agent cannot
/// change users anyway.
fn find_file_user(name: Option<&str>) -> io::Result<Option<FileUser>> {
    let Some(name) = name.filter(|_| geteuid().is_root()) else { return Ok(None) };
    FileUser::from_name(name).map(|identity| Some(identity).filter(|identity| identity.uid != geteuid()))
}

impl ResolvedPath {
    /// Opens the file with `open`, which gets the file's folder, its name, and whether the agent's own
    /// privileges are used. `purpose` is a verb for error messages.
    fn open<T: Send>(
        self,
        create: bool,
        purpose: &str,
        open: impl FnOnce(BorrowedFd<'_>, &OsStr, bool) -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let is_own = self.user.is_none();
        let work = || {
            let (folder, name) = descend(self.folder.as_fd(), &self.rest, create)?;
            open(folder.as_fd(), name, is_own)
        };
        let Some(identity) = &self.user else { return work() };
        identity.run_as(work).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let shown = &identity.shown;
                io::Error::other(format!("it is opened as {shown}, who may not {purpose} it ({error})"))
            }
            _ => error,
        })
    }
}

fn stat_entry(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Stat> {
    let entry = rustix::fs::openat(folder, name, PATH_FLAGS, Mode::empty())?;
    Ok(rustix::fs::fstat(&entry)?)
}

/// Opens a regular file, and nothing else: merely opening a device may have an effect.
fn open_regular(folder: BorrowedFd<'_>, name: &OsStr, access: OFlags) -> io::Result<File> {
    match FileType::from_raw_mode(stat_entry(folder, name)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(refused_link(name)),
        _ => return Err(not_regular()),
    }
    let file = File::from(rustix::fs::openat(folder, name, access | FLAGS, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}

/// Creates the file, which must not exist, and gives it to `owner`.
fn create(folder: BorrowedFd<'_>, name: &OsStr, owner: Option<&FileUser>) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | FLAGS;
    let file = File::from(rustix::fs::openat(folder, name, flags, FILE_MODE)?);
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(file)
}

/// Opens the existing file, and returns it with its length.
fn append_to(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    user: Option<&FileUser>,
    is_own: bool,
) -> io::Result<(File, u64)> {
    let access = OFlags::WRONLY | OFlags::APPEND;
    if is_null_device(&stat_entry(folder, name)?) {
        let file = File::from(rustix::fs::openat(folder, name, access | FLAGS, Mode::empty())?);
        if !file.metadata()?.file_type().is_char_device() {
            return Err(not_regular());
        }
        return Ok((file, 0));
    }
    let file = open_regular(folder, name, access)?;
    let metadata = file.metadata()?;
    if metadata.nlink() != 1 {
        return Err(io::Error::other("it is no regular file with a single name"));
    }
    let owner = Uid::from_raw(metadata.uid());
    if is_own && !is_trusted(owner) && user.is_some_and(|user| user.uid != owner) {
        return Err(io::Error::other("it belongs to another user than the component's"));
    }
    Ok((file, metadata.len()))
}

fn is_null_device(found: &Stat) -> bool {
    let device = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice && device == NULL_DEVICE
}
