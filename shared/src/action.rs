//! Starts, stops and restarts of one instance: requester, progress and result. A failed action is a gRPC
//! status with a sentence.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::words;

/// Action on one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Launches the instance and waits until it is stable.
    Start,
    /// Asks the instance to end and waits until it is gone.
    Stop,
    /// Stops and starts the instance under one lock, so that no other action comes in between.
    Restart,
}

words!(ActionKind {
    Start => "start",
    Stop => "stop",
    Restart => "restart",
});

impl ActionKind {
    /// Returns the present participle: `starting`.
    pub fn in_progress_text(self) -> &'static str {
        match self {
            Self::Start => "starting",
            Self::Stop => "stopping",
            Self::Restart => "restarting",
        }
    }

    /// Returns true if the action launches the instance, which is wanted to run from then on.
    pub fn starts(self) -> bool {
        match self {
            Self::Start | Self::Restart => true,
            Self::Stop => false,
        }
    }

    /// Returns true if the action ends the processes that run.
    pub fn stops(self) -> bool {
        match self {
            Self::Stop | Self::Restart => true,
            Self::Start => false,
        }
    }

    /// Returns the reason why a plan for the action has no step.
    pub fn nothing_to_do_reason(self) -> String {
        match self {
            Self::Start => ActionOutcome::AlreadyRunning.to_string(),
            Self::Stop => ActionOutcome::AlreadyStopped.to_string(),
            Self::Restart => "nothing is there to be restarted".to_owned(),
        }
    }
}

/// Person or program that requested something, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// Name that they gave or signed in with; empty if there is none.
    pub user: String,
    /// Address of the request; empty if it is unknown.
    pub address: String,
}

impl Requester {
    /// Address of requests over a local socket.
    pub const LOCAL: &str = "local";

    /// Returns the requester of automatic restarts: the agent itself.
    pub fn autostart() -> Self {
        Self { user: "autostart".to_owned(), address: String::new() }
    }
}

impl fmt::Display for Requester {
    /// Writes the name with its address: `ann from 10.0.0.7`; `ann (uid 1000), local`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.user.is_empty() { "somebody" } else { &self.user };
        match self.address.as_str() {
            "" => f.write_str(user),
            Self::LOCAL => write!(f, "{user}, local"),
            address => write!(f, "{user} from {address}"),
        }
    }
}

/// Lock that an action in progress holds on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionLock {
    /// Action in progress.
    pub kind: ActionKind,
    /// Requester of the action.
    pub by: Requester,
    /// Start of the action, by the host's clock.
    pub since: Timestamp,
}

impl fmt::Display for ActionLock {
    /// Writes a sentence: `a start of it is under way, since 09:30:00 UTC, for ann from 10.0.0.7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.strftime("%H:%M:%S UTC");
        write!(f, "a {} of it is under way, since {since}, for {}", self.kind, self.by)
    }
}

/// Phase of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionPhase {
    /// The start command runs, or systemd has been asked.
    Launched,
    /// The agent waits for the criteria to match, or for the processes to end.
    Waiting,
    /// The criteria match; the settle time runs.
    Matched,
    /// The settle time is over; the agent waits for the probe.
    Probing,
    /// The settle time is over, and the probe, if there is one, has passed.
    Stable,
    /// The stop signal was sent, the stop command runs, or systemd has been asked.
    Signalled,
    /// SIGKILL was sent.
    Killed,
    /// No process of the instance is left.
    Gone,
}

words!(ActionPhase {
    Launched => "launched",
    Waiting => "waiting",
    Matched => "matched",
    Probing => "probing",
    Stable => "stable",
    Signalled => "signalled",
    Killed => "killed",
    Gone => "gone",
});

/// Progress of an action: one phase that it has reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionProgress {
    /// Time of the progress, by the host's clock.
    pub at: Timestamp,
    /// Phase that was reached.
    pub phase: ActionPhase,
    /// Description of the progress, as a sentence.
    pub text: String,
    /// Processes that it concerns, if any.
    pub pids: Vec<u32>,
}

/// Outcome of a successful action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionOutcome {
    /// Launched; the criteria matched for the settle time.
    Started,
    /// Already running; nothing was launched.
    AlreadyRunning,
    /// Ended as requested.
    Stopped,
    /// No process matched; nothing was signalled.
    AlreadyStopped,
    /// Still running after the stop signal or command, and therefore ended with SIGKILL.
    Killed,
    /// Stopped, if it was running, and started.
    Restarted,
}

impl fmt::Display for ActionOutcome {
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

/// Result of a successful action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// Outcome of the action.
    pub outcome: ActionOutcome,
    /// Processes that run now, or that were ended.
    pub pids: Vec<u32>,
    /// Time from the request to the end of the action.
    pub took: Duration,
    /// Warning for the requester, as a sentence.
    pub warning: Option<String>,
}

impl fmt::Display for ActionResult {
    /// Writes the outcome with its duration: `started in 1.5 s (pid 4242)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcome.fmt(f)?;
        if !matches!(self.outcome, ActionOutcome::AlreadyRunning | ActionOutcome::AlreadyStopped) {
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

/// Event in the stream of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionEvent {
    /// Progress of the action.
    Progress(ActionProgress),
    /// Result of the action; always the last event.
    Done(ActionResult),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_reads_as_a_sentence() {
        let done = ActionResult {
            outcome: ActionOutcome::Started,
            pids: vec![7, 8],
            took: Duration::from_millis(1540),
            warning: None,
        };
        assert_eq!(done.to_string(), "started in 1.5 s (pids 7, 8)");
        let done = ActionResult {
            outcome: ActionOutcome::AlreadyStopped,
            pids: vec![],
            took: Duration::ZERO,
            warning: None,
        };
        assert_eq!(done.to_string(), "not running, nothing was stopped");
    }

    #[test]
    fn a_hold_says_who_what_and_since_when() {
        let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
        let hold = ActionLock { kind: ActionKind::Start, by, since: Timestamp::UNIX_EPOCH };
        assert_eq!(hold.to_string(), "a start of it is under way, since 00:00:00 UTC, for ann from 10.0.0.7");
        assert_eq!(Requester::default().to_string(), "somebody");
    }
}
