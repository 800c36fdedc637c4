//! Reads the settings of a command's process: environment files, limits, priority.

use super::super::fields::{TableReader, TomlValue, reader_of_table};
use super::super::model::{EnvironmentFile, LimitedResource, ProcessSettings, ResourceLimit};
use super::super::source::Problems;
use super::texts::parse_template;
use crate::sanitize::printable;
use crate::template::{Located, Templated};

/// Keys that this module reads.
pub(super) const KEYS: [&str; 5] = ["environment_file", "umask", "group", "limits", "nice"];

/// Reads `environment_file = "/etc/kafka/env"`, or a list; a `-` before a path makes the file optional, as in
/// systemd.exec(5).
pub(super) fn parse_environment_files(
    fields: &mut TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Vec<EnvironmentFile<Templated>> {
    const KEY: &str = "environment_file";
    let owner = fields.owner.clone();
    let is_one = fields.value(KEY).is_some_and(|value| value.value.is_str());
    let texts = match is_one {
        true => fields.text(KEY, problems).into_iter().collect(),
        false => fields.texts(KEY, problems),
    };
    let file = |text: Located<String>| {
        let (value, is_optional) = match text.value.strip_prefix('-') {
            Some(path) => (path.to_owned(), true),
            None => (text.value, false),
        };
        // The value of a variable is known only on each host.
        if !value.starts_with('/') && !value.starts_with("${") {
            let shown = printable(&value);
            problems.report(text.place, format!("{owner}: key \"{KEY}\": \"{shown}\" is no absolute path"));
            return None;
        }
        let path = parse_template(Located { value, place: text.place }, &owner, KEY, problems)?;
        Some(EnvironmentFile { path, is_optional })
    };
    texts.into_iter().filter_map(file).collect()
}

/// Reads the other keys.
pub(super) fn parse_process_settings(
    fields: &mut TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> ProcessSettings {
    let umask = fields.text("umask", problems).and_then(|text| {
        let is_octal =
            (1..=4).contains(&text.value.len()) && text.value.bytes().all(|byte| byte.is_ascii_digit());
        let mask = u32::from_str_radix(&text.value, 8).ok().filter(|mask| is_octal && *mask <= 0o777);
        if mask.is_none() {
            let (owner, shown) = (&fields.owner, printable(&text.value));
            let sentence = format!(
                "{owner}: key \"umask\": \"{shown}\" is no mask in octal digits; write for example \"0027\""
            );
            problems.report(text.place, sentence);
        }
        mask
    });
    let group = fields.text("group", problems).and_then(|text| {
        if text.value.is_empty() || text.value.contains('\0') {
            problems
                .report(text.place, format!("{}: key \"group\": this is no name of a group", fields.owner));
            return None;
        }
        Some(text.value)
    });
    let nice_at = fields.value("nice").map(|value| value.place);
    let nice = fields.integer("nice", problems);
    if let (Some(place), Some(nice)) = (nice_at, nice)
        && !(-20..=19).contains(&nice)
    {
        let owner = &fields.owner;
        problems.report(place, format!("{owner}: key \"nice\" is from -20, the highest priority, to 19"));
    }
    ProcessSettings { umask, group, limits: limits(fields, problems), nice }
}

fn limits(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Vec<ResourceLimit> {
    let Some(mut table) = fields.table("limits", problems) else { return Vec::new() };
    let mut limits = Vec::new();
    for resource in LimitedResource::ALL {
        let Some(value) = table.value(resource.word()) else { continue };
        let owner = table.owner.clone();
        limits.extend(limit(resource, &value, &owner, problems));
    }
    table.finish(problems);
    limits
}

/// Reads a number, `"unlimited"`, or a table with both limits.
fn limit(
    resource: LimitedResource,
    value: &TomlValue<'_, '_>,
    owner: &str,
    problems: &mut Problems<'_>,
) -> Option<ResourceLimit> {
    if !value.value.is_table() {
        let both = amount(resource, value, owner, problems)?;
        return Some(ResourceLimit { resource, soft: both, hard: both });
    }
    let mut table = reader_of_table(value, format!("{owner}: {resource}"), resource.word(), problems)?;
    for key in ["soft", "hard"] {
        if !table.has(key) {
            table.missing(key, problems);
        }
    }
    let (soft, hard) = (table.value("soft"), table.value("hard"));
    let owner = table.owner.clone();
    table.finish(problems);
    let soft = soft.and_then(|soft| amount(resource, &soft, &owner, problems));
    let hard = hard.and_then(|hard| amount(resource, &hard, &owner, problems));
    let (soft, hard) = (soft?, hard?);
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        problems.report(value.place, format!("{owner}: \"soft\" is at most \"hard\""));
        return None;
    }
    Some(ResourceLimit { resource, soft, hard })
}

/// Reads an integer, or `"unlimited"`, which results in `Some(None)`.
fn amount(
    resource: LimitedResource,
    value: &TomlValue<'_, '_>,
    owner: &str,
    problems: &mut Problems<'_>,
) -> Option<Option<u64>> {
    let amount = match (value.value.as_str(), value.value.as_integer()) {
        (Some("unlimited"), _) => Some(None),
        (_, Some(number)) => u64::from_str_radix(number.as_str(), number.radix()).ok().map(Some),
        _ => None,
    };
    if amount.is_none() {
        let sentence = format!(
            "{owner}: {resource}: this is no limit; write a whole number from 0, \"unlimited\", or \
             {{ soft = 1024, hard = 4096 }}"
        );
        problems.report(value.place, sentence);
    }
    amount
}
