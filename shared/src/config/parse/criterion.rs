//! Reads the criteria that identify a component's processes.

use super::super::fields::{TableReader, TomlValue, reader_of_table};
use super::super::source::Problems;
use super::control::is_unit_name;
use super::texts::parse_template;
use crate::attributes::{AttributeCriterion, UserCriterion};
use crate::criterion::{ArgumentCriterion, Criterion};
use crate::sanitize::printable;
use crate::template::{Located, RegexTemplate, Template, Templated};

/// Attributes that a criterion can test instead of arguments.
const ATTRIBUTES: [&str; 5] = ["user", "executable", "directory", "unit", "parent"];

pub(super) fn parse_criteria(
    fields: &mut TableReader<'_, '_>,
    needed: bool,
    problems: &mut Problems<'_>,
) -> Vec<Criterion<Templated>> {
    let elements = fields.array("criteria", problems);
    if needed && elements.is_empty() {
        problems
            .report(fields.place, format!("{}: key \"criteria\" needs at least one criterion", fields.owner));
    }
    elements.iter().filter_map(|value| criterion(value, &fields.owner, problems)).collect()
}

/// Reads `{ index = 0, regex = 'java' }`, or an attribute: `{ user = "kafka" }`.
fn criterion(
    value: &TomlValue<'_, '_>,
    owner: &str,
    problems: &mut Problems<'_>,
) -> Option<Criterion<Templated>> {
    let mut fields = reader_of_table(value, owner, "criteria", problems)?;
    let attributes: Vec<&'static str> = ATTRIBUTES.into_iter().filter(|key| fields.has(key)).collect();
    let is_on_arguments = fields.has("index") || fields.has("regex");
    if attributes.len() + usize::from(is_on_arguments) > 1 {
        let argument = is_on_arguments.then_some("regex");
        let list: Vec<&str> = argument.into_iter().chain(attributes).collect();
        let sentence = format!(
            "{owner}: a criterion tests one thing, this one has \"{}\"; give each an entry of its own",
            list.join("\", \"")
        );
        problems.report(value.place, sentence);
        return None;
    }
    let Some(key) = attributes.first().copied() else {
        let index = fields.integer("index", problems);
        let text = fields.required_text("regex", problems);
        // Marked as known, so that a misspelt key is reported with the most similar one.
        for key in ATTRIBUTES {
            fields.value(key);
        }
        fields.finish(problems);
        let regex = regex(text?, owner, "regex", problems)?;
        return Some(Criterion::Argument(ArgumentCriterion { index, regex }));
    };
    let text = fields.text(key, problems);
    fields.finish(problems);
    let text = text?;
    Some(Criterion::Attribute(match key {
        "user" => {
            let name = user(text, owner, problems)?;
            AttributeCriterion::User(UserCriterion { name, uid: None, is_implied: false })
        }
        "unit" => AttributeCriterion::Unit(unit(text, owner, problems)?),
        "executable" => AttributeCriterion::Executable(regex(text, owner, key, problems)?),
        "directory" => AttributeCriterion::Directory(regex(text, owner, key, problems)?),
        _ => AttributeCriterion::Parent(regex(text, owner, key, problems)?),
    }))
}

fn user(text: Located<String>, owner: &str, problems: &mut Problems<'_>) -> Option<Located<Template>> {
    if text.value.trim().is_empty() || text.value.contains([':', '\0', '\n']) {
        let shown = printable(&text.value);
        let sentence = format!(
            "{owner}: key \"user\": \"{shown}\" is no user; write a name or a number, for example \"kafka\""
        );
        problems.report(text.place, sentence);
        return None;
    }
    parse_template(text, owner, "user", problems)
}

fn unit(text: Located<String>, owner: &str, problems: &mut Problems<'_>) -> Option<Located<Template>> {
    let is_unit =
        is_unit_name(&text.value) && [".service", ".scope"].iter().any(|end| text.value.ends_with(end));
    // The value of a variable differs between hosts.
    if !is_unit && !text.value.contains("${") {
        let shown = printable(&text.value);
        let sentence = format!(
            "{owner}: key \"unit\": \"{shown}\" is no unit that has processes; write for example \"kafka.service\""
        );
        problems.report(text.place, sentence);
        return None;
    }
    parse_template(text, owner, "unit", problems)
}

fn regex(
    text: Located<String>,
    owner: &str,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<Located<RegexTemplate>> {
    match RegexTemplate::parse(&text.value) {
        Ok(value) => Some(Located { value, place: text.place }),
        Err(reason) => {
            let shown = printable(&text.value);
            problems.report(text.place, format!("{owner}: key \"{key}\": \"{shown}\": {reason}"));
            None
        }
    }
}
