//! Configuration as it was written: each value with its position, not yet validated against others.

mod component;
mod control;
mod criterion;
mod probe;
mod process;
mod texts;

use std::time::Duration;

use toml::de::DeTable;

use self::process::RawEnvironmentFile;
use super::fields::Fields;
use super::host::{Count, RestartRule, StopScope, StopSignal};
use super::platform::{CriterionTemplate, ProbeTemplate};
use super::process_settings::ProcessSettings;
use super::source::{At, Place, Problems, Source};
use super::template::Template;
use crate::text::printable;

/// Content of all files of a configuration.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) components: Vec<RawComponent>,
    pub(super) roles: Vec<RawRole>,
    pub(super) environments: Vec<RawEnvironment>,
    /// Default values of variables, used if neither the host nor its environment sets one.
    pub(super) variables: Vec<(At<String>, At<String>)>,
}

#[derive(Debug)]
pub(super) struct RawComponent {
    pub(super) name: At<String>,
    pub(super) aliases: Vec<At<String>>,
    pub(super) parts: Vec<RawPart>,
    pub(super) container: bool,
    pub(super) depends_on: Vec<RawDependency>,
    pub(super) start: Option<RawStart>,
    pub(super) stop: RawStop,
    pub(super) probe: Option<RawProbe>,
    pub(super) log: Option<At<Template>>,
    pub(super) restart: Option<At<RestartRule>>,
    /// Position of `wanted = "running"`.
    pub(super) wanted: Option<Place>,
}

#[derive(Debug)]
pub(super) struct RawPart {
    /// Name of the part; `None` in the short form.
    pub(super) name: Option<At<String>>,
    pub(super) criteria: Vec<At<CriterionTemplate>>,
    pub(super) count: Count,
}

#[derive(Debug)]
pub(super) struct RawDependency {
    pub(super) component: At<String>,
    pub(super) host: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawStart {
    /// Unit that systemd starts; the command is then empty, and no other key is set.
    pub(super) systemd: Option<At<Template>>,
    pub(super) command: Vec<At<Template>>,
    pub(super) directory: Option<At<Template>>,
    pub(super) user: Option<String>,
    pub(super) environment: Vec<(String, At<Template>)>,
    pub(super) environment_files: Vec<RawEnvironmentFile>,
    pub(super) process: ProcessSettings,
    pub(super) log: Option<At<Template>>,
    pub(super) timeout: Duration,
    pub(super) settle: Duration,
}

impl RawStart {
    /// Returns all texts that may contain variables.
    pub(super) fn templates(&self) -> impl Iterator<Item = &At<Template>> {
        self.command
            .iter()
            .chain(&self.directory)
            .chain(self.environment.iter().map(|(_, value)| value))
            .chain(self.environment_files.iter().map(|file| &file.path))
            .chain(&self.log)
            .chain(&self.systemd)
    }
}

#[derive(Debug, Default)]
pub(super) struct RawStop {
    pub(super) signal: Option<At<StopSignal>>,
    pub(super) timeout: Option<Duration>,
    pub(super) kill: Option<At<bool>>,
    pub(super) scope: Option<At<StopScope>>,
    pub(super) settle: Option<At<Duration>>,
    pub(super) command: Vec<At<Template>>,
}

impl RawStop {
    /// Returns the position of the first key that is valid only if the agent itself stops the component.
    pub(super) fn of_the_agent(&self) -> Option<Place> {
        let signal = self.signal.as_ref().map(|at| at.place);
        signal
            .or(self.kill.as_ref().map(|at| at.place))
            .or(self.scope.as_ref().map(|at| at.place))
            .or(self.settle.as_ref().map(|at| at.place))
            .or(self.command.first().map(|at| at.place))
    }
}

#[derive(Debug)]
pub(super) struct RawProbe {
    /// Start of the table.
    pub(super) place: Place,
    pub(super) template: ProbeTemplate,
}

#[derive(Debug)]
pub(super) struct RawRole {
    pub(super) name: At<String>,
    pub(super) components: Vec<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawEnvironment {
    pub(super) name: At<String>,
    pub(super) variables: Vec<(At<String>, At<String>)>,
    pub(super) hosts: Vec<RawHost>,
}

#[derive(Debug)]
pub(super) struct RawHost {
    pub(super) name: At<String>,
    pub(super) role: Option<At<String>>,
    pub(super) components: Vec<At<String>>,
    pub(super) agent: Option<At<String>>,
    pub(super) ip: Vec<At<String>>,
    /// Position of `ip`, which may list no address.
    pub(super) ip_given: Option<Place>,
    pub(super) variables: Vec<(At<String>, At<String>)>,
}

impl RawConfig {
    /// Adds the content of one file.
    pub(super) fn add(&mut self, index: usize, source: &Source, problems: &mut Problems<'_>) {
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            problems.report(Place { source: index, offset }, format!("not TOML: {}", error.message()));
        }
        // A file with a syntax error is parsed only in part; further messages about it would mislead.
        if !errors.is_empty() {
            return;
        }
        let mut fields = Fields::new(document.get_ref(), Place { source: index, offset: 0 }, "");
        let components = fields.tables("component", problems);
        self.components
            .extend(components.into_iter().filter_map(|table| component::component(table, problems)));
        let roles = fields.tables("role", problems);
        self.roles.extend(roles.into_iter().filter_map(|table| role(table, problems)));
        let environments = fields.tables("environment", problems);
        self.environments.extend(environments.into_iter().filter_map(|table| environment(table, problems)));
        self.variables.extend(fields.text_map("variables", problems));
        fields.finish(problems);
    }
}

/// Reads the name, and uses it in the messages about the table.
fn named(fields: &mut Fields<'_, '_>, kind: &str, problems: &mut Problems<'_>) -> Option<At<String>> {
    let name = fields.required_text("name", problems);
    if let Some(name) = &name {
        fields.owner = format!("{kind} \"{}\"", printable(&name.value));
    }
    name
}

fn role(mut fields: Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<RawRole> {
    let name = named(&mut fields, "role", problems);
    let components = fields.texts("components", problems);
    if components.is_empty() {
        problems
            .report(fields.place, format!("{}: key \"components\" needs at least one name", fields.owner));
    }
    fields.finish(problems);
    Some(RawRole { name: name?, components })
}

fn environment(mut fields: Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<RawEnvironment> {
    let name = named(&mut fields, "environment", problems);
    let variables = fields.text_map("variables", problems);
    let tables = fields.tables("host", problems);
    if tables.is_empty() {
        problems.report(fields.place, format!("{}: it has no [[environment.host]]", fields.owner));
    }
    let hosts = tables.into_iter().filter_map(|table| host(table, problems)).collect();
    fields.finish(problems);
    Some(RawEnvironment { name: name?, variables, hosts })
}

fn host(mut fields: Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<RawHost> {
    let name = named(&mut fields, "host", problems);
    let role = fields.text("role", problems);
    let components = fields.texts("components", problems);
    let agent = fields.text("agent", problems);
    let ip_given = fields.value("ip").map(|value| value.place);
    let ip = fields.texts("ip", problems);
    let variables = fields.text_map("variables", problems);
    fields.finish(problems);
    Some(RawHost { name: name?, role, components, agent, ip, ip_given, variables })
}
