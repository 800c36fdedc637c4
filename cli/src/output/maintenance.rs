//! Maintenance entries as lines of text.

use rta_shared::maintenance::Maintenance;
use rta_shared::overview::Overview;
use rta_shared::planned_maintenance::{UpcomingMaintenance, local_time};
use rta_shared::sanitize::printable;

/// Returns every maintenance entry in `overview`: of whole hosts and of single instances.
pub(crate) fn maintenance_entries(overview: &Overview) -> Vec<Maintenance> {
    let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    hosts
        .flat_map(|host| {
            let own = host.instances.iter().filter_map(|instance| instance.maintenance.as_deref());
            // An instance also carries its host's maintenance.
            host.maintenance.iter().chain(own.filter(|maintenance| maintenance.component.is_some()))
        })
        .cloned()
        .collect()
}

/// Returns the place of an entry: `DEV/h/kafka server`, or `DEV/h` for a whole host.
pub(crate) fn maintenance_place(maintenance: &Maintenance) -> String {
    let mut place = format!("{}/{}", maintenance.environment, maintenance.host);
    if let Some(component) = &maintenance.component {
        place.push_str(&format!("/{component}"));
    }
    printable(&place).into_owned()
}

/// Formats `DEV/h: in maintenance until 2026-11-25 12:00 UTC: new disks (ann)` and the
/// start of the maintenance.
pub(crate) fn maintenance_line(maintenance: &Maintenance) -> String {
    let since = maintenance.since.strftime("since %Y-%m-%d %H:%M UTC");
    format!("{}: {}, {since}\n", maintenance_place(maintenance), printable(&maintenance.sentence()))
}

/// Formats `3 ITG: every sat 02:00 Europe/Berlin for 2h: patches (ann)` and a line for each of the next windows.
pub(crate) fn planned_lines(upcoming: &UpcomingMaintenance) -> String {
    let UpcomingMaintenance { planned, next, problem } = upcoming;
    let first = format!("{} {}: {}", planned.id, planned.place(), planned.sentence());
    let mut lines = format!("{}\n", printable(&first));
    for window in next {
        let (begin, end) =
            (local_time(window.begin, &planned.time_zone), local_time(window.end, &planned.time_zone));
        lines.push_str(&format!("  from {begin} to {end}\n"));
    }
    if let Some(problem) = problem {
        lines.push_str(&format!("  cannot begin: {}\n", printable(problem)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use rta_shared::action::Requester;

    use super::*;

    #[test]
    fn a_line_says_what_until_when_and_why() {
        let by = Requester { user: "ann".to_owned(), address: String::new() };
        let host = Maintenance {
            environment: "DEV".into(),
            host: "h".into(),
            component: None,
            since: "2026-11-25T09:30:00Z".parse().unwrap(),
            until: Some("2026-11-25T12:00:00Z".parse().unwrap()),
            reason: "new\u{1b} disks".to_owned(),
            by,
        };
        assert_eq!(
            maintenance_line(&host),
            "DEV/h: in maintenance until 2026-11-25 12:00 UTC: new\\u{1b} disks (ann), since 2026-11-25 09:30 UTC\n"
        );
        let instance = Maintenance { component: Some("kafka server".into()), ..host };
        assert_eq!(maintenance_place(&instance), "DEV/h/kafka server");
    }
}
