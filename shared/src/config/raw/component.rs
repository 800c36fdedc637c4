//! Reads one component.

use super::super::fields::{Fields, Value, fields_of};
use super::super::host::Count;
use super::super::source::{At, Problems};
use super::control::{restart, start, stop, wanted};
use super::criterion::criteria;
use super::probe::probe;
use super::texts::template;
use super::{RawComponent, RawDependency, RawPart, named};
use crate::name::{LONGEST, Name};
use crate::text::printable;

pub(super) fn component(mut fields: Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<RawComponent> {
    let name = named(&mut fields, "component", problems);
    let aliases = fields.texts("aliases", problems);
    let parts = parts(&mut fields, problems);
    let container = fields.boolean("container", problems).unwrap_or(false);
    let elements = fields.array("depends_on", problems);
    let depends_on = elements.iter().filter_map(|value| dependency(value, &fields.owner, problems)).collect();
    let start = fields.table("start", problems).and_then(|table| start(table, problems));
    let stop = fields.table("stop", problems).map(|table| stop(table, problems)).unwrap_or_default();
    let probe = fields.table("probe", problems).and_then(|table| probe(table, problems));
    let log = fields.text("log", problems);
    let log = log.and_then(|text| template(text, &fields.owner, "log", problems));
    let restart = restart(&mut fields, problems);
    let wanted = wanted(&mut fields, problems);
    fields.finish(problems);
    Some(RawComponent {
        name: name?,
        aliases,
        parts,
        container,
        depends_on,
        start,
        stop,
        probe,
        log,
        restart,
        wanted,
    })
}

/// Reads the parts, in the short form, `criteria`, or the long one, `[[component.process]]`.
fn parts(fields: &mut Fields<'_, '_>, problems: &mut Problems<'_>) -> Vec<RawPart> {
    let is_short = fields.has("criteria");
    let is_long = fields.has("process");
    let owner = fields.owner.clone();
    if is_short && is_long {
        let message =
            format!("{owner}: it has both \"criteria\" and [[component.process]]; keep one of them");
        problems.report(fields.place, message);
    }
    let short = criteria(fields, !is_long, problems);
    let tables = fields.tables("process", problems);
    if is_long && tables.is_empty() {
        problems.report(fields.place, format!("{owner}: it has no [[component.process]]"));
    }
    let mut parts: Vec<RawPart> =
        tables.into_iter().filter_map(|table| part(table, &owner, problems)).collect();
    if !is_long {
        return vec![RawPart { name: None, criteria: short, count: Count::ONE }];
    }
    if !parts.is_empty() && parts.iter().all(|part| part.count.min == 0) {
        let message = format!("{owner}: one of its processes must be needed, with a \"min\" of at least 1");
        problems.report(fields.place, message);
    }
    let mut names: Vec<Name> = Vec::new();
    parts.retain(|part| {
        let Some(written) = &part.name else { return false };
        let name = Name::from(written.value.as_str());
        let is_new = !names.contains(&name);
        if !is_new {
            let message = format!("{owner}: two of its processes are called \"{name}\"");
            problems.report(written.place, message);
        }
        names.push(name);
        is_new
    });
    parts
}

fn part(mut fields: Fields<'_, '_>, owner: &str, problems: &mut Problems<'_>) -> Option<RawPart> {
    fields.owner = format!("{owner}: process");
    let name = fields.required_text("name", problems);
    if let Some(name) = &name {
        fields.owner = format!("{owner}: process \"{}\"", printable(&name.value));
        if name.value.trim().is_empty() || printable(&name.value) != name.value || name.value.len() > LONGEST
        {
            problems.report(
                name.place,
                format!("{}: a name has 1 to {LONGEST} bytes and no control characters", fields.owner),
            );
        }
    }
    let criteria = criteria(&mut fields, true, problems);
    let count = count(&mut fields, problems);
    fields.finish(problems);
    Some(RawPart { name: Some(name?), criteria, count })
}

/// Reads `count = 2`, or `count = { min = 1, max = 3 }`.
fn count(fields: &mut Fields<'_, '_>, problems: &mut Problems<'_>) -> Count {
    let Some(value) = fields.value("count") else { return Count::ONE };
    let owner = format!("{}: count", fields.owner);
    if !value.value.is_table() {
        let number = fields.integer("count", problems).map(u32::try_from);
        return match number {
            Some(Ok(number @ 1..)) => Count { min: number, max: Some(number) },
            Some(_) => {
                problems.report(value.place, format!("{owner}: it is at least 1, or {{ min = 0, max = 1 }}"));
                Count::ONE
            }
            // Already reported.
            None => Count::ONE,
        };
    }
    let Some(mut table) = fields_of(&value, owner, "count", problems) else { return Count::ONE };
    let mut number = |key, table: &mut Fields<'_, '_>| {
        let written = table.integer(key, problems)?;
        let number = u32::try_from(written).ok();
        if number.is_none() {
            problems.report(value.place, format!("{}: key \"{key}\" cannot be negative", table.owner));
        }
        number
    };
    let min = number("min", &mut table);
    let max = number("max", &mut table);
    let count = Count { min: min.unwrap_or(1), max };
    if max.is_some_and(|max| max < count.min.max(1)) {
        problems.report(value.place, format!("{}: \"max\" is at least 1, and at least \"min\"", table.owner));
    }
    table.finish(problems);
    count
}

fn dependency(value: &Value<'_, '_>, owner: &str, problems: &mut Problems<'_>) -> Option<RawDependency> {
    if let Some(name) = value.value.as_str() {
        let component = At { value: name.to_owned(), place: value.place };
        return Some(RawDependency { component, host: None });
    }
    let mut fields = fields_of(value, owner, "depends_on", problems)?;
    let component = fields.required_text("component", problems);
    let host = fields.text("host", problems);
    fields.finish(problems);
    Some(RawDependency { component: component?, host })
}
