//! Texts for the reasons of failed attempts.

use std::io;
use std::time::Duration;

use rta_shared::sanitize::printable;

/// Maximum length of foreign texts, in characters: a reason is one line of a page.
pub(super) const MAX_TEXT_LENGTH: usize = 200;

/// Returns the reason for a timeout.
pub(super) fn timeout_reason(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs_f64())
}

/// Returns foreign text, safe to show and shortened.
pub(super) fn shorten(text: &str) -> String {
    // The part that is cut off need not be examined.
    let end = text.char_indices().nth(MAX_TEXT_LENGTH).map_or(text.len(), |(end, _)| end);
    let (shown, rest) = text.split_at(end);
    let shown = printable(shown);
    if rest.is_empty() { shown.into_owned() } else { format!("{shown}…") }
}

/// Returns an error as a part of a sentence: `connection refused` for `Connection refused (os error 111)`.
pub(super) fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let mut reason: String = letters.next().map(|first| first.to_ascii_lowercase()).into_iter().collect();
    reason.push_str(letters.as_str());
    shorten(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_parts_of_a_sentence() {
        let refused = rustix::io::Errno::CONNREFUSED.into();
        assert_eq!(io_reason(&refused), "connection refused");
        assert_eq!(io_reason(&io::Error::other("")), "");
    }
}
