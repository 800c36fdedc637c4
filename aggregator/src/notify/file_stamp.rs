//! Stamp of a file, by which a change is noticed.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Inode, size and change time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp(u64, u64, i64, i64);

impl FileStamp {
    /// Returns the stamp of the file at `path`; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self(metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
    }
}
