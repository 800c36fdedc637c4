//! What one agent says of its host.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::name::Name;
use crate::process::Process;

/// What the agent saw of one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every process that the component needs is there.
    Running,
    /// Some, not all, of its processes are there.
    Partial,
    /// None of its processes is there.
    Stopped,
    /// The agent launched it, and it has not yet matched for its settle time.
    Starting,
    /// The agent signalled it, and it is not yet gone.
    Stopping,
}

impl State {
    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Partial => "partial",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// An action that an agent performs on a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Launching it and waiting until it matches.
    Start,
    /// Signalling it and waiting until it is gone.
    Stop,
}

/// One component of a host as its agent saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentReport {
    /// The component's canonical name.
    pub component: Name,
    /// What was seen.
    pub state: State,
    /// The matched processes, sorted by PID.
    pub processes: Vec<Process>,
    /// It runs more than once: its matches are more than one tree of processes.
    pub doubled: bool,
    /// When the action behind [`State::Starting`] or [`State::Stopping`] began.
    pub action_since: Option<Timestamp>,
}

impl ComponentReport {
    /// The report on a component with these matched `processes` and, where one is under way, this action.
    pub fn new(
        component: Name,
        mut processes: Vec<Process>,
        action: Option<(ActionKind, Timestamp)>,
    ) -> Self {
        processes.sort_by_key(|process| process.id);
        let state = match action {
            Some((ActionKind::Start, _)) => State::Starting,
            Some((ActionKind::Stop, _)) => State::Stopping,
            None if processes.is_empty() => State::Stopped,
            None => State::Running,
        };
        Self {
            component,
            state,
            doubled: is_doubled(&processes),
            processes,
            action_since: action.map(|(_, since)| since),
        }
    }
}

/// Whether `processes`, all matches of one component, are more than one tree of processes.
///
/// A match whose parent matches too is part of its parent's tree: a child that has not yet called exec shows
/// its parent's command line (process-exporter issue 191), and pre-forked workers keep it for life.
fn is_doubled(processes: &[Process]) -> bool {
    let is_match = |pid| processes.iter().any(|process| process.id.pid == pid);
    processes.iter().filter(|process| !is_match(process.parent_pid)).count() > 1
}

/// What one agent says of its host at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The host's name in the configuration.
    pub host: Name,
    /// `/proc/sys/kernel/random/boot_id`: changes with every boot.
    pub boot_id: String,
    /// The scan that this report rests on.
    pub scan: ScanFigures,
    /// Every component of the host in the configuration's order, or why none can be seen.
    pub components: Result<Vec<ComponentReport>, String>,
    /// The agent's version.
    pub agent_version: String,
}

impl Report {
    /// Whether `other` says the same of the host, its scan's time apart.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.host == other.host && self.boot_id == other.boot_id && self.components == other.components
    }
}

/// When a scan ended, and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanFigures {
    /// When it ended, by the host's own clock.
    pub scanned_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How many processes it looked at.
    pub processes_seen: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessId;

    fn process(pid: u32, parent_pid: u32) -> Process {
        Process { id: ProcessId { pid, start_ticks: 1 }, parent_pid, started_at: None }
    }

    fn report(processes: Vec<Process>) -> ComponentReport {
        ComponentReport::new(Name::from("kafka server"), processes, None)
    }

    #[test]
    fn a_component_without_processes_is_stopped() {
        let report = report(vec![]);
        assert_eq!(report.state, State::Stopped);
        assert!(!report.doubled);
    }

    #[test]
    fn two_unrelated_processes_are_a_double() {
        let report = report(vec![process(20, 1), process(10, 1)]);
        assert_eq!(report.state, State::Running);
        assert!(report.doubled);
        assert_eq!(report.processes.iter().map(|process| process.id.pid).collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn a_child_that_still_shows_its_parents_command_line_is_no_double() {
        assert!(!report(vec![process(10, 1), process(11, 10), process(12, 11)]).doubled);
    }

    #[test]
    fn an_action_under_way_is_the_state() {
        let since = Timestamp::UNIX_EPOCH;
        let name = Name::from("kafka server");
        let starting =
            ComponentReport::new(name.clone(), vec![process(1, 0)], Some((ActionKind::Start, since)));
        assert_eq!(starting.state, State::Starting);
        let stopping = ComponentReport::new(name, vec![], Some((ActionKind::Stop, since)));
        assert_eq!((stopping.state, stopping.action_since), (State::Stopping, Some(since)));
    }
}
