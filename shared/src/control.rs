//! Starts, stops and restarts of one instance: who asked for one, how far it is, how it ended. One that failed
//! is a gRPC status with a sentence.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is done to one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Launching it and waiting until it is stable.
    Start,
    /// Asking it to end and waiting until it is gone.
    Stop,
    /// Both, between which nobody else can act on it.
    Restart,
}

impl ActionKind {
    /// `start`
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// `starting`
    pub fn going_on(self) -> &'static str {
        match self {
            Self::Start => "starting",
            Self::Stop => "stopping",
            Self::Restart => "restarting",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Who asked for something, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The name that they gave, or that they signed in with; empty: none.
    pub user: String,
    /// The address that they asked from; empty: not known.
    pub address: String,
}

impl Requester {
    /// Address of whoever asked through a local socket.
    pub const LOCAL: &str = "local";

    /// The agent itself, which keeps a component running.
    pub fn autostart() -> Self {
        Self { user: "autostart".to_owned(), address: String::new() }
    }
}

impl fmt::Display for Requester {
    /// `ann from 10.0.0.7`; `ann (uid 1000), local`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.user.is_empty() { "somebody" } else { &self.user };
        match self.address.as_str() {
            "" => f.write_str(user),
            Self::LOCAL => write!(f, "{user}, local"),
            address => write!(f, "{user} from {address}"),
        }
    }
}

/// What is under way on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// What.
    pub kind: ActionKind,
    /// For whom.
    pub by: Requester,
    /// Since when, by the host's clock.
    pub since: Timestamp,
}

impl fmt::Display for Hold {
    /// `a start of it is under way, since 09:30:00 UTC, for ann from 10.0.0.7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.strftime("%H:%M:%S UTC");
        write!(f, "a {} of it is under way, since {since}, for {}", self.kind, self.by)
    }
}

/// How far an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The start command runs, or systemd has been asked.
    Launched,
    /// It is waited for: until the criteria match, until the processes are gone.
    Waiting,
    /// The criteria match; its settle time runs.
    Matched,
    /// It settled; its probe is waited for.
    Probing,
    /// It settled, and its probe, if it has one, passed.
    Stable,
    /// The stop signal was sent, the stop command runs, or systemd has been asked.
    Signalled,
    /// SIGKILL was sent.
    Killed,
    /// Nothing of it is left.
    Gone,
}

impl Phase {
    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Launched => "launched",
            Self::Waiting => "waiting",
            Self::Matched => "matched",
            Self::Probing => "probing",
            Self::Stable => "stable",
            Self::Signalled => "signalled",
            Self::Killed => "killed",
            Self::Gone => "gone",
        }
    }
}

/// One step of an action's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// What was reached.
    pub phase: Phase,
    /// The same as a sentence.
    pub text: String,
    /// The processes that it is about, if any.
    pub pids: Vec<u32>,
}

/// What an action did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was launched, and its criteria held for its settle time.
    Started,
    /// It was running; nothing was launched.
    AlreadyRunning,
    /// It ended as it was asked to.
    Stopped,
    /// Nothing matched; nothing was signalled.
    AlreadyStopped,
    /// It outlived what should have ended it, and was ended with SIGKILL.
    Killed,
    /// It was stopped, where it ran, and started.
    Restarted,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::AlreadyRunning => "already running, nothing was started",
            Self::Stopped => "stopped",
            Self::AlreadyStopped => "not running, nothing was stopped",
            Self::Killed => "did not stop in time and was killed",
            Self::Restarted => "restarted",
        })
    }
}

/// The result of an action that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What happened.
    pub outcome: Outcome,
    /// The processes that run now, or that were ended.
    pub pids: Vec<u32>,
    /// From the request to the end of waiting.
    pub took: Duration,
    /// What whoever asked should know beside, as a sentence.
    pub warning: Option<String>,
}

impl fmt::Display for Done {
    /// `started in 1.5 s (pid 4242)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcome.fmt(f)?;
        if !matches!(self.outcome, Outcome::AlreadyRunning | Outcome::AlreadyStopped) {
            write!(f, " in {:.1} s", self.took.as_secs_f64())?;
        }
        if let Some((first, others)) = self.pids.split_first() {
            write!(f, " ({} {first}", if others.is_empty() { "pid" } else { "pids" })?;
            for pid in others {
                write!(f, ", {pid}")?;
            }
            f.write_str(")")?;
        }
        match &self.warning {
            Some(warning) => write!(f, "; but {warning}"),
            None => Ok(()),
        }
    }
}

/// What an agent tells of an action that it performs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionEvent {
    /// How far it is.
    Progress(Progress),
    /// It is done; the last one.
    Done(Done),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_reads_as_a_sentence() {
        let done = Done {
            outcome: Outcome::Started,
            pids: vec![7, 8],
            took: Duration::from_millis(1540),
            warning: None,
        };
        assert_eq!(done.to_string(), "started in 1.5 s (pids 7, 8)");
        let done =
            Done { outcome: Outcome::AlreadyStopped, pids: vec![], took: Duration::ZERO, warning: None };
        assert_eq!(done.to_string(), "not running, nothing was stopped");
    }

    #[test]
    fn a_hold_says_who_what_and_since_when() {
        let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
        let hold = Hold { kind: ActionKind::Start, by, since: Timestamp::UNIX_EPOCH };
        assert_eq!(hold.to_string(), "a start of it is under way, since 00:00:00 UTC, for ann from 10.0.0.7");
        assert_eq!(Requester::default().to_string(), "somebody");
    }
}
