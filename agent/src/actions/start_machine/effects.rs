//! Observations that a start takes, and effects that it returns.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rta_shared::action::ActionResult;
use rta_shared::process::ProcessId;
use rta_shared::report::{ComponentReport, PartReport, State};

use crate::actions::error::ActionError;
use crate::actions::progress::ProgressReport;

/// Input of the machine: that the start begins, or the result of the last effect.
#[derive(Debug)]
pub(in crate::actions) enum StartObservation {
    Begun,
    /// The start continues one whose command an earlier agent launched, with `left` of its time.
    Adopted {
        pid: u32,
        left: Duration,
    },
    Scanned(StartScan),
    /// Nothing of an earlier start is in the way.
    Unobstructed,
    Launched {
        pid: u32,
    },
    Checked {
        scan: StartScan,
        /// State of the command, read before the scan, so that a launcher that has just become the component
        /// does not count as ended.
        command: CommandState,
        /// Last answer of the probe; `None` before the first.
        probe: Option<Result<(), String>>,
    },
    /// True if any process of the launch remains.
    LaunchRemains(bool),
    /// Exit status of the command, if it is known.
    CommandExit(Option<ExitStatus>),
    /// The processes can no longer be checked.
    CheckFailed(ActionError),
    /// The effect failed, or a failed start has been cleaned up.
    Failed(ActionError),
}

/// Processes that match the component's criteria.
#[derive(Clone, Debug)]
pub(in crate::actions) struct StartScan {
    pub(in crate::actions) state: State,
    pub(in crate::actions) processes: Vec<ProcessId>,
    /// Missing parts: `driver, worker (1 of 2)`.
    pub(in crate::actions) missing: String,
}

impl From<&ComponentReport> for StartScan {
    fn from(report: &ComponentReport) -> Self {
        let missing: Vec<String> = report.parts.iter().filter_map(PartReport::missing).collect();
        Self {
            state: report.state,
            processes: report.processes.iter().map(|process| process.id).collect(),
            missing: missing.join(", "),
        }
    }
}

/// State of the launched command.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::actions) struct CommandState {
    /// Exit status; `None` while the command runs, and for a command that an earlier agent launched.
    pub(in crate::actions) exit: Option<ExitStatus>,
    pub(in crate::actions) has_ended: bool,
}

/// Output of the machine. Each answer ends with the only effect that gives an observation, or with `Finish`.
#[derive(Debug, PartialEq)]
pub(in crate::actions) enum StartEffect {
    /// Finds the component's processes among all.
    Scan,
    /// Refuses the start if something of an earlier one is there.
    RefuseObstructed,
    Launch,
    /// Checks the component's processes at `at`; reads all processes if `thorough`.
    Check {
        at: Instant,
        thorough: bool,
    },
    /// Starts the probe, which is repeated until it passes.
    StartProbe,
    /// Finds out whether any process of the launch remains.
    FindLaunchRemains,
    /// Reads the exit status of the command, for which it waits no longer than `limit`.
    ReadCommandExit {
        limit: Duration,
    },
    /// Records for the next agent that the launch became the component.
    RecordMatched(Vec<ProcessId>),
    /// Fails the start, with the last log lines added to the error.
    FailStart {
        error: ActionError,
        /// True if the processes that the start left are ended, so that the next start finds none.
        end_launch: bool,
    },
    Report(ProgressReport),
    Finish(Result<ActionResult, ActionError>),
}
