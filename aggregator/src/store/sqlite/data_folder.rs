//! Data folder: locked by one aggregator; also holds damaged databases that were moved aside.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::pid_lock::{self, LockError};

use crate::store::backend::OpenFailure;

/// Locked data folder. The kernel releases the lock however this program ends.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    lock: File,
}

/// Identity of a file: its device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl From<Metadata> for FileId {
    fn from(metadata: Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

impl FileId {
    /// Returns the identity of the file at this path; `None` if there is none or it cannot be read.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        path.metadata().ok().map(Self::from)
    }
}

impl DataFolder {
    /// Creates the folder if missing, with mode 0700, and locks it. The lock file contains the process ID of
    /// the holder.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be created or written, or if another aggregator has it.
    pub(crate) fn lock_folder(path: &Path) -> Result<Self, OpenFailure> {
        let describe_error = |error: io::Error| OpenFailure::Unusable(format!("{}: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(describe_error)?;
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut lock = options.open(lock_path(path)).map_err(describe_error)?;
        // Every user who can read a file can lock it (flock(2)), and would keep the aggregator from
        // recording.
        lock.set_permissions(Permissions::from_mode(0o600)).map_err(describe_error)?;
        match pid_lock::acquire(&mut lock, Duration::ZERO) {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(LockError::Error(error)) => Err(describe_error(error)),
            Err(taken) => {
                let (folder, pid) = (path.display(), taken.holder());
                Err(OpenFailure::UsedByAnother(format!(
                    "{folder}: another rta-aggregator{pid} records there"
                )))
            }
        }
    }

    /// Returns true if the folder at the path is still the one that is locked.
    pub(crate) fn is_in_place(&self) -> bool {
        let locked = self.lock.metadata().ok().map(FileId::from);
        locked.is_some() && locked == FileId::of_path(&lock_path(&self.path))
    }

    /// Creates and locks the folder again if it is not in place any more.
    ///
    /// # Errors
    /// Returns an error on the same conditions as [`DataFolder::lock_folder`].
    pub(crate) fn lock_again(&mut self) -> Result<(), OpenFailure> {
        if !self.is_in_place() {
            *self = Self::lock_folder(&self.path)?;
        }
        Ok(())
    }

    /// Returns the path of the database file.
    pub(crate) fn database_path(&self) -> PathBuf {
        self.path.join("rta.db")
    }

    /// Renames a database that is `what` ("corrupt", "foreign"), with its `-wal` and `-shm` files. Returns
    /// the new path.
    ///
    /// # Errors
    /// Returns an error if a file cannot be renamed.
    pub(crate) fn move_aside(&self, what: &str, now: Timestamp) -> io::Result<PathBuf> {
        let stem = format!("rta.db.{what}-{}", now.strftime("%Y%m%dT%H%M%SZ"));
        let mut aside = self.path.join(&stem);
        let mut count = 1;
        while aside.exists() {
            count += 1;
            aside = self.path.join(format!("{stem}-{count}"));
        }
        // The database last: after a crash in between, the remaining file is found damaged again.
        for suffix in ["-wal", "-shm", ""] {
            match std::fs::rename(with_suffix(&self.database_path(), suffix), with_suffix(&aside, suffix)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(aside)
    }
}

fn lock_path(folder: &Path) -> PathBuf {
    folder.join("rta.lock")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes the `-wal` and `-shm` files of the database `path`, not the database itself.
///
/// # Errors
/// Returns an error if one cannot be removed.
pub(crate) fn remove_side_files(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(with_suffix(path, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
