//! Platform with its agents.

use std::collections::HashMap;
use std::sync::OnceLock;

use rta_shared::config::{Component, Host, Platform};
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::selector::{NameIndex, Purpose, Selector};
use rta_shared::tls::ClientTls;
use tonic::Code;

use crate::agent::Agent;
use crate::agent_id::AgentId;
use crate::operation_error::OperationError;

/// Platform and its agents, which are loaded and replaced together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) platform: Platform,
    /// Agents of [`Platform::hosts`], in the same order.
    pub(crate) agents: Vec<Agent>,
    graph: OnceLock<DependencyGraph>,
    places: HashMap<Name, HostPlace>,
    asking: Option<ClientTls>,
}

/// Instance in the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'p> {
    /// Position of its host among [`Platform::hosts`].
    pub(crate) host_at: usize,
    pub(crate) host: &'p Host,
    pub(crate) component: &'p Component,
}

impl Found<'_> {
    pub(crate) fn id(&self) -> InstanceId {
        InstanceId {
            environment: self.host.environment.clone(),
            host: self.host.name.clone(),
            component: self.component.name.clone(),
        }
    }
}

/// Position of a host in a platform.
#[derive(Clone, Copy, Debug)]
struct HostPlace {
    /// Position of its environment.
    environment: usize,
    /// Position within the environment.
    within: usize,
    /// Position among [`Platform::hosts`].
    at: usize,
}

fn host_places(platform: &Platform) -> HashMap<Name, HostPlace> {
    let hosts = platform.environments.iter().enumerate().flat_map(|(environment, one)| {
        one.hosts.iter().enumerate().map(move |(within, host)| (environment, within, host))
    });
    let places = hosts
        .enumerate()
        .map(|(at, (environment, within, host))| (host.name.clone(), HostPlace { environment, within, at }));
    places.collect()
}

impl Fleet {
    /// Creates the fleet of `platform`. An agent in `before` with the same host and address is reused, with
    /// its connection and the state stored under its ID. Agents at https:// addresses are connected with
    /// `asking`.
    ///
    /// # Errors
    /// Returns an error if an agent's address is invalid, which a checked configuration excludes.
    pub(crate) fn new(
        platform: Platform,
        before: &[Agent],
        asking: Option<&ClientTls>,
    ) -> Result<Self, tonic::transport::Error> {
        let known: HashMap<_, _> = before.iter().map(|agent| (agent.host(), agent)).collect();
        let agents = platform
            .hosts()
            .map(|host| match known.get(&host.name).filter(|agent| agent.is_of(host)) {
                Some(agent) => Ok((*agent).clone()),
                None => Agent::new(host, asking),
            })
            .collect::<Result<_, _>>()?;
        let places = host_places(&platform);
        Ok(Self { platform, agents, graph: OnceLock::new(), places, asking: asking.cloned() })
    }

    /// Creates the fleet of a newer `platform`, reusing the agents as in [`Fleet::new`].
    ///
    /// # Errors
    /// Returns an error on the same condition as [`Fleet::new`].
    pub(crate) fn replaced_by(&self, platform: Platform) -> Result<Self, tonic::transport::Error> {
        Self::new(platform, &self.agents, self.asking.as_ref())
    }

    /// Returns the dependency graph. It is built on first use, since that takes a while on a large platform.
    pub(crate) fn graph(&self) -> &DependencyGraph {
        self.graph.get_or_init(|| DependencyGraph::new(&self.platform))
    }

    /// Finds the instance with this full name by lookup, without a comparison with every host.
    ///
    /// # Errors
    /// Returns an error if the configuration does not have it.
    pub(crate) fn find(&self, id: &InstanceId) -> Result<Found<'_>, OperationError> {
        let found = self.find_exactly(id);
        // The words for what is wrong need the search.
        found.map_or_else(|| self.resolve(&Selector::from(id), Purpose::Acting), Ok)
    }

    /// Returns the one instance that is selected.
    ///
    /// # Errors
    /// Returns an error if the selector selects no instance, or several.
    pub(crate) fn resolve(&self, selector: &Selector, purpose: Purpose) -> Result<Found<'_>, OperationError> {
        let index = NameIndex::from(&self.platform);
        let selection = selector.resolve(&index, purpose)?;
        let id = selection.one("name the environment or the host")?.id();
        self.find_exactly(&id)
            .ok_or_else(|| OperationError::new(Code::Internal, format!("{id} has no place among the hosts")))
    }

    fn find_exactly(&self, id: &InstanceId) -> Option<Found<'_>> {
        self.places.get(&id.host).and_then(|place| {
            let environment = self.platform.environments.get(place.environment)?;
            let host = environment.hosts.get(place.within).filter(|_| environment.name == id.environment)?;
            let component = self.platform.component(id.component.as_str())?;
            host.carries(&component.name).then_some(Found { host_at: place.at, host, component })
        })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = AgentId> {
        self.agents.iter().map(Agent::id)
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};

    use super::*;

    fn platform(hosts: &str) -> Platform {
        let text = format!(
            "[[component]]\nname = \"c\"\ncriteria = [{{ regex = 'c' }}]\n[[environment]]\nname = \"E\"\nhost = [{hosts}]\n"
        );
        load_sources(&[Source { name: "x.toml".to_owned(), text }]).unwrap()
    }

    fn host(name: &str, port: u16) -> String {
        format!("{{ name = \"{name}\", components = [\"c\"], agent = \"http://127.0.0.1:{port}\" }}, ")
    }

    #[tokio::test]
    async fn an_instance_is_found_by_its_full_name_alone() {
        let fleet = Fleet::new(platform(&(host("a", 1) + &host("b", 2))), &[], None).unwrap();
        let find = |environment: &str, host: &str, component: &str| {
            let id = InstanceId {
                environment: environment.into(),
                host: host.into(),
                component: component.into(),
            };
            fleet
                .find(&id)
                .map(|found| (found.host_at, found.id().to_string()))
                .map_err(|error| error.message)
        };
        assert_eq!(find("E", "B", "C"), Ok((1, "E/b/c".to_owned())));
        assert_eq!(find("E", "x", "c").unwrap_err(), "host \"x\" is not known; known: a, b");
        assert_eq!(find("F", "a", "c").unwrap_err(), "environment \"F\" is not known; known: E");
        assert_eq!(find("E", "a", "d").unwrap_err(), "component \"d\" is not known; known: c");
    }

    #[tokio::test]
    async fn the_same_host_at_the_same_address_keeps_its_agent_wherever_it_stands() {
        let before =
            Fleet::new(platform(&(host("a", 1) + &host("b", 2) + &host("c", 3))), &[], None).unwrap();
        let [a, b, c] = before.ids().collect::<Vec<_>>()[..] else { panic!("three hosts") };
        // `a` is removed, `c` moves to the front, `b` gets another address, and a new host gets the old one
        // of `a`.
        let after = platform(&(host("C", 3) + &host("b", 4) + &host("d", 1)));
        let after = Fleet::new(after, &before.agents, None).unwrap();
        let [first, second, third] = after.ids().collect::<Vec<_>>()[..] else { panic!("three hosts") };
        assert_eq!(first, c);
        assert!([a, b, c].iter().all(|old| *old != second && *old != third) && second != third);
    }
}
