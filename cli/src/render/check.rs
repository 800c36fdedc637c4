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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::overview::{EnvironmentOverview, HostOverview, InstanceOverview};

    use super::*;

    fn overview(healths: &[Health]) -> Overview {
        let instance = |health: &Health| InstanceOverview {
            component: "a|b".into(),
            state: None,
            health: *health,
            processes: vec![],
            reason: String::new(),
            cause: None,
            startable: false,
            parts: vec![],
            probe: None,
            action: None,
            unit: None,
            autostart: None,
            maintenance: None,
            has_log: false,
        };
        let host = HostOverview {
            name: "h".into(),
            role: None,
            health: Health::Up,
            reachable: true,
            scanned_at: None,
            error: None,
            instances: healths.iter().map(instance).collect(),
            agent: None,
            usage: None,
            maintenance: None,
        };
        let environment = EnvironmentOverview { name: "DEV".into(), health: Health::Up, hosts: vec![host] };
        Overview {
            generated_at: Timestamp::UNIX_EPOCH,
            environments: vec![environment],
            config_digest: String::new(),
            config_error: None,
            record_error: None,
        }
    }

    #[test]
    fn exit_codes_are_those_of_nagios_plugins() {
        use Health::{Degraded, Down, Unknown, Up};
        let rows: [(&[Health], u8, &str); 6] = [
            (&[Up, Up], 0, "RTA OK - 2 instances up | up=2 degraded=0 unknown=0 down=0"),
            (&[Up, Degraded], 1, "RTA WARNING - "),
            (&[Degraded, Unknown], 3, "RTA UNKNOWN - "),
            (&[Unknown, Down], 2, "RTA CRITICAL - "),
            (
                &[Down, Up],
                2,
                "RTA CRITICAL - 1 down of 2 instances: a/b on DEV/h is down | up=1 degraded=0 unknown=0 down=1",
            ),
            (&[], 3, "RTA UNKNOWN - nothing to watch"),
        ];
        for (healths, code, begin) in rows {
            let (found, line) = check(&overview(healths));
            assert_eq!(found, code, "{line}");
            assert!(line.starts_with(begin), "{line}");
            assert_eq!(line.matches('|').count(), 1, "{line}");
        }
    }

    #[test]
    fn many_causes_stay_one_line() {
        let (_, line) = check(&overview(&[Health::Down; 40]));
        assert!(line.contains("; and 35 more |") && !line.contains('\n'), "{line}");
    }
}
