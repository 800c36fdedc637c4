//! Reads one component.

use super::super::fields::{TableReader, TomlValue, reader_of_table};
use super::super::model::{Part, ProcessCount};
use super::super::source::Problems;
use super::control::{parse_restart, parse_start, parse_stop, wanted};
use super::criterion::parse_criteria;
use super::limits::parse_limits;
use super::notes::parse_notes;
use super::probe::parse_probe;
use super::texts::parse_template;
use super::{RawComponent, RawDependency, named};
use crate::name::{MAX_NAME_LENGTH, Name};
use crate::sanitize::printable;
use crate::template::{Located, Templated};

pub(super) fn parse_component(
    mut fields: TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<RawComponent> {
    let name = named(&mut fields, "component", problems);
    let aliases = fields.texts("aliases", problems);
    let mut parts = parts(&mut fields, problems);
    let container = fields.boolean("container", problems).unwrap_or(false);
    for part in &mut parts {
        part.container = container;
    }
    let elements = fields.array("depends_on", problems);
    let depends_on = elements.iter().filter_map(|value| dependency(value, &fields.owner, problems)).collect();
    let start = fields.table("start", problems).and_then(|table| parse_start(table, problems));
    let stop = fields.table("stop", problems).map(|table| parse_stop(table, problems));
    let (stop, stop_by_agent) = stop.unwrap_or_default();
    let probe = fields.table("probe", problems).and_then(|table| parse_probe(table, problems));
    let limits = fields.table("limits", problems).map(|table| parse_limits(table, problems));
    let log = fields.text("log", problems);
    let log = log.and_then(|text| parse_template(text, &fields.owner, "log", problems));
    let notes = parse_notes(&mut fields, problems);
    let restart = parse_restart(&mut fields, problems);
    let wanted = wanted(&mut fields, problems);
    fields.finish(problems);
    Some(RawComponent {
        name: name?,
        aliases,
        parts,
        depends_on,
        start,
        stop,
        stop_by_agent,
        probe,
        limits: limits.unwrap_or_default(),
        notes,
        log,
        restart,
        wanted,
    })
}

/// Reads the parts, in the short form, `criteria`, or the long one, `[[component.process]]`.
fn parts(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Vec<Part<Templated>> {
    let is_short = fields.has("criteria");
    let is_long = fields.has("process");
    let owner = fields.owner.clone();
    if is_short && is_long {
        let message =
            format!("{owner}: it has both \"criteria\" and [[component.process]]; keep one of them");
        problems.report(fields.place, message);
    }
    let short = parse_criteria(fields, !is_long, problems);
    let tables = fields.tables("process", problems);
    if is_long && tables.is_empty() {
        problems.report(fields.place, format!("{owner}: it has no [[component.process]]"));
    }
    let parts: Vec<(Located<Name>, Part<Templated>)> =
        tables.into_iter().filter_map(|table| part(table, &owner, problems)).collect();
    if !is_long {
        return vec![Part { name: None, criteria: short, count: ProcessCount::ONE, container: false }];
    }
    if !parts.is_empty() && parts.iter().all(|(_, part)| part.count.min == 0) {
        let message = format!("{owner}: one of its processes must be needed, with a \"min\" of at least 1");
        problems.report(fields.place, message);
    }
    let mut names: Vec<Name> = Vec::new();
    for (name, _) in &parts {
        if names.contains(&name.value) {
            let message = format!("{owner}: two of its processes are called \"{name}\"");
            problems.report(name.place, message);
        }
        names.push(name.value.clone());
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Reads one part, and returns it with its name.
fn part(
    mut fields: TableReader<'_, '_>,
    owner: &str,
    problems: &mut Problems<'_>,
) -> Option<(Located<Name>, Part<Templated>)> {
    fields.owner = format!("{owner}: process");
    let name = fields.required_text("name", problems);
    if let Some(name) = &name {
        fields.owner = format!("{owner}: process \"{}\"", printable(&name.value));
        if name.value.trim().is_empty()
            || printable(&name.value) != name.value
            || name.value.len() > MAX_NAME_LENGTH
        {
            problems.report(
                name.place,
                format!(
                    "{}: a name has 1 to {MAX_NAME_LENGTH} bytes and no control characters",
                    fields.owner
                ),
            );
        }
    }
    let criteria = parse_criteria(&mut fields, true, problems);
    let count = count(&mut fields, problems);
    fields.finish(problems);
    let name = name?.map(|name| Name::from(name.as_str()));
    let part = Part { name: Some(name.value.clone()), criteria, count, container: false };
    Some((name, part))
}

/// Reads `count = 2`, or `count = { min = 1, max = 3 }`.
fn count(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> ProcessCount {
    let Some(value) = fields.value("count") else { return ProcessCount::ONE };
    let owner = format!("{}: count", fields.owner);
    if !value.value.is_table() {
        let number = fields.integer("count", problems).map(u32::try_from);
        return match number {
            Some(Ok(number @ 1..)) => ProcessCount { min: number, max: Some(number) },
            Some(_) => {
                problems.report(value.place, format!("{owner}: it is at least 1, or {{ min = 0, max = 1 }}"));
                ProcessCount::ONE
            }
            // Already reported.
            None => ProcessCount::ONE,
        };
    }
    let Some(mut table) = reader_of_table(&value, owner, "count", problems) else { return ProcessCount::ONE };
    let mut number = |key, table: &mut TableReader<'_, '_>| {
        let written = table.integer(key, problems)?;
        let number = u32::try_from(written).ok();
        if number.is_none() {
            problems.report(value.place, format!("{}: key \"{key}\" cannot be negative", table.owner));
        }
        number
    };
    let min = number("min", &mut table);
    let max = number("max", &mut table);
    let count = ProcessCount { min: min.unwrap_or(1), max };
    if max.is_some_and(|max| max < count.min.max(1)) {
        problems.report(value.place, format!("{}: \"max\" is at least 1, and at least \"min\"", table.owner));
    }
    table.finish(problems);
    count
}

fn dependency(value: &TomlValue<'_, '_>, owner: &str, problems: &mut Problems<'_>) -> Option<RawDependency> {
    if let Some(name) = value.value.as_str() {
        let component = Located { value: name.to_owned(), place: value.place };
        return Some(RawDependency { component, host: None });
    }
    let mut fields = reader_of_table(value, owner, "depends_on", problems)?;
    let component = fields.required_text("component", problems);
    let host = fields.text("host", problems);
    fields.finish(problems);
    Some(RawDependency { component: component?, host })
}
