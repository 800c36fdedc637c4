//! Table of all instances.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width};
use jiff::Timestamp;
use rta_shared::overview::{Health, InstanceOverview, Overview};
use rta_shared::process::Process;
use rta_shared::sanitize::printable;

use super::{OutputStyle, health_symbol, instance_notes};

/// Columns. The users' column is left out unless requested.
const HEADER: [&str; 8] = ["ENVIRONMENT", "HOST", "COMPONENT", "STATE", "HEALTH", "PIDS", USERS, "REASON"];
const USERS: &str = "USER";

/// Formats the table of `overview` for the moment `now`; each line ends with a line feed.
pub(crate) fn instance_table(overview: &Overview, style: OutputStyle, now: Timestamp) -> String {
    render_table(overview, style, now, false)
}

/// Formats the [`instance_table`] with a column of the users that the processes run as.
pub(crate) fn instance_table_with_users(overview: &Overview, style: OutputStyle, now: Timestamp) -> String {
    render_table(overview, style, now, true)
}

/// Returns the distinct users that these processes run as, sorted; empty if unknown.
pub(crate) fn process_users(processes: &[Process]) -> Vec<&str> {
    let users = processes.iter().map(|process| process.user.as_str());
    let mut users: Vec<&str> = users.filter(|user| !user.is_empty()).collect();
    users.sort_unstable();
    users.dedup();
    users
}

fn render_table(overview: &Overview, style: OutputStyle, now: Timestamp, has_users: bool) -> String {
    let mut table = Table::new();
    let header: Vec<&str> = HEADER.into_iter().filter(|title| has_users || *title != USERS).collect();
    table.set_header(header.iter().map(|title| match style.colour {
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
    for located in overview.instances() {
        let instance = located.instance;
        let pids: Vec<String> = instance.processes.iter().map(|process| process.id.pid.to_string()).collect();
        // In a pipe, no field is empty, so that columns can be told apart.
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let mut row = vec![
            Cell::new(printable(located.environment.name.as_str())),
            Cell::new(printable(located.host.name.as_str())),
            Cell::new(printable(instance.component.as_str())),
            Cell::new(instance.state.map_or("-", |state| state.word())),
            health_cell(instance, style),
            Cell::new(or_dash(pids.join(","))),
        ];
        if has_users {
            row.push(Cell::new(or_dash(
                printable(&process_users(&instance.processes).join(",")).into_owned(),
            )));
        }
        row.push(Cell::new(or_dash(printable(&remark(instance, now)).into_owned())));
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        // On a narrow terminal, names stay whole and only the reason is wrapped.
        column.set_constraint(match column.index + 1 == header.len() {
            true => ColumnConstraint::LowerBoundary(Width::Fixed(12)),
            false => ColumnConstraint::ContentWidth,
        });
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the reason for the health and additional notes.
fn remark(instance: &InstanceOverview, now: Timestamp) -> String {
    let mut parts = instance_notes::short_notes(instance);
    if !instance.reason.is_empty() {
        parts.insert(0, instance.reason_at(now));
    }
    parts.join("; ")
}

fn health_cell(instance: &InstanceOverview, style: OutputStyle) -> Cell {
    let health = instance.health;
    let cell = match style.terminal {
        true => Cell::new(format!("{} {health}", health_symbol(health))),
        false => Cell::new(health),
    };
    if !style.colour {
        return cell;
    }
    cell.fg(match health {
        Health::Up => Color::Green,
        Health::Degraded => Color::Yellow,
        Health::Unknown => Color::Magenta,
        // Stopped on purpose.
        Health::Down if instance.stopped_by.is_some() => Color::DarkGrey,
        Health::Down => Color::Red,
    })
}

#[cfg(test)]
mod tests {
    use rta_shared::action::{ActionKind, ActionLock, Requester};
    use rta_shared::maintenance::Maintenance;
    use rta_shared::process::ProcessId;
    use rta_shared::report::State;

    use super::*;
    use crate::fake_aggregator::overview_of;

    fn overview(component: &str, reason: &str) -> Overview {
        let instance = InstanceOverview {
            state: Some(State::Stopped),
            reason: reason.to_owned(),
            ..InstanceOverview::new(component, Health::Down)
        };
        overview_of(vec![instance])
    }

    const PIPE: OutputStyle = OutputStyle { terminal: false, colour: false };

    #[test]
    fn a_pipe_gets_one_plain_line_an_instance_however_long() {
        let reason = "because ".repeat(100);
        let text = instance_table(&overview("kafka server", reason.trim()), PIPE, Timestamp::UNIX_EPOCH);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("DEV          h     kafka server  stopped  down    -"))
        );
        assert!(text.contains(reason.trim()) && !text.contains('\u{1b}'));
    }

    #[test]
    fn users_are_listed_once_each_where_they_are_asked_for() {
        let mut shown = overview("kafka server", "x");
        let process = |pid, user: &str| Process {
            user: user.to_owned(),
            ..Process::new(ProcessId { pid, start_ticks: 1 }, 1)
        };
        shown.environments[0].hosts[0].instances[0].processes =
            vec![process(7, "root"), process(8, "kafka\u{1b}"), process(9, "root"), process(10, "")].into();
        let text = instance_table_with_users(&shown, PIPE, Timestamp::UNIX_EPOCH);
        assert!(text.contains("7,8,9,10  kafka\\u{1b},root  x\n"), "{text}");
        assert!(!instance_table(&shown, PIPE, Timestamp::UNIX_EPOCH).contains("root"));
    }

    #[test]
    fn what_is_under_way_and_maintenance_stand_beside_the_reason() {
        let mut shown = overview("kafka server", "not running");
        let by = Requester { user: "ann".to_owned(), address: String::new() };
        let instance = &mut shown.environments[0].hosts[0].instances[0];
        let since = Timestamp::UNIX_EPOCH;
        instance.action = Some(Box::new(ActionLock { kind: ActionKind::Start, by: by.clone(), since }));
        instance.maintenance = Some(Box::new(Maintenance {
            environment: "DEV".into(),
            host: "h".into(),
            component: None,
            since,
            until: None,
            reason: "disks\u{1b}".to_owned(),
            by,
        }));
        assert!(instance_table(&shown, PIPE, Timestamp::UNIX_EPOCH).contains(
            "not running; starting for ann since 00:00:00 UTC; in maintenance: disks\\u{1b} (ann)"
        ));
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let style = OutputStyle { terminal: true, colour: true };
        let text = instance_table(&overview("kafka server", "x"), style, Timestamp::UNIX_EPOCH);
        assert!(text.contains("\u{1b}[") && text.contains("✖ down"));
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        for style in [PIPE, OutputStyle { terminal: true, colour: false }] {
            let text =
                instance_table(&overview("a\u{1b}[31mb", "c\u{202e}\r\nd"), style, Timestamp::UNIX_EPOCH);
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text:?}");
        }
    }
}
