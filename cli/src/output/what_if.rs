//! Answer to a what-if as text: the differences, the worst first, and the counts.

use std::fmt::Write as _;

use rta_shared::overview::Health;
use rta_shared::root_cause::counts_sentence;
use rta_shared::sanitize::printable;
use rta_shared::what_if::{HealthChange, WhatIfOverview};

use super::{OutputStyle, TextColour, health_symbol, paint};

/// Formats the differences, one a line, between the assumption and the counts of instances.
pub(crate) fn what_if_text(answer: &WhatIfOverview, style: OutputStyle) -> String {
    let mut text = format!("If {}:\n", printable(&answer.assumption));
    // Writing to a String cannot fail, here and below.
    for change in &answer.changes {
        let _ = writeln!(text, "  {}", change_line(change, style));
    }
    if answer.changes.is_empty() {
        text.push_str("  the health of no instance would change\n");
    }
    for note in &answer.notes {
        let _ = writeln!(text, "note: {}", printable(note));
    }
    let after = answer.overview.counts();
    let mut now = after;
    for change in &answer.changes {
        now.remove(change.after);
        now.add(change.before);
    }
    let _ = writeln!(text, "now: {}; then: {}", counts_sentence(now), counts_sentence(after));
    text
}

/// Formats `✖ down      E/h1/kafka server (now up): stopped`.
fn change_line(change: &HealthChange, style: OutputStyle) -> String {
    let colour = match change.after {
        Health::Up => TextColour::Green,
        Health::Degraded => TextColour::Yellow,
        Health::Unknown => TextColour::Magenta,
        Health::Down => TextColour::Red,
    };
    let word =
        paint(&format!("{} {:9}", health_symbol(change.after), change.after.word()), Some(colour), style);
    let mut line = format!("{word} {} (now {})", printable(&change.instance.to_string()), change.before);
    if !change.reason.is_empty() {
        let _ = write!(line, ": {}", printable(&change.reason));
    }
    line
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::overview::{EnvironmentOverview, HostOverview, InstanceId, InstanceOverview, Overview};
    use rta_shared::snapshot::Snapshot;

    use super::*;

    fn answer(changes: Vec<HealthChange>) -> WhatIfOverview {
        let instances = [("kafka", Health::Down), ("app", Health::Degraded), ("other", Health::Up)];
        let host = HostOverview {
            name: "h".into(),
            role: None,
            health: Health::Down,
            reachable: true,
            scanned_at: None,
            error: None,
            instances: instances
                .map(|(name, health)| Snapshot::new(InstanceOverview::new(name, health)))
                .into(),
            agent: None,
            usage: None,
            maintenance: None,
            impairments: vec![],
        };
        let environment =
            EnvironmentOverview { name: "E".into(), health: Health::Down, hosts: vec![Snapshot::new(host)] };
        WhatIfOverview {
            assumption: "kafka on h were stopped".to_owned(),
            plan: None,
            changes,
            notes: vec!["app on h is assumed to stay\u{1b} as it is".to_owned()],
            overview: Overview {
                generated_at: Timestamp::UNIX_EPOCH,
                environments: vec![Snapshot::new(environment)],
                config_digest: String::new(),
                config_error: None,
                impairments: vec![],
                aliases: vec![],
                leaders: Vec::new(),
            },
        }
    }

    #[test]
    fn differences_come_with_reasons_and_counts() {
        let change = |component: &str, after, reason: &str| HealthChange {
            instance: InstanceId { environment: "E".into(), host: "h".into(), component: component.into() },
            before: Health::Up,
            after,
            reason: reason.to_owned(),
            cause: None,
        };
        let changes = vec![
            change("kafka", Health::Down, "stopped by this what-if"),
            change("app", Health::Degraded, "kafka is down"),
        ];
        let style = OutputStyle { terminal: false, colour: false };
        assert_eq!(
            what_if_text(&answer(changes), style),
            "If kafka on h were stopped:\n\
             \x20 ✖ down      E/h/kafka (now up): stopped by this what-if\n\
             \x20 ▲ degraded  E/h/app (now up): kafka is down\n\
             note: app on h is assumed to stay\\u{1b} as it is\n\
             now: all 3 instances up; then: 1 down, 1 degraded of 3 instances\n"
        );
        let none = what_if_text(&answer(vec![]), style);
        assert!(none.contains("the health of no instance would change\n"), "{none}");
    }
}
