//! Converts bytes to a regex that matches exactly them, with the host's own values as variables.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::sanitize::printable;

/// Minimum length of a value; shorter ones appear in command lines by accident.
const SHORTEST_VALUE: usize = 3;
/// Values that every host has, and that do not identify this one.
const EVERYWHERE: [&str; 4] = ["127.0.0.1", "::1", "0.0.0.0", "localhost"];

/// Names and values that may replace text in a regex.
#[derive(Clone, Debug)]
pub(super) struct PatternVariables<'v> {
    /// Pairs of names and values, the longest value first, so that a home folder is not taken for its parent.
    replaced: Vec<(&'v str, &'v str)>,
}

impl<'v> PatternVariables<'v> {
    pub(super) fn new(pairs: &'v [(String, String)]) -> Self {
        let mut replaced: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(_, value)| value.len() >= SHORTEST_VALUE && !EVERYWHERE.contains(value))
            .collect();
        replaced.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        Self { replaced }
    }

    /// Creates an empty set, for text that is to stay literal.
    pub(super) fn none() -> Self {
        Self { replaced: Vec::new() }
    }

    /// Returns the variable whose whole value is in `text` at `at`.
    fn at(&self, text: &[u8], at: usize) -> Option<(&'v str, &'v str)> {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        self.replaced.iter().copied().find(|(_, value)| {
            let after = text.get(at + value.len());
            text[at..].starts_with(value.as_bytes())
                && !before.is_some_and(|byte| goes_on(value, *byte))
                && !after.is_some_and(|byte| goes_on(value, *byte))
        })
    }
}

/// Returns true if a value with `neighbour` beside it is part of a longer word: `10.0.0.1` in `10.0.0.11`.
fn goes_on(value: &str, neighbour: u8) -> bool {
    let more = match value.parse() {
        Ok(IpAddr::V4(_)) => ".",
        Ok(IpAddr::V6(_)) => ".:%",
        Err(_) => "",
    };
    neighbour.is_ascii_alphanumeric()
        || !neighbour.is_ascii()
        || b"-_".contains(&neighbour)
        || more.as_bytes().contains(&neighbour)
}

/// Returns a regex with variables (see [`crate::template::RegexTemplate`]) that matches `text`, without
/// anchors.
pub(super) fn escape_pattern(text: &[u8], variables: &PatternVariables<'_>) -> String {
    let mut pattern = String::new();
    let mut literal = 0;
    let mut at = 0;
    while at < text.len() {
        let Some((name, value)) = variables.at(text, at) else {
            at += 1;
            continue;
        };
        escape(&text[literal..at], &mut pattern);
        // A dollar before a variable would escape it: "$${" is a literal "${".
        if pattern.ends_with("\\$") {
            pattern.truncate(pattern.len() - 2);
            pattern.push_str("\\x24");
        }
        // Writing to a String cannot fail, here and below.
        let _ = write!(pattern, "${{{name}}}");
        at += value.len();
        literal = at;
    }
    escape(&text[literal..], &mut pattern);
    pattern
}

/// Appends a regex that matches `text` literally, in printable characters only.
fn escape(text: &[u8], pattern: &mut String) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let one = &*character.encode_utf8(&mut buffer);
            match character {
                // Special only within brackets or with the x flag.
                '-' | '#' | '&' | '~' => pattern.push(character),
                _ if printable(one) != one => {
                    let _ = write!(pattern, "\\x{{{:x}}}", u32::from(character));
                }
                _ => pattern.push_str(&regex::escape(one)),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(pattern, "(?-u:\\x{byte:02x})");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::RegexTemplate;

    fn pairs() -> Vec<(String, String)> {
        [
            ("ip", "10.0.0.1"),
            ("ip", "127.0.0.1"),
            ("ip", "fe80::1"),
            ("home", "/opt/k"),
            ("up", "/opt"),
            ("x", "yz"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn written(text: &str) -> String {
        let pairs = pairs();
        escape_pattern(text.as_bytes(), &PatternVariables::new(&pairs))
    }

    #[test]
    fn values_become_variables_where_they_are_whole_words() {
        assert_eq!(written("spark://10.0.0.1:7077"), "spark://${ip}:7077");
        assert_eq!(written("10.0.0.11"), r"10\.0\.0\.11");
        assert_eq!(written("110.0.0.1"), r"110\.0\.0\.1");
        assert_eq!(written("10.0.0.1.2"), r"10\.0\.0\.1\.2");
        assert_eq!(written("[fe80::1]:80"), r"\[${ip}\]:80");
        assert_eq!(written("fe80::1:2"), "fe80::1:2");
        assert_eq!(written("127.0.0.1"), r"127\.0\.0\.1");
        assert_eq!(written("/opt/k/bin:/opt/kafka:/opt/k-logs"), "${home}/bin:${up}/kafka:${up}/k-logs");
        assert_eq!(written("yz"), "yz");
    }

    #[test]
    fn every_text_is_matched_by_its_own_pattern_alone() {
        let pairs = pairs();
        for text in [
            &b"$10.0.0.1"[..],
            b"\\$10.0.0.1",
            b"${ip}",
            b"$${home}",
            b"a'b\"c\n\t\x1b[31m",
            b"\xff\xfe/opt\xff",
            "h\u{e4}user \u{202e}x".as_bytes(),
            b"(?x) # a+b*",
        ] {
            let pattern = format!("^{}$", escape_pattern(text, &PatternVariables::new(&pairs)));
            let template = RegexTemplate::parse(&pattern).unwrap();
            let values = |name: &str| {
                Some(
                    pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect(),
                )
            };
            let regex = template.compile(values).unwrap();
            assert!(regex.is_match(text), "{pattern}");
            assert!(!regex.is_match(&[text, b"x"].concat()), "{pattern}");
            assert_eq!(printable(&pattern), pattern);
        }
    }
}
