//! Rules for starting a component.

use std::time::Duration;

use super::super::variables::Variables;
use super::process_settings::ProcessSettings;
use crate::template::{Form, Located, Resolved, Template, Templated, UnknownVariable};

/// Rule for starting a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRule<F: Form = Resolved> {
    /// Mechanism that starts the component.
    pub engine: StartEngine<F>,
    /// Time limit from the launch until the criteria match and the probe passes.
    pub timeout: Duration,
    /// Time for which the same process must then continue to match.
    pub settle: Duration,
}

/// Mechanism that starts a component. systemd also stops what it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartEngine<F: Form = Resolved> {
    /// Command that the agent runs.
    Command(CommandRule<F>),
    /// Unit that systemd starts and stops, requested over D-Bus: `kafka.service`.
    Systemd(F::Text),
}

impl<F: Form> StartEngine<F> {
    /// Returns the command that the agent runs.
    pub fn command(&self) -> Option<&CommandRule<F>> {
        match self {
            Self::Command(command) => Some(command),
            Self::Systemd(_) => None,
        }
    }
}

impl StartEngine {
    /// Returns the unit that systemd starts.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Command(_) => None,
            Self::Systemd(unit) => Some(unit),
        }
    }
}

/// Command that the agent runs. Its process starts clean: it inherits nothing from the agent except the
/// working directory and the resource limits, where the rule sets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandRule<F: Form = Resolved> {
    /// Program and arguments; never empty. A relative program with a `/` is resolved against `directory`; one
    /// without a `/` is looked up in `PATH`.
    pub command: Vec<F::Text>,
    /// Working directory; `None`: the agent's.
    pub directory: Option<F::Path>,
    /// User to run as; `None`: the agent's.
    pub user: Option<String>,
    /// Variables that are added to `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL` and `LANG`, or replace them.
    pub environment: Vec<(String, F::Text)>,
    /// Files with further variables, read at each launch. A later file overrides an earlier one, and every
    /// file overrides `environment`.
    pub environment_files: Vec<EnvironmentFile<F>>,
    /// Further settings of the process.
    pub process: ProcessSettings,
    /// File that standard output and standard error are appended to; `None`: they are discarded.
    pub log: Option<F::Path>,
}

/// File of environment variables, in the syntax of systemd's `EnvironmentFile=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFile<F: Form = Resolved> {
    /// Absolute path of the file.
    pub path: F::Path,
    /// True if the file may be missing.
    pub is_optional: bool,
}

impl StartRule<Templated> {
    /// Replaces the variables.
    ///
    /// # Errors
    /// Returns an error with the first variable that has no value.
    pub(in super::super) fn resolve(&self, variables: &Variables<'_>) -> Result<StartRule, UnknownVariable> {
        let Self { engine, timeout, settle } = self;
        Ok(StartRule { engine: engine.resolve(variables)?, timeout: *timeout, settle: *settle })
    }

    /// Returns the texts of the command, or the unit.
    pub(in super::super) fn templates(&self) -> Vec<Located<&Template>> {
        let Self { engine, timeout: _, settle: _ } = self;
        match engine {
            StartEngine::Command(command) => command.templates(),
            StartEngine::Systemd(unit) => vec![unit.as_ref()],
        }
    }
}

impl StartEngine<Templated> {
    fn resolve(&self, variables: &Variables<'_>) -> Result<StartEngine, UnknownVariable> {
        Ok(match self {
            Self::Command(command) => StartEngine::Command(command.resolve(variables)?),
            Self::Systemd(unit) => StartEngine::Systemd(variables.text(unit)?),
        })
    }
}

impl CommandRule<Templated> {
    fn resolve(&self, variables: &Variables<'_>) -> Result<CommandRule, UnknownVariable> {
        let Self { command, directory, user, environment, environment_files, process, log } = self;
        let environment = environment.iter().map(|(name, value)| Ok((name.clone(), variables.text(value)?)));
        let files = environment_files.iter().map(|EnvironmentFile { path, is_optional }| {
            Ok(EnvironmentFile { path: variables.path(path)?, is_optional: *is_optional })
        });
        Ok(CommandRule {
            command: variables.texts(command)?,
            directory: directory.as_ref().map(|directory| variables.path(directory)).transpose()?,
            user: user.clone(),
            environment: environment.collect::<Result<_, _>>()?,
            environment_files: files.collect::<Result<_, _>>()?,
            process: process.clone(),
            log: variables.log(log.as_ref())?,
        })
    }

    fn templates(&self) -> Vec<Located<&Template>> {
        let Self { command, directory, user: _, environment, environment_files, process: _, log } = self;
        let values = environment.iter().map(|(_, value)| value);
        let files = environment_files.iter().map(|EnvironmentFile { path, is_optional: _ }| path);
        let templates = command.iter().chain(directory).chain(values).chain(files).chain(log);
        templates.map(Located::as_ref).collect()
    }
}
