//! Configuration as it was written: names with their positions, not yet validated against others, and the
//! rules of each component, with variables.

mod component;
mod control;
mod criterion;
mod limits;
mod notes;
mod probe;
mod probe_http;
mod process;
mod texts;

use toml::de::DeTable;

use super::fields::TableReader;
use super::model::{ComponentNotes, Labels, LimitRules, Part, ProbeRule, RestartRule, StartRule, StopRule};
use super::source::{Problems, Source};
use crate::sanitize::printable;
use crate::template::{Located, SourceLocation, Template, Templated};

/// Content of all files of a configuration.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) components: Vec<RawComponent>,
    pub(super) roles: Vec<RawRole>,
    pub(super) environments: Vec<RawEnvironment>,
    /// Default values of variables, used if neither the host nor its environment sets one.
    pub(super) variables: Vec<(Located<String>, Located<String>)>,
}

#[derive(Debug)]
pub(super) struct RawComponent {
    pub(super) name: Located<String>,
    pub(super) aliases: Vec<Located<String>>,
    pub(super) parts: Vec<Part<Templated>>,
    pub(super) depends_on: Vec<RawDependency>,
    pub(super) start: Option<StartRule<Templated>>,
    pub(super) stop: StopRule<Templated>,
    /// Position of the first key of the stop rule that is valid only if the agent itself stops the component.
    pub(super) stop_by_agent: Option<SourceLocation>,
    /// Probe, with the start of its table.
    pub(super) probe: Option<Located<ProbeRule<Templated>>>,
    pub(super) limits: LimitRules,
    pub(super) notes: ComponentNotes<Templated>,
    pub(super) log: Option<Located<Template>>,
    pub(super) restart: Option<Located<RestartRule>>,
    /// Position of `wanted = "running"`.
    pub(super) wanted: Option<SourceLocation>,
}

#[derive(Debug)]
pub(super) struct RawDependency {
    pub(super) component: Located<String>,
    pub(super) host: Option<Located<String>>,
}

#[derive(Debug)]
pub(super) struct RawRole {
    pub(super) name: Located<String>,
    pub(super) components: Vec<Located<String>>,
}

#[derive(Debug)]
pub(super) struct RawEnvironment {
    pub(super) name: Located<String>,
    pub(super) variables: Vec<(Located<String>, Located<String>)>,
    pub(super) hosts: Vec<RawHost>,
    pub(super) owner: Option<String>,
    pub(super) labels: Labels,
}

#[derive(Debug)]
pub(super) struct RawHost {
    pub(super) name: Located<String>,
    pub(super) role: Option<Located<String>>,
    pub(super) components: Vec<Located<String>>,
    pub(super) agent: Option<Located<String>>,
    pub(super) ip: Vec<Located<String>>,
    /// Position of `ip`, which may list no address.
    pub(super) ip_given: Option<SourceLocation>,
    pub(super) variables: Vec<(Located<String>, Located<String>)>,
    pub(super) owner: Option<String>,
    pub(super) labels: Labels,
}

impl RawConfig {
    /// Adds the content of one file.
    pub(super) fn add(&mut self, index: usize, source: &Source, problems: &mut Problems<'_>) {
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            problems
                .report(SourceLocation { source: index, offset }, format!("not TOML: {}", error.message()));
        }
        // A file with a syntax error is parsed only in part; further messages about it would mislead.
        if !errors.is_empty() {
            return;
        }
        let mut fields =
            TableReader::new(document.get_ref(), SourceLocation { source: index, offset: 0 }, "");
        let components = fields.tables("component", problems);
        self.components
            .extend(components.into_iter().filter_map(|table| component::parse_component(table, problems)));
        let roles = fields.tables("role", problems);
        self.roles.extend(roles.into_iter().filter_map(|table| role(table, problems)));
        let environments = fields.tables("environment", problems);
        self.environments.extend(environments.into_iter().filter_map(|table| environment(table, problems)));
        self.variables.extend(fields.text_map("variables", problems));
        fields.finish(problems);
    }
}

/// Reads the name, and uses it in the messages about the table.
fn named(
    fields: &mut TableReader<'_, '_>,
    kind: &str,
    problems: &mut Problems<'_>,
) -> Option<Located<String>> {
    let name = fields.required_text("name", problems);
    if let Some(name) = &name {
        fields.owner = format!("{kind} \"{}\"", printable(&name.value));
    }
    name
}

fn role(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<RawRole> {
    let name = named(&mut fields, "role", problems);
    let components = fields.texts("components", problems);
    if components.is_empty() {
        problems
            .report(fields.place, format!("{}: key \"components\" needs at least one name", fields.owner));
    }
    fields.finish(problems);
    Some(RawRole { name: name?, components })
}

fn environment(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<RawEnvironment> {
    let name = named(&mut fields, "environment", problems);
    let variables = fields.text_map("variables", problems);
    let tables = fields.tables("host", problems);
    if tables.is_empty() {
        problems.report(fields.place, format!("{}: it has no [[environment.host]]", fields.owner));
    }
    let hosts = tables.into_iter().filter_map(|table| host(table, problems)).collect();
    let (owner, labels) = notes::parse_owner_and_labels(&mut fields, problems);
    fields.finish(problems);
    Some(RawEnvironment { name: name?, variables, hosts, owner, labels })
}

fn host(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<RawHost> {
    let name = named(&mut fields, "host", problems);
    let role = fields.text("role", problems);
    let components = fields.texts("components", problems);
    let agent = fields.text("agent", problems);
    let ip_given = fields.value("ip").map(|value| value.place);
    let ip = fields.texts("ip", problems);
    let variables = fields.text_map("variables", problems);
    let (owner, labels) = notes::parse_owner_and_labels(&mut fields, problems);
    fields.finish(problems);
    Some(RawHost { name: name?, role, components, agent, ip, ip_given, variables, owner, labels })
}
