//! What one host's agent works by: its components with every variable replaced.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tonic::transport::Uri;

use super::exit::SuccessExitStatus;
use super::process_settings::{EnvironmentFile, ProcessSettings};
use crate::attributes::{AttributeCriterion, AttributeTests, ProcessAttributes};
use crate::criterion::{Criterion, arguments_match, test_arguments};
use crate::name::Name;
use crate::process::CommandLine;

/// One host's share of the configuration, ready to use.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The host's environment.
    pub environment: Name,
    /// The host's name in the configuration.
    pub host: Name,
    /// Its components, in the configuration's order.
    pub components: Vec<HostComponent>,
    /// That of the whole configuration.
    pub digest: String,
}

impl HostConfig {
    /// Looks up the users that criteria name and that have no number yet, by `lookup`, which gives a user's number.
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
    /// The processes it consists of; never empty.
    pub parts: Vec<Part>,
    /// How to start it; `None`: it is watched, not started.
    pub start: Option<StartRule>,
    /// How to stop it.
    pub stop: StopRule,
    /// How to ask it whether it is well; `None`: that it runs is enough.
    pub probe: Option<ProbeRule>,
    /// Its own log, the only file of it that people may read; where none is written, that of its start command.
    pub log: Option<PathBuf>,
    /// Whether and how it is started again when it has ended by itself.
    pub restart: RestartRule,
    /// The configuration says that it is to run, whoever last started or stopped it; an operator's stop holds
    /// all the same.
    pub wanted: bool,
    /// What must be up for it to be up, in the configuration's order.
    pub depends_on: Vec<Prerequisite>,
}

/// What a component needs, as one host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisite {
    /// The component that is needed.
    pub component: Name,
    /// The hosts whose instance of it will do, any one of them; never empty.
    pub hosts: Vec<Name>,
}

impl HostComponent {
    /// Returns whether a process with this command line is one of its parts.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn claims(&self, line: &CommandLine, process: &impl ProcessAttributes) -> Result<bool, String> {
        let mut unreadable = None;
        for part in self.parts.iter().filter(|part| arguments_match(&part.criteria, line)) {
            match part.attribute_tests().hold(process) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(reason) => drop(unreadable.get_or_insert(reason)),
            }
        }
        unreadable.map_or(Ok(false), Err)
    }

    /// Returns whether a process with this command line is one of its parts as far as the arguments tell. A part that
    /// tests none of them is left out.
    pub fn fits_arguments(&self, line: &CommandLine) -> bool {
        let parts = self.parts.iter().filter(|part| test_arguments(&part.criteria));
        parts.into_iter().any(|part| arguments_match(&part.criteria, line))
    }

    /// Returns why its processes cannot be known: a sentence where the host does not know the user of a criterion.
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

/// One set of criteria, and how many processes are to hold them.
#[derive(Clone, Debug)]
pub struct Part {
    /// `None` for the only part of a component that is not divided.
    pub name: Option<Name>,
    /// All must hold on one process.
    pub criteria: Vec<Criterion>,
    /// How many processes are to hold them.
    pub count: Count,
    /// Processes of other PID namespaces, as those of containers are, count too.
    pub container: bool,
}

impl Part {
    pub(crate) fn attribute_tests(&self) -> AttributeTests {
        let attributes = self.criteria.iter().filter_map(|criterion| match criterion {
            Criterion::Attribute(attribute) => Some(attribute.clone()),
            Criterion::Argument(_) => None,
        });
        AttributeTests::new(attributes, self.container)
    }
}

/// How many processes a part is to have. A match whose parent matches too is no further one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// With fewer it is missing.
    pub min: u32,
    /// With more it runs too often; `None`: any number is right.
    pub max: Option<u32>,
}

impl Count {
    /// One process.
    pub const ONE: Self = Self { min: 1, max: Some(1) };
}

impl fmt::Display for Count {
    /// `1`, `2-3`, `2+`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(f, "{max}"),
            Some(max) => write!(f, "{}-{max}", self.min),
            None => write!(f, "{}+", self.min),
        }
    }
}

/// How a component is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRule {
    /// What starts it.
    pub engine: Engine,
    /// Within this time of the launch the criteria must match, and the probe must pass.
    pub timeout: Duration,
    /// For this long the same process must then go on matching.
    pub settle: Duration,
}

/// What starts a component; where that is systemd, it stops it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The agent runs a command.
    Command(CommandRule),
    /// systemd starts and stops this unit, asked over D-Bus: `kafka.service`.
    Systemd(String),
}

impl Engine {
    /// The command that the agent runs.
    pub fn command(&self) -> Option<&CommandRule> {
        match self {
            Self::Command(command) => Some(command),
            Self::Systemd(_) => None,
        }
    }

    /// The unit that systemd is asked to start.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Command(_) => None,
            Self::Systemd(unit) => Some(unit),
        }
    }
}

/// A command that the agent runs. Its process starts clean: of what the agent itself has it gets nothing but the
/// working directory and limits of resources, where the rule names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandRule {
    /// The program and its arguments; never empty. A program with a `/` that is not absolute is relative to
    /// `directory`; one without is looked up in `PATH`.
    pub command: Vec<String>,
    /// The working directory; `None`: the agent's.
    pub directory: Option<PathBuf>,
    /// The user to run as; `None`: the agent's.
    pub user: Option<String>,
    /// Variables set beside `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL` and `LANG`, or in their place.
    pub environment: Vec<(String, String)>,
    /// Files of more variables, read at each launch; a later one overrides an earlier one, and all override
    /// `environment`.
    pub environment_files: Vec<EnvironmentFile>,
    /// What else its process gets.
    pub process: ProcessSettings,
    /// The file that standard output and error are appended to; `None`: they are discarded.
    pub log: Option<PathBuf>,
}

/// Whether and how a component that has ended by itself is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartRule {
    /// When it is.
    pub when: RestartWhen,
    /// How long after its end the first attempt is made; each further one waits twice as long.
    pub backoff: Duration,
    /// The longest that is waited.
    pub longest: Duration,
    /// After so many starts `within` that time it is given up; never 0.
    pub limit: u32,
    /// For how long starts count.
    pub within: Duration,
    /// Which ends are no failures, beside those that never are.
    pub success: SuccessExitStatus,
}

impl Default for RestartRule {
    fn default() -> Self {
        Self {
            when: RestartWhen::Never,
            backoff: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            limit: 5,
            within: Duration::from_secs(600),
            success: SuccessExitStatus::default(),
        }
    }
}

/// When a component that has ended by itself is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartWhen {
    /// Never.
    Never,
    /// Unless it ended without a failure, see [`SuccessExitStatus::is_clean`]; an end whose manner is not known counts
    /// as a failure.
    OnFailure,
    /// However it ended.
    Always,
}

impl RestartWhen {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Never, Self::OnFailure, Self::Always];

    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// How a component is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRule {
    /// What is asked.
    pub question: Question,
    /// From the end of one attempt to the next.
    pub interval: Duration,
    /// An attempt that takes longer has failed.
    pub timeout: Duration,
    /// How many attempts in a row must fail before that counts; never 0.
    pub failures: u32,
    /// For so long after its start failures do not count.
    pub grace: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Can a connection be made to this `host:port`?
    Tcp(String),
    /// Does a GET of this URL, whose scheme is `http`, answer with this status?
    Http {
        /// The URL.
        url: Uri,
        /// The status code that is right.
        status: u16,
    },
    /// Does this command end with exit status 0? Never empty; looked up as that of a [`StartRule`] is.
    Command(Vec<String>),
}

impl fmt::Display for Question {
    /// `tcp 127.0.0.1:9092`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http { url, .. } => write!(f, "GET {url}"),
            Self::Command(command) => write!(f, "command {}", command.join(" ")),
        }
    }
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
    /// What is to be gone at the end.
    pub scope: StopScope,
    /// For how long it must then stay away; `None`: for [`StopRule::SETTLE`] where something may bring it back, and
    /// not at all where that cannot be.
    pub settle: Option<Duration>,
    /// What is run instead of the first signal, such as `kafka-server-stop.sh`, where the start command is run
    /// and as its user.
    pub command: Option<CommandRule>,
}

impl Default for StopRule {
    fn default() -> Self {
        Self {
            signal: StopSignal::Term,
            timeout: Duration::from_secs(30),
            kill: true,
            scope: StopScope::Tree,
            settle: None,
            command: None,
        }
    }
}

impl StopRule {
    /// How long what something may bring back must stay away: longer than supervisors wait by default (systemd 0.1 s,
    /// runit, s6 and supervisord 1 s).
    pub const SETTLE: Duration = Duration::from_secs(2);
}

/// What is to be gone when a component is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopScope {
    /// The matched processes.
    Process,
    /// Their process groups too.
    Group,
    /// All their descendants, and what is left of the session or control group that the agent started it in;
    /// but not what belongs to another component.
    Tree,
}

impl StopScope {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Process, Self::Group, Self::Tree];

    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Group => "group",
            Self::Tree => "tree",
        }
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
