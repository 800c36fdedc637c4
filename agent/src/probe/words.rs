//! What the reasons of failed attempts are made of.

use std::io;
use std::time::Duration;

use rta_shared::text::printable;

/// Longer texts of others are cut to this many characters: a reason is one line of a page.
pub(super) const TEXT: usize = 200;

/// That no answer came within this time.
pub(super) fn too_late(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs_f64())
}

/// Foreign text, safe to show and not too long.
pub(super) fn shortened(text: &str) -> String {
    // What is cut off need not be looked at.
    let end = text.char_indices().nth(TEXT).map_or(text.len(), |(end, _)| end);
    let (shown, rest) = text.split_at(end);
    let shown = printable(shown);
    if rest.is_empty() { shown.into_owned() } else { format!("{shown}…") }
}

/// An error as a part of a sentence: `connection refused` for `Connection refused (os error 111)`.
pub(super) fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let mut reason: String = letters.next().map(|first| first.to_ascii_lowercase()).into_iter().collect();
    reason.push_str(letters.as_str());
    shortened(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_parts_of_a_sentence() {
        let refused = rustix::io::Errno::CONNREFUSED.into();
        assert_eq!(io_reason(&refused), "connection refused");
        assert_eq!(io_reason(&io::Error::other("")), "");
    }
}
