//! Events as lines of text.

use rta_shared::event::Event;
use rta_shared::sanitize::printable;

/// Formats `events` in their order, one per line.
pub(crate) fn event_lines(events: &[Event]) -> String {
    EventTable::default().lines(events)
}

/// Table of events that grows: the widths of its columns never shrink.
#[derive(Debug, Default)]
pub(crate) struct EventTable {
    place_width: usize,
    kind_width: usize,
}

impl EventTable {
    /// Formats further `events` in their order, one per line.
    pub(crate) fn lines(&mut self, events: &[Event]) -> String {
        for event in events {
            self.place_width = self.place_width.max(event_place(event).chars().count());
            self.kind_width = self.kind_width.max(event.kind.word().len());
        }
        let Self { place_width, kind_width } = *self;
        let mut text = String::new();
        for event in events {
            let (at, kind) = (event.at.strftime("%Y-%m-%d %H:%M:%S UTC"), event.kind.word());
            let line = format!(
                "{at}  {kind:kind_width$}  {:place_width$}  {}",
                event_place(event),
                event_text(event)
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Returns the place of an event: as much of the full name as applies; a dash if the
/// event concerns everything.
fn event_place(event: &Event) -> String {
    let parts = [&event.environment, &event.host, &event.component];
    let parts: Vec<&str> = parts.into_iter().flatten().map(|name| name.as_str()).collect();
    match parts.is_empty() {
        true => "-".to_owned(),
        false => printable(&parts.join("/")).into_owned(),
    }
}

fn event_text(event: &Event) -> String {
    let mut what = match (&event.from, &event.to) {
        (Some(from), Some(to)) => format!("{from} -> {to}"),
        (None, Some(to)) => to.clone(),
        (Some(from), None) => format!("no longer {from}"),
        (None, None) => String::new(),
    };
    // The text may include the last lines of a log; here they stay on one line.
    let text = event.text.lines().collect::<Vec<_>>().join(" | ");
    if !text.is_empty() {
        if !what.is_empty() {
            what.push_str(": ");
        }
        what.push_str(&text);
    }
    if let Some(plan) = event.plan {
        what.push_str(&format!(" (plan {plan})"));
    }
    if let Some(by) = &event.by {
        what.push_str(&format!(" (by {by})"));
    }
    printable(&what).into_owned()
}

#[cfg(test)]
mod tests {
    use rta_shared::action::Requester;
    use rta_shared::event::EventKind;

    use super::*;

    #[test]
    fn an_event_is_one_harmless_line() {
        let event = Event {
            id: 1,
            at: "2026-11-25T09:30:00Z".parse().unwrap(),
            kind: EventKind::Health,
            environment: Some("DEV".into()),
            host: Some("h".into()),
            component: Some("kafka server".into()),
            from: Some("up".to_owned()),
            to: Some("down".to_owned()),
            text: "it\u{1b}[2J ended\nlast line".to_owned(),
            by: None,
            plan: None,
            incident: None,
        };
        let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
        let plan = Event {
            kind: EventKind::Plan,
            environment: None,
            host: None,
            component: None,
            from: None,
            to: None,
            text: "begun".to_owned(),
            by: Some(by),
            plan: Some(7),
            ..event.clone()
        };
        assert_eq!(
            event_lines(&[event, plan]),
            "2026-11-25 09:30:00 UTC  health  DEV/h/kafka server  up -> down: it\\u{1b}[2J ended | last line\n\
             2026-11-25 09:30:00 UTC  plan    -                   begun (plan 7) (by ann from 10.0.0.7)\n"
        );
    }
}
