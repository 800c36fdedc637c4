//! Rules for stopping a component.

use std::time::Duration;

use super::super::variables::Variables;
use crate::template::{Form, Located, Resolved, Template, Templated, UnknownVariable};
use crate::words::words;

/// Rule for stopping a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRule<F: Form = Resolved> {
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
    /// Program and arguments of a command that is run instead of sending the first signal, such as
    /// `kafka-server-stop.sh`; empty: the signal is sent. Its directory, user and other settings are those of
    /// the start command.
    pub command: Vec<F::Text>,
}

impl<F: Form> Default for StopRule<F> {
    fn default() -> Self {
        Self {
            signal: StopSignal::Term,
            timeout: Duration::from_secs(30),
            kill: true,
            scope: StopScope::Tree,
            settle: None,
            command: Vec::new(),
        }
    }
}

impl StopRule {
    /// Default time for which a component that something may restart must stay stopped: longer than the
    /// default delay of supervisors (systemd 0.1 s; runit, s6 and supervisord 1 s).
    pub const SETTLE: Duration = Duration::from_secs(2);
}

impl StopRule<Templated> {
    /// Replaces the variables.
    ///
    /// # Errors
    /// Returns an error with the first variable that has no value.
    pub(in super::super) fn resolve(&self, variables: &Variables<'_>) -> Result<StopRule, UnknownVariable> {
        let Self { signal, timeout, kill, scope, settle, command } = self;
        let command = variables.texts(command)?;
        Ok(StopRule {
            signal: *signal,
            timeout: *timeout,
            kill: *kill,
            scope: *scope,
            settle: *settle,
            command,
        })
    }

    /// Returns the texts of the command.
    pub(in super::super) fn templates(&self) -> Vec<Located<&Template>> {
        let Self { signal: _, timeout: _, kill: _, scope: _, settle: _, command } = self;
        command.iter().map(Located::as_ref).collect()
    }
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

words!(StopScope {
    Process => "process",
    Group => "group",
    Tree => "tree",
});

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

words!(StopSignal {
    Term => "SIGTERM",
    Int => "SIGINT",
    Hup => "SIGHUP",
    Quit => "SIGQUIT",
    Usr1 => "SIGUSR1",
    Usr2 => "SIGUSR2",
    Kill => "SIGKILL",
});

impl StopSignal {
    /// Returns the name without `SIG`, as kill(1) accepts it.
    pub fn name(self) -> &'static str {
        self.word().trim_start_matches("SIG")
    }

    /// Returns the signal with this name, with or without `SIG`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}
