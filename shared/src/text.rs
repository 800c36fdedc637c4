//! Foreign text made safe to show, and the nearest word to a misspelt one.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character that could steer a terminal or reorder a line written as an escape.
///
/// Escaped are the C0 and C1 controls (ECMA-48) and the bidirectional controls of Unicode (UAX #9), which
/// make a line read differently from what it says. Line feeds are escaped too: one text stays one line.
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

/// [`printable`] for a text of several lines, which stay lines.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` as [`printable`] shows it, but with its tabs: a line of a log or of a stack trace.
pub fn printable_line(text: &str) -> String {
    text.split('\t').map(printable).collect::<Vec<_>>().join("\t")
}

/// The one of `candidates` that a person who wrote `word` most likely meant, or `None` where nothing is near.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Below this similarity (0 to 1) a proposal puzzles more than it helps; `kafka` against `cassandra` has 0.43.
    const NEAR: f64 = 0.6;
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

/// `; did you mean "kafka server"?` for the nearest of `candidates`, or the whole list where none is near.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str> + Clone) -> String {
    if let Some(candidate) = nearest(word, candidates.clone()) {
        return format!("; did you mean \"{candidate}\"?");
    }
    let mut hint = String::new();
    for candidate in candidates {
        let before = if hint.is_empty() { "; known: " } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(hint, "{before}{candidate}");
    }
    hint
}

/// `count` with its noun: `1 host`, `2 hosts`, `2 processes`.
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
    }

    #[test]
    fn counts_agree_with_their_noun() {
        assert_eq!(counted(1, "process"), "1 process");
        assert_eq!(counted(0, "process"), "0 processes");
        assert_eq!(counted(3, "host"), "3 hosts");
    }
}
