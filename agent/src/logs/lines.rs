//! Splits bytes into lines.

/// Maximum length of a line, in bytes; longer ones are cut so that a message can hold them.
pub(super) const MAX_LINE_LENGTH: usize = 8 * 1024;

/// Splits a stream of bytes into lines. An unfinished last line is kept until its end arrives.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    open: Vec<u8>,
    /// Number of bytes of the unfinished line that were left out.
    dropped: usize,
}

impl LineSplitter {
    /// Appends the lines that `bytes` complete to `lines`.
    pub(super) fn push(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        let mut rest = bytes;
        while let Some(end) = line_end(rest) {
            self.append(&rest[..end]);
            lines.extend(self.take_line());
            rest = &rest[end + 1..];
        }
        self.append(rest);
    }

    /// Returns the unfinished line when no more bytes follow; `None` if there is none.
    pub(super) fn finish(&mut self) -> Option<String> {
        if self.open.is_empty() { None } else { self.take_line() }
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_LENGTH.saturating_sub(self.open.len()).min(bytes.len());
        self.open.extend_from_slice(&bytes[..room]);
        self.dropped += bytes.len() - room;
    }

    fn take_line(&mut self) -> Option<String> {
        let open = std::mem::take(&mut self.open);
        let line = open.strip_suffix(b"\r").unwrap_or(&open);
        let mut line = String::from_utf8_lossy(line).into_owned();
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            line.push_str(&format!(" ... ({dropped} bytes more)"));
        }
        Some(line)
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(piece, &mut lines);
        }
        (lines, splitter.finish())
    }

    #[test]
    fn lines_are_whole_for_any_split() {
        let (whole, open) = lines(&[b"a", b"b\n\nc\r\n", b"d\xff", b"e"]);
        assert_eq!(whole, ["ab", "", "c"]);
        assert_eq!(open.as_deref(), Some("d\u{fffd}e"));
    }

    #[test]
    fn long_line_is_cut_and_next_is_whole() {
        let (whole, open) = lines(&[&vec![b'x'; MAX_LINE_LENGTH], b"yyy\nnext\n"]);
        assert!(whole[0].ends_with("x ... (3 bytes more)"));
        assert_eq!((whole[1].as_str(), open), ("next", None));
    }
}
