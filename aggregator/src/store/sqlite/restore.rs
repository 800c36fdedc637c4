//! Restores the database if somebody deleted or replaced its file or folder while it was open. SQLite
//! continues with the open file, which is lost when the program ends, so the whole database is written to the
//! path again.

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;

use super::SqliteBackend;
use super::data_folder::{FileId, remove_side_files};
use crate::store::backend::OpenFailure;

impl SqliteBackend {
    /// Returns true if the open database is the file at its path, and the folder is the locked one. Also
    /// returns true if no file is open.
    pub(super) fn is_file_in_place(&self) -> bool {
        match (&self.folder, &self.database) {
            (Some(folder), Some(_)) => {
                folder.is_in_place() && FileId::of_path(&folder.database_path()) == self.file
            }
            _ => true,
        }
    }

    /// Writes the whole open database to its path again, and continues with that file. Renames a file that is
    /// at the path now.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if that is not possible. The open database stays open, for another
    /// try.
    pub(super) fn restore_file(&mut self, now: Timestamp) -> Result<(), String> {
        let (Some(folder), Some(database)) = (&mut self.folder, &self.database) else { return Ok(()) };
        let path = folder.database_path();
        let describe_error = |why: &dyn std::fmt::Display| {
            format!("{} was deleted or replaced and cannot be written again: {why}", path.display())
        };
        // A file that cannot be looked at may be the open one, which must not be deleted.
        if let Err(error) = path.symlink_metadata()
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(describe_error(&error));
        }
        // The `-wal` and `-shm` files in this folder belong to the open database. Neither the new file nor
        // the one at the path now may be combined with them.
        if folder.is_in_place() {
            remove_side_files(&path).map_err(|error| describe_error(&error))?;
        }
        folder
            .lock_again()
            .map_err(|(OpenFailure::UsedByAnother(why) | OpenFailure::Unusable(why))| describe_error(&why))?;
        let aside = match FileId::of_path(&path) {
            Some(_) => Some(folder.move_aside("foreign", now).map_err(|error| describe_error(&error))?),
            None => None,
        };
        let written = database.execute("VACUUM INTO ?1", [path.to_string_lossy()]);
        if let Err(error) = written
            .map_err(|error| describe_error(&error))
            .and_then(|_| sync_file(&path).map_err(|e| describe_error(&e)))
        {
            // An incomplete file must not be taken for the whole one.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        // The old database is closed first, because closing removes the file with the name of its write-ahead
        // log.
        self.database = None;
        self.open_file(false, now)?;
        let kept = aside.map(|aside| format!("; what stood there is kept as {}", aside.display()));
        let text = format!(
            "the record {} was deleted or replaced while it was open; the whole of it is written again{}",
            path.display(),
            kept.unwrap_or_default()
        );
        tracing::warn!("{text}");
        self.notes.push(text);
        Ok(())
    }
}

/// Waits until a file and its directory entry are on disk.
fn sync_file(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
