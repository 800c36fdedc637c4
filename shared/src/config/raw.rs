//! The configuration as it was written: each value with its place, nothing yet compared with anything else.

use std::time::Duration;

use toml::de::DeTable;

use super::fields::{Fields, Value, fields_of};
use super::host::{StopRule, StopSignal};
use super::source::{At, Place, Problems, Source};
use super::template::{RegexTemplate, Template};
use crate::text::{did_you_mean, printable};

/// What all files of a configuration say together.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) components: Vec<RawComponent>,
    pub(super) roles: Vec<RawRole>,
    pub(super) environments: Vec<RawEnvironment>,
}

#[derive(Debug)]
pub(super) struct RawComponent {
    pub(super) name: At<String>,
    pub(super) aliases: Vec<At<String>>,
    pub(super) criteria: Vec<RawCriterion>,
    pub(super) depends_on: Vec<RawDependency>,
    pub(super) start: Option<RawStart>,
    pub(super) stop: StopRule,
}

#[derive(Debug)]
pub(super) struct RawCriterion {
    pub(super) index: Option<i32>,
    pub(super) regex: At<RegexTemplate>,
}

#[derive(Debug)]
pub(super) struct RawDependency {
    pub(super) component: At<String>,
    pub(super) host: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawStart {
    pub(super) command: Vec<At<Template>>,
    pub(super) directory: Option<At<Template>>,
    pub(super) user: Option<String>,
    pub(super) environment: Vec<(String, At<Template>)>,
    pub(super) log: Option<At<Template>>,
    pub(super) timeout: Duration,
    pub(super) settle: Duration,
}

impl RawStart {
    /// Every text that may hold variables.
    pub(super) fn templates(&self) -> impl Iterator<Item = &At<Template>> {
        self.command
            .iter()
            .chain(&self.directory)
            .chain(self.environment.iter().map(|(_, value)| value))
            .chain(&self.log)
    }
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
    /// `ip` was written, though perhaps without an address.
    pub(super) ip_given: Option<Place>,
    pub(super) variables: Vec<(At<String>, At<String>)>,
}

impl RawConfig {
    /// Adds what one file says.
    pub(super) fn add(&mut self, index: usize, source: &Source, problems: &mut Problems<'_>) {
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            problems.report(Place { source: index, offset }, format!("not TOML: {}", error.message()));
        }
        // Of a file that is no TOML only part is understood; more messages about it would mislead.
        if !errors.is_empty() {
            return;
        }
        let mut fields = Fields::new(document.get_ref(), Place { source: index, offset: 0 }, "");
        let components = fields.tables("component", problems);
        self.components.extend(components.into_iter().filter_map(|table| component(table, problems)));
        let roles = fields.tables("role", problems);
        self.roles.extend(roles.into_iter().filter_map(|table| role(table, problems)));
        let environments = fields.tables("environment", problems);
        self.environments.extend(environments.into_iter().filter_map(|table| environment(table, problems)));
        fields.finish(problems);
    }
}

/// Reads the name, and lets the table's messages carry it.
fn named(fields: &mut Fields<'_, '_>, kind: &str, problems: &mut Problems<'_>) -> Option<At<String>> {
    let name = fields.required_text("name", problems);
    if let Some(name) = &name {
        fields.owner = format!("{kind} \"{}\"", printable(&name.value));
    }
    name
}

fn component(mut fields: Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<RawComponent> {
    let name = named(&mut fields, "component", problems);
    let aliases = fields.texts("aliases", problems);
    let elements = fields.array("criteria", problems);
    if elements.is_empty() {
        problems
            .report(fields.place, format!("{}: key \"criteria\" needs at least one criterion", fields.owner));
    }
    let criteria = elements.iter().filter_map(|value| criterion(value, &fields.owner, problems)).collect();
    let elements = fields.array("depends_on", problems);
    let depends_on = elements.iter().filter_map(|value| dependency(value, &fields.owner, problems)).collect();
    let start = fields.table("start", problems).and_then(|table| start(table, problems));
    let stop = fields.table("stop", problems).map(|table| stop(table, problems)).unwrap_or_default();
    fields.finish(problems);
    Some(RawComponent { name: name?, aliases, criteria, depends_on, start, stop })
}

fn criterion(value: &Value<'_, '_>, owner: &str, problems: &mut Problems<'_>) -> Option<RawCriterion> {
    let mut fields = fields_of(value, owner, "criteria", problems)?;
    let index = fields.integer("index", problems);
    let regex = fields.required_text("regex", problems);
    fields.finish(problems);
    let regex = regex?;
    match RegexTemplate::parse(&regex.value) {
        Ok(value) => Some(RawCriterion { index, regex: At { value, place: regex.place } }),
        Err(reason) => {
            let shown = printable(&regex.value);
            problems.report(regex.place, format!("{owner}: key \"regex\": \"{shown}\": {reason}"));
            None
        }
    }
}

fn dependency(value: &Value<'_, '_>, owner: &str, problems: &mut Problems<'_>) -> Option<RawDependency> {
    if let Some(name) = value.value.as_str() {
        let component = At { value: name.to_owned(), place: value.place };
        return Some(RawDependency { component, host: None });
    }
    let mut fields = fields_of(value, owner, "depends_on", problems)?;
    let component = fields.required_text("component", problems);
    let host = fields.text("host", problems);
    fields.finish(problems);
    Some(RawDependency { component: component?, host })
}

fn start(mut fields: Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<RawStart> {
    let command = fields.texts("command", problems);
    if command.first().is_none_or(|program| program.value.is_empty()) {
        problems.report(fields.place, format!("{}: key \"command\" needs at least a program", fields.owner));
    }
    let owner = fields.owner.clone();
    let command =
        command.into_iter().filter_map(|text| template(text, &owner, "command", problems)).collect();
    let directory = fields.text("directory", problems);
    let directory = directory.and_then(|text| template(text, &owner, "directory", problems));
    let log = fields.text("log", problems);
    let log = log.and_then(|text| template(text, &owner, "log", problems));
    let environment = fields
        .text_map("environment", problems)
        .into_iter()
        .filter_map(|(name, value)| {
            if name.value.is_empty() || name.value.contains(['=', '\0']) {
                let shown = printable(&name.value);
                problems.report(
                    name.place,
                    format!("{owner}: \"{shown}\" is no name of an environment variable"),
                );
            }
            Some((name.value, template(value, &owner, "environment", problems)?))
        })
        .collect();
    let raw = RawStart {
        command,
        directory,
        user: fields.text("user", problems).map(|user| user.value),
        environment,
        log,
        timeout: fields
            .duration("timeout", Duration::from_secs(1), problems)
            .unwrap_or(Duration::from_secs(60)),
        settle: fields.duration("settle", Duration::ZERO, problems).unwrap_or(Duration::from_secs(2)),
    };
    fields.finish(problems);
    Some(raw)
}

fn template(text: At<String>, owner: &str, key: &str, problems: &mut Problems<'_>) -> Option<At<Template>> {
    // A NUL ends an argument for the kernel: nothing after it would arrive.
    let parsed = match text.value.contains('\0') {
        true => Err("a text for the system cannot hold a NUL character".to_owned()),
        false => Template::parse(&text.value),
    };
    match parsed {
        Ok(value) => Some(At { value, place: text.place }),
        Err(reason) => {
            problems.report(text.place, format!("{owner}: key \"{key}\": {reason}"));
            None
        }
    }
}

fn stop(mut fields: Fields<'_, '_>, problems: &mut Problems<'_>) -> StopRule {
    let default = StopRule::default();
    let signal = fields.text("signal", problems).and_then(|text| {
        let signal = StopSignal::from_name(&text.value);
        if signal.is_none() {
            let hint = did_you_mean(&text.value, StopSignal::ALL.iter().map(|signal| signal.name()));
            let shown = printable(&text.value);
            problems.report(text.place, format!("{}: signal \"{shown}\" is not known{hint}", fields.owner));
        }
        signal
    });
    let rule = StopRule {
        signal: signal.unwrap_or(default.signal),
        timeout: fields.duration("timeout", Duration::from_secs(1), problems).unwrap_or(default.timeout),
        kill: fields.boolean("kill", problems).unwrap_or(default.kill),
    };
    fields.finish(problems);
    rule
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
