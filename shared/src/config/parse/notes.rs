//! Reads what people should know of a component, and the owner and labels of environments and hosts.

use super::super::fields::TableReader;
use super::super::model::{ComponentNotes, Labels, NamedLink};
use super::super::source::Problems;
use super::texts::template;
use crate::sanitize::printable;
use crate::template::Templated;

/// Maximum length of the notes, in bytes.
const MAX_NOTES_LENGTH: usize = 4096;
/// Maximum length of an owner, of a label's name or value, and of a link's name, in bytes.
const MAX_LENGTH: usize = 255;

/// Reads `notes`, `owner`, `labels`, `runbook` and `links`.
pub(super) fn parse_notes(
    fields: &mut TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> ComponentNotes<Templated> {
    let notes = fields.text("notes", problems).and_then(|text| {
        let is_printable = text.value.lines().all(|line| printable(line) == line);
        if text.value.trim().is_empty() || text.value.len() > MAX_NOTES_LENGTH || !is_printable {
            let sentence = format!(
                "{}: key \"notes\" has 1 to {MAX_NOTES_LENGTH} bytes and no control characters but line ends",
                fields.owner
            );
            problems.report(text.place, sentence);
            return None;
        }
        Some(text.value.trim().to_owned())
    });
    let (owner, labels) = parse_owner_and_labels(fields, problems);
    let runbook = template(fields, "runbook", problems);
    let tables = fields.tables("links", problems);
    let owner_of_links = format!("{}: links", fields.owner);
    let links = tables.into_iter().filter_map(|mut table| {
        table.owner.clone_from(&owner_of_links);
        let name = short_text(&mut table, "name", problems);
        if !table.has("name") {
            table.missing("name", problems);
        }
        if !table.has("url") {
            table.missing("url", problems);
        }
        let url = template(&mut table, "url", problems);
        table.finish(problems);
        Some(NamedLink { name: name?, url: url? })
    });
    ComponentNotes { notes, owner, labels, runbook, links: links.collect() }
}

/// Reads `owner` and `labels`.
pub(super) fn parse_owner_and_labels(
    fields: &mut TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> (Option<String>, Labels) {
    let owner = short_text(fields, "owner", problems);
    let mut labels = Labels::new();
    for (name, value) in fields.text_map("labels", problems) {
        if !is_label_name(&name.value) {
            let (owner, shown) = (&fields.owner, printable(&name.value));
            let sentence = format!(
                "{owner}: labels: \"{shown}\": a name has letters, digits and \"_\", and no digit first"
            );
            problems.report(name.place, sentence);
        } else if !is_short(&value.value) {
            let sentence = format!("{}: labels: \"{}\" {NOT_SHORT}", fields.owner, name.value);
            problems.report(value.place, sentence);
        } else {
            labels.insert(name.value, value.value);
        }
    }
    (owner, labels)
}

const NOT_SHORT: &str = "has 1 to 255 bytes and no control characters";

fn short_text(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let text = fields.text(key, problems)?;
    if !is_short(&text.value) {
        problems.report(text.place, format!("{}: key \"{key}\" {NOT_SHORT}", fields.owner));
        return None;
    }
    Some(text.value)
}

fn is_short(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_LENGTH && printable(text) == text
}

/// Returns true if monitoring systems accept this name of a label too.
fn is_label_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= MAX_LENGTH
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}
