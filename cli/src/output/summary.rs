//! Summary of an overview: a verdict for each environment, root causes, and configuration problems.

use std::fmt::Write as _;

use jiff::Timestamp;
use rta_shared::format::{counted, elapsed, joined_first};
use rta_shared::overview::{LocatedInstance, Overview};
use rta_shared::planned_outage::{PlannedStopIndex, on_purpose_note};
use rta_shared::root_cause::{RootCause, affected_sentence, counts_sentence, find_root_causes};
use rta_shared::sanitize::printable;

use super::leaders::leaders_line;
use super::warnings::warnings;

/// Formats the summary of `overview` for the moment `now`.
pub(crate) fn summary(overview: &Overview, now: Timestamp) -> String {
    let mut text = String::new();
    let root_causes = find_root_causes(overview);
    for environment in &overview.environments {
        let counts = environment.counts();
        let name = printable(environment.name.as_str());
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{name}: {}{}",
            counts_sentence(counts),
            on_purpose_note(environment.planned_stops())
        );
        for trouble in root_causes.iter().filter(|trouble| trouble.environment.name == environment.name) {
            let _ = writeln!(text, "  {}", cause_line(trouble, now, usize::MAX));
        }
    }
    text.extend(leaders_line(overview, usize::MAX).map(|line| line + "\n"));
    text.extend(start_again_lines(overview).into_iter().map(|line| line + "\n"));
    text.extend(warnings(overview).into_iter().map(|line| line + "\n"));
    text
}

/// Maximum number of hosts that are named as not scanned.
const MAX_NAMED_HOSTS: usize = 5;

/// Formats the hosts that a refresh did not scan; empty if there are none.
pub(crate) fn missing_hosts(missing: &[String]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let named: Vec<_> = missing.iter().take(MAX_NAMED_HOSTS).map(|host| printable(host)).collect();
    let more = match missing.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let hosts = counted(missing.len(), "host");
    format!("No fresh scan of {hosts}, of which the last known state is shown: {}{more}\n", named.join(", "))
}

/// Returns a line for each plan that stopped something on purpose: how to start it again.
pub(super) fn start_again_lines(overview: &Overview) -> Vec<String> {
    let line = |(plan, count): (u64, usize)| {
        let what = if count == 1 { "what".to_owned() } else { format!("the {count} that") };
        format!("To start again {what} plan {plan} stopped: rta start --stopped-by {plan}")
    };
    PlannedStopIndex::new(overview).plans().map(line).collect()
}

/// Returns the line of a root cause, which names at most `most` of the instances that it affects.
pub(super) fn cause_line(trouble: &RootCause<'_>, now: Timestamp, most: usize) -> String {
    let host = printable(trouble.host.name.as_str());
    let mut line = match trouble.instance {
        Some(instance) => {
            let component = printable(instance.component.as_str());
            format!("{component} on {host} is {}: {}", instance.health, printable(&instance.reason_at(now)))
        }
        None => {
            let error = trouble.host.error.as_deref().unwrap_or("its agent has not answered yet");
            let seen = trouble
                .host
                .seen_at()
                .map_or_else(|| "never seen".to_owned(), |at| format!("last seen {} ago", elapsed(at, now)));
            format!("host {host} is unknown ({seen}): {}", printable(error))
        }
    };
    if let Some(maintenance) = trouble.maintenance() {
        let _ = write!(line, " ({})", printable(&maintenance.sentence()));
    }
    let consequence = affected_sentence(trouble);
    if !consequence.is_empty() {
        let names = trouble.affected.iter().map(|other| short_name(other, trouble));
        let _ = write!(line, "; {consequence}: {}", joined_first(most, names, ", "));
    }
    line
}

fn short_name(other: &LocatedInstance<'_>, trouble: &RootCause<'_>) -> String {
    let component = printable(other.instance.component.as_str());
    match other.host.name == trouble.host.name {
        true => component.into_owned(),
        false => format!("{component} on {}", printable(other.host.name.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_were_not_scanned_are_counted_and_some_are_named() {
        assert_eq!(missing_hosts(&[]), "");
        let hosts: Vec<String> = (1..=7).map(|at| format!("DEV/h{at}")).collect();
        assert_eq!(
            missing_hosts(&hosts),
            "No fresh scan of 7 hosts, of which the last known state is shown: \
             DEV/h1, DEV/h2, DEV/h3, DEV/h4, DEV/h5 and 2 more\n"
        );
    }
}
