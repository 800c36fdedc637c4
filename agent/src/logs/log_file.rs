//! Log file of a component: reads its end and what is added, across rotations.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;

use super::lines::LineSplitter;
use super::{LogBatch, LogPath};

/// Maximum length read back from the end, and maximum length of a single read of added lines.
const WINDOW: u64 = 1 << 20;
/// Maximum lag of a reader that shows lines to people, and part of a log in which the end of one is searched.
const MAX_LAG: u64 = 8 * WINDOW;

/// Position in a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogPosition {
    /// Device and inode of the file; `None`: not known, or there was no file.
    file: Option<(u64, u64)>,
    /// Number of bytes before the position.
    offset: u64,
}

impl LogPosition {
    /// Creates the position `offset` of whatever file is there.
    pub(crate) fn at(offset: u64) -> Self {
        Self { file: None, offset }
    }

    /// Returns the end of the log `path` as it is now; the beginning if there is none. Blocking.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read.
    pub(crate) fn end_of(path: &LogPath) -> io::Result<Self> {
        match path.open_to_read().and_then(|file| file.metadata()) {
            Ok(found) => Ok(Self { file: Some((found.dev(), found.ino())), offset: found.len() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::at(0)),
            Err(error) => Err(error),
        }
    }
}

/// Log file that is read from its end on.
#[derive(Debug)]
pub(super) struct LogFile {
    path: LogPath,
    file: File,
    /// Position up to which the file was read.
    position: u64,
    lines: LineSplitter,
    /// Maximum lag; beyond it the lines in between are skipped.
    max_lag: u64,
}

impl LogFile {
    /// Opens the log and returns its last `lines`. An unfinished last line counts only without `follow`.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if the log cannot be read.
    pub(super) fn open(path: LogPath, lines: usize, follow: bool) -> Result<(Self, LogBatch), String> {
        let opened = path.open_to_read().and_then(|mut file| {
            let end = file.metadata()?.len();
            let from = end.saturating_sub(WINDOW);
            let bytes = read_range(&mut file, from, end)?;
            Ok((file, from, bytes))
        });
        let (file, from, bytes) =
            opened.map_err(|error| format!("the log {path} cannot be read: {error}"))?;
        let mut all = Vec::new();
        let mut splitter = LineSplitter::default();
        splitter.push(&bytes, &mut all);
        if !follow {
            all.extend(splitter.finish());
        }
        // If the window begins within a line, that line is incomplete.
        let torn = usize::from(from > 0);
        let whole = all.split_off(torn.min(all.len()));
        let notice = (from > 0 && whole.len() < lines)
            .then(|| format!("these are the last {} KiB of the log", WINDOW / 1024));
        let skip = whole.len().saturating_sub(lines);
        let position = from + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let log = Self { path, file, position, lines: splitter, max_lag: MAX_LAG };
        Ok((log, LogBatch { lines: whole.into_iter().skip(skip).collect(), notice }.masked()))
    }

    /// Opens the log to read each line from `from` on. If another file is there, or a shorter one, that is
    /// read from its beginning.
    ///
    /// # Errors
    /// Returns an error if the log cannot be opened.
    pub(super) fn resume(path: LogPath, from: LogPosition) -> io::Result<Self> {
        let file = path.open_to_read()?;
        let found = file.metadata()?;
        let is_same = from.file.is_none_or(|known| known == (found.dev(), found.ino()));
        let position = if is_same && found.len() >= from.offset { from.offset } else { 0 };
        Ok(Self { path, file, position, lines: LineSplitter::default(), max_lag: u64::MAX })
    }

    /// Opens the log to read each line of its last part, and what follows.
    ///
    /// # Errors
    /// Returns an error if the log cannot be opened.
    pub(super) fn near_end(path: LogPath) -> io::Result<Self> {
        let mut log = Self::resume(path, LogPosition::at(0))?;
        log.position = log.file.metadata()?.len().saturating_sub(MAX_LAG);
        Ok(log)
    }

    /// Returns the lines added since the last call as they are, with secrets.
    pub(super) fn read_lines(&mut self) -> io::Result<LogBatch> {
        self.try_read_added()
    }

    /// Returns the lines added since the last call. A rotated log is read to its end before the new one is
    /// begun.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if the log cannot be read.
    pub(super) fn read_added(&mut self) -> Result<LogBatch, String> {
        self.try_read_added()
            .map(LogBatch::masked)
            .map_err(|error| format!("the log {} cannot be read: {error}", self.path))
    }

    fn try_read_added(&mut self) -> io::Result<LogBatch> {
        let mut batch = LogBatch::default();
        let end = self.file.metadata()?.len();
        if end < self.position {
            batch.notice = Some("the log was emptied; it is read from its beginning".to_owned());
            batch.lines.extend(self.lines.finish());
            self.position = 0;
        } else if end - self.position > self.max_lag {
            let skipped = end - WINDOW - self.position;
            batch.notice = Some(format!("the log grew too fast: {skipped} bytes are left out"));
            self.lines = LineSplitter::default();
            self.position = end - WINDOW;
        }
        let bytes = read_range(&mut self.file, self.position, end)?;
        self.position += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.lines.push(&bytes, &mut batch.lines);
        if self.position >= end && self.is_replaced()? {
            // Lines written between the last read and the rotation are still to come; the next call returns
            // them.
            if self.file.metadata()?.len() > self.position {
                return Ok(batch);
            }
            if let Ok(file) = self.path.open_to_read() {
                batch.lines.extend(self.lines.finish());
                batch.notice = Some("the log was rotated".to_owned());
                self.file = file;
                self.position = 0;
            }
        }
        Ok(batch)
    }

    /// Returns true if a different file exists at the path. Without any file the old one still is the log.
    /// This is only a preliminary check, which follows links: the new file is opened with the same safety
    /// checks as the first.
    fn is_replaced(&self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        match std::fs::metadata(self.path.path()) {
            Ok(there) => Ok((there.dev(), there.ino()) != (held.dev(), held.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns the bytes from `from` to `end`, at most [`WINDOW`].
fn read_range(file: &mut File, from: u64, end: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(end.saturating_sub(from).min(WINDOW)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;

    fn append(path: &std::path::Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        (folder, path)
    }

    /// Returns everything that can be read now, and the notices.
    fn drain(log: &mut LogFile) -> (Vec<String>, Vec<String>) {
        let (mut lines, mut notices) = (Vec::new(), Vec::new());
        loop {
            let batch = log.read_added().unwrap();
            if batch == LogBatch::default() {
                return (lines, notices);
            }
            lines.extend(batch.lines);
            notices.extend(batch.notice);
        }
    }

    #[test]
    fn rotated_log_is_read_to_its_end_before_the_new_one() {
        let (folder, path) = folder();
        append(&path, "1\n2\n3\n");
        let (mut log, batch) = LogFile::open(LogPath::own(&path), 2, true).unwrap();
        assert_eq!(batch.lines, ["2", "3"]);
        append(&path, "4\nopen");
        let rotated = folder.path().join("x.log.1");
        std::fs::rename(&path, &rotated).unwrap();
        // The writer still holds the old file, and the new one does not exist yet.
        assert_eq!(drain(&mut log), (vec!["4".to_owned()], vec![]));
        append(&rotated, " ended\n5\n");
        append(&path, "6\n");
        let (lines, notices) = drain(&mut log);
        assert_eq!(lines, ["open ended", "5", "6"]);
        assert_eq!(notices, ["the log was rotated"]);
    }

    #[test]
    fn an_emptied_log_is_read_from_its_beginning() {
        let (_folder, path) = folder();
        append(&path, "a long first line\n");
        let (mut log, _) = LogFile::open(LogPath::own(&path), 10, true).unwrap();
        std::fs::write(&path, "b\n").unwrap();
        let (lines, notices) = drain(&mut log);
        assert_eq!((lines, notices.len()), (vec!["b".to_owned()], 1));
    }

    #[test]
    fn huge_log_is_read_in_part_and_flood_is_cut() {
        let (_folder, path) = folder();
        let line = "x".repeat(99) + "\n";
        append(&path, &line.repeat(20_000));
        let (mut log, batch) = LogFile::open(LogPath::own(&path), 1_000_000, true).unwrap();
        assert!(batch.lines.len() < 11_000 && batch.lines.iter().all(|line| line.len() == 99));
        assert!(batch.notice.unwrap().contains("1024 KiB"));
        append(&path, &line.repeat(100_000));
        let (lines, notices) = drain(&mut log);
        assert!(lines.len() < 11_000, "{}", lines.len());
        assert!(notices[0].contains("left out"));
    }

    #[test]
    fn unfinished_last_line_is_shown_without_follow() {
        let (_folder, path) = folder();
        append(&path, "1\nthe last word");
        assert_eq!(LogFile::open(LogPath::own(&path), 9, false).unwrap().1.lines, ["1", "the last word"]);
        let (mut log, batch) = LogFile::open(LogPath::own(&path), 9, true).unwrap();
        assert_eq!(batch.lines, ["1"]);
        append(&path, "s\n");
        assert_eq!(drain(&mut log).0, ["the last words"]);
    }

    #[test]
    fn link_is_followed_only_if_its_owner_could_read_the_file() {
        let (folder, path) = folder();
        append(&path, "1\n");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(LogFile::open(LogPath::own(&link), 9, false).unwrap().1.lines, ["1"]);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
            assert!(
                LogFile::open(LogPath::own(&link), 9, false)
                    .unwrap_err()
                    .contains("symbolic link of another user")
            );
        }
    }

    #[test]
    fn irregular_file_is_refused_at_once() {
        let (folder, path) = folder();
        assert!(LogFile::open(LogPath::own(&path), 1, false).unwrap_err().contains("cannot be read"));
        let reason = LogFile::open(LogPath::own(folder.path()), 1, false).unwrap_err();
        assert!(reason.contains("no regular file"), "{reason}");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(LogFile::open(LogPath::own(&path), 1, false).unwrap_err().contains("no regular file"));
    }
}
