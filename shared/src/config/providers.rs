//! Index of the hosts that carry each component, to find what satisfies a dependency without a search of the
//! whole platform.

use std::collections::HashMap;

use super::platform::{Dependency, DependencyPlace, Host, Platform};
use crate::name::Name;

/// Hosts of a platform by name, and by environment and component.
#[derive(Clone, Debug)]
pub struct ProviderIndex<'p> {
    hosts: HashMap<&'p Name, &'p Host>,
    /// Hosts that carry a component, by environment and component, in the configuration's order.
    carriers: HashMap<(&'p Name, &'p Name), Vec<&'p Host>>,
}

/// Hosts that satisfy a dependency; one of them is enough.
#[derive(Clone, Copy, Debug)]
pub enum Providers<'i, 'p> {
    /// This host alone; `None`: no host.
    Single(Option<&'p Host>),
    /// All hosts of the environment that carry the component; never empty. The same for every host of the
    /// environment that has the dependency.
    Environment(&'i [&'p Host]),
}

impl<'p> ProviderIndex<'p> {
    /// Creates the index of `platform`.
    pub fn new(platform: &'p Platform) -> Self {
        let mut hosts = HashMap::new();
        let mut carriers: HashMap<_, Vec<&Host>> = HashMap::new();
        for host in platform.hosts() {
            hosts.insert(&host.name, host);
            for component in &host.components {
                carriers.entry((&host.environment, component)).or_default().push(host);
            }
        }
        Self { hosts, carriers }
    }

    /// Returns the hosts that satisfy `dependency` of a component on `host`. If the rule prefers the host
    /// itself, it is the only one.
    pub fn providers<'i>(&'i self, host: &'p Host, dependency: &'i Dependency) -> Providers<'i, 'p> {
        let component = &dependency.component;
        let if_it_carries = |host: &'p Host| Some(host).filter(|host| host.carries(component));
        match &dependency.place {
            DependencyPlace::Same => Providers::Single(if_it_carries(host)),
            DependencyPlace::Host(name) => {
                Providers::Single(self.hosts.get(name).copied().and_then(if_it_carries))
            }
            DependencyPlace::Nearest if host.carries(component) => Providers::Single(Some(host)),
            DependencyPlace::Any | DependencyPlace::Nearest => {
                match self.carriers.get(&(&host.environment, component)) {
                    Some(carriers) => Providers::Environment(carriers),
                    None => Providers::Single(None),
                }
            }
        }
    }
}

impl<'i, 'p> Providers<'i, 'p> {
    /// Returns true if no host satisfies the dependency.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Single(None))
    }

    /// Returns the hosts, in the configuration's order.
    pub fn iter(self) -> impl Iterator<Item = &'p Host> + use<'i, 'p> {
        let (single, environment) = match self {
            Self::Single(host) => (host, [].as_slice()),
            Self::Environment(hosts) => (None, hosts),
        };
        single.into_iter().chain(environment.iter().copied())
    }
}
