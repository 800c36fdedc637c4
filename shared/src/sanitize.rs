//! Sanitizing of untrusted text for display.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Maximum length of a user's input that is repeated in a sentence, in bytes.
const ECHOED: usize = 100;

/// Escapes every character of `text` that could control a terminal or reorder a line.
///
/// These are the C0 and C1 controls (ECMA-48) and the bidirectional controls of Unicode (UAX #9), which make
/// a line appear different from its content. Line feeds are escaped too, so that one text stays one line.
///
/// ```
/// assert_eq!(rta_shared::sanitize::printable("\u{1b}[31mred"), r"\u{1b}[31mred");
/// assert_eq!(rta_shared::sanitize::printable("plain"), "plain");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_steering(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Applies [`printable`] to each line of a text and keeps the line breaks.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Applies [`printable`] to `text` but keeps its tabs, for a line of a log or of a stack trace.
pub fn printable_line(text: &str) -> String {
    text.split('\t').map(printable).collect::<Vec<_>>().join("\t")
}

/// Shortens `text` to at most `most` bytes; a text that is cut ends with `…`, which counts.
///
/// ```
/// assert_eq!(rta_shared::sanitize::truncated("kafka server", 8), "kafka…");
/// ```
pub fn truncated(text: &str, most: usize) -> Cow<'_, str> {
    const MARK: &str = "…";
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(most.saturating_sub(MARK.len()));
    Cow::Owned(format!("{}{MARK}", &text[..end]))
}

/// Prepares a name from user input for a sentence: [`printable`], and limited in length.
pub fn quoted_input(name: &str) -> String {
    printable(&truncated(name, ECHOED)).into_owned()
}

/// Returns two lower-case hexadecimal digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_tabs_and_cannot_steer_the_terminal() {
        assert_eq!(printable_line("\tat x.Y(Z.java:7)"), "\tat x.Y(Z.java:7)");
        assert_eq!(printable_line("\u{1b}[2Jgone"), "\\u{1b}[2Jgone");
    }

    #[test]
    fn steering_characters_are_escaped_and_letters_are_not() {
        assert_eq!(printable("a\tb\r\n"), r"a\tb\r\n");
        assert_eq!(printable("\u{9b}31m"), r"\u{9b}31m");
        assert_eq!(printable("abc\u{202e}def"), r"abc\u{202e}def");
        assert_eq!(printable("häuser <b>"), "häuser <b>");
        assert_eq!(printable_lines("a\u{1b}\r\nb\tc\n"), "a\\u{1b}\nb\\tc");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(truncated("grün", 5), "grün");
        assert_eq!(truncated("grüne", 5), "gr…");
        assert_eq!(truncated("grüne", 6).len(), 6);
        assert_eq!(truncated("abc", 0), "…");
    }

    #[test]
    fn quoted_input_is_short_and_cannot_steer_the_terminal() {
        let echo = quoted_input(&format!("\u{1b}{}", "kafka ".repeat(200_000)));
        assert!(echo.starts_with("\\u{1b}kafka ") && echo.ends_with('…') && echo.len() < 120, "{echo}");
    }
}
