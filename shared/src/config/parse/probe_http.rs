//! Reads a probe by HTTP.

use std::ops::RangeInclusive;

use super::super::fields::{TableReader, TomlValue};
use super::super::model::{AnswerTest, Comparison, HttpProbe, JsonTest, Pattern, StatusSet, TlsCheck};
use super::super::source::Problems;
use super::texts::{parse_template, pattern, template};
use crate::sanitize::printable;
use crate::template::{Located, Templated};

/// Reads the keys of a probe by HTTP. `without` is the regex that its body must not have.
pub(super) fn parse_http(
    fields: &mut TableReader<'_, '_>,
    without: Option<Pattern<Templated>>,
    problems: &mut Problems<'_>,
) -> Option<HttpProbe<Templated>> {
    let url = template(fields, "http", problems);
    let status = parse_status(fields, problems);
    let body = AnswerTest { with: pattern(fields, "body", problems), without };
    let json = parse_json(fields, problems);
    let ca = template(fields, "ca", problems);
    let server_name = template(fields, "server_name", problems);
    let days_at = fields.value("certificate_days").map(|value| value.place);
    let days = fields.integer("certificate_days", problems).map(u32::try_from);
    if let (Some(place), Some(Err(_) | Ok(0))) = (days_at, days) {
        problems.report(place, format!("{}: key \"certificate_days\" is at least 1", fields.owner));
    }
    let tls = TlsCheck { ca, server_name, certificate_days: days.and_then(Result::ok) };
    Some(HttpProbe { url: url?, status, body, json, tls })
}

/// Reads `status = 200`, `"200-299"`, or an array of these.
fn parse_status(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> StatusSet {
    let Some(value) = fields.value("status") else { return StatusSet::default() };
    let elements = match value.value.is_array() {
        true => fields.array("status", problems),
        false => vec![value],
    };
    let ranges: Option<Vec<_>> = elements.iter().map(status_range).collect();
    ranges.and_then(StatusSet::new).unwrap_or_else(|| {
        let owner = &fields.owner;
        let sentence = format!(
            "{owner}: key \"status\" is an HTTP status, 100 to 599, a range such as \"200-299\", or an array of them"
        );
        problems.report(value.place, sentence);
        StatusSet::default()
    })
}

fn status_range(value: &TomlValue<'_, '_>) -> Option<RangeInclusive<u16>> {
    if let Some(status) = value.value.as_integer() {
        let status = u16::from_str_radix(status.as_str(), status.radix()).ok()?;
        return Some(status..=status);
    }
    let text = value.value.as_str()?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

/// Reads `json = "/aliveworkers >= 1"`, or an array of such texts.
fn parse_json(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Vec<JsonTest<Templated>> {
    let Some(value) = fields.value("json") else { return Vec::new() };
    let texts = match value.value.is_array() {
        true => fields.texts("json", problems),
        false => fields.text("json", problems).into_iter().collect(),
    };
    texts.into_iter().filter_map(|text| parse_json_test(text, &fields.owner, problems)).collect()
}

fn parse_json_test(
    text: Located<String>,
    owner: &str,
    problems: &mut Problems<'_>,
) -> Option<JsonTest<Templated>> {
    let Some((pointer, comparison, expected)) = split_json_test(&text.value) else {
        let shown = printable(&text.value);
        let sentence = format!(
            "{owner}: key \"json\": \"{shown}\" is no comparison of a value in the answer; write for example \
             \"/aliveworkers >= 1\" or \"/status == ALIVE\""
        );
        problems.report(text.place, sentence);
        return None;
    };
    let template = |part: &str, problems: &mut Problems<'_>| {
        parse_template(Located { value: part.to_owned(), place: text.place }, owner, "json", problems)
    };
    let (pointer, expected) = (template(pointer, problems), template(expected, problems));
    Some(JsonTest { pointer: pointer?, comparison, expected: expected? })
}

/// Splits at the first comparison that stands alone. A pointer to the whole document is empty.
fn split_json_test(text: &str) -> Option<(&str, Comparison, &str)> {
    let found = text.match_indices(' ').find_map(|(at, _)| {
        let rest = text.get(at + 1..)?;
        let (word, expected) = rest.split_once(' ')?;
        Some((text.get(..at)?, Comparison::from_word(word)?, expected))
    });
    let (pointer, comparison, expected) = found?;
    let (pointer, expected) = (pointer.trim(), expected.trim());
    let is_quoted = expected.len() >= 2 && expected.starts_with('"') && expected.ends_with('"');
    let expected = if is_quoted { &expected[1..expected.len() - 1] } else { expected };
    let is_pointer = pointer.is_empty() || pointer.starts_with('/');
    (is_pointer && (is_quoted || !expected.is_empty())).then_some((pointer, comparison, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_tests_are_split_at_the_comparison() {
        use Comparison::{AtLeast, Below, Equal, Unequal};
        let rows = [
            ("/aliveworkers >= 1", Some(("/aliveworkers", AtLeast, "1"))),
            ("/status == ALIVE", Some(("/status", Equal, "ALIVE"))),
            ("/a b/0  !=  two words ", Some(("/a b/0", Unequal, "two words"))),
            ("/text == \"\"", Some(("/text", Equal, ""))),
            ("/text == \"a < b\"", Some(("/text", Equal, "a < b"))),
            (" < 3", Some(("", Below, "3"))),
            ("/x", None),
            ("/x ==", None),
            ("/x =~ y", None),
            ("x == 1", None),
            ("/x>=1", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(split_json_test(text), expected, "{text}");
        }
    }
}
