//! Incidents as lines of text.

use std::fmt::Write as _;

use rta_shared::format::{counted, elapsed, joined_first};
use rta_shared::incident::{Incident, IncidentDetails};
use rta_shared::sanitize::printable;

use super::events::event_lines;
use super::{OutputStyle, TextColour, paint};

/// Maximum number of names that are written of a list.
const MAX_NAMED: usize = 10;
/// Form of times.
const TIME: &str = "%Y-%m-%d %H:%M:%S UTC";

/// Formats `incidents` in their order, one per line.
pub(crate) fn incident_lines(incidents: &[Incident], style: OutputStyle) -> String {
    let id_width = incidents.iter().map(|incident| incident.id.to_string().len()).max().unwrap_or(0);
    let state_width = incidents.iter().map(|incident| state(incident).len()).max().unwrap_or(0);
    let mut text = String::new();
    for incident in incidents {
        let state = format!("{:state_width$}", state(incident));
        let colour = incident.is_open().then_some(TextColour::Red);
        let mut line = format!(
            "{:>id_width$}  {}  {}  {}",
            incident.id,
            incident.begun_at.strftime(TIME),
            paint(&state, colour, style),
            printable(&incident.text)
        );
        for fact in facts(incident) {
            let _ = write!(line, "; {}", printable(&fact));
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Returns `open`, or how long the incident lasted.
fn state(incident: &Incident) -> String {
    match incident.ended_at {
        Some(end) => format!("for {}", elapsed(incident.begun_at, end)),
        None => "open".to_owned(),
    }
}

fn facts(incident: &Incident) -> Vec<String> {
    let mut facts = Vec::new();
    if incident.affected > 0 {
        facts.push(format!("{} affected", counted(incident.affected, "instance")));
    }
    if incident.begins > 1 {
        facts.push(format!("began {} times", incident.begins));
    }
    if !incident.persons.is_empty() {
        facts.push(format!("acted: {}", incident.persons.join(", ")));
    }
    if incident.notifications > 0 {
        let count = usize::try_from(incident.notifications).unwrap_or(usize::MAX);
        facts.push(counted(count, "notification"));
    }
    facts
}

/// Formats one incident: its facts, then its events.
pub(crate) fn incident_details(details: &IncidentDetails, style: OutputStyle) -> String {
    let incident = &details.incident;
    let mut rows = vec![("begin", incident.begun_at.strftime(TIME).to_string())];
    rows.push(match incident.ended_at {
        None => ("end", paint("open", Some(TextColour::Red), style)),
        Some(end) => {
            let span = elapsed(incident.begun_at, end);
            let note = incident.end_note.as_ref().map(|note| format!(": {}", printable(note)));
            ("end", format!("{}, after {span}{}", end.strftime(TIME), note.unwrap_or_default()))
        }
    });
    if let Some(earlier) = &incident.began_as {
        rows.push(("began as", earlier.clone()));
    }
    if incident.begins > 1 {
        rows.push(("began", format!("{} times", incident.begins)));
    }
    let causes = joined_first(MAX_NAMED, &incident.causes, ", ");
    rows.push((if incident.causes.len() == 1 { "root cause" } else { "root causes" }, causes));
    rows.push(("affected", affected(incident)));
    if !incident.persons.is_empty() {
        rows.push(("acted", incident.persons.join(", ")));
    }
    if !incident.plans.is_empty() {
        let plans: Vec<String> = incident.plans.iter().map(ToString::to_string).collect();
        rows.push((if plans.len() == 1 { "plan" } else { "plans" }, plans.join(", ")));
    }
    rows.push(("notifications", incident.notifications.to_string()));
    let mut text = format!("Incident {}: {}\n", incident.id, printable(&incident.text));
    for (title, value) in rows {
        let value = if title == "end" { value } else { printable(&value).into_owned() };
        let _ = writeln!(text, "  {title:13}  {value}");
    }
    if details.is_truncated {
        let _ = writeln!(text, "The newest events; all: rta events --incident {} -n 10000", incident.id);
    }
    text.push_str(&event_lines(&details.events));
    text
}

fn affected(incident: &Incident) -> String {
    if incident.affected == 0 {
        return "nothing else".to_owned();
    }
    let mut text = format!("{}: ", counted(incident.affected, "instance"));
    let names: Vec<String> =
        incident.affected_instances.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    text.push_str(&names.join(", "));
    let more = incident.affected.saturating_sub(names.len());
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;
    use rta_shared::event::{Event, EventKind};
    use rta_shared::incident::IncidentKind;
    use rta_shared::overview::InstanceId;
    use rta_shared::root_cause::CauseId;

    use super::*;

    const PIPE: OutputStyle = OutputStyle { terminal: false, colour: false };

    pub(crate) fn incident(id: u64) -> Incident {
        let cause =
            CauseId { environment: "E".into(), host: "h".into(), component: Some("kafka server".into()) };
        let affected =
            |name: &str| InstanceId { environment: "E".into(), host: "s".into(), component: name.into() };
        Incident {
            id,
            kind: IncidentKind::Plan,
            text: "stop of kafka server on h by ann (plan 3)".to_owned(),
            began_as: None,
            begun_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            end_note: None,
            begins: 1,
            causes: vec![cause],
            affected: 2,
            affected_instances: vec![affected("detector"), affected("writer\u{1b}")],
            plans: vec![3],
            persons: vec!["ann".to_owned()],
            notifications: 1,
        }
    }

    #[test]
    fn an_incident_is_one_harmless_line() {
        let over = Incident {
            ended_at: Some(Timestamp::from_second(90).unwrap()),
            text: "kafka\u{1b} is down".to_owned(),
            begins: 3,
            affected: 0,
            persons: vec![],
            notifications: 0,
            ..incident(12)
        };
        assert_eq!(
            incident_lines(&[incident(7), over], PIPE),
            " 7  1970-01-01 00:00:00 UTC  open       stop of kafka server on h by ann (plan 3); 2 instances affected; \
             acted: ann; 1 notification\n\
             12  1970-01-01 00:00:00 UTC  for 1 min  kafka\\u{1b} is down; began 3 times\n"
        );
    }

    #[test]
    fn details_are_facts_and_events() {
        let event = Event::new(Timestamp::UNIX_EPOCH, EventKind::Health, "kafka is down".to_owned());
        let details = IncidentDetails {
            incident: Incident {
                ended_at: Some(Timestamp::from_second(90).unwrap()),
                end_note: Some("rta was away".to_owned()),
                ..incident(7)
            },
            events: vec![event],
            is_truncated: false,
        };
        assert_eq!(
            incident_details(&details, PIPE),
            "Incident 7: stop of kafka server on h by ann (plan 3)\n\
             \x20 begin          1970-01-01 00:00:00 UTC\n\
             \x20 end            1970-01-01 00:01:30 UTC, after 1 min: rta was away\n\
             \x20 root cause     kafka server on h (E)\n\
             \x20 affected       2 instances: E/s/detector, E/s/writer\\u{1b}\n\
             \x20 acted          ann\n\
             \x20 plan           3\n\
             \x20 notifications  1\n\
             1970-01-01 00:00:00 UTC  health  -  kafka is down\n"
        );
    }
}
