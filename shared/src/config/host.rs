//! What one host's agent works by: its components with every variable replaced.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::matching::Criterion;
use crate::name::Name;

/// One host's share of the configuration, ready to use.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The host's environment.
    pub environment: Name,
    /// The host's name in the configuration.
    pub host: Name,
    /// Its components, in the configuration's order.
    pub components: Vec<HostComponent>,
}

impl HostConfig {
    /// The component with this name or alias.
    pub fn find(&self, name: &str) -> Option<&HostComponent> {
        let name = Name::from(name);
        self.components.iter().find(|component| component.name == name || component.aliases.contains(&name))
    }
}

/// One component as it is on one host.
#[derive(Clone, Debug)]
pub struct HostComponent {
    /// Its canonical name.
    pub name: Name,
    /// Other names it is found by.
    pub aliases: Vec<Name>,
    /// All must hold on one process.
    pub criteria: Vec<Criterion>,
    /// How to start it; `None`: it is watched, not started.
    pub start: Option<StartRule>,
    /// How to stop it.
    pub stop: StopRule,
}

/// How a component is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRule {
    /// The program and its arguments; never empty. A program with a `/` that is not absolute is relative to
    /// `directory`; one without is looked up in `PATH`.
    pub command: Vec<String>,
    /// The working directory; `None`: the agent's.
    pub directory: Option<PathBuf>,
    /// The user to run as; `None`: the agent's.
    pub user: Option<String>,
    /// Variables set beside the agent's own environment.
    pub environment: Vec<(String, String)>,
    /// The file that standard output and error are appended to; `None`: they are discarded.
    pub log: Option<PathBuf>,
    /// Within this time of the launch the criteria must match.
    pub timeout: Duration,
    /// For this long the same process must then go on matching.
    pub settle: Duration,
}

/// How a component is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRule {
    /// What is sent first.
    pub signal: StopSignal,
    /// How long its processes are given to end.
    pub timeout: Duration,
    /// Whether SIGKILL follows; if not, a process that stays is reported.
    pub kill: bool,
}

impl Default for StopRule {
    fn default() -> Self {
        Self { signal: StopSignal::Term, timeout: Duration::from_secs(30), kill: true }
    }
}

/// A signal that asks a process to end (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM
    Term,
    /// SIGINT
    Int,
    /// SIGHUP
    Hup,
    /// SIGQUIT
    Quit,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
    /// SIGKILL
    Kill,
}

impl StopSignal {
    /// Every signal that a configuration may name.
    pub const ALL: [Self; 7] =
        [Self::Term, Self::Int, Self::Hup, Self::Quit, Self::Usr1, Self::Usr2, Self::Kill];

    /// Its name without `SIG`, as kill(1) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Hup => "HUP",
            Self::Quit => "QUIT",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Kill => "KILL",
        }
    }

    /// The signal of this name, with or without `SIG`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

impl fmt::Display for StopSignal {
    /// `SIGTERM`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}
