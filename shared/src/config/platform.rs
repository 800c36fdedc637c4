//! The whole platform as the configuration describes it: checked, with its variables not yet replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::host::{
    CommandRule, Count, Engine, HostComponent, HostConfig, Part, Prerequisite, ProbeRule, Question,
    RestartRule, StartRule, StopRule, StopScope, StopSignal,
};
use super::process_settings::{EnvironmentFile, ProcessSettings};
use super::template::{CompileError, RegexTemplate, Template, UnknownVariable};
use crate::address::{AddressProblem, host_and_port, url as url_of};
use crate::attributes::{AttributeCriterion, CriterionKind, UserCriterion};
use crate::criterion::Criterion;
use crate::mask::masked_text;
use crate::name::Name;
use crate::text::printable;

/// Every component, role and environment. Each reference in it is known to lead somewhere.
#[derive(Clone, Debug, Default)]
pub struct Platform {
    /// In the order of the files.
    pub components: Vec<Component>,
    /// In the order of the files.
    pub roles: Vec<Role>,
    /// In the order of the files.
    pub environments: Vec<Environment>,
    /// What tells this configuration from every other: the beginning of the SHA-256 of its files.
    pub digest: String,
}

/// A thing that the platform needs.
#[derive(Clone, Debug)]
pub struct Component {
    /// The canonical name.
    pub name: Name,
    /// Other names it is found by.
    pub aliases: Vec<Name>,
    /// The processes it consists of; never empty.
    pub parts: Vec<PartTemplate>,
    /// See [`Part::container`].
    pub container: bool,
    /// What must be up for it to be up.
    pub depends_on: Vec<Dependency>,
    /// How to start it; `None`: it is watched, not started.
    pub start: Option<StartTemplate>,
    /// How to stop it.
    pub stop: StopTemplate,
    /// How to ask it whether it is well; `None`: that it runs is enough.
    pub probe: Option<ProbeTemplate>,
    /// See [`HostComponent::log`].
    pub log: Option<Template>,
    /// See [`HostComponent::restart`].
    pub restart: RestartRule,
    /// See [`HostComponent::wanted`].
    pub wanted: bool,
}

impl Component {
    /// Whether `name` is its name or an alias.
    pub fn is_called(&self, name: &Name) -> bool {
        self.name == *name || self.aliases.contains(name)
    }

    /// Whether people can read a log of it: a file, or the journal of its systemd unit.
    pub fn has_log(&self) -> bool {
        let is_unit = |start: &StartTemplate| matches!(start.engine, EngineTemplate::Systemd(_));
        self.readable_log().is_some() || self.start.as_ref().is_some_and(is_unit)
    }

    /// The log that people may read; see [`HostComponent::log`].
    pub fn readable_log(&self) -> Option<&Template> {
        let command = self.start.as_ref().and_then(|start| start.engine.command());
        self.log.as_ref().or(command.and_then(|command| command.log.as_ref()))
    }
}

/// A part with variables; see [`Part`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTemplate {
    /// `None` for the only part of a component that is not divided.
    pub name: Option<Name>,
    /// All must hold on one process; never empty.
    pub criteria: Vec<CriterionTemplate>,
    /// How many processes are to hold them.
    pub count: Count,
}

impl PartTemplate {
    /// `user` is that of the start command: it is the processes' too where no criterion says another.
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

/// A criterion with variables; see [`Criterion`].
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
    /// Returns what it looks at.
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

    /// Returns which argument it looks at; `None` for any, and for what is no argument.
    pub fn index(&self) -> Option<i32> {
        match self {
            Self::Argument { index, .. } => *index,
            _ => None,
        }
    }

    /// Returns the variables that it names.
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
    /// What it looks for, as it was written.
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

/// What a component needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The canonical name of the component needed.
    pub component: Name,
    /// Which of its instances.
    pub place: DependencyPlace,
}

/// Where the instance stands that a component needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencyPlace {
    /// On the same host where that host carries the component, else any of the environment.
    Nearest,
    /// On the same host.
    Same,
    /// On any host of the environment.
    Any,
    /// On this host.
    Host(Name),
}

/// A start rule with variables; see [`StartRule`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartTemplate {
    /// See [`StartRule::engine`].
    pub engine: EngineTemplate,
    /// See [`StartRule::timeout`].
    pub timeout: Duration,
    /// See [`StartRule::settle`].
    pub settle: Duration,
}

impl StartTemplate {
    fn expand(&self, value: impl Fn(&str) -> Option<String>) -> Result<StartRule, UnknownVariable> {
        let engine = match &self.engine {
            EngineTemplate::Command(command) => Engine::Command(command.expand(value)?),
            EngineTemplate::Systemd(unit) => Engine::Systemd(unit.expand(value)?),
        };
        Ok(StartRule { engine, timeout: self.timeout, settle: self.settle })
    }
}

/// What starts a component; see [`Engine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineTemplate {
    /// See [`Engine::Command`].
    Command(CommandTemplate),
    /// See [`Engine::Systemd`].
    Systemd(Template),
}

impl EngineTemplate {
    /// The command that the agent runs.
    pub fn command(&self) -> Option<&CommandTemplate> {
        match self {
            Self::Command(command) => Some(command),
            Self::Systemd(_) => None,
        }
    }
}

/// The log of what is to have none: what is written to it is gone (null(4)).
pub(super) const NULL_DEVICE: &str = "/dev/null";

/// A command with variables; see [`CommandRule`] for the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandTemplate {
    /// Never empty.
    pub command: Vec<Template>,
    /// The working directory.
    pub directory: Option<Template>,
    /// The user to run as.
    pub user: Option<String>,
    /// Variables of the process, not of the configuration.
    pub environment: Vec<(String, Template)>,
    /// Files of more such variables, each with whether it need not be there.
    pub environment_files: Vec<(Template, bool)>,
    /// What else its process gets.
    pub process: ProcessSettings,
    /// Where the output goes.
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

/// A stop rule with variables; see [`StopRule`] for the fields.
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
    /// The program and its arguments; empty: the signal is sent.
    pub command: Vec<Template>,
}

impl Default for StopTemplate {
    fn default() -> Self {
        let StopRule { signal, timeout, kill, scope, settle, command: _ } = StopRule::default();
        Self { signal, timeout, kill, scope, settle, command: Vec::new() }
    }
}

impl StopTemplate {
    /// `start` says where and as whom a command is run.
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

/// A probe rule with variables; see [`ProbeRule`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTemplate {
    /// What is asked.
    pub question: QuestionTemplate,
    /// See [`ProbeRule::interval`].
    pub interval: Duration,
    /// See [`ProbeRule::timeout`].
    pub timeout: Duration,
    /// See [`ProbeRule::failures`].
    pub failures: u32,
    /// See [`ProbeRule::grace`].
    pub grace: Duration,
}

/// A question with variables; see [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionTemplate {
    /// See [`Question::Tcp`].
    Tcp(Template),
    /// See [`Question::Http`].
    Http {
        /// The URL.
        url: Template,
        /// The status code that is right.
        status: u16,
    },
    /// See [`Question::Command`].
    Command(Vec<Template>),
}

impl QuestionTemplate {
    /// Every text that may hold variables.
    pub fn templates(&self) -> &[Template] {
        match self {
            Self::Tcp(text) | Self::Http { url: text, .. } => std::slice::from_ref(text),
            Self::Command(command) => command,
        }
    }

    /// The question with its variables replaced, or a sentence that says why it is none then.
    ///
    /// # Errors
    /// The sentence.
    pub fn expand(&self, value: impl Fn(&str) -> Option<String>) -> Result<Question, String> {
        let text = |template: &Template| template.expand(&value).map_err(|error| error.to_string());
        match self {
            Self::Tcp(address) => {
                let address = text(address)?;
                let told = |problem: AddressProblem| {
                    let what = match problem {
                        AddressProblem::Shape => "is no address to connect to".to_owned(),
                        problem => problem.to_string(),
                    };
                    let shown = masked_text(&printable(&address));
                    format!("\"{shown}\" {what}; write for example \"127.0.0.1:9092\"")
                };
                host_and_port(&address).map_err(told)?;
                Ok(Question::Tcp(address))
            }
            Self::Http { url, status } => {
                let written = text(url)?;
                let told = |reason: &str| format!("\"{}\" {reason}", masked_text(&printable(&written)));
                const HINT: &str = "is no URL; write for example \"http://127.0.0.1:3000/api/health\"";
                let url = url_of(&written).map_err(|problem| match problem {
                    AddressProblem::Shape => told(HINT),
                    AddressProblem::User => told(
                        "has a user name or a password, which probes do not send; use a command such as curl",
                    ),
                    problem => told(&problem.to_string()),
                })?;
                match url.scheme_str() {
                    Some("http") => Ok(Question::Http { url, status: *status }),
                    Some("https") => {
                        Err(told("asks for TLS, which probes do not have; use a command such as curl"))
                    }
                    _ => Err(told(HINT)),
                }
            }
            Self::Command(command) => {
                Ok(Question::Command(command.iter().map(text).collect::<Result<_, _>>()?))
            }
        }
    }
}

/// A named list of components that a host carries.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: Name,
    /// Canonical names, in the order written.
    pub components: Vec<Name>,
}

/// A set of hosts run as one platform.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its name.
    pub name: Name,
    /// In the order written.
    pub hosts: Vec<Host>,
}

/// One machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name; no other host of the platform has it.
    pub name: Name,
    /// The name of its environment.
    pub environment: Name,
    /// Its role, if it has one.
    pub role: Option<Name>,
    /// The canonical names of the components it carries: its role's, then its own.
    pub components: Vec<Name>,
    /// Its agent's address, `https://name:port`.
    pub agent: String,
    /// What `${ip}` stands for; empty: every address of its interfaces, which only itself knows.
    pub ip: Vec<IpAddr>,
    /// The variables' default values, overridden by the environment's, and those by the host's own.
    pub variables: BTreeMap<String, String>,
}

impl Host {
    /// Whether it carries the component of this canonical name.
    pub fn carries(&self, component: &Name) -> bool {
        self.components.contains(component)
    }

    /// A text with the variables of this host, as far as they are known everywhere: `${ip}` is where it is configured.
    ///
    /// # Errors
    /// The first variable without a value.
    pub(super) fn expand(&self, template: &Template) -> Result<String, UnknownVariable> {
        template.expand(|name| match name {
            "hostname" => Some(self.name.as_str().to_owned()),
            "ip" => self.ip.first().map(ToString::to_string),
            _ => self.variables.get(name).cloned(),
        })
    }
}

/// The variables that every host has: its name in the configuration, and its addresses.
pub(super) const BUILT_IN_VARIABLES: [&str; 2] = ["hostname", "ip"];

impl Platform {
    /// The component with this name or alias.
    pub fn component(&self, name: &str) -> Option<&Component> {
        let name = Name::from(name);
        self.components.iter().find(|component| component.is_called(&name))
    }

    /// Every host of every environment.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.environments.iter().flat_map(|environment| &environment.hosts)
    }

    /// The host with this name. A full domain name also finds the host that is configured by its short name,
    /// and a short name the one that is configured by its full domain name, if it is the only one.
    pub fn find_host(&self, name: &str) -> Option<&Host> {
        let name = crate::name::fold(name.trim_end_matches('.'));
        if let Some(host) = self.hosts().find(|host| host.name.folded() == name) {
            return Some(host);
        }
        let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        if name.contains('.') {
            return self.hosts().find(|host| host.name.folded() == short(&name));
        }
        let mut candidates = self.hosts().filter(|host| short(host.name.folded()) == name);
        candidates.next().filter(|_| candidates.next().is_none())
    }

    /// The hosts that carry what `dependency` of a component on `host` needs; any one of them will do. The
    /// host itself stands alone where the rule prefers it.
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

    /// One host's share, with every variable replaced.
    ///
    /// `addresses` are those of the host's interfaces, the one to prefer first. They stand for `${ip}` where
    /// the configuration names none: a regex then matches any of them, and a command gets the first.
    ///
    /// # Errors
    /// A sentence that names the component, where `${ip}` is used and there is no address at all.
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

    /// One component as it is on `host`, without what it needs, which takes a look at every host; see
    /// [`Platform::host_config`].
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

    /// What `component` needs on `host`.
    fn prerequisites(&self, component: &Component, host: &Host) -> Vec<Prerequisite> {
        let needed = |dependency: &Dependency| Prerequisite {
            component: dependency.component.clone(),
            hosts: self.providers(host, dependency).into_iter().map(|host| host.name.clone()).collect(),
        };
        component.depends_on.iter().map(needed).collect()
    }
}
