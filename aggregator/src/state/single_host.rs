//! Health of one host alone, by the same rules as for the whole platform.

use std::time::Instant;

use jiff::Timestamp;
use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::{ComponentAliases, Overview};
use rta_shared::report::Report;

use crate::clock::{ClockPair, MessageReceipt};
use crate::state::evaluate::evaluate_platform;
use crate::state::host_state::{AgentUpdate, HostState};

/// Returns the overview of the host of `report` at the moment `now`. Prerequisites on the host itself are
/// evaluated; those on other hosts are unknown, since the report does not contain them. Empty if the platform
/// does not have the host.
pub fn evaluate_host(platform: &Platform, report: Report, now: Timestamp) -> Overview {
    let host = report.host.clone();
    let mut report = Some(report);
    let known = |name: &Name| {
        let mut known = HostState::default();
        if let Some(report) = report.take_if(|report| report.host == *name) {
            known.apply_update(AgentUpdate::Report(
                report.into(),
                MessageReceipt { received: ClockPair { wall: now, at: Instant::now() }, sent: None },
            ));
        }
        known
    };
    let known: Vec<HostState> = platform.hosts().map(|host| &host.name).map(known).collect();
    let mut environments = evaluate_platform(platform, &DependencyGraph::new(platform), &known);
    for environment in &mut environments {
        environment.hosts.retain(|one| one.name == host);
    }
    environments.retain(|environment| !environment.hosts.is_empty());
    for environment in &mut environments {
        let of_host = environment.hosts.iter().map(|host| host.health).max();
        environment.health = of_host.unwrap_or(environment.health);
    }
    Overview {
        generated_at: now,
        environments,
        config_digest: platform.digest.clone(),
        config_error: None,
        impairments: vec![],
        aliases: ComponentAliases::list(platform),
        leaders: Vec::new(),
    }
}
