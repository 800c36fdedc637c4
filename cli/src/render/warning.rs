//! What is wrong with the configurations that the platform is run by, and with the record, in a line each.

use rta_shared::overview::{AgentOverview, Overview};
use rta_shared::text::{counted, printable};

/// How many hosts a line names.
const NAMED: usize = 5;

/// The lines; none where all work by the same configuration, none was refused, and events are recorded.
pub(crate) fn warnings(overview: &Overview) -> String {
    let mut lines = Vec::new();
    if let Some(error) = &overview.config_error {
        let first = printable(error.lines().next().unwrap_or_default());
        let more = match error.lines().count().saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {})", counted(more, "more problem")),
        };
        lines.push(format!(
            "the aggregator's configuration on disk is not right, the old one goes on: {first}{more}"
        ));
    }
    if let Some(error) = &overview.record_error {
        lines.push(printable(error).into_owned());
    }
    lines.extend(overview.warnings.iter().map(|warning| printable(warning).into_owned()));
    for (is_so, what) in [
        (refused as fn(&AgentOverview) -> bool, " refused a new configuration"),
        (differs, " on another configuration than the aggregator's"),
    ] {
        let hosts = hosts(overview, is_so);
        let named = hosts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = match hosts.len().saturating_sub(NAMED) {
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
    lines.into_iter().map(|line| format!("warning: {line}\n")).collect()
}

fn refused(agent: &AgentOverview) -> bool {
    agent.config_error.is_some()
}

fn differs(agent: &AgentOverview) -> bool {
    agent.config_differs
}

/// The hosts whose agents answer and are as `is_so` asks.
fn hosts(overview: &Overview, is_so: impl Fn(&AgentOverview) -> bool) -> Vec<String> {
    let all = overview.environments.iter().flat_map(|environment| &environment.hosts);
    all.filter(|host| host.reachable && host.agent.as_ref().is_some_and(&is_so))
        .map(|host| printable(host.name.as_str()).into_owned())
        .collect()
}
