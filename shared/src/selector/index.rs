//! Index of the names that can be selected.

use std::collections::{HashMap, HashSet};

use super::{HostRef, InstanceRef};
use crate::config::{HostConfig, Platform};
use crate::name::Name;
use crate::overview::Overview;

/// Names of environments, hosts and components, and which host carries which components.
#[derive(Clone, Debug, Default)]
pub struct NameIndex<'n> {
    environments: Vec<&'n Name>,
    hosts: Vec<ComponentHost<'n>>,
    components: Vec<(&'n Name, &'n [Name])>,
}

/// Host with its components.
#[derive(Clone, Debug)]
struct ComponentHost<'n> {
    environment: &'n Name,
    name: &'n Name,
    components: Vec<&'n Name>,
    /// Position of its first instance among all instances.
    first: usize,
}

impl<'n> NameIndex<'n> {
    fn add_host(&mut self, environment: &'n Name, name: &'n Name, components: Vec<&'n Name>) {
        let first = self.hosts.last().map_or(0, |last| last.first + last.components.len());
        self.hosts.push(ComponentHost { environment, name, components, first });
    }

    /// Returns every environment, in the configuration's order.
    pub(super) fn environments(&self) -> impl Iterator<Item = &'n Name> {
        self.environments.iter().copied()
    }

    /// Returns every host, in the configuration's order.
    pub(super) fn hosts(&self) -> impl Iterator<Item = HostRef<'n>> + Clone {
        let hosts = self.hosts.iter().enumerate();
        hosts.map(|(at, host)| HostRef { at, environment: host.environment, name: host.name })
    }

    /// Returns every component with its aliases.
    pub(super) fn components(&self) -> impl Iterator<Item = (&'n Name, &'n [Name])> {
        self.components.iter().copied()
    }

    /// Returns the canonical name of the component with this name or alias.
    pub(super) fn find_component(&self, name: &str) -> Option<&'n Name> {
        let name = Name::from(name);
        let found = self.components().find(|(known, aliases)| **known == name || aliases.contains(&name));
        found.map(|(known, _)| known)
    }

    /// Returns the instance of this component on this host.
    pub(super) fn find_instance(&self, host: HostRef<'n>, component: &Name) -> Option<InstanceRef<'n>> {
        self.instances_of(host).find(|instance| instance.component == component)
    }

    /// Returns every instance of this host.
    pub(super) fn instances_of(&self, host: HostRef<'n>) -> impl Iterator<Item = InstanceRef<'n>> {
        let carrier = self.hosts.get(host.at);
        carrier.into_iter().flat_map(move |carrier| {
            let components = carrier.components.iter().enumerate();
            components.map(move |(at, component)| InstanceRef { at: carrier.first + at, host, component })
        })
    }
}

impl<'n> From<&'n Platform> for NameIndex<'n> {
    fn from(platform: &'n Platform) -> Self {
        let mut index = Self {
            environments: platform.environments.iter().map(|environment| &environment.name).collect(),
            hosts: Vec::new(),
            components: platform.components.iter().map(|one| (&one.name, one.aliases.as_slice())).collect(),
        };
        for host in platform.hosts() {
            index.add_host(&host.environment, &host.name, host.components.iter().collect());
        }
        index
    }
}

impl<'n> From<&'n Overview> for NameIndex<'n> {
    fn from(overview: &'n Overview) -> Self {
        let aliases: HashMap<&Name, &[Name]> =
            overview.aliases.iter().map(|one| (&one.component, one.aliases.as_slice())).collect();
        let mut index = Self {
            environments: overview.environments.iter().map(|environment| &environment.name).collect(),
            ..Self::default()
        };
        let mut known = HashSet::new();
        for located in overview.instances() {
            let component = &located.instance.component;
            if known.insert(component) {
                index.components.push((component, aliases.get(component).copied().unwrap_or_default()));
            }
        }
        for environment in &overview.environments {
            for host in &environment.hosts {
                let components = host.instances.iter().map(|instance| &instance.component).collect();
                index.add_host(&environment.name, &host.name, components);
            }
        }
        index
    }
}

/// Index of one host.
impl<'n> From<&'n HostConfig> for NameIndex<'n> {
    fn from(config: &'n HostConfig) -> Self {
        let mut index = Self {
            environments: vec![&config.environment],
            hosts: Vec::new(),
            components: config.components.iter().map(|one| (&one.name, one.aliases.as_slice())).collect(),
        };
        let components = config.components.iter().map(|component| &component.name).collect();
        index.add_host(&config.environment, &config.host, components);
        index
    }
}
