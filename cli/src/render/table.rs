//! Every instance in one table.

use comfy_table::presets::{NOTHING, UTF8_HORIZONTAL_ONLY};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use rta_shared::overview::{Health, Overview};
use rta_shared::text::printable;

use super::{Style, shape};

const HEADER: [&str; 7] = ["ENVIRONMENT", "HOST", "COMPONENT", "STATE", "HEALTH", "PIDS", "REASON"];

/// The table of `overview`; each line ends with a line feed.
pub(crate) fn table(overview: &Overview, style: Style) -> String {
    let mut table = Table::new();
    table.set_header(HEADER.map(|title| match style.colour {
        true => Cell::new(title).add_attribute(Attribute::Bold),
        false => Cell::new(title),
    }));
    if style.terminal {
        table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.force_no_tty();
    }
    if style.colour {
        table.enforce_styling();
    }
    for located in overview.instances() {
        let instance = located.instance;
        let pids: Vec<String> = instance.processes.iter().map(|process| process.id.pid.to_string()).collect();
        // Every field of a pipe holds something, so that columns can be told apart.
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        table.add_row([
            Cell::new(printable(located.environment.name.as_str())),
            Cell::new(printable(located.host.name.as_str())),
            Cell::new(printable(instance.component.as_str())),
            Cell::new(instance.state.map_or("-", |state| state.word())),
            health_cell(instance.health, style),
            Cell::new(or_dash(pids.join(","))),
            Cell::new(or_dash(printable(&instance.reason).into_owned())),
        ]);
    }
    if !style.terminal {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn health_cell(health: Health, style: Style) -> Cell {
    let cell = match style.terminal {
        true => Cell::new(format!("{} {health}", shape(health))),
        false => Cell::new(health),
    };
    if !style.colour {
        return cell;
    }
    cell.fg(match health {
        Health::Up => Color::Green,
        Health::Degraded => Color::Yellow,
        Health::Unknown => Color::Magenta,
        Health::Down => Color::Red,
    })
}
