//! One entry of the audit log. Pure.

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use serde::Serialize;

/// Entry of the audit log. Keys without a value are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct AuditEntry {
    pub(super) time: Timestamp,
    /// Kind of the event, or `refusal`.
    pub(super) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) who: Option<String>,
    /// Address, or `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// `ENVIRONMENT/HOST/COMPONENT`, as far as it is known; of a refusal the method and the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plan: Option<u64>,
    /// Number of the event in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<u64>,
    /// Sentence.
    pub(super) text: String,
}

/// Refused request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Name as proved; `None`: nothing was proved.
    pub(crate) who: Option<String>,
    /// Address; empty if it is not known.
    pub(crate) from: String,
    /// Method and path.
    pub(crate) target: String,
    /// Reason, as a sentence.
    pub(crate) reason: String,
}

impl AuditEntry {
    /// Creates the entry of an event; `None` for kinds that nobody has caused.
    pub(super) fn of_event(event: &Event) -> Option<Self> {
        match event.kind {
            EventKind::Plan
            | EventKind::Step
            | EventKind::Maintenance
            | EventKind::Config
            | EventKind::SignIn
            | EventKind::Autostart
            | EventKind::Aggregator => {}
            EventKind::Health | EventKind::Host | EventKind::Notification => return None,
        }
        let names: Vec<&str> = [&event.environment, &event.host, &event.component]
            .into_iter()
            .flatten()
            .map(|name| name.as_str())
            .collect();
        let by = event.by.as_ref();
        let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
        Some(Self {
            time: event.at,
            what: event.kind.word().to_owned(),
            who: by.and_then(|by| filled(&by.user)),
            from: by.and_then(|by| filled(&by.address)),
            target: (!names.is_empty()).then(|| names.join("/")),
            outcome: event.to.clone(),
            plan: event.plan,
            event: Some(event.id).filter(|id| *id != 0),
            text: event.text.clone(),
        })
    }

    /// Creates the entry of a refused request.
    pub(super) fn of_refusal(refusal: Refusal, time: Timestamp) -> Self {
        let Refusal { who, from, target, reason } = refusal;
        Self {
            who,
            from: Some(from).filter(|from| !from.is_empty()),
            target: Some(target),
            outcome: Some("refused".to_owned()),
            ..Self::of_text("refusal", reason, time)
        }
    }

    /// Creates the entry of refusals of which only the number is written.
    pub(super) fn of_many_refusals(count: u64, time: Timestamp) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let text =
            format!("{} in the last minutes are not written one by one", counted(count, "further refusal"));
        Self { outcome: Some("refused".to_owned()), ..Self::of_text("refusal", text, time) }
    }

    /// Creates the entry of lost entries.
    pub(super) fn of_lost(count: u64, time: Timestamp) -> Self {
        let noun = if count == 1 { "entry" } else { "entries" };
        let text = format!("{count} {noun} before this one could not be written");
        Self { outcome: Some("lost".to_owned()), ..Self::of_text("audit", text, time) }
    }

    fn of_text(what: &str, text: String, time: Timestamp) -> Self {
        Self {
            time,
            what: what.to_owned(),
            who: None,
            from: None,
            target: None,
            outcome: None,
            plan: None,
            event: None,
            text,
        }
    }

    /// Returns the entry as one line of JSON, without an end of line.
    pub(super) fn to_json(&self) -> String {
        // Texts and numbers always have a form in JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::action::Requester;

    use super::*;

    #[test]
    fn entry_says_who_did_what_from_where() {
        let event = Event {
            id: 9,
            environment: Some("ITG".into()),
            host: Some("h1".into()),
            component: Some("kafka".into()),
            to: Some("under way".to_owned()),
            by: Some(Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() }),
            plan: Some(7),
            ..Event::new(
                Timestamp::UNIX_EPOCH,
                EventKind::Plan,
                "stop of kafka on h1: 1 step\nand \"more\"".to_owned(),
            )
        };
        assert_eq!(
            AuditEntry::of_event(&event).unwrap().to_json(),
            r#"{"time":"1970-01-01T00:00:00Z","what":"plan","who":"ann","from":"10.0.0.7","target":"ITG/h1/kafka","outcome":"under way","plan":7,"event":9,"text":"stop of kafka on h1: 1 step\nand \"more\""}"#
        );
        let health = Event::new(Timestamp::UNIX_EPOCH, EventKind::Health, String::new());
        assert_eq!(AuditEntry::of_event(&health), None);
    }

    #[test]
    fn refusal_has_its_reason() {
        let refusal = Refusal {
            who: Some("bob".to_owned()),
            from: "10.0.0.8".to_owned(),
            target: "POST /stop".to_owned(),
            reason: "bob may look, and not act".to_owned(),
        };
        let entry = AuditEntry::of_refusal(refusal, Timestamp::UNIX_EPOCH);
        assert_eq!((entry.what.as_str(), entry.outcome.as_deref()), ("refusal", Some("refused")));
        assert!(AuditEntry::of_lost(1, Timestamp::UNIX_EPOCH).text.starts_with("1 entry before"));
    }
}
