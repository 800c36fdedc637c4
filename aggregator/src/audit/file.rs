//! File of the audit log. It is opened again when it was moved or deleted, as log rotation does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::AuditSink;
use super::entry::AuditEntry;

/// File to which entries are appended, one a line.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Number of bytes of the present line that are written: a full disk may take a part of it.
    written: usize,
}

impl AuditFile {
    /// Opens the file, and creates it, readable by its owner alone, if it does not exist.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if it cannot be opened.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = open_file(path)
            .map_err(|error| format!("the audit log {} cannot be opened: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file, written: 0 })
    }

    /// Opens the file at the path if that is another one by now.
    fn follow_rotation(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        let is_same = match self.path.metadata() {
            Ok(there) => (there.dev(), there.ino()) == (own.dev(), own.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_same {
            self.file = open_file(&self.path)?;
            self.written = 0;
        }
        Ok(())
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

impl AuditSink for AuditFile {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        self.follow_rotation()?;
        let line = entry.to_json() + "\n";
        let mut rest = line.as_bytes().get(self.written..).unwrap_or_default();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(count) => {
                    self.written += count;
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        Ok(())
    }

    fn name(&self) -> String {
        format!("the audit log {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn file_is_private_appended_to_and_opened_again_after_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let entry = |count| AuditEntry::of_lost(count, Timestamp::UNIX_EPOCH);
        let mut log = AuditFile::open(&path).unwrap();
        log.write(&entry(1)).unwrap();
        log.write(&entry(2)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let rotated = folder.path().join("audit.log.1");
        fs::rename(&path, &rotated).unwrap();
        log.write(&entry(3)).unwrap();
        assert_eq!(fs::read_to_string(&rotated).unwrap().lines().count(), 2);
        let lines = fs::read_to_string(&path).unwrap();
        assert!(lines.lines().count() == 1 && lines.contains("3 entries"), "{lines}");
        let mut again = AuditFile::open(&path).unwrap();
        again.write(&entry(4)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert!(AuditFile::open(folder.path()).is_err());
    }
}
