//! The folder of the database: this aggregator's alone, and where a damaged database is kept.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// The folder, locked for as long as this is held; the kernel unlocks it, however this program ends.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, for this user alone, and locks it.
    ///
    /// # Errors
    /// It cannot be made or written, or another aggregator has it: why, as part of a sentence.
    pub(super) fn take(path: &Path) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(told)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("rta.lock"));
        let lock = lock.map_err(told)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(format!("{}: another rta-aggregator records there", path.display()))
            }
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }

    /// The database's file.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("rta.db")
    }

    /// Moves a damaged database aside, with what belongs to it; its new name.
    ///
    /// # Errors
    /// It cannot be moved.
    pub(super) fn move_aside(&self, now: Timestamp) -> io::Result<PathBuf> {
        let stem = format!("rta.db.corrupt-{}", now.strftime("%Y%m%dT%H%M%SZ"));
        let mut aside = self.path.join(&stem);
        let mut count = 1;
        while aside.exists() {
            count += 1;
            aside = self.path.join(format!("{stem}-{count}"));
        }
        // The database last: what is left of it after a crash in between is found damaged again.
        for suffix in ["-wal", "-shm", ""] {
            let of = |path: &Path| {
                let mut name = path.as_os_str().to_owned();
                name.push(suffix);
                PathBuf::from(name)
            };
            match std::fs::rename(of(&self.database()), of(&aside)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(aside)
    }
}
