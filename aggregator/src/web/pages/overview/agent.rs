//! Footer of a host's card: its agent and its resource usage.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::format::{elapsed, memory, precise_duration};
use rta_shared::overview::{AgentOverview, HostOverview};
use rta_shared::usage::HostUsage;

use crate::web::parts::health::{ago, text};

/// Renders the footer of a host's card. For an unknown host it shows only the agent's version.
pub(crate) fn footer(host: &HostOverview, now: Timestamp) -> Markup {
    html! {
        @if let Some(agent) = &host.agent {
            footer {
                ul.facts {
                    @if let Some(usage) = &host.usage { (host_use(usage, now)) }
                    @if host.reachable { (watched(agent, host.scanned_at, now)) }
                    @if !agent.version.is_empty() { li { "agent " (text(&agent.version)) } }
                }
            }
        }
    }
}

fn host_use(usage: &HostUsage, now: Timestamp) -> Markup {
    let used = usage.memory_total_bytes.saturating_sub(usage.memory_available_bytes);
    let [load, ..] = usage.load;
    html! {
        li { (format!("load {load:.2} on {}", counted(usage.cpus as usize, "core"))) }
        li { "memory " (memory(used)) " of " (memory(usage.memory_total_bytes)) " used" }
        @if let Some(at) = usage.booted_at { li { "up for " (elapsed(at, now)) } }
    }
}

fn watched(agent: &AgentOverview, scanned_at: Option<Timestamp>, now: Timestamp) -> Markup {
    let processes = counted(agent.processes_seen as usize, "process");
    html! {
        li { (text(&agent.watch.to_string())) }
        @if let Some(at) = scanned_at {
            li { "full scan " (ago(at, now)) ": " (processes) " in " (precise_duration(agent.scan_micros)) }
        }
        @if agent.watch.overruns > 0 { li { "events lost: " (agent.watch.overruns) } }
        @if agent.watch.differences > 0 { li { "changes missed: " (agent.watch.differences) } }
    }
}
