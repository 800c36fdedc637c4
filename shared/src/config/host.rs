//! Configuration of one host's agent: its components with every variable replaced.

use std::path::PathBuf;

use super::model::{CommandRule, LimitRules, Part, ProbeRule, RestartRule, StartRule, StopRule};
use crate::attributes::{AttributeCriterion, ProcessAttributes};
use crate::criterion::{Criterion, arguments_match, test_arguments};
use crate::name::Name;
use crate::process::CommandLine;

/// Configuration of one host, with every variable replaced.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Environment of the host.
    pub environment: Name,
    /// Name of the host in the configuration.
    pub host: Name,
    /// Components of the host, in the configuration's order.
    pub components: Vec<HostComponent>,
    /// Digest of the whole platform's configuration.
    pub digest: String,
}

impl HostConfig {
    /// Sets the UID of each user criterion that has none yet; `lookup` maps a user name to its UID.
    pub fn resolve_users(&mut self, lookup: impl Fn(&str) -> Option<u32>) {
        let parts = self.components.iter_mut().flat_map(|component| &mut component.parts);
        for criterion in parts.flat_map(|part| &mut part.criteria) {
            if let Criterion::Attribute(AttributeCriterion::User(user)) = criterion
                && user.uid.is_none()
            {
                user.uid = lookup(&user.name);
            }
        }
    }

    /// Returns the component with this name or alias.
    pub fn find(&self, name: &str) -> Option<&HostComponent> {
        let name = Name::from(name);
        self.components.iter().find(|component| component.name == name || component.aliases.contains(&name))
    }
}

/// One component with its variables replaced for one host.
#[derive(Clone, Debug)]
pub struct HostComponent {
    /// Canonical name.
    pub name: Name,
    /// Alternative names that also identify the component.
    pub aliases: Vec<Name>,
    /// Parts that the component consists of; never empty.
    pub parts: Vec<Part>,
    /// Start rule; `None`: the component is only monitored.
    pub start: Option<StartRule>,
    /// Stop rule.
    pub stop: StopRule,
    /// Health probe; `None`: a running component counts as healthy.
    pub probe: Option<ProbeRule>,
    /// Limits of what it may use.
    pub limits: LimitRules,
    /// Log file of the component, the only file that users may read. If the configuration has no `log` for
    /// it, the log of its start command.
    pub log: Option<PathBuf>,
    /// Rule for restarting the component after it has ended by itself.
    pub restart: RestartRule,
    /// True if the configuration requires the component to run, regardless of who last started or stopped it.
    /// An operator's stop still takes precedence.
    pub wanted: bool,
    /// Components that must be up for this one to be up, in the configuration's order.
    pub depends_on: Vec<Prerequisite>,
}

/// Component that another one needs, resolved for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisite {
    /// Required component.
    pub component: Name,
    /// Hosts whose instance satisfies the requirement; one of them is enough. Never empty.
    pub hosts: Vec<Name>,
}

impl HostComponent {
    /// Returns the command that stops the component instead of a signal: that of the stop rule, with the
    /// settings of the start command.
    pub fn stop_command(&self) -> Option<CommandRule> {
        if self.stop.command.is_empty() {
            return None;
        }
        let start = self.start.as_ref().and_then(|start| start.engine.command()).cloned();
        Some(CommandRule { command: self.stop.command.clone(), ..start.unwrap_or_default() })
    }

    /// Returns true if a process with this command line and these attributes matches one of the parts.
    ///
    /// # Errors
    /// Returns an error if no part matches and an attribute that decides it cannot be read.
    pub fn matches_process(
        &self,
        line: &CommandLine,
        process: &impl ProcessAttributes,
    ) -> Result<bool, String> {
        let mut unreadable = None;
        for part in self.parts.iter().filter(|part| arguments_match(&part.criteria, line)) {
            match part.attribute_tests().all_hold(process) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(reason) => drop(unreadable.get_or_insert(reason)),
            }
        }
        unreadable.map_or(Ok(false), Err)
    }

    /// Returns true if the argument criteria of any part hold on this command line. Parts without argument
    /// criteria are left out.
    pub fn matches_arguments(&self, line: &CommandLine) -> bool {
        let parts = self.parts.iter().filter(|part| test_arguments(&part.criteria));
        parts.into_iter().any(|part| arguments_match(&part.criteria, line))
    }

    /// Returns a sentence that says why the processes cannot be identified, if a criterion names a user that
    /// the host does not have.
    pub fn unknown_user(&self) -> Option<String> {
        let users =
            self.parts.iter().flat_map(|part| &part.criteria).filter_map(|criterion| match criterion {
                Criterion::Attribute(AttributeCriterion::User(user)) => Some(user),
                Criterion::Argument(_) | Criterion::Attribute(_) => None,
            });
        let unknown = users.into_iter().find(|user| user.uid.is_none())?;
        let whose = if unknown.is_implied { "its start command's" } else { "its criterion's" };
        Some(format!("{}: create the account, or correct {whose} user", unknown.unknown()))
    }
}
