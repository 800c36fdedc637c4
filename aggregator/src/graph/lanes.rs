//! Assignment of hosts to lanes: which are drawn individually, and which are grouped.

use std::cmp::Reverse;
use std::collections::HashMap;

use rta_shared::name::Name;
use rta_shared::overview::{EnvironmentOverview, Health, HealthCounts, HostOverview};
use rta_shared::snapshot::Snapshot;

use super::{GraphLane, LanePlace};

/// Maximum number of instances drawn individually. To find one among more of them, people use the list.
pub(super) const MAX_INDIVIDUAL: usize = 300;

/// Lanes of an environment.
pub(super) struct LaneAssignment {
    pub(super) lanes: Vec<GraphLane>,
    /// Lane of each host.
    pub(super) lane_of: Vec<usize>,
}

/// Draws each host individually if there are not too many instances. Otherwise only hosts that are not up,
/// root causes before the hosts that they affect, as far as there is room; all others are grouped by role.
pub(super) fn assign_lanes(environment: &EnvironmentOverview) -> LaneAssignment {
    let alone = individual_hosts(environment);
    let mut lanes: Vec<GraphLane> = Vec::new();
    let mut of = vec![0; environment.hosts.len()];
    for (at, host) in environment.hosts.iter().enumerate().filter(|(at, _)| alone[*at]) {
        of[at] = lanes.len();
        let place = LanePlace::Host {
            environment: environment.name.clone(),
            name: host.name.clone(),
            role: host.role.clone(),
        };
        lanes.push(GraphLane { place, counts: counts([host]) });
    }
    let mut together: Vec<(&Option<Name>, Vec<usize>)> = Vec::new();
    for (at, host) in environment.hosts.iter().enumerate().filter(|(at, _)| !alone[*at]) {
        match together.iter_mut().find(|(role, _)| **role == host.role) {
            Some((_, hosts)) => hosts.push(at),
            None => together.push((&host.role, vec![at])),
        }
    }
    for (role, hosts) in together {
        for at in &hosts {
            of[*at] = lanes.len();
        }
        let place = LanePlace::Hosts { role: role.clone(), count: hosts.len() };
        lanes.push(GraphLane { place, counts: counts(hosts.iter().map(|at| &environment.hosts[*at])) });
    }
    LaneAssignment { lanes, lane_of: of }
}

fn counts<'o>(hosts: impl IntoIterator<Item = &'o Snapshot<HostOverview>>) -> HealthCounts {
    hosts.into_iter().flat_map(|host| &host.instances).map(|instance| instance.health).collect()
}

/// Returns, for each host, true if it is drawn individually.
fn individual_hosts(environment: &EnvironmentOverview) -> Vec<bool> {
    if environment.counts().total() <= MAX_INDIVIDUAL {
        return vec![true; environment.hosts.len()];
    }
    let mut explained: HashMap<&Name, usize> = HashMap::new();
    for instance in environment.hosts.iter().flat_map(|host| &host.instances) {
        if let Some(cause) = &instance.cause {
            *explained.entry(&cause.host).or_default() += 1;
        }
    }
    let mut bad: Vec<(usize, &Snapshot<HostOverview>)> =
        environment.hosts.iter().enumerate().filter(|(_, host)| host.health != Health::Up).collect();
    bad.sort_by_key(|(_, host)| {
        (Reverse(explained.get(&host.name).copied().unwrap_or(0)), Reverse(host.health))
    });
    let mut alone = vec![false; environment.hosts.len()];
    let mut drawn = 0;
    for (at, host) in bad {
        drawn += host.instances.len();
        if drawn > MAX_INDIVIDUAL {
            break;
        }
        alone[at] = true;
    }
    alone
}
