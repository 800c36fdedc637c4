//! Reads texts that may contain variables.

use super::super::fields::TableReader;
use super::super::model::Pattern;
use super::super::source::Problems;
use crate::template::{Located, RegexTemplate, Template, Templated};

pub(super) fn parse_template(
    text: Located<String>,
    owner: &str,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<Located<Template>> {
    // The kernel ends an argument at a NUL: the rest would be lost.
    let parsed = match text.value.contains('\0') {
        true => Err("a text for the system cannot hold a NUL character".to_owned()),
        false => Template::parse(&text.value),
    };
    match parsed {
        Ok(value) => Some(Located { value, place: text.place }),
        Err(reason) => {
            problems.report(text.place, format!("{owner}: key \"{key}\": {reason}"));
            None
        }
    }
}

pub(super) fn parse_regex(
    text: Located<String>,
    owner: &str,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<Located<RegexTemplate>> {
    match RegexTemplate::parse(&text.value) {
        Ok(value) => Some(Located { value, place: text.place }),
        Err(reason) => {
            problems.report(text.place, format!("{owner}: key \"{key}\": {reason}"));
            None
        }
    }
}

/// Reads a text with variables.
pub(super) fn template(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    problems: &mut Problems<'_>,
) -> Option<Located<Template>> {
    let text = fields.text(key, problems)?;
    parse_template(text, &fields.owner, key, problems)
}

/// Reads a regex that is searched for.
pub(super) fn pattern(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    problems: &mut Problems<'_>,
) -> Option<Pattern<Templated>> {
    let text = fields.text(key, problems)?;
    parse_regex(text, &fields.owner, key, problems).map(Pattern)
}
