//! Table of the processes that could become components.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Table, Width};
use rta_shared::format::rough_duration;
use rta_shared::sanitize::printable;
use serde_json::{Value, json};

use super::OutputStyle;

const HEADER: [&str; 5] = ["PID", "AGE", "LISTENS", "WHAT", "COMMAND"];
/// Maximum length of a shown main class or program, in characters.
const MAX_WHAT_CHARS: usize = 60;

/// Process that could become a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceCandidate {
    pub(crate) pid: u32,
    /// Seconds since its start.
    pub(crate) age: u64,
    /// Listening ports, such as `9092`, or `127.0.0.1:9092` if bound to one address; `None`
    /// if they cannot be read.
    pub(crate) listens: Option<Vec<String>>,
    /// Main class, script or program.
    pub(crate) what: String,
    /// Command that learns the process.
    pub(crate) command: String,
}

impl ServiceCandidate {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "pid": self.pid, "age_seconds": self.age, "listens": self.listens, "what": self.what,
            "command": self.command,
        })
    }
}

/// Formats the table; each line ends with a line feed.
pub(crate) fn candidate_table(candidates: &[ServiceCandidate], style: OutputStyle) -> String {
    let mut table = Table::new();
    table.set_header(HEADER.map(|title| match style.colour {
        true => Cell::new(title).add_attribute(Attribute::Bold),
        false => Cell::new(title),
    }));
    table.load_style(NOTHING);
    if style.terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    }
    if style.colour {
        table.enforce_styling();
    }
    for candidate in candidates {
        let listens = match &candidate.listens {
            None => "?".to_owned(),
            Some(none) if none.is_empty() => "-".to_owned(),
            Some(some) => some.join(","),
        };
        let mut what: String = candidate.what.chars().take(MAX_WHAT_CHARS).collect();
        if candidate.what.chars().nth(MAX_WHAT_CHARS).is_some() {
            what.push('…');
        }
        table.add_row([
            candidate.pid.to_string(),
            // In a pipe, every field is a single word if possible.
            rough_duration(candidate.age).replace(' ', ""),
            listens,
            printable(&what).into_owned(),
            candidate.command.clone(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        // The command stays in one piece; listening addresses and the program may be wrapped.
        column.set_constraint(match HEADER.get(column.index) {
            Some(&("LISTENS" | "WHAT")) => ColumnConstraint::LowerBoundary(Width::Fixed(12)),
            _ => ColumnConstraint::ContentWidth,
        });
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(what: &str, listens: Option<&[&str]>) -> ServiceCandidate {
        ServiceCandidate {
            pid: 42,
            age: 7300,
            listens: listens.map(|list| list.iter().map(|one| (*one).to_owned()).collect()),
            what: what.to_owned(),
            command: "rta learn 42".to_owned(),
        }
    }

    #[test]
    fn a_pipe_gets_one_plain_line_a_process() {
        let list = [
            candidate("kafka.Kafka", Some(&["9092", "127.0.0.1:9999"])),
            candidate("a\u{1b}[31m\u{202e}", None),
            candidate("x", Some(&[])),
        ];
        let text = candidate_table(&list, OutputStyle { terminal: false, colour: false });
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], HEADER);
        assert_eq!(lines[1], ["42", "2h", "9092,127.0.0.1:9999", "kafka.Kafka", "rta", "learn", "42"]);
        assert_eq!((lines[2][2], lines[3][2]), ("?", "-"));
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
    }
}
