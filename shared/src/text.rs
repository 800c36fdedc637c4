//! Sanitizing of untrusted text, and suggestions for misspelt words.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use crate::name::LONGEST;

/// Maximum number of names that a sentence lists.
const LISTED: usize = 20;
/// Maximum length of a user's input that is repeated in a sentence, in bytes.
const ECHOED: usize = 100;

/// Escapes every character of `text` that could control a terminal or reorder a line.
///
/// These are the C0 and C1 controls (ECMA-48) and the bidirectional controls of Unicode (UAX #9), which make
/// a line appear different from its content. Line feeds are escaped too, so that one text stays one line.
///
/// ```
/// assert_eq!(rta_shared::text::printable("\u{1b}[31mred"), r"\u{1b}[31mred");
/// assert_eq!(rta_shared::text::printable("plain"), "plain");
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
/// assert_eq!(rta_shared::text::cut("kafka server", 8), "kafka…");
/// ```
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    const MARK: &str = "…";
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(most.saturating_sub(MARK.len()));
    Cow::Owned(format!("{}{MARK}", &text[..end]))
}

/// Prepares a name from user input for a sentence: [`printable`], and limited in length.
pub fn echoed(name: &str) -> String {
    printable(&cut(name, ECHOED)).into_owned()
}

/// Returns two lower-case hexadecimal digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Lists the first 20 of `names`, separated by `between`: `d1, d2 and 480 more`.
pub fn listed(names: impl IntoIterator<Item = impl Display>, between: &str) -> String {
    listed_first(LISTED, names, between)
}

/// Lists the first `most` of `names`, as [`listed`] does.
pub fn listed_first(most: usize, names: impl IntoIterator<Item = impl Display>, between: &str) -> String {
    let mut names = names.into_iter();
    let mut list = String::new();
    for name in names.by_ref().take(most) {
        let before = if list.is_empty() { "" } else { between };
        // Writing to a String cannot fail.
        let _ = write!(list, "{before}{name}");
    }
    match names.count() {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

/// Returns the candidate that a user who wrote `word` most likely meant; `None` if no candidate is similar,
/// or if `word` is far longer than a name.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Below this similarity (0 to 1) a suggestion confuses more than it helps; `kafka` and `cassandra` have
    // 0.43.
    const NEAR: f64 = 0.6;
    // The comparison takes time and space proportional to the product of the lengths.
    if word.len() > 2 * LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase()), candidate)
        })
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Returns `; did you mean "kafka server"?` for the most similar candidate, or a list of the known ones (see
/// [`listed`]) if none is similar.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str> + Clone) -> String {
    if let Some(candidate) = nearest(word, candidates.clone()) {
        return format!("; did you mean \"{candidate}\"?");
    }
    match listed(candidates, ", ") {
        none if none.is_empty() => none,
        known => format!("; known: {known}"),
    }
}

/// Returns `count` with its noun: `1 host`, `2 hosts`, `2 processes`.
pub fn counted(count: usize, noun: &str) -> String {
    let ending = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{ending}")
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
    fn the_nearest_word_is_found_whatever_its_case() {
        let names = ["kafka server", "cassandra", "spark master"];
        assert_eq!(nearest("Kafka Sever", names), Some("kafka server"));
        assert_eq!(nearest("zzz", names), None);
    }

    #[test]
    fn far_words_get_the_list() {
        assert_eq!(did_you_mean("zzz", ["one", "two"]), "; known: one, two");
        assert_eq!(did_you_mean("tow", ["one", "two"]), "; did you mean \"two\"?");
        assert_eq!(did_you_mean("tow", []), "");
    }

    #[test]
    fn a_word_of_any_length_has_a_short_answer() {
        let huge = "kafka ".repeat(200_000);
        // A comparison would take the product of both lengths.
        assert_eq!(nearest(&huge, [huge.as_str()]), None);
        let names: Vec<String> = (0..500).map(|at| format!("h{at}")).collect();
        let hint = did_you_mean(&huge, names.iter().map(String::as_str));
        assert!(hint.starts_with("; known: h0, h1, ") && hint.ends_with(", h19 and 480 more"), "{hint}");
        let echo = echoed(&format!("\u{1b}{huge}"));
        assert!(echo.starts_with("\\u{1b}kafka ") && echo.ends_with('…') && echo.len() < 120, "{echo}");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("grün", 5), "grün");
        assert_eq!(cut("grüne", 5), "gr…");
        assert_eq!(cut("grüne", 6).len(), 6);
        assert_eq!(cut("abc", 0), "…");
    }

    #[test]
    fn counts_agree_with_their_noun() {
        assert_eq!(counted(1, "process"), "1 process");
        assert_eq!(counted(0, "process"), "0 processes");
        assert_eq!(counted(3, "host"), "3 hosts");
    }
}
