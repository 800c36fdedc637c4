//! Text of what people should know of a component: notes, owner, runbook, links, labels.

use rta_shared::config::ComponentNotes;
use rta_shared::sanitize::printable;

/// Formats the notes, one fact a line; empty if nothing is noted.
pub(crate) fn component_notes(noted: &ComponentNotes) -> String {
    let mut lines = Vec::new();
    lines.extend(noted.notes.iter().flat_map(|notes| notes.lines()).map(str::to_owned));
    lines.extend(noted.owner.iter().map(|owner| format!("owner: {owner}")));
    lines.extend(noted.runbook.iter().map(|url| format!("runbook: {url}")));
    lines.extend(noted.links.iter().map(|link| format!("{}: {}", link.name, link.url)));
    if !noted.labels.is_empty() {
        let labels: Vec<String> =
            noted.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.push(format!("labels: {}", labels.join(", ")));
    }
    lines.iter().map(|line| format!("{}\n", printable(line))).collect()
}

#[cfg(test)]
mod tests {
    use rta_shared::config::NamedLink;

    use super::*;

    #[test]
    fn notes_are_one_fact_a_line() {
        let noted = ComponentNotes {
            notes: Some("Holds \u{1b}offsets.\nRestart last.".to_owned()),
            owner: Some("team data".to_owned()),
            labels: [("tier", "1"), ("zone", "a")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            runbook: Some("https://wiki.example/kafka".to_owned()),
            links: vec![NamedLink { name: "Graphs".to_owned(), url: "https://graphs.example".to_owned() }],
        };
        assert_eq!(
            component_notes(&noted),
            "Holds \\u{1b}offsets.\nRestart last.\nowner: team data\nrunbook: https://wiki.example/kafka\n\
             Graphs: https://graphs.example\nlabels: tier=1, zone=a\n"
        );
        assert_eq!(component_notes(&ComponentNotes::default()), "");
    }
}
