//! Validates the configuration and builds a platform in which every reference is valid.

mod carriers;
mod control;
mod cycle;
mod names;
mod notes;
mod paths;
mod probes;
mod requirements;
mod variables;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use self::carriers::Carriers;
use self::names::{DeclaredNames, NameAlphabet};
use super::parse::{RawComponent, RawConfig, RawDependency, RawEnvironment, RawHost, RawRole};
use super::platform::{Component, Dependency, DependencyPlace, Environment, Host, Platform, Role};
use super::source::Problems;
use crate::address::{AddressProblem, server_url};
use crate::name::Name;
use crate::redact::redact_text;
use crate::sanitize::printable;
use crate::template::Located;

/// Default port of an agent.
const AGENT_PORT: u16 = 7601;

/// Returns the platform that `raw` describes. It is complete only if no problem was reported.
pub(super) fn validate(raw: &RawConfig, problems: &mut Problems<'_>) -> Platform {
    let mut names = NameTables {
        components: DeclaredNames::new("component", NameAlphabet::Words),
        roles: DeclaredNames::new("role", NameAlphabet::Words),
        environments: DeclaredNames::new("environment", NameAlphabet::Words),
        hosts: DeclaredNames::new("host", NameAlphabet::HostName),
    };
    for component in &raw.components {
        names.components.declare(&component.name, &component.name.value, problems);
        for alias in &component.aliases {
            names.components.declare(alias, &component.name.value, problems);
        }
    }
    for role in &raw.roles {
        names.roles.declare(&role.name, &role.name.value, problems);
    }
    for environment in &raw.environments {
        names.environments.declare(&environment.name, &environment.name.value, problems);
        for host in &environment.hosts {
            names.hosts.declare(&host.name, &host.name.value, problems);
        }
    }

    let components = raw.components.iter().map(|raw| component(raw, &names, problems)).collect();
    let roles: Vec<_> = raw.roles.iter().map(|raw| role(raw, &names, problems)).collect();
    let roles_by_name = roles.iter().map(|role| (&role.name, role)).collect();
    let mut agents = HashMap::new();
    let defaults = variables::default_variables(&raw.variables, problems);
    let environments = raw
        .environments
        .iter()
        .map(|raw| environment(raw, &defaults, &roles_by_name, &names, &mut agents, problems))
        .collect();
    let platform = Platform { components, roles, environments, digest: String::new() };

    cycle::check_cycles(&platform, raw, problems);
    control::check_control(raw, problems);
    let carriers = Carriers::new(&platform);
    variables::check_variables(&platform, &carriers, problems);
    variables::check_overrides(&platform, raw, problems);
    paths::check_paths(&platform, &carriers, problems);
    notes::check_notes(&platform, &carriers, problems);
    probes::check_probes(&platform, raw, &carriers, problems);
    requirements::check_requirements(&platform, raw, problems);
    platform
}

/// All names that the configuration defines.
struct NameTables {
    components: DeclaredNames,
    roles: DeclaredNames,
    environments: DeclaredNames,
    hosts: DeclaredNames,
}

fn component(raw: &RawComponent, names: &NameTables, problems: &mut Problems<'_>) -> Component {
    let owner = format!("component \"{}\"", printable(&raw.name.value));
    let mut depends_on: Vec<Dependency> = Vec::new();
    for needed in &raw.depends_on {
        if let Some(dependency) = dependency(needed, &owner, names, problems) {
            if depends_on.contains(&dependency) {
                let name = &dependency.component;
                problems.report(needed.component.place, format!("{owner}: depends on \"{name}\" twice"));
            } else {
                depends_on.push(dependency);
            }
        }
    }
    Component {
        name: Name::from(raw.name.value.as_str()),
        aliases: raw.aliases.iter().map(|alias| Name::from(alias.value.as_str())).collect(),
        parts: raw.parts.clone(),
        depends_on,
        start: raw.start.clone(),
        stop: raw.stop.clone(),
        probe: raw.probe.as_ref().map(|probe| probe.value.clone()),
        limits: raw.limits,
        notes: raw.notes.clone(),
        log: raw.log.clone(),
        restart: raw.restart.as_ref().map(|restart| restart.value).unwrap_or_default(),
        wanted: raw.wanted.is_some(),
    }
}

fn dependency(
    raw: &RawDependency,
    owner: &str,
    names: &NameTables,
    problems: &mut Problems<'_>,
) -> Option<Dependency> {
    let component = names.components.resolve(&raw.component, owner, problems);
    let place = match &raw.host {
        None => Some(DependencyPlace::Nearest),
        Some(host) => match host.value.as_str() {
            "same" => Some(DependencyPlace::Same),
            "any" => Some(DependencyPlace::Any),
            _ => names.hosts.resolve_or(host, &["same", "any"], owner, problems).map(DependencyPlace::Host),
        },
    };
    Some(Dependency { component: component?, place: place? })
}

fn role(raw: &RawRole, names: &NameTables, problems: &mut Problems<'_>) -> Role {
    let owner = format!("role \"{}\"", printable(&raw.name.value));
    let components = listed(&raw.components, &owner, names, problems);
    Role { name: Name::from(raw.name.value.as_str()), components }
}

/// Returns the components that a role or a host lists.
fn listed(
    written: &[Located<String>],
    owner: &str,
    names: &NameTables,
    problems: &mut Problems<'_>,
) -> Vec<Name> {
    let mut components = Vec::new();
    for name in written {
        if let Some(component) = names.components.resolve(name, owner, problems) {
            if components.contains(&component) {
                problems.report(name.place, format!("{owner}: component \"{component}\" is listed twice"));
            } else {
                components.push(component);
            }
        }
    }
    components
}

fn environment(
    raw: &RawEnvironment,
    defaults: &BTreeMap<String, String>,
    roles: &HashMap<&Name, &Role>,
    names: &NameTables,
    agents: &mut HashMap<String, Name>,
    problems: &mut Problems<'_>,
) -> Environment {
    let name = Name::from(raw.name.value.as_str());
    let owner = format!("environment \"{}\"", printable(&raw.name.value));
    let mut variables = defaults.clone();
    variables.extend(variables::declared_variables(&raw.variables, &owner, problems));
    let hosts = raw.hosts.iter().map(|raw| host(raw, &name, &variables, roles, names, agents, problems));
    let mut hosts: Vec<Host> = hosts.collect();
    for host in &mut hosts {
        host.owner = host.owner.take().or_else(|| raw.owner.clone());
        let own = std::mem::replace(&mut host.labels, raw.labels.clone());
        host.labels.extend(own);
    }
    Environment { name, hosts, owner: raw.owner.clone(), labels: raw.labels.clone() }
}

fn host(
    raw: &RawHost,
    environment: &Name,
    inherited: &BTreeMap<String, String>,
    roles: &HashMap<&Name, &Role>,
    names: &NameTables,
    agents: &mut HashMap<String, Name>,
    problems: &mut Problems<'_>,
) -> Host {
    let name = Name::from(raw.name.value.as_str());
    let owner = format!("host \"{}\"", printable(&raw.name.value));
    if raw.role.is_none() && raw.components.is_empty() {
        problems.report(raw.name.place, format!("{owner}: it needs a \"role\", \"components\", or both"));
    }
    let role = raw.role.as_ref().and_then(|role| names.roles.resolve(role, &owner, problems));
    let mut components = match role.as_ref().and_then(|role| roles.get(role)) {
        Some(role) => role.components.clone(),
        None => Vec::new(),
    };
    for own in listed(&raw.components, &owner, names, problems) {
        if !components.contains(&own) {
            components.push(own);
        }
    }
    let agent = match &raw.agent {
        Some(written) => server_url(&written.value, AGENT_PORT).map_err(|problem| {
            let shown = redact_text(&printable(&written.value));
            let what = match problem {
                AddressProblem::Shape => "is no agent address".to_owned(),
                problem => problem.to_string(),
            };
            let sentence = format!(
                "{owner}: key \"agent\": \"{shown}\" {what}; write for example \"https://c9t21193:7601\""
            );
            problems.report(written.place, sentence);
        }),
        None => Ok(format!("https://{}:{AGENT_PORT}", name.folded())),
    };
    let agent = agent.unwrap_or_default();
    if let Some(other) = agents.get(&agent).filter(|_| !agent.is_empty()) {
        let place = raw.agent.as_ref().map_or(raw.name.place, |agent| agent.place);
        problems.report(place, format!("{owner}: the agent {agent} is already that of host \"{other}\""));
    }
    agents.entry(agent.clone()).or_insert_with(|| name.clone());
    let mut variables = inherited.clone();
    variables.extend(variables::declared_variables(&raw.variables, &owner, problems));
    Host {
        environment: environment.clone(),
        role,
        components,
        agent,
        ip: addresses(raw, &owner, problems),
        variables,
        owner: raw.owner.clone(),
        labels: raw.labels.clone(),
        name,
    }
}

fn addresses(raw: &RawHost, owner: &str, problems: &mut Problems<'_>) -> Vec<IpAddr> {
    if let (Some(place), []) = (raw.ip_given, raw.ip.as_slice()) {
        problems.report(
            place,
            format!("{owner}: key \"ip\" is an array of addresses, such as [\"15.0.0.1\"]; leave it out for those of the interfaces"),
        );
    }
    let mut addresses = Vec::new();
    for written in &raw.ip {
        match written.value.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let shown = printable(&written.value);
                problems.report(written.place, format!("{owner}: key \"ip\": \"{shown}\" is no IP address"));
            }
        }
    }
    addresses
}
