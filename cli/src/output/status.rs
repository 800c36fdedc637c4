//! Text of `rta status`: everything of a small platform, one screen of a large one.

use std::cmp::Reverse;

use jiff::Timestamp;
use rta_shared::format::{counted, joined_first};
use rta_shared::overview::{EnvironmentOverview, Health, HealthCounts, Overview};
use rta_shared::planned_outage::on_purpose_note;
use rta_shared::root_cause::{counts_sentence, find_root_causes};
use rta_shared::root_cause_groups::{RootCauseGroup, group_root_causes};
use rta_shared::sanitize::{printable, truncated};

use super::OutputStyle;
use super::instance_table::instance_table;
use super::leaders::leaders_line;
use super::summary::{cause_line, start_again_lines, summary};
use super::warnings::warnings;
use crate::terminal;

/// Maximum number of instances that are shown one by one.
const MAX_WHOLE: usize = 60;
/// Maximum numbers of lines of one screen: with headings, notes on what is left out and empty lines they are
/// 23, which fits a terminal of 24.
const MAX_ENVIRONMENTS: usize = 5;
const MAX_PROBLEMS: usize = 6;
const MAX_PLANS: usize = 1;
const MAX_WARNINGS: usize = 2;
/// Maximum number of names in a line.
const MAX_NAMES: usize = 4;
/// Maximum length of a line that nothing cuts to the width of a terminal, in bytes.
const MAX_LINE: usize = 500;

/// Formats what `rta status` prints of `overview` for the moment `now`.
pub(crate) fn status_text(overview: &Overview, style: OutputStyle, now: Timestamp) -> String {
    match is_small(overview) {
        true => full_status(overview, style, now),
        false => one_screen(overview, width(style), now),
    }
}

/// Formats the same without the table of a small platform.
pub(crate) fn status_summary(overview: &Overview, style: OutputStyle, now: Timestamp) -> String {
    match is_small(overview) {
        true => summary(overview, now),
        false => one_screen(overview, width(style), now),
    }
}

/// Formats the status with every instance, however many there are.
pub(crate) fn full_status(overview: &Overview, style: OutputStyle, now: Timestamp) -> String {
    format!("{}\n{}", summary(overview, now), instance_table(overview, style, now))
}

fn is_small(overview: &Overview) -> bool {
    overview.counts().total() <= MAX_WHOLE
}

fn width(style: OutputStyle) -> usize {
    if style.terminal { terminal::size().1 } else { MAX_LINE }
}

/// Formats a screen of lines that are at most `width` bytes long.
fn one_screen(overview: &Overview, width: usize, now: Timestamp) -> String {
    let mut lines = environment_lines(overview);
    let leaders = leaders_line(overview, MAX_NAMES);
    // Their line takes the place of a problem.
    let max_problems = MAX_PROBLEMS - leaders.iter().count();
    lines.extend(leaders);
    let causes = find_root_causes(overview);
    // What was stopped on purpose is counted above, and no problem.
    let groups = group_root_causes(causes.iter().filter(|cause| cause.planned_stop().is_none()));
    if !groups.is_empty() {
        lines.extend([String::new(), "What is wrong:".to_owned()]);
        lines.extend(groups.iter().take(max_problems).map(|group| format!("  {}", group_line(group, now))));
        if let more @ 1.. = groups.len().saturating_sub(max_problems) {
            lines.push(format!("  and {}", counted(more, "more problem")));
        }
    }
    let plans = start_again_lines(overview);
    lines.extend(plans.iter().take(MAX_PLANS).cloned());
    if let more @ 1.. = plans.len().saturating_sub(MAX_PLANS) {
        lines.push(format!(
            "and {} stopped something on purpose: rta list --health down",
            counted(more, "more plan")
        ));
    }
    let warnings = warnings(overview);
    lines.extend(warnings.iter().take(MAX_WARNINGS).cloned());
    if let more @ 1.. = warnings.len().saturating_sub(MAX_WARNINGS) {
        lines.push(format!("warning: and {more} more: rta status --verbose"));
    }
    lines.push(String::new());
    lines.push(hint(overview.counts()));
    lines.iter().map(|line| format!("{}\n", truncated(line, width))).collect()
}

/// Returns the verdict on everything, and on the worst environments.
fn environment_lines(overview: &Overview) -> Vec<String> {
    let verdict = |environment: &EnvironmentOverview| {
        let name = printable(environment.name.as_str());
        let stopped = on_purpose_note(environment.planned_stops());
        format!("{name}: {}{stopped}", counts_sentence(environment.counts()))
    };
    if let [only] = overview.environments.as_slice() {
        return vec![format!("{} on {}", verdict(only), counted(only.hosts.len(), "host"))];
    }
    let hosts = overview.environments.iter().map(|environment| environment.hosts.len()).sum();
    let mut lines = vec![format!(
        "{}{} on {} in {}",
        counts_sentence(overview.counts()),
        on_purpose_note(overview.planned_stops()),
        counted(hosts, "host"),
        counted(overview.environments.len(), "environment")
    )];
    let mut worst: Vec<_> = overview.environments.iter().collect();
    worst.sort_by_key(|environment| Reverse(environment.health));
    lines
        .extend(worst.iter().take(MAX_ENVIRONMENTS).map(|environment| format!("  {}", verdict(environment))));
    let rest = worst.iter().skip(MAX_ENVIRONMENTS);
    if rest.len() > 0 {
        let healths: HealthCounts = rest.map(|environment| environment.health).collect();
        let bad = Health::ALL.into_iter().rev().filter(|health| healths.of(*health) > 0);
        let bad: Vec<String> = bad.map(|health| format!("{} {health}", healths.of(health))).collect();
        lines.push(format!("  and {}: {}", counted(healths.total(), "more environment"), bad.join(", ")));
    }
    lines
}

/// Returns the line of a group: `kafka server is down on 333 hosts: h1, h2 and 331 more`.
fn group_line(group: &RootCauseGroup<'_, '_>, now: Timestamp) -> String {
    if group.causes.len() == 1 {
        return cause_line(group.first, now, MAX_NAMES);
    }
    let hosts = counted(group.causes.len(), "host");
    let what = match group.component() {
        Some(component) => format!("{} is {} on {hosts}", printable(component.as_str()), group.health()),
        None => format!("{hosts} are {}", group.health()),
    };
    let environments = match group.environment_count() {
        1 => String::new(),
        several => format!(" of {}", counted(several, "environment")),
    };
    let names = group.causes.iter().map(|cause| printable(cause.host.name.as_str()));
    let maintenance = if group.first.maintenance().is_some() { " (in maintenance)" } else { "" };
    let consequence = Some(group.affected_sentence()).filter(|sentence| !sentence.is_empty());
    let consequence = consequence.map(|sentence| format!("; {sentence}")).unwrap_or_default();
    // The consequence comes first, because a terminal may cut the end.
    format!("{what}{environments}{maintenance}{consequence}: {}", joined_first(MAX_NAMES, names, ", "))
}

/// Returns how to see more.
fn hint(counts: HealthCounts) -> String {
    match counts.worst() {
        Some(Health::Up) | None => "More: rta status --env NAME, rta list".to_owned(),
        Some(worst) => {
            format!("More: rta list --health {worst}, rta status --env NAME, rta list --health bad")
        }
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::overview::{HostOverview, InstanceOverview, LeaderOverview};
    use rta_shared::snapshot::Snapshot;

    use super::*;
    use crate::fake_aggregator::overview_of;

    const PIPE: OutputStyle = OutputStyle { terminal: false, colour: false };

    /// Returns environments of hosts of 14 components; on every `bad_each` host all have this health.
    fn platform(environments: usize, hosts: usize, health: Health, bad_each: usize) -> Overview {
        let instances = |health: Health| {
            let reason = if health == Health::Up { String::new() } else { "it is not running".to_owned() };
            let named = |at: usize| InstanceOverview {
                reason: reason.clone(),
                ..InstanceOverview::new(format!("component {at}"), health)
            };
            (0..14).map(named).map(Snapshot::new).collect::<Vec<_>>()
        };
        let mut overview = overview_of(Vec::new());
        let pattern = (*overview.environments[0].hosts[0]).clone();
        let (well, bad) = (instances(Health::Up), instances(health));
        let host = |at: usize| {
            let is_bad = at.is_multiple_of(bad_each);
            let is_lost = is_bad && health == Health::Unknown;
            Snapshot::new(HostOverview {
                name: format!("h{at}").as_str().into(),
                health: if is_bad { health } else { Health::Up },
                reachable: !is_lost,
                error: is_lost.then(|| "no connection".to_owned()),
                instances: if is_bad { bad.clone() } else { well.clone() },
                ..pattern.clone()
            })
        };
        overview.environments = (0..environments)
            .map(|number| {
                let name = format!("E{number}").as_str().into();
                let hosts = (number * hosts..(number + 1) * hosts).map(host).collect();
                Snapshot::new(EnvironmentOverview { name, health, hosts })
            })
            .collect();
        overview
    }

    /// Returns aggregators of which each leads every third environment.
    fn leaders(overview: &Overview) -> Vec<LeaderOverview> {
        let leader = |(at, environment): (usize, &Snapshot<EnvironmentOverview>)| LeaderOverview {
            environment: environment.name.clone(),
            address: format!("https://aggregator-{}.example:8080", at % 3),
            process: format!("aggregator-{}, pid 12", at % 3),
            epoch: 1,
            since: Timestamp::UNIX_EPOCH,
            is_here: false,
        };
        overview.environments.iter().enumerate().map(leader).collect()
    }

    #[test]
    fn status_of_any_platform_fits_a_screen() {
        for (environments, hosts) in [(1, 1_000), (100, 10), (1_000, 1)] {
            for (health, bad_each) in
                [(Health::Up, 1), (Health::Down, 3), (Health::Down, 1), (Health::Unknown, 1)]
            {
                let mut shown = platform(environments, hosts, health, bad_each);
                let alone = status_text(&shown, PIPE, Timestamp::UNIX_EPOCH);
                shown.leaders = leaders(&shown);
                let text = status_text(&shown, PIPE, Timestamp::UNIX_EPOCH);
                assert!(!alone.contains("Led: ") && text.contains("Led: "), "{text}");
                assert!(text.lines().count() <= 23 && alone.lines().count() <= 23, "{text}");
                assert!(text.lines().all(|line| line.len() <= MAX_LINE), "{text}");
                assert!(text.contains("More: rta list") || health == Health::Up, "{text}");
            }
        }
    }

    #[test]
    fn problems_are_told_by_their_kind() {
        let text = status_text(&platform(100, 10, Health::Down, 3), PIPE, Timestamp::UNIX_EPOCH);
        for expected in [
            "4676 down of 14000 instances on 1000 hosts in 100 environments\n",
            "  E0: 56 down of 140 instances\n",
            "  and 95 more environments: 95 down\n",
            "  component 0 is down on 334 hosts of 100 environments: h0, h3, h6, h9 and 330 more\n",
            "  and 8 more problems\n",
            "More: rta list --health down, rta status --env NAME",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let text = status_text(&platform(1, 100, Health::Unknown, 1), PIPE, Timestamp::UNIX_EPOCH);
        assert!(text.starts_with("E0: 1400 unknown of 1400 instances on 100 hosts\n"), "{text}");
        assert!(text.contains("  100 hosts are unknown: h0, h1, h2, h3 and 96 more\n"), "{text}");
    }

    #[test]
    fn small_platform_is_shown_one_by_one_and_a_large_one_with_verbose_too() {
        let small = platform(2, 2, Health::Down, 2);
        let text = status_text(&small, PIPE, Timestamp::UNIX_EPOCH);
        assert_eq!(text, full_status(&small, PIPE, Timestamp::UNIX_EPOCH));
        assert!(text.contains("ENVIRONMENT") && !text.contains("More:"), "{text}");
        let large = platform(1, 100, Health::Up, 1);
        assert_eq!(full_status(&large, PIPE, Timestamp::UNIX_EPOCH).matches("component 3").count(), 100);
    }

    #[test]
    fn lines_are_cut_to_the_terminal() {
        let text = one_screen(&platform(1, 100, Health::Down, 3), 40, Timestamp::UNIX_EPOCH);
        assert!(text.lines().all(|line| line.len() <= 40), "{text}");
    }
}
