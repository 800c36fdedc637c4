//! Configuration of the whole platform: validated, with its variables not yet replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::host::{
    CommandRule, HostComponent, HostConfig, Part, Prerequisite, ProbeMethod, ProbeRule, ProcessCount,
    RestartRule, StartEngine, StartRule, StopRule, StopScope, StopSignal,
};
use super::process_settings::{EnvironmentFile, ProcessSettings};
use crate::address::{AddressProblem, host_and_port, url as url_of};
use crate::attributes::{AttributeCriterion, CriterionKind, UserCriterion};
use crate::criterion::Criterion;
use crate::name::{Name, find_host};
use crate::redact::redact_text;
use crate::sanitize::printable;
use crate::template::{CompileError, RegexTemplate, Template, UnknownVariable};

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
    pub parts: Vec<PartTemplate>,
    /// See [`Part::container`].
    pub container: bool,
    /// Components that must be up for this one to be up.
    pub depends_on: Vec<Dependency>,
    /// Start rule; `None`: the component is only monitored.
    pub start: Option<StartTemplate>,
    /// Stop rule.
    pub stop: StopTemplate,
    /// Health probe; `None`: a running component counts as healthy.
    pub probe: Option<ProbeTemplate>,
    /// See [`HostComponent::log`].
    pub log: Option<Template>,
    /// See [`HostComponent::restart`].
    pub restart: RestartRule,
    /// See [`HostComponent::wanted`].
    pub wanted: bool,
}

impl Component {
    /// Returns true if `name` is the component's name or an alias.
    pub fn is_called(&self, name: &Name) -> bool {
        self.name == *name || self.aliases.contains(name)
    }

    /// Returns true if users can read a log of the component: a file, or the journal of its systemd unit.
    pub fn has_log(&self) -> bool {
        let is_unit = |start: &StartTemplate| matches!(start.engine, StartEngineTemplate::Systemd(_));
        self.readable_log().is_some() || self.start.as_ref().is_some_and(is_unit)
    }

    /// Returns the log that users may read; see [`HostComponent::log`].
    pub fn readable_log(&self) -> Option<&Template> {
        let command = self.start.as_ref().and_then(|start| start.engine.command());
        self.log.as_ref().or(command.and_then(|command| command.log.as_ref()))
    }
}

/// Part with variables; see [`Part`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTemplate {
    /// Name of the part; `None` for the only part of an undivided component.
    pub name: Option<Name>,
    /// Criteria; a process must meet every one. Never empty.
    pub criteria: Vec<CriterionTemplate>,
    /// Number of processes that must match.
    pub count: ProcessCount,
}

impl PartTemplate {
    /// Replaces the variables. `user` is that of the start command: the processes must also have it, unless a
    /// criterion names another user.
    fn expand(
        &self,
        user: Option<&str>,
        container: bool,
        values: impl Fn(&str) -> Option<Vec<String>>,
    ) -> Result<Part, CompileError> {
        let criteria = self.criteria.iter().map(|criterion| criterion.expand(&values));
        let mut criteria: Vec<Criterion> = criteria.collect::<Result<_, CompileError>>()?;
        let is_said = criteria.iter().any(|criterion| criterion.kind() == CriterionKind::User);
        if let Some(user) = user.filter(|_| !is_said) {
            criteria.push(user_criterion(user.to_owned(), true));
        }
        Ok(Part { name: self.name.clone(), criteria, count: self.count, container })
    }
}

fn user_criterion(name: String, is_implied: bool) -> Criterion {
    Criterion::Attribute(AttributeCriterion::User(UserCriterion { name, uid: None, is_implied }))
}

/// Criterion with variables; see [`Criterion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CriterionTemplate {
    /// See [`crate::criterion::ArgumentCriterion`].
    Argument {
        /// See [`crate::criterion::ArgumentCriterion::index`].
        index: Option<i32>,
        /// See [`crate::criterion::ArgumentCriterion::regex`].
        regex: RegexTemplate,
    },
    /// See [`AttributeCriterion::User`].
    User(Template),
    /// See [`AttributeCriterion::Unit`].
    Unit(Template),
    /// See [`AttributeCriterion::Directory`].
    Directory(RegexTemplate),
    /// See [`AttributeCriterion::Executable`].
    Executable(RegexTemplate),
    /// See [`AttributeCriterion::Parent`].
    Parent(RegexTemplate),
}

impl CriterionTemplate {
    /// Returns the property that the criterion tests.
    pub fn kind(&self) -> CriterionKind {
        match self {
            Self::Argument { .. } => CriterionKind::Argument,
            Self::User(_) => CriterionKind::User,
            Self::Unit(_) => CriterionKind::Unit,
            Self::Directory(_) => CriterionKind::Directory,
            Self::Executable(_) => CriterionKind::Executable,
            Self::Parent(_) => CriterionKind::Parent,
        }
    }

    /// Returns the index of the argument that the criterion tests; `None` for any argument, and for other
    /// properties.
    pub fn index(&self) -> Option<i32> {
        match self {
            Self::Argument { index, .. } => *index,
            _ => None,
        }
    }

    /// Returns the variables that the criterion uses.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let template = match self {
            Self::User(text) | Self::Unit(text) => text,
            Self::Argument { regex, .. }
            | Self::Directory(regex)
            | Self::Executable(regex)
            | Self::Parent(regex) => regex.template(),
        };
        template.variables()
    }

    fn expand(&self, values: impl Fn(&str) -> Option<Vec<String>>) -> Result<Criterion, CompileError> {
        let text = |template: &Template| {
            let first = |name: &str| values(name)?.into_iter().next();
            template.expand(first).map_err(CompileError::Unknown)
        };
        Ok(match self {
            Self::Argument { index, regex } => Criterion::argument(*index, regex.compile(&values)?),
            Self::User(user) => user_criterion(text(user)?, false),
            Self::Unit(unit) => Criterion::Attribute(AttributeCriterion::Unit(text(unit)?)),
            Self::Directory(regex) => {
                Criterion::Attribute(AttributeCriterion::Directory(regex.compile(&values)?))
            }
            Self::Executable(regex) => {
                Criterion::Attribute(AttributeCriterion::Executable(regex.compile(&values)?))
            }
            Self::Parent(regex) => Criterion::Attribute(AttributeCriterion::Parent(regex.compile(&values)?)),
        })
    }
}

impl fmt::Display for CriterionTemplate {
    /// Writes the text that the criterion searches for, as it was configured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(text) | Self::Unit(text) => text.fmt(f),
            Self::Argument { regex, .. }
            | Self::Directory(regex)
            | Self::Executable(regex)
            | Self::Parent(regex) => regex.fmt(f),
        }
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

/// Start rule with variables; see [`StartRule`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartTemplate {
    /// See [`StartRule::engine`].
    pub engine: StartEngineTemplate,
    /// See [`StartRule::timeout`].
    pub timeout: Duration,
    /// See [`StartRule::settle`].
    pub settle: Duration,
}

impl StartTemplate {
    fn expand(&self, value: impl Fn(&str) -> Option<String>) -> Result<StartRule, UnknownVariable> {
        let engine = match &self.engine {
            StartEngineTemplate::Command(command) => StartEngine::Command(command.expand(value)?),
            StartEngineTemplate::Systemd(unit) => StartEngine::Systemd(unit.expand(value)?),
        };
        Ok(StartRule { engine, timeout: self.timeout, settle: self.settle })
    }
}

/// Mechanism that starts a component, with variables; see [`StartEngine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartEngineTemplate {
    /// See [`StartEngine::Command`].
    Command(CommandTemplate),
    /// See [`StartEngine::Systemd`].
    Systemd(Template),
}

impl StartEngineTemplate {
    /// Returns the command that the agent runs.
    pub fn command(&self) -> Option<&CommandTemplate> {
        match self {
            Self::Command(command) => Some(command),
            Self::Systemd(_) => None,
        }
    }
}

/// Log path that means no log: whatever is written to it is discarded (null(4)).
pub(super) const NULL_DEVICE: &str = "/dev/null";

/// Command with variables; see [`CommandRule`] for the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandTemplate {
    /// Program and arguments; never empty.
    pub command: Vec<Template>,
    /// Working directory.
    pub directory: Option<Template>,
    /// User to run as.
    pub user: Option<String>,
    /// Environment variables of the process, as opposed to variables of the configuration.
    pub environment: Vec<(String, Template)>,
    /// Files with further environment variables; the flag is true if the file may be missing.
    pub environment_files: Vec<(Template, bool)>,
    /// Further settings of the process.
    pub process: ProcessSettings,
    /// File for the output.
    pub log: Option<Template>,
}

impl CommandTemplate {
    fn expand(&self, value: impl Fn(&str) -> Option<String>) -> Result<CommandRule, UnknownVariable> {
        let text = |template: &Template| template.expand(&value);
        let path = |template: &Option<Template>| template.as_ref().map(text).transpose();
        Ok(CommandRule {
            command: self.command.iter().map(text).collect::<Result<_, _>>()?,
            directory: path(&self.directory)?.map(Into::into),
            user: self.user.clone(),
            environment: self
                .environment
                .iter()
                .map(|(name, value)| Ok((name.clone(), text(value)?)))
                .collect::<Result<_, _>>()?,
            environment_files: self
                .environment_files
                .iter()
                .map(|(path, is_optional)| {
                    Ok(EnvironmentFile { path: text(path)?.into(), is_optional: *is_optional })
                })
                .collect::<Result<_, _>>()?,
            process: self.process.clone(),
            log: path(&self.log)?.filter(|log| log != NULL_DEVICE).map(Into::into),
        })
    }
}

/// Stop rule with variables; see [`StopRule`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopTemplate {
    /// See [`StopRule::signal`].
    pub signal: StopSignal,
    /// See [`StopRule::timeout`].
    pub timeout: Duration,
    /// See [`StopRule::kill`].
    pub kill: bool,
    /// See [`StopRule::scope`].
    pub scope: StopScope,
    /// See [`StopRule::settle`].
    pub settle: Option<Duration>,
    /// Program and arguments; empty: the signal is sent.
    pub command: Vec<Template>,
}

impl Default for StopTemplate {
    fn default() -> Self {
        let StopRule { signal, timeout, kill, scope, settle, command: _ } = StopRule::default();
        Self { signal, timeout, kill, scope, settle, command: Vec::new() }
    }
}

impl StopTemplate {
    /// Replaces the variables. A stop command runs in the working directory and as the user of `start`.
    fn expand(
        &self,
        start: Option<&StartTemplate>,
        value: impl Fn(&str) -> Option<String>,
    ) -> Result<StopRule, UnknownVariable> {
        let around = start.and_then(|start| start.engine.command()).cloned().unwrap_or_default();
        let command = CommandTemplate { command: self.command.clone(), ..around };
        let command = (!self.command.is_empty()).then(|| command.expand(value)).transpose()?;
        let Self { signal, timeout, kill, scope, settle, command: _ } = *self;
        Ok(StopRule { signal, timeout, kill, scope, settle, command })
    }
}

/// Probe rule with variables; see [`ProbeRule`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTemplate {
    /// Check that the probe makes.
    pub question: ProbeMethodTemplate,
    /// See [`ProbeRule::interval`].
    pub interval: Duration,
    /// See [`ProbeRule::timeout`].
    pub timeout: Duration,
    /// See [`ProbeRule::failures`].
    pub failures: u32,
    /// See [`ProbeRule::grace`].
    pub grace: Duration,
}

/// Check with variables; see [`ProbeMethod`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeMethodTemplate {
    /// See [`ProbeMethod::Tcp`].
    Tcp(Template),
    /// See [`ProbeMethod::Http`].
    Http {
        /// URL.
        url: Template,
        /// Expected status code.
        status: u16,
    },
    /// See [`ProbeMethod::Command`].
    Command(Vec<Template>),
}

impl ProbeMethodTemplate {
    /// Returns all texts that may contain variables.
    pub fn templates(&self) -> &[Template] {
        match self {
            Self::Tcp(text) | Self::Http { url: text, .. } => std::slice::from_ref(text),
            Self::Command(command) => command,
        }
    }

    /// Replaces the variables.
    ///
    /// # Errors
    /// Returns a sentence if a variable has no value, or if the result is not a valid check.
    pub fn expand(&self, value: impl Fn(&str) -> Option<String>) -> Result<ProbeMethod, String> {
        let text = |template: &Template| template.expand(&value).map_err(|error| error.to_string());
        match self {
            Self::Tcp(address) => {
                let address = text(address)?;
                let told = |problem: AddressProblem| {
                    let what = match problem {
                        AddressProblem::Shape => "is no address to connect to".to_owned(),
                        problem => problem.to_string(),
                    };
                    let shown = redact_text(&printable(&address));
                    format!("\"{shown}\" {what}; write for example \"127.0.0.1:9092\"")
                };
                host_and_port(&address).map_err(told)?;
                Ok(ProbeMethod::Tcp(address))
            }
            Self::Http { url, status } => {
                let written = text(url)?;
                let told = |reason: &str| format!("\"{}\" {reason}", redact_text(&printable(&written)));
                const HINT: &str = "is no URL; write for example \"http://127.0.0.1:3000/api/health\"";
                let url = url_of(&written).map_err(|problem| match problem {
                    AddressProblem::Shape => told(HINT),
                    AddressProblem::User => told(
                        "has a user name or a password, which probes do not send; use a command such as curl",
                    ),
                    problem => told(&problem.to_string()),
                })?;
                match url.scheme_str() {
                    Some("http") => Ok(ProbeMethod::Http { url, status: *status }),
                    Some("https") => {
                        Err(told("asks for TLS, which probes do not have; use a command such as curl"))
                    }
                    _ => Err(told(HINT)),
                }
            }
            Self::Command(command) => {
                Ok(ProbeMethod::Command(command.iter().map(text).collect::<Result<_, _>>()?))
            }
        }
    }
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
}

impl Host {
    /// Returns true if the host carries the component with this canonical name.
    pub fn carries(&self, component: &Name) -> bool {
        self.components.contains(component)
    }

    /// Replaces the variables of this host as far as every host knows them: `${ip}` only if the configuration
    /// names an address.
    ///
    /// # Errors
    /// Returns an error with the first variable that has no value.
    pub(super) fn expand(&self, template: &Template) -> Result<String, UnknownVariable> {
        template.expand(|name| match name {
            "hostname" => Some(self.name.as_str().to_owned()),
            "ip" => self.ip.first().map(ToString::to_string),
            _ => self.variables.get(name).cloned(),
        })
    }
}

/// Variables that every host has: its name in the configuration, and its addresses.
pub(super) const BUILT_IN_VARIABLES: [&str; 2] = ["hostname", "ip"];

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

    /// Returns the hosts that satisfy `dependency` of a component on `host`; one of them is enough. If the
    /// rule prefers the host itself, it is the only one.
    pub fn providers(&self, host: &Host, dependency: &Dependency) -> Vec<&Host> {
        let carriers = |same_host: bool| {
            self.hosts()
                .filter(|other| {
                    other.environment == host.environment && (!same_host || other.name == host.name)
                })
                .filter(|other| other.carries(&dependency.component))
                .collect::<Vec<_>>()
        };
        match &dependency.place {
            DependencyPlace::Same => carriers(true),
            DependencyPlace::Any => carriers(false),
            DependencyPlace::Nearest if host.carries(&dependency.component) => carriers(true),
            DependencyPlace::Nearest => carriers(false),
            DependencyPlace::Host(name) => self
                .hosts()
                .filter(|other| other.name == *name && other.carries(&dependency.component))
                .collect(),
        }
    }

    /// Returns the configuration of one host, with every variable replaced.
    ///
    /// `addresses` are those of the host's interfaces, the preferred one first. They are the values of
    /// `${ip}` if the configuration names none: a regex then matches any of them, and a command gets the
    /// first.
    ///
    /// # Errors
    /// Returns a sentence that names the component if a variable has no value, such as `${ip}` on a host
    /// without addresses, or if a regex or check with its variables replaced is invalid.
    pub fn host_config(&self, host: &Host, addresses: &[IpAddr]) -> Result<HostConfig, String> {
        let components = host
            .components
            .iter()
            .filter_map(|name| self.components.iter().find(|component| component.name == *name))
            .map(|component| {
                let config = self.component_config(component, host, addresses)?;
                Ok(HostComponent { depends_on: self.prerequisites(component, host), ..config })
            })
            .collect::<Result<_, String>>()?;
        Ok(HostConfig {
            environment: host.environment.clone(),
            host: host.name.clone(),
            components,
            digest: self.digest.clone(),
        })
    }

    /// Returns the configuration of one component on `host`, without its prerequisites, which depend on every
    /// host; see [`Platform::host_config`].
    pub(super) fn component_config(
        &self,
        component: &Component,
        host: &Host,
        addresses: &[IpAddr],
    ) -> Result<HostComponent, String> {
        let addresses = if host.ip.is_empty() { addresses } else { &host.ip };
        let values = |name: &str| match name {
            "hostname" => Some(vec![host.name.as_str().to_owned()]),
            "ip" => Some(addresses.iter().map(IpAddr::to_string).collect()),
            _ => host.variables.get(name).map(|value| vec![value.clone()]),
        };
        let value = |name: &str| values(name)?.into_iter().next();
        let command = component.start.as_ref().and_then(|start| start.engine.command());
        let user = command.and_then(|command| command.user.as_deref());
        let told = |error: &dyn std::fmt::Display| {
            format!("component \"{}\" on host {}: {error}", component.name, host.name)
        };
        Ok(HostComponent {
            name: component.name.clone(),
            aliases: component.aliases.clone(),
            parts: component
                .parts
                .iter()
                .map(|part| part.expand(user, component.container, values))
                .collect::<Result<_, CompileError>>()
                .map_err(|error| told(&error))?,
            start: component
                .start
                .as_ref()
                .map(|start| start.expand(value))
                .transpose()
                .map_err(|error| told(&error))?,
            stop: component.stop.expand(component.start.as_ref(), value).map_err(|error| told(&error))?,
            probe: component
                .probe
                .as_ref()
                .map(|probe| {
                    Ok(ProbeRule {
                        question: probe.question.expand(value)?,
                        interval: probe.interval,
                        timeout: probe.timeout,
                        failures: probe.failures,
                        grace: probe.grace,
                    })
                })
                .transpose()
                .map_err(|error: String| told(&format!("probe: {error}")))?,
            log: component
                .readable_log()
                .map(|log| log.expand(value))
                .transpose()
                .map_err(|error| told(&error))?
                .filter(|log| log != NULL_DEVICE)
                .map(Into::into),
            restart: component.restart,
            wanted: component.wanted,
            depends_on: Vec::new(),
        })
    }

    /// Returns the components that `component` on `host` needs, with the hosts that provide them.
    fn prerequisites(&self, component: &Component, host: &Host) -> Vec<Prerequisite> {
        let needed = |dependency: &Dependency| Prerequisite {
            component: dependency.component.clone(),
            hosts: self.providers(host, dependency).into_iter().map(|host| host.name.clone()).collect(),
        };
        component.depends_on.iter().map(needed).collect()
    }
}
