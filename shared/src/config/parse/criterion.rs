//! Reads the criteria that identify a component's processes.

use super::super::fields::{TableReader, TomlValue, reader_of_table};
use super::super::platform::CriterionTemplate;
use super::super::source::{Located, Problems};
use super::control::is_unit_name;
use super::texts::parse_template;
use crate::sanitize::printable;
use crate::template::{RegexTemplate, Template};

/// Attributes that a criterion can test instead of arguments.
const ATTRIBUTES: [&str; 5] = ["user", "executable", "directory", "unit", "parent"];

pub(super) fn parse_criteria(
    fields: &mut TableReader<'_, '_>,
    needed: bool,
    problems: &mut Problems<'_>,
) -> Vec<Located<CriterionTemplate>> {
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
) -> Option<Located<CriterionTemplate>> {
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
        let value = CriterionTemplate::Argument { index, regex: regex.value };
        return Some(Located { value, place: regex.place });
    };
    let text = fields.text(key, problems);
    fields.finish(problems);
    let text = text?;
    let place = text.place;
    let value = match key {
        "user" => CriterionTemplate::User(user(text, owner, problems)?),
        "unit" => CriterionTemplate::Unit(unit(text, owner, problems)?),
        "executable" => CriterionTemplate::Executable(regex(text, owner, key, problems)?.value),
        "directory" => CriterionTemplate::Directory(regex(text, owner, key, problems)?.value),
        _ => CriterionTemplate::Parent(regex(text, owner, key, problems)?.value),
    };
    Some(Located { value, place })
}

fn user(text: Located<String>, owner: &str, problems: &mut Problems<'_>) -> Option<Template> {
    if text.value.trim().is_empty() || text.value.contains([':', '\0', '\n']) {
        let shown = printable(&text.value);
        let sentence = format!(
            "{owner}: key \"user\": \"{shown}\" is no user; write a name or a number, for example \"kafka\""
        );
        problems.report(text.place, sentence);
        return None;
    }
    parse_template(text, owner, "user", problems).map(|template| template.value)
}

fn unit(text: Located<String>, owner: &str, problems: &mut Problems<'_>) -> Option<Template> {
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
    parse_template(text, owner, "unit", problems).map(|template| template.value)
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
