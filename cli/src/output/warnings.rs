//! Warnings about configuration problems and other impairments of rta, one per line.

use rta_shared::format::counted;
use rta_shared::impairment::{ImpairedPart, Impairment};
use rta_shared::overview::{AgentOverview, HostOverview, Overview};
use rta_shared::sanitize::printable;

/// Maximum number of hosts named in a line.
const MAX_NAMED_HOSTS: usize = 5;

/// Returns the lines; empty if nothing of rta is impaired.
pub(crate) fn warnings(overview: &Overview) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(error) = &overview.config_error {
        let first = printable(error.lines().next().unwrap_or_default());
        let more = match error.lines().count().saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {})", counted(more, "more problem")),
        };
        lines.push(format!(
            "the aggregator's configuration on disk is invalid; the previous one stays in use: {first}{more}"
        ));
    }
    let of_aggregator = overview.impairments.iter().filter(|impairment| needs_warning(impairment));
    lines.extend(of_aggregator.map(|impairment| printable(&impairment.message).into_owned()));
    lines.extend(agent_warnings(overview));
    for (is_so, what) in [
        (has_refused_config as fn(&AgentOverview) -> bool, " refused a new configuration"),
        (has_other_config, " on another configuration than the aggregator's"),
    ] {
        let hosts = hosts_where(overview, is_so);
        let named = hosts.iter().take(MAX_NAMED_HOSTS).cloned().collect::<Vec<_>>().join(", ");
        let more = match hosts.len().saturating_sub(MAX_NAMED_HOSTS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if !hosts.is_empty() {
            lines.push(format!(
                "{}{what}: {named}{more} (status --verbose says more)",
                counted(hosts.len(), "agent")
            ));
        }
    }
    lines.into_iter().map(|line| format!("warning: {line}")).collect()
}

/// Returns true for an impairment without a line of its own in [`warnings`].
fn needs_warning(impairment: &Impairment) -> bool {
    impairment.part != ImpairedPart::Configuration
}

/// Returns a line for each impairment of a host, the most severe first. If many hosts have the same part
/// impaired, only the first ones are named.
fn agent_warnings(overview: &Overview) -> Vec<String> {
    let mut lines = Vec::new();
    let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    let all: Vec<(&HostOverview, &Impairment)> =
        hosts.flat_map(|host| host.impairments.iter().map(move |one| (&**host, one))).collect();
    for part in ImpairedPart::ALL {
        let of_part: Vec<_> = all.iter().filter(|(_, one)| one.part == part && needs_warning(one)).collect();
        for (host, impairment) in of_part.iter().take(MAX_NAMED_HOSTS) {
            let line = format!("{}: {}", host.name, impairment.message);
            lines.push(printable(&line).into_owned());
        }
        if let more @ 1.. = of_part.len().saturating_sub(MAX_NAMED_HOSTS) {
            lines.push(format!(
                "{part} impaired on {} (status --verbose says more)",
                counted(more, "more host")
            ));
        }
    }
    lines
}

fn has_refused_config(agent: &AgentOverview) -> bool {
    agent.config_error.is_some()
}

fn has_other_config(agent: &AgentOverview) -> bool {
    agent.config_differs
}

/// Returns the hosts whose agents answer and meet `is_so`.
fn hosts_where(overview: &Overview, is_so: impl Fn(&AgentOverview) -> bool) -> Vec<String> {
    let all = overview.environments.iter().flat_map(|environment| &environment.hosts);
    all.filter(|host| host.reachable && host.agent.as_ref().is_some_and(&is_so))
        .map(|host| printable(host.name.as_str()).into_owned())
        .collect()
}
