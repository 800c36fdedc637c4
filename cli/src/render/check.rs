//! The one line of a Nagios plugin: status, text, performance data
//! (<https://nagios-plugins.org/doc/guidelines.html>).

use rta_shared::overview::{Counts, Health, Overview};
use rta_shared::text::{counted, printable};
use rta_shared::trouble::{Trouble, troubles, verdict};

/// Nagios shows about this much of a line.
const CAUSES: usize = 5;

/// The line and the exit code for `overview`. A certain failure is critical; else what is not known is
/// unknown; else what is degraded is a warning.
pub(crate) fn check(overview: &Overview) -> (u8, String) {
    let counts = overview.counts();
    let (code, word) = match counts.worst() {
        Some(Health::Up) => (0, "OK"),
        Some(Health::Degraded) => (1, "WARNING"),
        Some(Health::Down) => (2, "CRITICAL"),
        Some(Health::Unknown) | None => (3, "UNKNOWN"),
    };
    let troubles = troubles(overview);
    let text = match counts.worst() {
        Some(Health::Up) => format!("{} up", counted(counts.total(), "instance")),
        _ => {
            let mut causes: Vec<String> = troubles.iter().take(CAUSES).map(cause).collect();
            if troubles.len() > CAUSES {
                causes.push(format!("and {} more", troubles.len() - CAUSES));
            }
            format!("{}: {}", verdict(counts), causes.join("; "))
        }
    };
    (code, format!("RTA {word} - {} | {}", one_field(&text), performance(counts)))
}

/// The line for an aggregator that cannot be asked.
pub(crate) fn unknown(reason: &str) -> String {
    format!("RTA UNKNOWN - {}", one_field(reason))
}

fn cause(trouble: &Trouble<'_>) -> String {
    let place = format!("{}/{}", trouble.environment.name, trouble.host.name);
    match trouble.instance {
        Some(instance) => format!("{} on {place} is {}", instance.component, instance.health),
        None => format!("host {place} is unknown"),
    }
}

/// A bar would begin the performance data, a line feed the long text.
fn one_field(text: &str) -> String {
    printable(text).replace('|', "/")
}

fn performance(counts: Counts) -> String {
    let parts: Vec<String> =
        Health::ALL.iter().map(|health| format!("{health}={}", counts.of(*health))).collect();
    parts.join(" ")
}
