//! Configuration of one host's agent: its components with every variable replaced.

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

/// Set of criteria, and the number of processes that must match them.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name of the part; `None` for the only part of an undivided component.
    pub name: Option<Name>,
    /// Criteria; a process must meet every one.
    pub criteria: Vec<Criterion>,
    /// Number of processes that must match.
    pub count: ProcessCount,
    /// True if processes of other PID namespaces, such as those of containers, count too.
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

/// Allowed number of processes of a part. A match whose parent matches too is not counted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessCount {
    /// Minimum; below it, the part is missing.
    pub min: u32,
    /// Maximum; above it, the part runs too often. `None`: unlimited.
    pub max: Option<u32>,
}

impl ProcessCount {
    /// Exactly one process.
    pub const ONE: Self = Self { min: 1, max: Some(1) };
}

impl fmt::Display for ProcessCount {
    /// Writes `1`, `2-3` or `2+`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(f, "{max}"),
            Some(max) => write!(f, "{}-{max}", self.min),
            None => write!(f, "{}+", self.min),
        }
    }
}

/// Rule for starting a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRule {
    /// Mechanism that starts the component.
    pub engine: StartEngine,
    /// Time limit from the launch until the criteria match and the probe passes.
    pub timeout: Duration,
    /// Time for which the same process must then continue to match.
    pub settle: Duration,
}

/// Mechanism that starts a component. systemd also stops what it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartEngine {
    /// Command that the agent runs.
    Command(CommandRule),
    /// Unit that systemd starts and stops, requested over D-Bus: `kafka.service`.
    Systemd(String),
}

impl StartEngine {
    /// Returns the command that the agent runs.
    pub fn command(&self) -> Option<&CommandRule> {
        match self {
            Self::Command(command) => Some(command),
            Self::Systemd(_) => None,
        }
    }

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
pub struct CommandRule {
    /// Program and arguments; never empty. A relative program with a `/` is resolved against `directory`; one
    /// without a `/` is looked up in `PATH`.
    pub command: Vec<String>,
    /// Working directory; `None`: the agent's.
    pub directory: Option<PathBuf>,
    /// User to run as; `None`: the agent's.
    pub user: Option<String>,
    /// Variables that are added to `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL` and `LANG`, or replace them.
    pub environment: Vec<(String, String)>,
    /// Files with further variables, read at each launch. A later file overrides an earlier one, and every
    /// file overrides `environment`.
    pub environment_files: Vec<EnvironmentFile>,
    /// Further settings of the process.
    pub process: ProcessSettings,
    /// File that standard output and standard error are appended to; `None`: they are discarded.
    pub log: Option<PathBuf>,
}

/// Rule for restarting a component that has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartRule {
    /// Condition for a restart.
    pub when: RestartWhen,
    /// Delay between the end of the component and the first attempt; each further delay is twice as long.
    pub backoff: Duration,
    /// Upper bound of that delay.
    pub longest: Duration,
    /// Number of starts `within` that time after which the agent gives up; never 0.
    pub limit: u32,
    /// Time window in which starts count.
    pub within: Duration,
    /// Exit statuses and signals that count as success, in addition to those that always do.
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

/// Condition on which a component that has ended by itself is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartWhen {
    /// Never.
    Never,
    /// Restart after a failure. [`SuccessExitStatus::is_clean`] defines which ends are no failures; an end
    /// with an unknown status counts as a failure.
    OnFailure,
    /// Restart after any end.
    Always,
}

impl RestartWhen {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Never, Self::OnFailure, Self::Always];

    /// Returns the word used in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// Rule for checking the health of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRule {
    /// Check that the probe makes.
    pub question: ProbeMethod,
    /// Delay between the end of one attempt and the start of the next.
    pub interval: Duration,
    /// Time limit for one attempt; a longer one has failed.
    pub timeout: Duration,
    /// Number of consecutive failed attempts that count as a failure; never 0.
    pub failures: u32,
    /// Time after the start in which failures do not count.
    pub grace: Duration,
}

/// Check that a probe makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeMethod {
    /// Connects to this `host:port`.
    Tcp(String),
    /// Sends a GET request to this URL, whose scheme is `http`, and compares the status of the response.
    Http {
        /// URL.
        url: Uri,
        /// Expected status code.
        status: u16,
    },
    /// Runs this command, which must end with exit status 0. Never empty; the program is looked up like that
    /// of a [`StartRule`].
    Command(Vec<String>),
}

impl fmt::Display for ProbeMethod {
    /// Writes the check briefly: `tcp 127.0.0.1:9092`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http { url, .. } => write!(f, "GET {url}"),
            Self::Command(command) => write!(f, "command {}", command.join(" ")),
        }
    }
}

/// Rule for stopping a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRule {
    /// First signal.
    pub signal: StopSignal,
    /// Time limit for the processes to end.
    pub timeout: Duration,
    /// True if SIGKILL follows after the time limit; otherwise remaining processes are reported.
    pub kill: bool,
    /// Processes that must be gone at the end.
    pub scope: StopScope,
    /// Time for which the component must then stay stopped. `None`: [`StopRule::SETTLE`] if something may
    /// restart it, otherwise no time at all.
    pub settle: Option<Duration>,
    /// Command that is run instead of sending the first signal, such as `kafka-server-stop.sh`. It runs in
    /// the working directory and as the user of the start command.
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
    /// Default time for which a component that something may restart must stay stopped: longer than the
    /// default delay of supervisors (systemd 0.1 s; runit, s6 and supervisord 1 s).
    pub const SETTLE: Duration = Duration::from_secs(2);
}

/// Processes that must be gone after a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopScope {
    /// Matched processes.
    Process,
    /// Process groups of the matched processes too.
    Group,
    /// All descendants too, and what is left of the session or control group that the agent started the
    /// component in; processes of other components are excluded.
    Tree,
}

impl StopScope {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Process, Self::Group, Self::Tree];

    /// Returns the word used in the configuration.
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
    /// All signals that a configuration may name.
    pub const ALL: [Self; 7] =
        [Self::Term, Self::Int, Self::Hup, Self::Quit, Self::Usr1, Self::Usr2, Self::Kill];

    /// Returns the name without `SIG`, as kill(1) accepts it.
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

    /// Returns the signal with this name, with or without `SIG`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

impl fmt::Display for StopSignal {
    /// Writes the name with `SIG`: `SIGTERM`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}
