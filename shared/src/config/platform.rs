//! Configuration of the whole platform: validated, with its variables not yet replaced.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::model::{
    ComponentNotes, Labels, LimitRules, Part, ProbeRule, RestartRule, StartEngine, StartRule, StopRule,
};
use super::variables::Variables;
use crate::name::{Name, find_host};
use crate::template::{Located, Template, Templated};

/// All components, roles and environments. Every reference between them is valid.
#[derive(Clone, Debug, Default)]
pub struct Platform {
    /// Components, in the order of the files.
    pub components: Vec<Component>,
    /// Roles, in the order of the files.
    pub roles: Vec<Role>,
    /// Environments, in the order of the files.
    pub environments: Vec<Environment>,
    /// Digest that identifies this configuration: the beginning of the SHA-256 of its files.
    pub digest: String,
}

/// Component that the platform needs.
#[derive(Clone, Debug)]
pub struct Component {
    /// Canonical name.
    pub name: Name,
    /// Alternative names that also identify the component.
    pub aliases: Vec<Name>,
    /// Parts that the component consists of; never empty.
    pub parts: Vec<Part<Templated>>,
    /// Components that must be up for this one to be up.
    pub depends_on: Vec<Dependency>,
    /// Start rule; `None`: the component is only monitored.
    pub start: Option<StartRule<Templated>>,
    /// Stop rule.
    pub stop: StopRule<Templated>,
    /// Health probe; `None`: a running component counts as healthy.
    pub probe: Option<ProbeRule<Templated>>,
    /// Limits of what it may use.
    pub limits: LimitRules,
    /// What people should know of it, see [`notes_on`](Self::notes_on).
    pub notes: ComponentNotes<Templated>,
    /// See [`HostComponent::log`](super::HostComponent::log).
    pub log: Option<Located<Template>>,
    /// See [`HostComponent::restart`](super::HostComponent::restart).
    pub restart: RestartRule,
    /// See [`HostComponent::wanted`](super::HostComponent::wanted).
    pub wanted: bool,
}

impl Component {
    /// Returns what people should know of the component on `host`: labels of the environment, the host and
    /// the component, the later ones first; the owner of the component, or else of the host.
    ///
    /// # Errors
    /// Returns a sentence if a link is no URL on that host, which the check of the configuration excludes.
    pub fn notes_on(&self, host: &Host) -> Result<ComponentNotes, String> {
        let own = self.notes.resolve(&host.variables(&[]))?;
        let mut labels = host.labels.clone();
        labels.extend(own.labels);
        Ok(ComponentNotes { labels, owner: own.owner.or_else(|| host.owner.clone()), ..own })
    }

    /// Returns true if `name` is the component's name or an alias.
    pub fn is_called(&self, name: &Name) -> bool {
        self.name == *name || self.aliases.contains(name)
    }

    /// Returns true if users can read a log of the component: a file, or the journal of its systemd unit.
    pub fn has_log(&self) -> bool {
        let is_unit = |start: &StartRule<Templated>| matches!(start.engine, StartEngine::Systemd(_));
        self.readable_log().is_some() || self.start.as_ref().is_some_and(is_unit)
    }

    /// Returns the log that users may read; see [`HostComponent::log`](super::HostComponent::log).
    pub fn readable_log(&self) -> Option<&Located<Template>> {
        let command = self.start.as_ref().and_then(|start| start.engine.command());
        self.log.as_ref().or(command.and_then(|command| command.log.as_ref()))
    }
}

/// Component that another one needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Canonical name of the required component.
    pub component: Name,
    /// Location of the required instance.
    pub place: DependencyPlace,
}

/// Location of a required instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencyPlace {
    /// On the same host if that host carries the component, otherwise on any host of the environment.
    Nearest,
    /// On the same host.
    Same,
    /// On any host of the environment.
    Any,
    /// On this host.
    Host(Name),
}

/// Named list of components that a host carries.
#[derive(Clone, Debug)]
pub struct Role {
    /// Name of the role.
    pub name: Name,
    /// Canonical names of its components, in the order of the file.
    pub components: Vec<Name>,
}

/// Set of hosts that are run as one platform.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Name of the environment.
    pub name: Name,
    /// Hosts, in the order of the file.
    pub hosts: Vec<Host>,
    /// Person or team that is responsible.
    pub owner: Option<String>,
    /// Labels.
    pub labels: Labels,
}

/// Machine that carries components.
#[derive(Clone, Debug)]
pub struct Host {
    /// Name of the host, unique in the platform.
    pub name: Name,
    /// Name of its environment.
    pub environment: Name,
    /// Role of the host, if it has one.
    pub role: Option<Name>,
    /// Canonical names of its components: those of its role, followed by its own.
    pub components: Vec<Name>,
    /// Address of its agent, `https://name:port`.
    pub agent: String,
    /// Values of `${ip}`; empty: all addresses of its interfaces, which only the host itself knows.
    pub ip: Vec<IpAddr>,
    /// Variables of the host. Default values are overridden by those of the environment, and these by the
    /// host's own.
    pub variables: BTreeMap<String, String>,
    /// Person or team that is responsible: the host's own, or else the environment's.
    pub owner: Option<String>,
    /// Labels of the environment, overridden by the host's own.
    pub labels: Labels,
}

impl Host {
    /// Returns true if the host carries the component with this canonical name.
    pub fn carries(&self, component: &Name) -> bool {
        self.components.contains(component)
    }

    /// Returns the values of the host's variables. `addresses` are those of its interfaces, which are the
    /// values of `${ip}` if the configuration names none.
    pub(super) fn variables<'h>(&'h self, addresses: &'h [IpAddr]) -> Variables<'h> {
        let addresses = if self.ip.is_empty() { addresses } else { &self.ip };
        Variables::new(&self.name, addresses, &self.variables)
    }
}

impl Platform {
    /// Returns the component with this name or alias.
    pub fn component(&self, name: &str) -> Option<&Component> {
        let name = Name::from(name);
        self.components.iter().find(|component| component.is_called(&name))
    }

    /// Returns all hosts of all environments.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> + Clone {
        self.environments.iter().flat_map(|environment| &environment.hosts)
    }

    /// Returns the host with this name. A fully qualified name also finds a host that is configured by its
    /// short name; a short name also finds a host that is configured by its fully qualified name, if only one
    /// matches.
    pub fn find_host(&self, name: &str) -> Option<&Host> {
        find_host(name, self.hosts().map(|host| (host, &host.name)))
    }
}
