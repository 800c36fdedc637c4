//! The last lines that a component wrote to its log since a launch.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use rta_shared::text::printable;

/// How many lines are shown, and how many bytes are looked at for them.
const LINES: usize = 10;
const BYTES: u64 = 4096;

/// The last lines of the file at `path` behind byte `from`, one text for a sentence; empty where there are none.
pub(crate) fn log_tail(path: &Path, from: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        // A log that is shorter than it was has been replaced: all of it is new.
        let from = if end < from { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(BYTES))))?;
        let mut content = Vec::new();
        file.take(BYTES).read_to_end(&mut content)?;
        Ok(content)
    };
    match read() {
        Ok(content) => {
            let content = String::from_utf8_lossy(&content);
            let lines: Vec<_> = content.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
            last.iter().map(|line| printable(line).into_owned()).collect::<Vec<_>>().join(" | ")
        }
        Err(error) => format!("(the log {} cannot be read: {error})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_the_last_new_lines_are_shown_and_none_steers_the_terminal() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "before the launch").unwrap();
        let from = file.as_file().metadata().unwrap().len();
        assert_eq!(log_tail(file.path(), from), "");
        for line in 0..30 {
            writeln!(file, "line {line}").unwrap();
        }
        file.write_all(b"\x1b[31mred \xff\n").unwrap();
        let tail = log_tail(file.path(), from);
        assert!(tail.starts_with("line 21 | line 22"), "{tail}");
        assert!(tail.ends_with("| \\u{1b}[31mred \u{fffd}"), "{tail}");
    }

    #[test]
    fn a_truncated_log_is_read_from_its_beginning() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "new").unwrap();
        assert_eq!(log_tail(file.path(), 1_000), "new");
    }

    #[test]
    fn a_huge_log_is_not_read_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b'x'; 1 << 20]).unwrap();
        assert!(log_tail(file.path(), 0).len() <= 4096);
    }
}
