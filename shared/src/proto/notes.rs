//! Conversions of a component's notes.

use super::{optional, v1};
use crate::config::{ComponentNotes, NamedLink};

impl From<&ComponentNotes> for v1::ComponentNotes {
    fn from(noted: &ComponentNotes) -> Self {
        let ComponentNotes { notes, owner, labels, runbook, links } = noted;
        let labels =
            labels.iter().map(|(name, value)| v1::NoteLabel { name: name.clone(), value: value.clone() });
        let links = links.iter().map(|link| v1::NoteLink { name: link.name.clone(), url: link.url.clone() });
        Self {
            notes: notes.clone().unwrap_or_default(),
            owner: owner.clone().unwrap_or_default(),
            labels: labels.collect(),
            runbook: runbook.clone().unwrap_or_default(),
            links: links.collect(),
        }
    }
}

impl From<v1::ComponentNotes> for ComponentNotes {
    fn from(noted: v1::ComponentNotes) -> Self {
        let v1::ComponentNotes { notes, owner, labels, runbook, links } = noted;
        Self {
            notes: optional(notes),
            owner: optional(owner),
            labels: labels.into_iter().map(|label| (label.name, label.value)).collect(),
            runbook: optional(runbook),
            links: links.into_iter().map(|link| NamedLink { name: link.name, url: link.url }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_the_wire() {
        let noted = ComponentNotes {
            notes: Some("first line\nsecond".to_owned()),
            owner: Some("team data".to_owned()),
            labels: [("tier".to_owned(), "1".to_owned())].into_iter().collect(),
            runbook: Some("https://wiki.example/a".to_owned()),
            links: vec![NamedLink { name: "graphs".to_owned(), url: "https://graphs.example".to_owned() }],
        };
        assert_eq!(ComponentNotes::from(v1::ComponentNotes::from(&noted)), noted);
        assert!(ComponentNotes::from(v1::ComponentNotes::default()).is_empty());
    }
}
