//! The folder of the database: this aggregator's alone, and where a damaged database is kept.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::pid_lock::{self, Taken};

/// The folder, locked for as long as this is held; the kernel unlocks it, however this program ends.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

/// Why a folder was not taken, as part of a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// Another aggregator has it.
    Used(String),
    /// It cannot be made or written.
    Unusable(String),
}

/// What tells a file from every other one: its device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl From<Metadata> for FileId {
    fn from(metadata: Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

impl FileId {
    /// Returns the file that has this name now; `None` where there is none, or that cannot be told.
    pub(super) fn named(path: &Path) -> Option<Self> {
        path.metadata().ok().map(Self::from)
    }
}

impl Folder {
    /// Makes the folder where it is missing, for this user alone, and locks it. The lock's file has the process ID of
    /// whoever holds it.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be made or written, or if another aggregator has it.
    pub(super) fn take(path: &Path) -> Result<Self, NotTaken> {
        let told = |error: io::Error| NotTaken::Unusable(format!("{}: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(told)?;
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut lock = options.open(lock_file(path)).map_err(told)?;
        // Whoever can read a file can lock it (flock(2)), and would keep the aggregator from recording.
        lock.set_permissions(Permissions::from_mode(0o600)).map_err(told)?;
        match pid_lock::take(&mut lock, Duration::ZERO) {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(Taken::Error(error)) => Err(told(error)),
            Err(taken) => {
                let (folder, pid) = (path.display(), taken.holder());
                Err(NotTaken::Used(format!("{folder}: another rta-aggregator{pid} records there")))
            }
        }
    }

    /// Returns true if the folder at the path is still the one that is locked.
    pub(super) fn is_in_place(&self) -> bool {
        let locked = self.lock.metadata().ok().map(FileId::from);
        locked.is_some() && locked == FileId::named(&lock_file(&self.path))
    }

    /// Makes and locks the folder again where it is not in place any more.
    ///
    /// # Errors
    /// As [`Folder::take`].
    pub(super) fn take_again(&mut self) -> Result<(), NotTaken> {
        if !self.is_in_place() {
            *self = Self::take(&self.path)?;
        }
        Ok(())
    }

    /// The database's file.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("rta.db")
    }

    /// Moves a database aside that is `what` ("corrupt", "foreign"), with what belongs to it; its new name.
    ///
    /// # Errors
    /// It cannot be moved.
    pub(super) fn move_aside(&self, what: &str, now: Timestamp) -> io::Result<PathBuf> {
        let stem = format!("rta.db.{what}-{}", now.strftime("%Y%m%dT%H%M%SZ"));
        let mut aside = self.path.join(&stem);
        let mut count = 1;
        while aside.exists() {
            count += 1;
            aside = self.path.join(format!("{stem}-{count}"));
        }
        // The database last: what is left of it after a crash in between is found damaged again.
        for suffix in ["-wal", "-shm", ""] {
            match std::fs::rename(with_suffix(&self.database(), suffix), with_suffix(&aside, suffix)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(aside)
    }
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("rta.lock")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes the files that belong to the database `path`, without itself.
///
/// # Errors
/// Returns an error if one cannot be removed.
pub(super) fn remove_belongings(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(with_suffix(path, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
