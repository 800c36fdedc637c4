//! Prerequisites on other hosts that each agent needs to know for its automatic starts. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rta_shared::config::{Platform, RestartWhen};
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::{HostOverview, InstanceId, InstanceOverview};
use rta_shared::prerequisite::{Readiness, RemotePrerequisite};

/// Readiness of the remote prerequisites, for each host that has any.
pub(crate) type PrerequisitesByHost = Arc<HashMap<Name, Vec<RemotePrerequisite>>>;

/// Remote prerequisites that each host's agent needs to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct RemotePrerequisiteIndex {
    /// Prerequisites of each host that has any.
    by_host: Vec<(Name, Vec<RemotePrerequisite>)>,
    /// Places in these lists, by the instance's position in the graph.
    places: HashMap<usize, Vec<(usize, usize)>>,
    /// Hosts whose lists have changed; `None`: every host.
    changed: Option<BTreeSet<usize>>,
}

/// Prerequisites of the hosts for which they have changed.
#[derive(Debug)]
pub(crate) struct PrerequisiteChanges {
    /// True if `hosts` has every host that has any.
    is_all: bool,
    hosts: Vec<(Name, Vec<RemotePrerequisite>)>,
}

impl PrerequisiteChanges {
    /// Applies the changes. Returns true if there were any.
    pub(crate) fn apply_to(self, known: &mut PrerequisitesByHost) -> bool {
        if self.is_all {
            let all: HashMap<_, _> = self.hosts.into_iter().collect();
            let is_new = **known != all;
            if is_new {
                *known = Arc::new(all);
            }
            return is_new;
        }
        let is_new = !self.hosts.is_empty();
        if is_new {
            Arc::make_mut(known).extend(self.hosts);
        }
        is_new
    }
}

impl RemotePrerequisiteIndex {
    /// Collects the remote prerequisites of everything that agents start automatically; `graph` is that of
    /// `platform`. Nothing is known of them yet.
    pub(crate) fn new(platform: &Platform, graph: &DependencyGraph) -> Self {
        let restarted: HashSet<&Name> = platform
            .components
            .iter()
            .filter(|component| component.start.is_some() && component.restart.when != RestartWhen::Never)
            .map(|component| &component.name)
            .collect();
        let mut index = Self::default();
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
            if needed.is_empty() {
                continue;
            }
            for (within, position) in needed.iter().enumerate() {
                index.places.entry(*position).or_default().push((index.by_host.len(), within));
            }
            let unknown = |position: &usize| {
                let InstanceId { host, component, .. } = graph.id(*position).clone();
                RemotePrerequisite { host, component, readiness: Readiness::Unknown }
            };
            index.by_host.push((host.name.clone(), needed.iter().map(unknown).collect()));
        }
        index
    }

    /// Updates the readiness of the instance at a position of the graph.
    pub(crate) fn update(&mut self, at: usize, host: &HostOverview, instance: &InstanceOverview) {
        let Some(places) = self.places.get(&at) else { return };
        // The state of an unreachable host is out of date.
        let state = instance.state.filter(|_| host.reachable);
        let readiness = Readiness::from_state(state, instance.probe.as_ref());
        for (list, within) in places {
            let known = &mut self.by_host[*list].1[*within];
            if known.readiness != readiness {
                known.readiness = readiness;
                self.changed.iter_mut().for_each(|changed| changed.extend([*list]));
            }
        }
    }

    /// Returns the prerequisites of the hosts for which they have changed since the last time; of every host
    /// the first time.
    pub(crate) fn take_changes(&mut self) -> PrerequisiteChanges {
        match self.changed.replace(BTreeSet::new()) {
            None => PrerequisiteChanges { is_all: true, hosts: self.by_host.clone() },
            Some(changed) => {
                let hosts = changed.into_iter().map(|at| self.by_host[at].clone()).collect();
                PrerequisiteChanges { is_all: false, hosts }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};
    use rta_shared::overview::EnvironmentOverview;
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
        let mut needs = RemotePrerequisiteIndex::new(&platform, &graph);
        let unheard = vec![HostState::default(); 3];
        let mut environment = evaluate_platform(&platform, &graph, &unheard).remove(0);
        let sent = |sent: &[RemotePrerequisite]| {
            let one =
                |one: &RemotePrerequisite| (one.host.to_string(), one.component.to_string(), one.readiness);
            sent.iter().map(one).collect::<Vec<_>>()
        };
        let kafka = |host: &str, readiness| (host.to_owned(), "kafka".to_owned(), readiness);
        let mut known = PrerequisitesByHost::default();
        assert!(needs.take_changes().apply_to(&mut known));
        assert_eq!(known.keys().collect::<Vec<_>>(), [&Name::from("w1")]);
        assert_eq!(sent(&known["w1"]), [kafka("k1", Readiness::Unknown), kafka("k2", Readiness::Unknown)]);
        let mut update = |environment: &EnvironmentOverview| {
            for (at, host) in [(3, 1), (5, 2)] {
                let host = &environment.hosts[host];
                needs.update(at, host, &host.instances[0]);
            }
            let is_new = needs.take_changes().apply_to(&mut known);
            is_new.then(|| sent(&known["w1"]))
        };
        assert_eq!(update(&environment), None);
        for (host, state) in [(1, State::Running), (2, State::Stopped)] {
            environment.hosts[host].reachable = true;
            environment.hosts[host].instances[0].state = Some(state);
        }
        let seen = |first| Some(vec![kafka("k1", first), kafka("k2", Readiness::NotReady)]);
        assert_eq!(update(&environment), seen(Readiness::Ready));
        assert_eq!(update(&environment), None);
        environment.hosts[1].reachable = false;
        assert_eq!(update(&environment), seen(Readiness::Unknown));
    }
}
