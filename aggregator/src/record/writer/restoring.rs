//! Putting the database back where it was: somebody deleted its file or folder, or put another in its place, while it was
//! open. SQLite goes on with the open file, which is gone with the program; so the whole of it is written again.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::Writer;
use crate::record::folder::{FileId, NotTaken, remove_belongings};
use crate::record::own_event;

/// How often it is looked whether the file is still there.
pub(super) const LOOK: Duration = Duration::from_secs(3);

impl Writer {
    /// Returns true if the open database is the file at its path, and the folder the one that is locked. True as well
    /// where no file is open.
    pub(super) fn is_in_place(&self) -> bool {
        match (&self.folder, &self.database) {
            (Some(folder), Some(_)) => folder.is_in_place() && FileId::named(&folder.database()) == self.file,
            _ => true,
        }
    }

    /// Writes the whole of the open database to its path again, and goes on with that file. What stands at the path is
    /// kept under another name.
    ///
    /// # Errors
    /// Returns a sentence if that is not possible; the open database stays as it is, to try again.
    pub(super) fn restore(&mut self, now: Timestamp) -> Result<(), String> {
        let (Some(folder), Some(database)) = (&mut self.folder, &self.database) else { return Ok(()) };
        let path = folder.database();
        let told = |why: &dyn std::fmt::Display| {
            format!("{} was deleted or replaced and cannot be written again: {why}", path.display())
        };
        // In the same folder what belongs to a database is that of the open one, which has it open: neither the new file
        // nor what stands there now must be taken for theirs.
        if folder.is_in_place() {
            remove_belongings(&path).map_err(|error| told(&error))?;
        }
        folder.take_again().map_err(|(NotTaken::Used(why) | NotTaken::Unusable(why))| told(&why))?;
        let aside = match FileId::named(&path) {
            Some(_) => Some(folder.move_aside("foreign", now).map_err(|error| told(&error))?),
            None => None,
        };
        let written = database.execute("VACUUM INTO ?1", [path.to_string_lossy()]);
        if let Err(error) =
            written.map_err(|error| told(&error)).and_then(|_| sync(&path).map_err(|e| told(&e)))
        {
            // Half a file must not be taken for the whole one.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        // First the old one is closed: it removes what has the name of its write-ahead log.
        self.database = None;
        self.open_file(false, now)?;
        let kept = aside.map(|aside| format!("; what stood there is kept as {}", aside.display()));
        let text = format!(
            "the record {} was deleted or replaced while it was open; the whole of it is written again{}",
            path.display(),
            kept.unwrap_or_default()
        );
        tracing::warn!("{text}");
        self.backlog.add(own_event(now, text));
        Ok(())
    }
}

/// Waits until a file and its name are on the disk.
fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
