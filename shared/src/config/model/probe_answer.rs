//! Tests on the answer that a probe gets.

use std::fmt;
use std::ops::RangeInclusive;

use super::super::variables::Variables;
use crate::template::{Form, Located, Resolved, Template, Templated};
use crate::words::words;

/// Regex that is searched for. Two are equal if their texts are.
#[derive(Clone, Debug)]
pub struct Pattern<F: Form = Resolved>(pub F::Regex);

impl<F: Form> PartialEq for Pattern<F> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl<F: Form> Eq for Pattern<F> {}

impl<F: Form> fmt::Display for Pattern<F> {
    /// Writes the regex in single quotes, as in TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

impl Pattern {
    /// Returns true if the regex is found in `text`.
    pub fn is_found_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// Returns what the regex finds first in `text`.
    pub fn find<'t>(&self, text: &'t [u8]) -> Option<RangeInText<'t>> {
        self.0.find(text).map(|found| RangeInText { text, start: found.start(), end: found.end() })
    }
}

impl Pattern<Templated> {
    pub(super) fn resolve(&self, variables: &Variables<'_>) -> Result<Pattern, String> {
        variables.regex(&self.0).map(Pattern).map_err(|error| error.to_string())
    }

    pub(super) fn template(&self) -> Located<&Template> {
        Located { value: self.0.value.template(), place: self.0.place }
    }
}

/// Part of a text that a regex found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeInText<'t> {
    text: &'t [u8],
    start: usize,
    end: usize,
}

impl<'t> RangeInText<'t> {
    /// Returns the whole line in which the part begins.
    pub fn line(&self) -> &'t [u8] {
        let is_end = |byte: &u8| *byte == b'\n';
        // A regex may begin with the line end before the line that it is about.
        let found = self.text.get(self.start..self.end).unwrap_or_default();
        let lead = found.iter().take_while(|byte| is_end(byte)).count();
        let at = self.start + if lead < found.len() { lead } else { 0 };
        let (before, after) = self.text.split_at(at);
        let begin = before.iter().rposition(is_end).map_or(0, |end| end + 1);
        let end = after.iter().position(is_end).map_or(self.text.len(), |end| at + end);
        self.text.get(begin..end).unwrap_or_default()
    }
}

/// Tests on the text of an answer. Without any, each text passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerTest<F: Form = Resolved> {
    /// Regex that must be found.
    pub with: Option<Pattern<F>>,
    /// Regex that must not be found.
    pub without: Option<Pattern<F>>,
}

impl<F: Form> Default for AnswerTest<F> {
    fn default() -> Self {
        Self { with: None, without: None }
    }
}

impl<F: Form> AnswerTest<F> {
    /// Returns true if each text passes.
    pub fn is_empty(&self) -> bool {
        self.with.is_none() && self.without.is_none()
    }
}

impl AnswerTest<Templated> {
    pub(super) fn resolve(&self, variables: &Variables<'_>) -> Result<AnswerTest, String> {
        let Self { with, without } = self;
        Ok(AnswerTest {
            with: with.as_ref().map(|with| with.resolve(variables)).transpose()?,
            without: without.as_ref().map(|without| without.resolve(variables)).transpose()?,
        })
    }

    pub(super) fn templates(&self) -> impl Iterator<Item = Located<&Template>> {
        let Self { with, without } = self;
        with.iter().chain(without).map(Pattern::template)
    }
}

/// Set of HTTP status codes, as ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(Vec<RangeInclusive<u16>>);

impl StatusSet {
    /// Creates the set of these ranges; `None` if there is none, or if one is empty or not within 100 to 599.
    pub fn new(ranges: Vec<RangeInclusive<u16>>) -> Option<Self> {
        let is_valid =
            |range: &RangeInclusive<u16>| !range.is_empty() && *range.start() >= 100 && *range.end() < 600;
        (!ranges.is_empty() && ranges.iter().all(is_valid)).then_some(Self(ranges))
    }

    /// Returns true if the set has this code.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Default for StatusSet {
    /// Returns the set of the code 200.
    fn default() -> Self {
        Self(vec![200..=200])
    }
}

impl fmt::Display for StatusSet {
    /// Writes `200`, `200 or 204`, `200-299 or 401`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" or ")?;
            }
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{start}")?,
                (start, end) => write!(f, "{start}-{end}")?,
            }
        }
        Ok(())
    }
}

/// Comparison of one value of a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonTest<F: Form = Resolved> {
    /// JSON pointer to the value (RFC 6901): `/workers/0/state`.
    pub pointer: F::Text,
    /// Comparison.
    pub comparison: Comparison,
    /// Text, number, `true`, `false` or `null` that the value is compared with; a text without quotes.
    pub expected: F::Text,
}

impl<F: Form> fmt::Display for JsonTest<F> {
    /// Writes the test as in the configuration: `/aliveworkers >= 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, comparison, expected } = self;
        write!(f, "{pointer} {comparison} {expected}")
    }
}

impl JsonTest<Templated> {
    pub(super) fn resolve(&self, variables: &Variables<'_>) -> Result<JsonTest, String> {
        let Self { pointer, comparison, expected } = self;
        let test: JsonTest = JsonTest {
            pointer: variables.text(pointer).map_err(|error| error.to_string())?,
            comparison: *comparison,
            expected: variables.text(expected).map_err(|error| error.to_string())?,
        };
        match comparison.is_order() && test.expected.parse::<f64>().is_err() {
            true => Err(format!(
                "json: \"{}\": only a number can be compared by {comparison}",
                crate::sanitize::printable(&test.to_string())
            )),
            false => Ok(test),
        }
    }

    pub(super) fn templates(&self) -> [Located<&Template>; 2] {
        let Self { pointer, comparison: _, expected } = self;
        [pointer.as_ref(), expected.as_ref()]
    }
}

/// Comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Equal,
    /// Not equal.
    Unequal,
    /// Less or equal.
    AtMost,
    /// Greater or equal.
    AtLeast,
    /// Less.
    Below,
    /// Greater.
    Above,
}

words!(Comparison {
    Equal => "==",
    Unequal => "!=",
    AtMost => "<=",
    AtLeast => ">=",
    Below => "<",
    Above => ">",
});

impl Comparison {
    /// Returns true if it compares by order, which only numbers have.
    pub fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::Unequal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_sets_hold_ranges_of_valid_codes() {
        let set = StatusSet::new(vec![200..=299, 401..=401]).unwrap();
        let found: Vec<bool> = [199, 200, 250, 299, 300, 401, 402].map(|code| set.contains(code)).into();
        assert_eq!(found, [false, true, true, true, false, true, false]);
        assert_eq!(
            (set.to_string().as_str(), StatusSet::default().to_string().as_str()),
            ("200-299 or 401", "200")
        );
        #[expect(clippy::reversed_empty_ranges, reason = "an empty range is what is refused")]
        let invalid = [vec![], vec![99..=200], vec![500..=600], vec![300..=200]];
        for ranges in invalid {
            assert_eq!(StatusSet::new(ranges.clone()), None, "{ranges:?}");
        }
    }

    #[test]
    fn line_of_a_find_is_whole() {
        let text = b"Status=Up/Down\nUN  10.0.0.1  1 MB\nDN  10.0.0.2  2 MB\n";
        let line = |regex: &str| {
            let pattern: Pattern = Pattern(regex::bytes::Regex::new(regex).unwrap());
            pattern.find(text).map(|found| String::from_utf8_lossy(found.line()).into_owned())
        };
        assert_eq!(line("(?m)^DN").as_deref(), Some("DN  10.0.0.2  2 MB"));
        assert_eq!(line("\nDN").as_deref(), Some("DN  10.0.0.2  2 MB"));
        assert_eq!(line("Up").as_deref(), Some("Status=Up/Down"));
        assert_eq!(line("nothing"), None);
        assert_eq!(line("$").as_deref(), Some(""));
    }
}
