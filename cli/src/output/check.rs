//! Output of a Nagios plugin: status, text, performance data
//! (<https://nagios-plugins.org/doc/guidelines.html>).

use std::collections::HashSet;

use jiff::Timestamp;
use rta_shared::format::counted;
use rta_shared::impairment::ImpairedPart;
use rta_shared::overview::{Health, HealthCounts, InstanceId, LocatedInstance, Overview};
use rta_shared::root_cause::{RootCause, counts_sentence, find_root_causes};
use rta_shared::sanitize::printable;

use crate::thresholds::{AlertRange, AlertThresholds};

/// Maximum number of causes in the text: Nagios shows about this much of a line.
const MAX_CAUSES: usize = 5;
/// Exit codes of plugins, with their words.
const OK: (u8, &str) = (0, "OK");
const WARNING: (u8, &str) = (1, "WARNING");
const CRITICAL: (u8, &str) = (2, "CRITICAL");
const UNKNOWN: (u8, &str) = (3, "UNKNOWN");

/// Returns the exit code and the output for `overview`. Down is critical; otherwise unknown is unknown;
/// otherwise degraded is a warning. Instances stopped on purpose by a plan are at most a warning. A health
/// with `thresholds` is judged by them alone. Instances in `suppressed_instances` raise no alert: they are in
/// maintenance or affected by it, and are counted separately. With `verbose`, a line for each root cause
/// follows.
pub(crate) fn plugin_output(
    overview: &Overview,
    quiet: &HashSet<InstanceId>,
    thresholds: &AlertThresholds,
    verbose: bool,
) -> (u8, String) {
    let (silent, loud): (Vec<_>, Vec<_>) =
        overview.instances().partition(|located| quiet.contains(&located.id()));
    let maintained = silent.iter().filter(|located| located.instance.maintenance.is_some()).count();
    let counts: HealthCounts = loud.iter().map(|located| located.instance.health).collect();
    // An instance stopped on purpose is not a failure, but must not be forgotten either.
    let is_meant = |located: &&LocatedInstance<'_>| {
        located.instance.health == Health::Down && located.instance.stopped_by.is_some()
    };
    let meant = loud.iter().filter(is_meant).count();
    let without_meant = worst_status(HealthCounts { down: counts.down - meant, ..counts }, thresholds);
    let (code, word) = match counts.worst() {
        None if silent.is_empty() => UNKNOWN,
        _ if without_meant == OK && worst_status(counts, thresholds) != OK => WARNING,
        _ => without_meant,
    };
    let root_causes: Vec<RootCause<'_>> =
        find_root_causes(overview).into_iter().filter(|trouble| trouble.maintenance().is_none()).collect();
    // The aggregator's clock, because this machine's may differ.
    let reported = |trouble: &RootCause<'_>| cause_sentence(trouble, overview.generated_at);
    let text = match counts.worst() {
        Some(Health::Up) => format!("{} up", counted(counts.total(), "instance")),
        None if !silent.is_empty() => "nothing else to watch".to_owned(),
        _ => {
            let mut causes: Vec<String> = root_causes.iter().take(MAX_CAUSES).map(reported).collect();
            if root_causes.len() > MAX_CAUSES {
                causes.push(format!("and {} more", root_causes.len() - MAX_CAUSES));
            }
            format!("{}: {}", counts_sentence(counts), causes.join("; "))
        }
    };
    let impairments = sorted_impairments(overview);
    // If monitoring itself is blind, nothing else counts; any other impairment is at least a warning.
    let (code, word) = match impairments.first() {
        Some((part, _)) if part.blinds() => CRITICAL,
        Some(_) if code == 0 => WARNING,
        _ => (code, word),
    };
    let mut text =
        impairments.iter().take(MAX_CAUSES).fold(text, |text, (_, message)| format!("{text}; {message}"));
    if impairments.len() > MAX_CAUSES {
        text.push_str(&format!("; and {} more impaired", impairments.len() - MAX_CAUSES));
    }
    let apart =
        maintenance_note(maintained, silent.iter().filter(|located| located.instance.maintenance.is_none()));
    let performance = performance_data(overview, maintained, thresholds);
    let mut lines = format!("RTA {word} - {}{apart} | {performance}", escape_field(&text));
    if verbose {
        for trouble in &root_causes {
            lines.push('\n');
            lines.push_str(&escape_field(&reported(trouble)));
        }
    }
    (code, lines)
}

/// Returns the most severe status over all health counts.
fn worst_status(counts: HealthCounts, thresholds: &AlertThresholds) -> (u8, &'static str) {
    let verdicts = Health::ALL.map(|health| {
        let count = counts.of(health);
        let (warning, critical) = thresholds.ranges_of(health);
        // Counts fit into u32: no platform has that many instances.
        let alerts = |range: Option<&AlertRange>| {
            range.is_some_and(|range| range.alerts(f64::from(u32::try_from(count).unwrap_or(u32::MAX))))
        };
        match health {
            _ if alerts(critical) => CRITICAL,
            _ if alerts(warning) => WARNING,
            _ if thresholds.has_threshold(health) || count == 0 => OK,
            Health::Up => OK,
            Health::Degraded => WARNING,
            Health::Unknown => UNKNOWN,
            Health::Down => CRITICAL,
        }
    });
    [CRITICAL, UNKNOWN, WARNING].into_iter().find(|verdict| verdicts.contains(verdict)).unwrap_or(OK)
}

/// Returns the impairments of the aggregator and its agents, the most severe first.
fn sorted_impairments(overview: &Overview) -> Vec<(ImpairedPart, String)> {
    let mut all: Vec<_> = overview.impairments.iter().map(|one| (one.part, one.message.clone())).collect();
    for environment in &overview.environments {
        for host in &environment.hosts {
            let place = format!("{}/{}", environment.name, host.name);
            let of_host = host.impairments.iter();
            all.extend(of_host.map(|one| (one.part, format!("{place}: {}", one.message))));
        }
    }
    // The sort is stable: for the same part, the aggregator's impairments come first.
    all.sort_by_key(|(part, _)| *part);
    all
}

/// Formats ` (2 in maintenance, 3 degraded by maintenance)`; empty if there are none.
fn maintenance_note<'o>(
    maintained: usize,
    affected: impl Iterator<Item = &'o LocatedInstance<'o>>,
) -> String {
    let affected: HealthCounts = affected.map(|located| located.instance.health).collect();
    let mut parts = Vec::new();
    if maintained > 0 {
        parts.push(format!("{maintained} in maintenance"));
    }
    for health in [Health::Unknown, Health::Degraded] {
        if affected.of(health) > 0 {
            parts.push(format!("{} {health} by maintenance", affected.of(health)));
        }
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// Returns the output for an aggregator that does not answer.
pub(crate) fn unknown_output(reason: &str) -> String {
    format!("RTA UNKNOWN - {}", escape_field(reason))
}

fn cause_sentence(trouble: &RootCause<'_>, now: Timestamp) -> String {
    let place = format!("{}/{}", trouble.environment.name, trouble.host.name);
    match trouble.instance {
        Some(instance) => {
            let why = match &instance.stopped_by {
                Some(stop) => format!(", {}", stop.sentence(now)),
                None => instance.stop_explanation(now).map(|why| format!(" ({why})")).unwrap_or_default(),
            };
            format!("{} on {place} is {}{why}", instance.component, instance.health)
        }
        None => format!("host {place} is unknown"),
    }
}

/// Removes characters with a meaning to Nagios: a bar starts the performance data, a line feed the long text.
fn escape_field(text: &str) -> String {
    printable(text).replace('|', "/")
}

/// Formats the performance data. Every instance is counted once: as in maintenance, or by its health.
/// Thresholds follow their number.
fn performance_data(overview: &Overview, maintained: usize, thresholds: &AlertThresholds) -> String {
    let all = overview.instances().filter(|located| located.instance.maintenance.is_none());
    let counts: HealthCounts = all.map(|located| located.instance.health).collect();
    let parts = Health::ALL.iter().map(|health| {
        let text = |range: Option<&AlertRange>| range.map(ToString::to_string).unwrap_or_default();
        let count = counts.of(*health);
        match thresholds.ranges_of(*health) {
            (None, None) => format!("{health}={count}"),
            (warning, critical) => format!("{health}={count};{};{}", text(warning), text(critical)),
        }
    });
    parts.chain([format!("maintenance={maintained}")]).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use rta_shared::action::Requester;
    use rta_shared::down_cause::{DownCause, DownKind};
    use rta_shared::impairment::Impairment;
    use rta_shared::maintenance::Maintenance;
    use rta_shared::overview::InstanceOverview;
    use rta_shared::planned_stop::PlannedStop;
    use rta_shared::root_cause::suppressed_instances;

    use super::*;
    use crate::fake_aggregator::overview_of;

    fn check(overview: &Overview, quiet: &HashSet<InstanceId>) -> (u8, String) {
        super::plugin_output(overview, quiet, &AlertThresholds::default(), false)
    }

    #[test]
    fn thresholds_judge_their_number_and_stand_in_the_performance_data() {
        use Health::{Degraded, Down, Unknown, Up};
        type Given = &'static [&'static str];
        let rows: [(&[Health], Given, Given, u8, &str); 9] = [
            (&[Down, Up], &["0"], &["1"], 1, "down=1;0;1 "),
            (&[Down, Down], &["0"], &["1"], 2, "down=2;0;1 "),
            (&[Down, Up], &[], &["1"], 0, "down=1;;1 "),
            (&[Degraded, Up], &["degraded=1"], &[], 0, "degraded=1;1; "),
            (&[Degraded, Up], &[], &["degraded=0"], 2, "degraded=1;;0 "),
            (&[Unknown, Degraded], &["unknown=5"], &[], 1, "unknown=1;5; "),
            (&[Up], &[], &["up=2:"], 2, "up=1;;2: "),
            (&[Unknown, Down], &["0"], &["5"], 3, "down=1;0;5 "),
            (&[Up, Up], &["@2"], &[], 1, "down=0;@2; "),
        ];
        for (healths, warning, critical, code, data) in rows {
            let parse = |given: &[&str]| given.iter().map(|given| given.parse().unwrap()).collect();
            let thresholds = AlertThresholds { warning: parse(warning), critical: parse(critical) };
            let (found, line) = super::plugin_output(&overview(healths), &HashSet::new(), &thresholds, false);
            assert!(found == code && line.contains(data), "{code}, {data}: {found}, {line}");
        }
    }

    #[test]
    fn why_a_cause_is_down_is_told_in_short() {
        let mut shown = overview(&[Health::Down]);
        shown.environments[0].hosts[0].instances[0].down_cause = Some(Box::new(DownCause {
            at: shown.generated_at - jiff::SignedDuration::from_secs(120),
            kind: DownKind::Exited { status: 7, is_clean: false },
            last_log_line: Some("disk | full".to_owned()),
        }));
        let (_, line) = super::plugin_output(&shown, &HashSet::new(), &AlertThresholds::default(), false);
        let expected = "RTA CRITICAL - 1 down of 1 instance: a/b on DEV/h is down (ended 2 min ago with exit status 7) |";
        assert!(line.starts_with(expected), "{line}");
    }

    #[test]
    fn with_verbose_every_cause_has_a_line() {
        let shown = overview(&[Health::Down; 7]);
        let (_, lines) = super::plugin_output(&shown, &HashSet::new(), &AlertThresholds::default(), true);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!((lines.len(), lines[0].matches('|').count()), (8, 1));
        assert!(lines[1..].iter().all(|line| *line == "a/b on DEV/h is down"), "{lines:?}");
    }

    fn overview(healths: &[Health]) -> Overview {
        overview_of(healths.iter().map(|health| InstanceOverview::new("a|b", *health)).collect())
    }

    #[test]
    fn exit_codes_are_those_of_nagios_plugins() {
        use Health::{Degraded, Down, Unknown, Up};
        let rows: [(&[Health], u8, &str); 6] = [
            (&[Up, Up], 0, "RTA OK - 2 instances up | up=2 degraded=0 unknown=0 down=0 maintenance=0"),
            (&[Up, Degraded], 1, "RTA WARNING - "),
            (&[Degraded, Unknown], 3, "RTA UNKNOWN - "),
            (&[Unknown, Down], 2, "RTA CRITICAL - "),
            (
                &[Down, Up],
                2,
                "RTA CRITICAL - 1 down of 2 instances: a/b on DEV/h is down | up=1 degraded=0 unknown=0 down=1 maintenance=0",
            ),
            (&[], 3, "RTA UNKNOWN - nothing to watch"),
        ];
        for (healths, code, begin) in rows {
            let (found, line) = check(&overview(healths), &HashSet::new());
            assert_eq!(found, code, "{line}");
            assert!(line.starts_with(begin), "{line}");
            assert_eq!(line.matches('|').count(), 1, "{line}");
        }
    }

    #[test]
    fn impaired_monitoring_is_a_warning_and_a_blind_one_is_critical() {
        let mut shown = overview(&[Health::Up]);
        shown.environments[0].hosts[0].impairments =
            vec![Impairment::new(ImpairedPart::State, "agent.json cannot be written: disk full | x")];
        let (code, line) = check(&shown, &HashSet::new());
        assert_eq!(code, 1);
        let expected =
            "RTA WARNING - 1 instance up; DEV/h: agent.json cannot be written: disk full / x | up=1";
        assert!(line.starts_with(expected), "{line}");
        shown.impairments = vec![Impairment::new(ImpairedPart::Task, "the state actor hangs")];
        let (code, line) = check(&shown, &HashSet::new());
        assert_eq!(code, 2);
        assert!(line.starts_with("RTA CRITICAL - 1 instance up; the state actor hangs; DEV/h: "), "{line}");
        // A certain failure keeps its status.
        let mut down = overview(&[Health::Down]);
        down.impairments = vec![Impairment::new(ImpairedPart::Clock, "2 h ahead")];
        assert_eq!(check(&down, &HashSet::new()).0, 2);
        let mut unknown = overview(&[Health::Unknown]);
        unknown.impairments = vec![Impairment::new(ImpairedPart::Clock, "2 h ahead")];
        assert_eq!(check(&unknown, &HashSet::new()).0, 3);
    }

    #[test]
    fn many_causes_stay_one_line() {
        let (_, line) = check(&overview(&[Health::Down; 40]), &HashSet::new());
        assert!(line.contains("; and 35 more |") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn what_is_in_maintenance_and_what_suffers_from_it_alerts_nobody_and_is_counted_apart() {
        use Health::{Degraded, Down, Up};
        let maintenance = || Maintenance {
            environment: "DEV".into(),
            host: "h".into(),
            component: Some("a|b".into()),
            since: Timestamp::UNIX_EPOCH,
            until: None,
            reason: String::new(),
            by: Requester::default(),
        };
        let mut shown = overview(&[Down, Degraded, Up]);
        let cause = shown.instances().next().unwrap().id();
        let instances = &mut shown.environments[0].hosts[0].instances;
        instances[0].maintenance = Some(Box::new(maintenance()));
        instances[1].component = "detector".into();
        instances[1].cause = Some(Box::new(cause));
        instances[2].component = "fine".into();
        let all = suppressed_instances(&shown);
        let (code, line) = check(&shown, &all);
        assert_eq!(code, 0, "{line}");
        assert_eq!(
            line,
            "RTA OK - 1 instance up (1 in maintenance, 1 degraded by maintenance) \
             | up=1 degraded=1 unknown=0 down=0 maintenance=1"
        );
        // Another failure still alerts.
        shown.environments[0].hosts[0].instances[2].health = Down;
        let (code, line) = check(&shown, &all);
        assert_eq!(code, 2);
        assert!(
            line.starts_with(
                "RTA CRITICAL - 1 down of 1 instance: fine on DEV/h is down (1 in maintenance, "
            ),
            "{line}"
        );
        // If everything is in maintenance, nothing is wrong.
        shown.environments[0].hosts[0].instances.truncate(1);
        let (code, line) = check(&shown, &all);
        assert_eq!(
            (code, line.starts_with("RTA OK - nothing else to watch (1 in maintenance) |")),
            (0, true),
            "{line}"
        );
    }

    #[test]
    fn what_a_plan_stopped_is_a_warning_and_a_failure_beside_it_counts_alone() {
        use Health::{Degraded, Down, Unknown, Up};
        type Given = &'static [&'static str];
        // The second field is the number of instances, from the front, that were stopped on purpose.
        let rows: [(&[Health], usize, Given, Given, u8); 9] = [
            (&[Down, Up], 1, &[], &[], 1),
            (&[Down, Down], 2, &[], &[], 1),
            (&[Down, Down], 1, &[], &[], 2),
            (&[Down, Degraded], 1, &[], &[], 1),
            (&[Down, Unknown], 1, &[], &[], 3),
            (&[Down, Down, Down], 2, &[], &["1"], 1),
            (&[Down, Down, Down], 1, &[], &["1"], 2),
            (&[Down, Down], 2, &["2"], &["5"], 0),
            (&[Down, Up], 1, &[], &["up=2:"], 2),
        ];
        for (healths, stopped, warning, critical, code) in rows {
            let parse = |given: &[&str]| given.iter().map(|given| given.parse().unwrap()).collect();
            let thresholds = AlertThresholds { warning: parse(warning), critical: parse(critical) };
            let mut shown = overview(healths);
            for instance in shown.environments[0].hosts[0].instances.iter_mut().take(stopped) {
                instance.stopped_by = Some(Box::new(PlannedStop {
                    plan: 5,
                    by: Requester { user: "ann".to_owned(), address: String::new() },
                    at: shown.generated_at - jiff::SignedDuration::from_secs(120),
                }));
            }
            let (found, line) = super::plugin_output(&shown, &HashSet::new(), &thresholds, false);
            assert_eq!(found, code, "{healths:?}: {line}");
            assert!(line.contains("a/b on DEV/h is down, stopped by ann 2 min ago (plan 5)"), "{line}");
        }
    }
}
