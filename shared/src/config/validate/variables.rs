//! Validates variables: defined once, and known on every host that needs them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::parse::RawConfig;
use super::super::platform::{Component, Host, Platform};
use super::super::source::Problems;
use super::super::variables::BUILT_IN_VARIABLES;
use super::carriers::Carriers;
use crate::format::joined_list;
use crate::sanitize::printable;
use crate::suggestion::{did_you_mean, nearest};
use crate::template::{Located, is_variable_name};

/// Returns the default values of variables, from the top-level `[variables]` tables of all files.
pub(super) fn default_variables(
    written: &[(Located<String>, Located<String>)],
    problems: &mut Problems<'_>,
) -> BTreeMap<String, String> {
    for (at, (name, _)) in written.iter().enumerate() {
        if let Some((first, _)) = written[..at].iter().find(|(other, _)| other.value == name.value) {
            let (shown, first) = (printable(&name.value), problems.describe(first.place));
            problems.report(
                name.place,
                format!("variables: \"{shown}\" has a default value already, at {first}"),
            );
        }
    }
    declared_variables(written, "variables", problems)
}

/// Returns the variables that an environment or a host defines.
pub(super) fn declared_variables(
    written: &[(Located<String>, Located<String>)],
    owner: &str,
    problems: &mut Problems<'_>,
) -> BTreeMap<String, String> {
    for (name, _) in written {
        let shown = printable(&name.value);
        if BUILT_IN_VARIABLES.contains(&name.value.as_str()) {
            let hint = if name.value == "ip" { "; the key \"ip\" of a host sets it" } else { "" };
            problems.report(name.place, format!("{owner}: variable \"{shown}\" is the host's own{hint}"));
        } else if !is_variable_name(&name.value) {
            problems.report(
                name.place,
                format!("{owner}: variable \"{shown}\": a name has letters, digits, \"_\" and \"-\" only"),
            );
        }
    }
    written.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect()
}

/// Reports every variable that a component uses and that a host which carries it does not have.
pub(super) fn check_variables(platform: &Platform, carriers: &Carriers<'_>, problems: &mut Problems<'_>) {
    for component in &platform.components {
        let carriers = carriers.hosts_of(component);
        for Located { value: name, place } in used(component) {
            if BUILT_IN_VARIABLES.contains(&name) {
                continue;
            }
            let lacking: Vec<_> = carriers
                .iter()
                .filter(|host| !host.variables.contains_key(name))
                .map(|host| full_name(host))
                .collect();
            if lacking.is_empty() && !carriers.is_empty() {
                continue;
            }
            let known_somewhere = platform.hosts().any(|host| host.variables.contains_key(name));
            if lacking.is_empty() && known_somewhere {
                continue;
            }
            let owner = format!("component \"{}\": variable \"{name}\"", component.name);
            if known_somewhere {
                let hosts = joined_list(lacking, ", ");
                let sentence = format!(
                    "{owner} has no value on {hosts}; set it in \"variables\" of the host or its environment, or a default in [variables]"
                );
                problems.report(place, sentence);
            } else {
                let known = platform.hosts().flat_map(|host| host.variables.keys().map(String::as_str));
                let mut candidates: Vec<_> = known.chain(BUILT_IN_VARIABLES).collect();
                candidates.sort_unstable();
                candidates.dedup();
                let hint = did_you_mean(name, candidates.iter().copied());
                problems.report(place, format!("{owner} is not known{hint}"));
            }
        }
    }
}

/// Reports each variable of an environment or a host that no component uses and whose name resembles that of
/// a default: otherwise the default would silently stay in force.
pub(super) fn check_overrides(platform: &Platform, raw: &RawConfig, problems: &mut Problems<'_>) {
    let used: BTreeSet<&str> = platform.components.iter().flat_map(used).map(|name| name.value).collect();
    let defaults: Vec<&str> = raw.variables.iter().map(|(name, _)| name.value.as_str()).collect();
    for environment in &raw.environments {
        let of_hosts = environment.hosts.iter().flat_map(|host| &host.variables);
        for (name, _) in environment.variables.iter().chain(of_hosts) {
            if used.contains(name.value.as_str()) {
                continue;
            }
            if let Some(near) = nearest(&name.value, defaults.iter().copied()) {
                let (owner, shown) = (printable(&environment.name.value), printable(&name.value));
                let sentence = format!(
                    "environment \"{owner}\": no component uses variable \"{shown}\"; did you mean \"{near}\"?"
                );
                problems.report(name.place, sentence);
            }
        }
    }
}

/// Returns all variables of a component, with the positions of their uses.
fn used(component: &Component) -> impl Iterator<Item = Located<&str>> {
    component.templates().into_iter().flat_map(|Located { value: template, place }| {
        template.variables().map(move |name| Located { value: name, place })
    })
}

fn full_name(host: &Host) -> String {
    format!("{}/{}", host.environment, host.name)
}
