//! Differences between two configurations, as sentences for logs and people.
//!
//! Values are included only if they are short and cannot contain a secret: addresses, names, roles.

use std::collections::BTreeMap;

use super::host::{HostComponent, HostConfig};
use super::model::same_parts;
use super::platform::{Component, Environment, Host, Platform, Role};
use crate::name::Name;

/// Returns the changes for one host from `old` to `new`; empty if none concerns it.
pub fn host_changes(old: &HostConfig, new: &HostConfig) -> Vec<String> {
    let mut changes = Vec::new();
    if old.environment != new.environment {
        changes.push(format!("environment {} -> {}", old.environment, new.environment));
    }
    let components = NamedDiff::new(&old.components, &new.components, |component| &component.name);
    components.tell("component", &mut changes, |old: &HostComponent, new: &HostComponent| {
        fields(&[
            ("aliases", old.aliases == new.aliases),
            ("criteria", same_parts(&old.parts, &new.parts)),
            ("dependencies", old.depends_on == new.depends_on),
            ("start", old.start == new.start),
            ("stop", old.stop == new.stop && old.stop_command() == new.stop_command()),
            ("probe", old.probe == new.probe),
            ("limits", old.limits == new.limits),
            ("log", old.log == new.log),
            ("restart", old.restart == new.restart && old.wanted == new.wanted),
        ])
    });
    changes
}

/// Returns the changes from `old` to `new`. Two different configurations have at least one change.
pub fn platform_changes(old: &Platform, new: &Platform) -> Vec<String> {
    let mut changes = Vec::new();
    let components = NamedDiff::new(&old.components, &new.components, |component| &component.name);
    components.tell("component", &mut changes, |old: &Component, new: &Component| {
        fields(&[
            ("aliases", old.aliases == new.aliases),
            ("criteria", same_parts(&old.parts, &new.parts)),
            ("dependencies", old.depends_on == new.depends_on),
            ("start", old.start == new.start),
            ("stop", old.stop == new.stop),
            ("probe", old.probe == new.probe),
            ("limits", old.limits == new.limits),
            ("notes", old.notes == new.notes),
            ("log", old.log == new.log),
            ("restart", old.restart == new.restart && old.wanted == new.wanted),
        ])
    });
    let roles = NamedDiff::new(&old.roles, &new.roles, |role| &role.name);
    roles.tell("role", &mut changes, |old: &Role, new: &Role| {
        carried(&old.components, &new.components).into_iter().map(|(_, sentence)| sentence).collect()
    });
    let environments = NamedDiff::new(&old.environments, &new.environments, |environment| &environment.name);
    environments.tell("environment", &mut changes, |old: &Environment, new: &Environment| {
        fields(&[("owner", old.owner == new.owner), ("labels", old.labels == new.labels)])
    });
    host_lines(&roles, old, new, &mut changes);
    if changes.is_empty() && old.digest != new.digest {
        changes
            .push("only how it is written changed: files, order, comments, spaces or letter case".to_owned());
    }
    changes
}

fn host_lines(roles: &NamedDiff<'_, Role>, old: &Platform, new: &Platform, changes: &mut Vec<String>) {
    let (old_hosts, new_hosts): (Vec<&Host>, Vec<&Host>) = (old.hosts().collect(), new.hosts().collect());
    let mut counterparts: BTreeMap<&Name, &Host> = old_hosts.iter().map(|host| (&host.name, *host)).collect();
    for host in new_hosts {
        match counterparts.remove(&host.name) {
            None => changes.push(format!("environment \"{}\": host {} added", host.environment, host.name)),
            Some(before) => {
                let described = host_fields(before, host, roles);
                changes.extend(described.into_iter().map(|change| format!("host {}: {change}", host.name)));
            }
        }
    }
    for host in old_hosts.into_iter().filter(|host| counterparts.contains_key(&host.name)) {
        changes.push(format!("environment \"{}\": host {} removed", host.environment, host.name));
    }
}

fn host_fields(old: &Host, new: &Host, roles: &NamedDiff<'_, Role>) -> Vec<String> {
    let mut changes = Vec::new();
    if old.environment != new.environment {
        changes.push(format!("environment {} -> {}", old.environment, new.environment));
    }
    if old.role != new.role {
        let word = |role: &Option<Name>| role.as_ref().map_or("none", Name::as_str).to_owned();
        changes.push(format!("role {} -> {}", word(&old.role), word(&new.role)));
    }
    if old.agent != new.agent {
        changes.push(format!("agent address {} -> {}", old.agent, new.agent));
    }
    changes.extend(fields(&[("owner", old.owner == new.owner), ("labels", old.labels == new.labels)]));
    if old.ip != new.ip {
        changes.push("ip changed".to_owned());
    }
    if old.variables != new.variables {
        let mut names: Vec<&str> =
            old.variables.keys().chain(new.variables.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| old.variables.get(*name) != new.variables.get(*name));
        changes.push(format!("variables changed: {}", names.join(", ")));
    }
    // Components that a role gained or lost are reported once for the role, not for each of its hosts.
    let of_the_role: Vec<(&Name, String)> = match (&old.role, &new.role) {
        (Some(role), Some(same)) if role == same => {
            let both = roles.both.iter().find(|(name, ..)| *name == role);
            both.map(|(_, before, after)| carried(&before.components, &after.components)).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let own = carried(&old.components, &new.components).into_iter();
    changes.extend(own.filter(|change| !of_the_role.contains(change)).map(|(_, sentence)| sentence));
    changes
}

/// Returns the components that a list gained and lost, each with a sentence.
fn carried<'n>(old: &'n [Name], new: &'n [Name]) -> Vec<(&'n Name, String)> {
    let described = |word: &'static str| move |name: &'n Name| (name, format!("component \"{name}\" {word}"));
    let gained = new.iter().filter(|name| !old.contains(name)).map(described("added"));
    let lost = old.iter().filter(|name| !new.contains(name)).map(described("removed"));
    gained.chain(lost).collect()
}

/// Returns `["criteria, start changed"]` for the fields that differ; empty if none does.
fn fields(fields: &[(&str, bool)]) -> Vec<String> {
    let changed: Vec<&str> = fields.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
    if changed.is_empty() { Vec::new() } else { vec![format!("{} changed", changed.join(", "))] }
}

/// Comparison of two lists of named items.
struct NamedDiff<'c, T> {
    added: Vec<&'c Name>,
    both: Vec<(&'c Name, &'c T, &'c T)>,
    removed: Vec<&'c Name>,
}

impl<'c, T> NamedDiff<'c, T> {
    fn new(old: &'c [T], new: &'c [T], name: impl Fn(&'c T) -> &'c Name) -> Self {
        let mut counterparts: BTreeMap<&Name, &'c T> = old.iter().map(|thing| (name(thing), thing)).collect();
        let (mut added, mut both) = (Vec::new(), Vec::new());
        for thing in new {
            match counterparts.remove(name(thing)) {
                Some(before) => both.push((name(thing), before, thing)),
                None => added.push(name(thing)),
            }
        }
        let removed = old.iter().map(name).filter(|name| counterparts.contains_key(name)).collect();
        Self { added, both, removed }
    }

    /// Adds a sentence for each item that was added, removed, or that differs according to `compare`.
    fn tell(&self, kind: &str, changes: &mut Vec<String>, compare: impl Fn(&T, &T) -> Vec<String>) {
        changes.extend(self.added.iter().map(|name| format!("{kind} \"{name}\" added")));
        changes.extend(self.removed.iter().map(|name| format!("{kind} \"{name}\" removed")));
        for (name, old, new) in &self.both {
            changes
                .extend(compare(old, new).into_iter().map(|change| format!("{kind} \"{name}\": {change}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load_sources};

    const OLD: &str = r#"
        [[component]]
        name = "kafka"
        criteria = [{ index = 0, regex = 'kafka' }]
        [component.start]
        command = ["${bin}/kafka"]
        [[component]]
        name = "spark"
        criteria = [{ regex = 'spark' }]
        [[component]]
        name = "store"
        criteria = [{ regex = 'store' }]
        [[role]]
        name = "main"
        components = ["kafka", "spark"]
        [[environment]]
        name = "DEV"
        variables = { bin = "/opt" }
        host = [{ name = "d1", role = "main" }, { name = "d2", components = ["store"] }]
    "#;

    fn platform(text: &str) -> Platform {
        load_sources(&[Source { name: "x.toml".to_owned(), text: text.to_owned() }]).unwrap()
    }

    fn changes(new: &str) -> Vec<String> {
        platform_changes(&platform(OLD), &platform(new))
    }

    /// Returns the changes for one host, from its resolved configuration.
    fn changes_for(host: &str, new: &str) -> Vec<String> {
        let share = |text: &str| {
            let platform = platform(text);
            platform.host_config(platform.find_host(host).unwrap(), &[]).unwrap()
        };
        host_changes(&share(OLD), &share(new))
    }

    #[test]
    fn each_kind_of_change_is_a_sentence_of_its_own() {
        let rows: &[(&str, &str, &[&str])] = &[
            ("", "", &[]),
            ("regex = 'kafka'", "regex = 'kafka2'", &["component \"kafka\": criteria changed"]),
            ("index = 0, ", "", &["component \"kafka\": criteria changed"]),
            (
                "'store' }]",
                "'store' }]\naliases = [\"s\"]\ndepends_on = [\"kafka\"]\nprobe = { tcp = \"h:1\" }\nstop = { kill = false }",
                &["component \"store\": aliases, dependencies, stop, probe changed"],
            ),
            ("/kafka\"]", "/kafka\", \"x\"]", &["component \"kafka\": start changed"]),
            (
                "components = [\"kafka\", \"spark\"]",
                "components = [\"kafka\"]",
                &["role \"main\": component \"spark\" removed"],
            ),
            ("\"store\"] }]", "\"store\", \"spark\"] }]", &["host d2: component \"spark\" added"]),
            (
                "{ name = \"d1\", role = \"main\" }",
                "{ name = \"d3\", role = \"main\" }",
                &["environment \"DEV\": host d3 added", "environment \"DEV\": host d1 removed"],
            ),
            (
                "\"d1\", role = \"main\"",
                "\"d1\", agent = \"http://x:1\", ip = [\"10.0.0.1\"], role = \"main\"",
                &["host d1: agent address https://d1:7601 -> http://x:1", "host d1: ip changed"],
            ),
            ("\"/opt\"", "\"/srv\"", &["host d1: variables changed: bin", "host d2: variables changed: bin"]),
            ("role = \"main\" }", "components = [\"kafka\", \"spark\"] }", &["host d1: role main -> none"]),
            (
                "name = \"DEV\"",
                "name = \"ITG\"",
                &[
                    "environment \"ITG\" added",
                    "environment \"DEV\" removed",
                    "host d1: environment DEV -> ITG",
                    "host d2: environment DEV -> ITG",
                ],
            ),
            (
                "[[component]]\n        name = \"kafka\"",
                "# Everything moves.\n\n        [[component]]\n        name = \"kafka\"",
                &["only how it is written changed: files, order, comments, spaces or letter case"],
            ),
            (
                "name = \"DEV\"",
                "name = \"dev\" # shouted no more",
                &["only how it is written changed: files, order, comments, spaces or letter case"],
            ),
        ];
        for (from, to, expected) in rows {
            assert_eq!(changes(&OLD.replace(from, to)), *expected, "{from} -> {to}");
        }
    }

    #[test]
    fn a_host_is_told_what_concerns_it_and_no_more() {
        let criteria = OLD.replace("regex = 'kafka'", "regex = 'kafka2'");
        assert_eq!(changes_for("d1", &criteria), ["component \"kafka\": criteria changed"]);
        assert!(changes_for("d2", &criteria).is_empty());
        // Changed by way of a variable.
        let variable = OLD.replace("\"/opt\"", "\"/srv\"");
        assert_eq!(changes_for("d1", &variable), ["component \"kafka\": start changed"]);
        // A component that is started automatically waits for its prerequisites.
        let needs = OLD.replace("'spark' }]", "'spark' }]\ndepends_on = [\"kafka\"]");
        assert_eq!(changes_for("d1", &needs), ["component \"spark\": dependencies changed"]);
        assert!(changes_for("d2", &needs).is_empty());
        let other = OLD.replace("components = [\"store\"]", "components = [\"spark\"]");
        assert_eq!(changes_for("d2", &other), ["component \"spark\" added", "component \"store\" removed"]);
        let more = OLD.replace("'spark' }]", "'spark' }]\naliases = [\"s\"]\nprobe = { tcp = \"h:1\" }");
        assert_eq!(changes_for("d1", &more), ["component \"spark\": aliases, probe changed"]);
    }
}
