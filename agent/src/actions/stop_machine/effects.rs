//! Observations that a stop takes, and effects that it returns.

use std::process::ExitStatus;
use std::time::Instant;

use rta_shared::action::ActionResult;
use rta_shared::process::ProcessId;
use rustix::process::Signal;

use super::StopFailure;
use crate::actions::error::ActionError;
use crate::actions::external_supervisor::ExternalSupervisor;
use crate::actions::progress::ProgressReport;
use crate::actions::stop_targets::SignalResult;

/// Input of the machine: that the stop begins, or the result of the last effect.
#[derive(Debug)]
pub(in crate::actions) enum StopObservation {
    Begun,
    Scanned(StopScan),
    /// Program that starts the component beside the agent, if there is one.
    SupervisorFound(Option<ExternalSupervisor>),
    CommandLaunched {
        pid: u32,
    },
    CommandNotLaunched(ActionError),
    Signalled {
        result: SignalResult,
        /// Processes with their names, read before the signal was sent.
        names: String,
    },
    /// A wait is over. Carries the end of the stop command if it is new.
    Waited(Option<CommandEnd>),
    /// True if the stop command was still running, and was ended.
    CommandTerminated(bool),
    /// The effect failed, or the failure has been explained.
    Failed(ActionError),
}

/// Processes that belong to the component at one moment, without those that are spared.
#[derive(Clone, Debug, Default)]
pub(in crate::actions) struct StopScan {
    /// Processes that match the criteria.
    pub(in crate::actions) matched: Vec<ProcessId>,
    /// Other processes that belong to the component.
    pub(in crate::actions) rest: Vec<ProcessId>,
    pub(in crate::actions) is_command_running: bool,
}

/// End of the stop command.
#[derive(Clone, Debug)]
pub(in crate::actions) struct CommandEnd {
    pub(in crate::actions) status: ExitStatus,
    /// Last line of its output, if it failed.
    pub(in crate::actions) last_line: Option<String>,
}

/// Output of the machine. Each answer ends with the only effect that gives an observation, or with `Finish`.
#[derive(Debug, PartialEq)]
pub(in crate::actions) enum StopEffect {
    /// Finds the processes that belong to the component; reads all processes if `thorough`.
    Scan {
        thorough: bool,
    },
    /// Finds what else starts one of `matched`; `own` are the processes of the component itself.
    FindSupervisor {
        matched: Vec<ProcessId>,
        own: Vec<ProcessId>,
    },
    LaunchCommand,
    /// Signals those of `ids` that are unchanged since the last scan.
    Signal {
        signal: Signal,
        ids: Vec<ProcessId>,
    },
    /// Sends SIGKILL to all processes of the last scan; `fresh` are those that have not got it before.
    Kill {
        fresh: Vec<ProcessId>,
    },
    /// Waits for the processes of the last scan, at most until the next scan is due.
    Wait {
        until: Instant,
    },
    WaitForCommand {
        until: Instant,
    },
    Sleep {
        until: Instant,
    },
    /// Ends the stop command.
    TerminateCommand,
    /// Turns a failure into an error with the names of the remaining processes.
    Explain {
        failure: StopFailure,
        remaining: Vec<ProcessId>,
    },
    /// Removes the record of the launch for the next agent.
    RemoveLaunch,
    RemoveCgroup,
    Report(ProgressReport),
    Finish(Result<ActionResult, ActionError>),
}

impl StopScan {
    pub(super) fn is_empty(&self) -> bool {
        self.matched.is_empty() && self.rest.is_empty()
    }

    pub(super) fn all(&self) -> Vec<ProcessId> {
        self.matched.iter().chain(&self.rest).copied().collect()
    }

    /// Returns the processes to signal next: the matched ones, or the others if none matches.
    pub(super) fn first_group(&self) -> &[ProcessId] {
        if self.matched.is_empty() { &self.rest } else { &self.matched }
    }
}
