//! Platform with its agents.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use rta_shared::config::{Component, Host, Platform};
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::selector::{NameIndex, Purpose, Selector};
use rta_shared::tls::ClientTls;
use tonic::Code;
use tonic::codegen::http::uri::InvalidUri;

use crate::agent_id::AgentId;
use crate::agents::client::AgentClient;
use crate::leadership::Leadership;
use crate::operation_error::OperationError;

/// Platform and its agents, which are loaded and replaced together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) platform: Arc<Platform>,
    /// Agents of [`Platform::hosts`], in the same order.
    pub(crate) agents: Vec<AgentClient>,
    graph: OnceLock<DependencyGraph>,
    positions: HashMap<Name, HostPosition>,
    client_tls: Option<ClientTls>,
    leadership: Leadership,
}

/// Instance in the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfiguredInstance<'p> {
    /// Position of its host among [`Platform::hosts`].
    pub(crate) host_index: usize,
    pub(crate) host: &'p Host,
    pub(crate) component: &'p Component,
}

impl ConfiguredInstance<'_> {
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
struct HostPosition {
    /// Position of its environment.
    environment: usize,
    /// Position within the environment.
    within: usize,
    /// Position among [`Platform::hosts`].
    at: usize,
}

fn host_positions(platform: &Platform) -> HashMap<Name, HostPosition> {
    let hosts = platform.environments.iter().enumerate().flat_map(|(environment, one)| {
        one.hosts.iter().enumerate().map(move |(within, host)| (environment, within, host))
    });
    let places = hosts.enumerate().map(|(at, (environment, within, host))| {
        (host.name.clone(), HostPosition { environment, within, at })
    });
    places.collect()
}

impl Inventory {
    /// Creates the inventory of `platform`. An agent in `before` with the same host and address is reused, with
    /// its connection and the state stored under its ID. Agents at https:// addresses are connected with
    /// `client_tls`.
    ///
    /// # Errors
    /// Returns an error if an agent's address is invalid, which a checked configuration excludes.
    pub(crate) fn new(
        platform: Platform,
        before: &[AgentClient],
        client_tls: Option<&ClientTls>,
    ) -> Result<Self, InvalidUri> {
        let known: HashMap<_, _> = before.iter().map(|agent| (agent.host(), agent)).collect();
        let agents = platform
            .hosts()
            .map(|host| match known.get(&host.name).filter(|agent| agent.belongs_to(host)) {
                Some(agent) => Ok((*agent).clone()),
                None => AgentClient::new(host, client_tls),
            })
            .collect::<Result<_, _>>()?;
        let positions = host_positions(&platform);
        Ok(Self {
            platform: Arc::new(platform),
            agents,
            graph: OnceLock::new(),
            positions,
            client_tls: client_tls.cloned(),
            leadership: Leadership::default(),
        })
    }

    /// Returns the inventory of an aggregator with this role.
    pub(crate) fn with_leadership(mut self, leadership: &Leadership) -> Self {
        let agents = std::mem::take(&mut self.agents).into_iter();
        self.agents = agents.map(|agent| agent.with_leadership(leadership.clone())).collect();
        self.leadership = leadership.clone();
        self
    }

    /// Creates the inventory of a newer `platform`, reusing the agents as in [`Inventory::new`].
    ///
    /// # Errors
    /// Returns an error on the same condition as [`Inventory::new`].
    pub(crate) fn with_platform(&self, platform: Platform) -> Result<Self, InvalidUri> {
        let inventory = Self::new(platform, &self.agents, self.client_tls.as_ref())?;
        Ok(inventory.with_leadership(&self.leadership))
    }

    /// Returns the dependency graph. It is built on first use, since that takes a while on a large platform.
    pub(crate) fn graph(&self) -> &DependencyGraph {
        self.graph.get_or_init(|| DependencyGraph::new(&self.platform))
    }

    /// Finds the instance with this full name by lookup, without a comparison with every host.
    ///
    /// # Errors
    /// Returns an error if the configuration does not have it.
    pub(crate) fn find_instance(&self, id: &InstanceId) -> Result<ConfiguredInstance<'_>, OperationError> {
        let found = self.look_up_instance(id);
        // The words for what is wrong need the search.
        found.map_or_else(|| self.resolve_instance(&Selector::from(id), Purpose::Acting), Ok)
    }

    /// Returns the one instance that is selected.
    ///
    /// # Errors
    /// Returns an error if the selector selects no instance, or several.
    pub(crate) fn resolve_instance(
        &self,
        selector: &Selector,
        purpose: Purpose,
    ) -> Result<ConfiguredInstance<'_>, OperationError> {
        let index = NameIndex::from(self.platform.as_ref());
        let selection = selector.resolve(&index, purpose)?;
        let id = selection.one("name the environment or the host")?.id();
        self.look_up_instance(&id)
            .ok_or_else(|| OperationError::new(Code::Internal, format!("{id} has no place among the hosts")))
    }

    fn look_up_instance(&self, id: &InstanceId) -> Option<ConfiguredInstance<'_>> {
        self.positions.get(&id.host).and_then(|place| {
            let environment = self.platform.environments.get(place.environment)?;
            let host = environment.hosts.get(place.within).filter(|_| environment.name == id.environment)?;
            let component = self.platform.component(id.component.as_str())?;
            host.carries(&component.name).then_some(ConfiguredInstance {
                host_index: place.at,
                host,
                component,
            })
        })
    }

    pub(crate) fn agent_ids(&self) -> impl Iterator<Item = AgentId> {
        self.agents.iter().map(AgentClient::id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_platform::platform_of_hosts;

    #[tokio::test]
    async fn an_instance_is_found_by_its_full_name_alone() {
        let inventory = Inventory::new(platform_of_hosts(&[("a", 1), ("b", 2)]), &[], None).unwrap();
        let find = |environment: &str, host: &str, component: &str| {
            let id = InstanceId {
                environment: environment.into(),
                host: host.into(),
                component: component.into(),
            };
            inventory
                .find_instance(&id)
                .map(|found| (found.host_index, found.id().to_string()))
                .map_err(|error| error.message)
        };
        assert_eq!(find("E", "B", "C"), Ok((1, "E/b/c".to_owned())));
        assert_eq!(find("E", "x", "c").unwrap_err(), "host \"x\" is not known; known: a, b");
        assert_eq!(find("F", "a", "c").unwrap_err(), "environment \"F\" is not known; known: E");
        assert_eq!(find("E", "a", "d").unwrap_err(), "component \"d\" is not known; known: c");
    }

    #[tokio::test]
    async fn the_same_host_at_the_same_address_keeps_its_agent_wherever_it_stands() {
        let before = Inventory::new(platform_of_hosts(&[("a", 1), ("b", 2), ("c", 3)]), &[], None).unwrap();
        let [a, b, c] = before.agent_ids().collect::<Vec<_>>()[..] else { panic!("three hosts") };
        // `a` is removed, `c` moves to the front, `b` gets another address, and a new host gets the old one
        // of `a`.
        let after = platform_of_hosts(&[("C", 3), ("b", 4), ("d", 1)]);
        let after = Inventory::new(after, &before.agents, None).unwrap();
        let [first, second, third] = after.agent_ids().collect::<Vec<_>>()[..] else { panic!("three hosts") };
        assert_eq!(first, c);
        assert!([a, b, c].iter().all(|old| *old != second && *old != third) && second != third);
    }
}
