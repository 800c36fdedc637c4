//! Resolution of the configuration for one host: replaces the variables in every text.

use std::fmt;
use std::net::IpAddr;

use super::host::{HostComponent, HostConfig, Prerequisite};
use super::model::{Part, ProbeRule, StartRule};
use super::platform::{Component, Dependency, Host, Platform};
use super::providers::ProviderIndex;
use crate::template::{Located, Template};

impl Platform {
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
        let index = ProviderIndex::new(self);
        let components = host
            .components
            .iter()
            .filter_map(|name| self.components.iter().find(|component| component.name == *name))
            .map(|component| {
                let config = component.resolve(host, addresses)?;
                Ok(HostComponent { depends_on: component.prerequisites(host, &index), ..config })
            })
            .collect::<Result<_, String>>()?;
        Ok(HostConfig {
            environment: host.environment.clone(),
            host: host.name.clone(),
            components,
            digest: self.digest.clone(),
        })
    }
}

impl Component {
    /// Returns the components that the component on `host` needs, with the hosts that provide them.
    fn prerequisites<'p>(&self, host: &'p Host, index: &ProviderIndex<'p>) -> Vec<Prerequisite> {
        let needed = |dependency: &Dependency| Prerequisite {
            component: dependency.component.clone(),
            hosts: index.providers(host, dependency).iter().map(|host| host.name.clone()).collect(),
        };
        self.depends_on.iter().map(needed).collect()
    }

    /// Returns the configuration of the component on `host`, without its prerequisites, which depend on every
    /// host; see [`Platform::host_config`].
    pub(super) fn resolve(&self, host: &Host, addresses: &[IpAddr]) -> Result<HostComponent, String> {
        let variables = &host.variables(addresses);
        let describe_error =
            |error: &dyn fmt::Display| format!("component \"{}\" on host {}: {error}", self.name, host.name);
        let Self {
            name,
            aliases,
            parts,
            depends_on: _,
            start,
            stop,
            probe,
            limits,
            notes: _,
            log: _,
            restart,
            wanted,
        } = self;
        let command = start.as_ref().and_then(|start| start.engine.command());
        let user = command.and_then(|command| command.user.as_deref());
        let parts = parts.iter().map(|part| part.resolve(user, variables));
        let start = start.as_ref().map(|start| start.resolve(variables)).transpose();
        let probe = probe.as_ref().map(|probe| probe.resolve(variables)).transpose();
        Ok(HostComponent {
            name: name.clone(),
            aliases: aliases.clone(),
            parts: parts.collect::<Result<_, _>>().map_err(|error| describe_error(&error))?,
            start: start.map_err(|error| describe_error(&error))?,
            stop: stop.resolve(variables).map_err(|error| describe_error(&error))?,
            limits: *limits,
            probe: probe.map_err(|error| describe_error(&format!("probe: {error}")))?,
            log: variables.log(self.readable_log()).map_err(|error| describe_error(&error))?,
            restart: *restart,
            wanted: *wanted,
            depends_on: Vec::new(),
        })
    }

    /// Returns all texts of the component.
    pub(super) fn templates(&self) -> Vec<Located<&Template>> {
        let Self {
            name: _,
            aliases: _,
            parts,
            depends_on: _,
            start,
            stop,
            probe,
            limits: _,
            notes,
            log,
            restart: _,
            wanted: _,
        } = self;
        let mut templates: Vec<Located<&Template>> = parts.iter().flat_map(Part::templates).collect();
        templates.extend(start.iter().flat_map(StartRule::templates));
        templates.extend(stop.templates());
        templates.extend(log.iter().map(Located::as_ref));
        templates.extend(notes.templates());
        templates.extend(probe.iter().flat_map(ProbeRule::templates));
        templates
    }
}
