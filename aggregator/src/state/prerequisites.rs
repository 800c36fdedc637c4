//! Prerequisites on other hosts that each agent needs to know for its automatic starts. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rta_shared::config::{Platform, RestartWhen};
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::Overview;
use rta_shared::prerequisite::{Readiness, RemotePrerequisite};

/// Readiness of the remote prerequisites, for each host that has any.
pub(crate) type PrerequisitesByHost = Arc<HashMap<Name, Vec<RemotePrerequisite>>>;

/// Remote prerequisites that each host's agent needs to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct RemotePrerequisiteIndex {
    /// Positions in the graph, for each host that has any.
    by_host: Vec<(Name, Vec<usize>)>,
    /// Union of all these positions.
    positions: HashSet<usize>,
}

impl RemotePrerequisiteIndex {
    /// Collects the remote prerequisites of everything that agents start automatically; `graph` is that of
    /// `platform`.
    pub(crate) fn new(platform: &Platform, graph: &DependencyGraph) -> Self {
        let restarted: HashSet<&Name> = platform
            .components
            .iter()
            .filter(|component| component.start.is_some() && component.restart.when != RestartWhen::Never)
            .map(|component| &component.name)
            .collect();
        let mut of_hosts: Vec<(Name, Vec<usize>)> = Vec::new();
        let mut at = 0;
        for host in platform.hosts() {
            let mut needed = BTreeSet::new();
            for component in &host.components {
                if restarted.contains(component) {
                    let providers = graph.requirements(at).iter().flat_map(|needed| &needed.providers);
                    needed.extend(providers.filter(|provider| graph.id(**provider).host != host.name));
                }
                at += 1;
            }
            if !needed.is_empty() {
                of_hosts.push((host.name.clone(), needed.into_iter().collect()));
            }
        }
        let wanted = of_hosts.iter().flat_map(|(_, needed)| needed).copied().collect();
        Self { by_host: of_hosts, positions: wanted }
    }

    /// Returns their readiness by `overview`, which must be of the same platform.
    pub(crate) fn readiness(&self, overview: &Overview) -> HashMap<Name, Vec<RemotePrerequisite>> {
        if self.by_host.is_empty() {
            return HashMap::new();
        }
        let instances = overview.instances().enumerate().filter(|(at, _)| self.positions.contains(at));
        let known: HashMap<usize, RemotePrerequisite> = instances
            .map(|(at, located)| {
                let instance = located.instance;
                // The state of an unreachable host is out of date.
                let state = instance.state.filter(|_| located.host.reachable);
                let readiness = Readiness::from_state(state, instance.probe.as_ref());
                let (host, component) = (located.host.name.clone(), instance.component.clone());
                (at, RemotePrerequisite { host, component, readiness })
            })
            .collect();
        let of_host = |needed: &[usize]| needed.iter().filter_map(|at| known.get(at).cloned()).collect();
        self.by_host.iter().map(|(host, needed)| (host.clone(), of_host(needed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::config::{Source, load_sources};
    use rta_shared::report::State;

    use super::*;
    use crate::state::evaluate::evaluate_platform;
    use crate::state::host_state::HostState;

    const PLATFORM: &str = r#"
        [[component]]
        name = "writer"
        criteria = [{ regex = 'writer' }]
        depends_on = ["kafka", "store"]
        start = { command = ["writer"] }
        restart = "always"
        [[component]]
        name = "viewer"
        criteria = [{ regex = 'viewer' }]
        depends_on = ["grafana"]
        start = { command = ["viewer"] }
        [[component]]
        name = "kafka"
        criteria = [{ regex = 'kafka' }]
        [[component]]
        name = "store"
        criteria = [{ regex = 'store' }]
        [[component]]
        name = "grafana"
        criteria = [{ regex = 'grafana' }]
        [[environment]]
        name = "E"
        host = [{ name = "w1", components = ["writer", "viewer", "store"] },
                { name = "k1", components = ["kafka", "grafana"] }, { name = "k2", components = ["kafka"] }]
    "#;

    #[test]
    fn an_agent_is_told_of_what_it_starts_by_itself_and_needs_elsewhere() {
        let source = Source { name: "x.toml".to_owned(), text: PLATFORM.to_owned() };
        let platform = load_sources(&[source]).unwrap();
        let graph = DependencyGraph::new(&platform);
        let needs = RemotePrerequisiteIndex::new(&platform, &graph);
        let unheard = vec![HostState::default(); 3];
        let mut overview = Overview {
            generated_at: Timestamp::UNIX_EPOCH,
            environments: evaluate_platform(&platform, &graph, &unheard),
            config_digest: String::new(),
            config_error: None,
            impairments: vec![],
            aliases: vec![],
        };
        let told = |overview: &Overview| {
            let told = needs.readiness(overview);
            assert_eq!(told.keys().collect::<Vec<_>>(), [&Name::from("w1")]);
            let one =
                |one: &RemotePrerequisite| (one.host.to_string(), one.component.to_string(), one.readiness);
            told["w1"].iter().map(one).collect::<Vec<_>>()
        };
        let kafka = |host: &str, readiness| (host.to_owned(), "kafka".to_owned(), readiness);
        assert_eq!(told(&overview), [kafka("k1", Readiness::Unknown), kafka("k2", Readiness::Unknown)]);
        for (host, state) in [(1, State::Running), (2, State::Stopped)] {
            overview.environments[0].hosts[host].reachable = true;
            overview.environments[0].hosts[host].instances[0].state = Some(state);
        }
        assert_eq!(told(&overview), [kafka("k1", Readiness::Ready), kafka("k2", Readiness::NotReady)]);
        overview.environments[0].hosts[1].reachable = false;
        assert_eq!(told(&overview)[0].2, Readiness::Unknown);
    }
}
