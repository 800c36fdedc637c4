//! Returns the last lines that a component wrote to its log since a launch. Blocking.

use std::io::{Read as _, Seek as _, SeekFrom};

use jiff::Timestamp;
use rta_shared::redact::redact_text;
use rta_shared::sanitize::{printable, truncated};

use super::LogPath;

/// Maximum number of lines, and maximum number of bytes that are read and returned.
const MAX_LINES: usize = 10;
const MAX_BYTES: u64 = 4096;
/// Maximum length of a single line, in bytes.
const MAX_LINE_LENGTH: usize = 300;

/// Returns the last lines of the log `path` after byte `from`, each safe to show; together at most
/// [`MAX_BYTES`].
pub(crate) fn log_tail(path: &LogPath, from: u64) -> Vec<String> {
    match read_tail(path, from) {
        Ok(content) => last_lines(&String::from_utf8_lossy(&content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            vec![format!("(the log {} cannot be read: {error})", printable(&path.to_string()))]
        }
    }
}

/// Returns the last line of the log `path`, safe to show and short; `None` if nothing was written since
/// `started_at`, if there is no log, or if it cannot be read.
pub(crate) fn last_line(path: &LogPath, started_at: Option<Timestamp>) -> Option<String> {
    let written = path.open_to_read().and_then(|file| file.metadata()?.modified()).ok()?;
    let written = Timestamp::try_from(written).ok()?;
    // The clocks have a granularity of up to a second.
    if started_at.is_some_and(|started| written.as_second() + 1 < started.as_second()) {
        return None;
    }
    let lines = read_tail(path, 0).ok()?;
    let line = last_lines(&String::from_utf8_lossy(&lines)).pop()?;
    Some(truncated(&line, MAX_LINE_LENGTH).into_owned())
}

/// Returns the length of the log `path`; 0 if it does not exist, or cannot be read.
pub(crate) fn log_length(path: &LogPath) -> u64 {
    path.open_to_read().and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len())
}

fn read_tail(path: &LogPath, from: u64) -> std::io::Result<Vec<u8>> {
    let mut file = path.open_to_read()?;
    let end = file.metadata()?.len();
    // A log that has become shorter was replaced: all of it is new.
    let from = if end < from { 0 } else { from };
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(MAX_BYTES))))?;
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

fn last_lines(content: &str) -> Vec<String> {
    let mut room = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    let mut lines = Vec::new();
    for line in content.lines().rev().map(str::trim_end).filter(|line| !line.is_empty()).take(MAX_LINES) {
        let mut line = printable(&redact_text(line)).into_owned();
        // Escapes are longer than what they replace.
        if line.len() > room {
            line.truncate(line.floor_char_boundary(room));
        }
        room -= line.len();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn last_new_lines_are_shown_without_control_characters() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "before the launch").unwrap();
        let from = file.as_file().metadata().unwrap().len();
        assert!(log_tail(&LogPath::own(file.path()), from).is_empty());
        for line in 0..30 {
            writeln!(file, "line {line}").unwrap();
        }
        file.write_all(b"\x1b[31mred \xff\n").unwrap();
        let tail = log_tail(&LogPath::own(file.path()), from);
        assert_eq!((tail.len(), &*tail[0], &*tail[1]), (10, "line 21", "line 22"));
        assert_eq!(tail[9], "\\u{1b}[31mred \u{fffd}");
    }

    #[test]
    fn a_truncated_log_is_read_from_its_beginning() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "new").unwrap();
        assert_eq!(log_tail(&LogPath::own(file.path()), 1_000), ["new"]);
    }

    #[test]
    fn long_log_makes_a_short_message() {
        for byte in [b'x', 0x1b, 0xff] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&vec![byte; 1 << 20]).unwrap();
            let tail = log_tail(&LogPath::own(file.path()), 0);
            let length: usize = tail.iter().map(String::len).sum();
            assert!((4000..=4096).contains(&length), "{length}");
        }
    }

    #[test]
    fn last_line_is_of_the_run_and_masked() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let path = LogPath::own(file.path());
        let now = Timestamp::now();
        assert_eq!(last_line(&path, Some(now)), None);
        writeln!(file, "first\npassword=hunter2 refused\n\n").unwrap();
        let line = last_line(&path, Some(now)).unwrap();
        assert!(line.starts_with("password=") && line.ends_with(" refused"), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
        assert_eq!(last_line(&path, None), Some(line));
        let later = now + jiff::SignedDuration::from_secs(60);
        assert_eq!(last_line(&path, Some(later)), None);
        file.write_all(&vec![b'x'; 5_000]).unwrap();
        assert_eq!(last_line(&path, Some(now)).unwrap().len(), MAX_LINE_LENGTH);
        assert_eq!(last_line(&LogPath::own(Path::new("/no/such/log")), None), None);
    }

    #[test]
    fn missing_log_has_no_lines() {
        assert!(log_tail(&LogPath::own(Path::new("/no/such/log")), 0).is_empty());
        assert_eq!(log_tail(&LogPath::own(Path::new("/")), 0).len(), 1);
    }
}
