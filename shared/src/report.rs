//! Report of an agent about its host.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::action::ActionLock;
use crate::autostart::Autostart;
use crate::config::{HostComponent, Part, ProcessCount};
use crate::down_cause::DownCause;
use crate::impairment::Impairment;
use crate::limit::ExceededLimit;
use crate::name::Name;
use crate::probe::ProbeReport;
use crate::process::Process;
use crate::snapshot::Snapshot;
use crate::unit::UnitReport;

pub use crate::state::State;

/// State of one part of a component, as its agent observed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Name of the part; `None` for the only part of an undivided component.
    pub name: Option<Name>,
    /// Required number of processes.
    pub count: ProcessCount,
    /// Number of running processes; a match whose parent matches too is not counted again.
    pub running: u32,
    /// PIDs of all matched processes, sorted.
    pub pids: Vec<u32>,
}

impl PartReport {
    fn new(part: &Part, processes: &[Process]) -> Self {
        let mut pids: Vec<u32> = processes.iter().map(|process| process.id.pid).collect();
        pids.sort_unstable();
        Self {
            name: part.name.clone(),
            count: part.count,
            running: u32::try_from(trees(processes)).unwrap_or(u32::MAX),
            pids,
        }
    }

    /// Describes the missing processes: `driver`, or `worker (1 of 2)`; `None` if none is missing.
    pub fn missing(&self) -> Option<String> {
        let ProcessCount { min, .. } = self.count;
        let name = self.name.as_ref().map_or("its process", Name::as_str);
        match self.running {
            running if running >= min => None,
            0 if min == 1 => Some(name.to_owned()),
            running => Some(format!("{name} ({running} of {min})")),
        }
    }

    /// Returns the number of running and of required processes: `driver 0/1`, `worker 3/2+`. The only part of
    /// an undivided component has no name, and reads `processes 1/1`.
    pub fn tally(&self) -> String {
        let name = self.name.as_ref().map_or("processes", Name::as_str);
        format!("{name} {}/{}", self.running, self.count)
    }

    /// Describes surplus processes, as a sentence; `None` if there are none.
    pub fn surplus(&self) -> Option<String> {
        let max = self.count.max.filter(|max| self.running > *max)?;
        let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
        let pids = pids.join(", ");
        Some(match (&self.name, max) {
            (None, 1) => format!("it runs more than once: pids {pids}"),
            (None, _) => format!("it runs {} times, at most {max} are right: pids {pids}", self.running),
            (Some(name), _) => {
                format!("{name} runs {} times, at most {max} is right: pids {pids}", self.running)
            }
        })
    }
}

/// Counts the process trees in `processes`, which are all matches of one part.
///
/// A match whose parent matches too belongs to its parent's tree: a child that has not yet called exec has
/// its parent's command line (process-exporter issue 191), and pre-forked workers keep it for life.
fn trees(processes: &[Process]) -> usize {
    let is_match = |pid| processes.iter().any(|process| process.id.pid == pid);
    processes.iter().filter(|process| !is_match(process.parent_pid)).count()
}

/// State of one component of a host, as its agent observed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentReport {
    /// Canonical name of the component.
    pub component: Name,
    /// Observed state.
    pub state: State,
    /// Matched processes of all parts, sorted by PID.
    pub processes: Snapshot<Vec<Process>>,
    /// Parts of the component, in the configuration's order.
    pub parts: Snapshot<Vec<PartReport>>,
    /// True if a part runs more often than allowed.
    pub doubled: bool,
    /// Reason why some of its processes may be invisible to the agent, as a sentence.
    pub unseen: Option<String>,
    /// Action in progress.
    pub action: Option<Box<ActionLock>>,
    /// Result of the probe; `None` if it has no probe, or does not run.
    pub probe: Option<ProbeReport>,
    /// State of its systemd unit; `None` if systemd does not start it.
    pub unit: Option<Box<UnitReport>>,
    /// State of its automatic restarts; `None` if it is never restarted automatically.
    pub autostart: Option<Box<Autostart>>,
    /// Reason why it is stopped; `None` in any other state, or if the reason is unknown.
    pub down_cause: Option<Box<DownCause>>,
    /// Limits that it exceeds.
    pub exceeded_limits: Vec<ExceededLimit>,
}

/// State of a component besides its processes, as its agent knows it.
#[derive(Clone, Debug, Default)]
pub struct ComponentContext {
    /// See [`ComponentReport::action`].
    pub action: Option<ActionLock>,
    /// See [`ComponentReport::unseen`].
    pub unseen: Option<String>,
    /// See [`ComponentReport::probe`].
    pub probe: Option<ProbeReport>,
    /// See [`ComponentReport::unit`].
    pub unit: Option<UnitReport>,
    /// See [`ComponentReport::autostart`].
    pub autostart: Option<Autostart>,
}

impl ComponentReport {
    /// Creates the report of a component; `matches` holds the processes of each of its parts.
    pub fn new(component: &HostComponent, matches: &[Vec<Process>], circumstances: ComponentContext) -> Self {
        let ComponentContext { action, unseen, probe, unit, autostart } = circumstances;
        let unseen = component.unknown_user().or(unseen);
        let parts: Vec<PartReport> = component
            .parts
            .iter()
            .zip(matches)
            .map(|(part, processes)| PartReport::new(part, processes))
            .collect();
        let mut processes: Vec<Process> = matches.iter().flatten().cloned().collect();
        processes.sort_by_key(|process| process.id);
        processes.dedup_by_key(|process| process.id);
        let is_missing = parts.iter().any(|part| part.missing().is_some());
        let state = State::from_matches(
            action.as_ref().map(|hold| hold.kind),
            !processes.is_empty(),
            is_missing,
            unseen.is_some(),
        );
        let mut report = Self {
            component: component.name.clone(),
            state,
            processes: processes.into(),
            doubled: parts.iter().any(|part| part.surplus().is_some()),
            parts: parts.into(),
            unseen,
            action: action.map(Box::new),
            probe: None,
            unit: unit.map(Box::new),
            autostart: autostart.map(Box::new),
            down_cause: None,
            exceeded_limits: Vec::new(),
        };
        report.set_probe(probe);
        report
    }

    /// Sets the result of the probe. A running component counts as starting until its probe has passed once
    /// or has finally failed: the existence of its process alone proves nothing yet.
    pub fn set_probe(&mut self, probe: Option<ProbeReport>) {
        if self.state.is_running() && probe.as_ref().is_some_and(ProbeReport::is_pending) {
            self.state = State::Starting;
        }
        self.probe = probe;
    }

    /// Returns true if the component runs and only the first pass of its probe is missing.
    pub fn awaits_probe(&self) -> bool {
        awaits_probe(Some(self.state), self.action.as_deref())
    }
}

/// Returns true if a component in this state runs and only the first pass of its probe is missing: it is
/// starting without an action in progress.
pub fn awaits_probe(state: Option<State>, action: Option<&ActionLock>) -> bool {
    state == Some(State::Starting) && action.is_none()
}

/// Method by which an agent notices processes between two full scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// The kernel's process connector reports each fork, exec and exit.
    Events,
    /// Pidfds report exits; a scan each second finds new processes.
    Scans,
}

impl fmt::Display for WatchMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Events => "kernel events",
            Self::Scans => "scans",
        })
    }
}

/// Mode and gaps of an agent's process watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatchStatus {
    /// Mode of the watch.
    pub mode: WatchMode,
    /// Reason why kernel events are not used; `None` if they are.
    pub fallback: Option<String>,
    /// Number of times that events were lost; each was followed by a full scan.
    pub overruns: u64,
    /// Number of changes that only a full scan found, since the agent started.
    pub differences: u64,
}

impl fmt::Display for WatchStatus {
    /// Writes `watching by kernel events`, or `watching by scans: <why not by events>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watching by {}", self.mode)?;
        match &self.fallback {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl WatchStatus {
    /// Returns the watch of an agent that only scans, as the first version did.
    pub fn scans_only() -> Self {
        Self { mode: WatchMode::Scans, fallback: None, overruns: 0, differences: 0 }
    }
}

/// Configuration that an agent uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigStatus {
    /// Digest of the configuration.
    pub digest: String,
    /// Reason why a newer configuration was rejected.
    pub error: Option<String>,
}

/// Report of one agent about its host at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name of the host in the configuration.
    pub host: Name,
    /// Boot ID, which changes with every boot: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Last full scan, and the time up to which the host has been followed.
    pub scan: ScanFigures,
    /// Components of the host in the configuration's order, or the reason why none can be observed.
    pub components: Result<Vec<ComponentReport>, String>,
    /// Mode and gaps of the process watch.
    pub watch: WatchStatus,
    /// Configuration in use.
    pub config: ConfigStatus,
    /// Version of the agent.
    pub agent_version: String,
    /// ID of this run of the agent, another one after each of its starts; empty if its version has none.
    pub agent_run_id: String,
    /// Expiry of the agent's certificate; `None`: the connection is in clear text, or the agent's version
    /// does not report it.
    pub certificate_ends: Option<Timestamp>,
    /// Impaired parts of the agent.
    pub impairments: Vec<Impairment>,
}

impl Report {
    /// Returns true if `other` is equal apart from its times.
    pub fn equals_except_times(&self, other: &Self) -> bool {
        self.host == other.host
            && self.boot_id == other.boot_id
            && self.agent_run_id == other.agent_run_id
            && self.components == other.components
            && self.watch == other.watch
            && self.config == other.config
            && self.certificate_ends == other.certificate_ends
            && self.impairments == other.impairments
    }

    /// Shares the processes and parts that are the same as in the report before, so that an overview that was made of
    /// that one has no copies of its own.
    pub fn share_unchanged(&mut self, before: &Self) {
        let (Ok(components), Ok(before)) = (&mut self.components, &before.components) else { return };
        for (one, before) in components.iter_mut().zip(before) {
            if one.processes == before.processes {
                one.processes = before.processes.clone();
            }
            if one.parts == before.parts {
                one.parts = before.parts.clone();
            }
        }
    }
}

/// Last full scan, and the time up to which the host has been followed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanFigures {
    /// End of the last full scan, by the host's own clock.
    pub scanned_at: Timestamp,
    /// Duration of the scan.
    pub duration: Duration,
    /// Number of processes that it inspected.
    pub processes_seen: u32,
    /// Time up to which the host was followed without a gap; the report was true at that time.
    pub seen_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::ActionKind;
    use crate::action::Requester;
    use crate::attributes::tests::user;
    use crate::config::{LimitRules, RestartRule, StopRule};
    use crate::criterion::Criterion;
    use crate::process::ProcessId;

    fn process(pid: u32, parent_pid: u32) -> Process {
        Process::new(ProcessId { pid, start_ticks: 1 }, parent_pid)
    }

    fn component(parts: &[(Option<&str>, u32, Option<u32>)]) -> HostComponent {
        let parts = parts.iter().map(|(name, min, max)| Part {
            name: name.map(Name::from),
            criteria: vec![],
            count: ProcessCount { min: *min, max: *max },
            container: false,
        });
        HostComponent {
            name: "kafka server".into(),
            aliases: vec![],
            parts: parts.collect(),
            start: None,
            stop: StopRule::default(),
            probe: None,
            limits: LimitRules::default(),
            log: None,
            restart: RestartRule::default(),
            wanted: false,
            depends_on: vec![],
        }
    }

    fn sample_report(components: Result<Vec<ComponentReport>, String>) -> Report {
        let at = Timestamp::UNIX_EPOCH;
        let scan = ScanFigures { scanned_at: at, duration: Duration::ZERO, processes_seen: 1, seen_at: at };
        let watch = WatchStatus { mode: WatchMode::Events, fallback: None, overruns: 0, differences: 0 };
        Report {
            host: "h".into(),
            boot_id: String::new(),
            scan,
            components,
            watch,
            config: ConfigStatus { digest: String::new(), error: None },
            agent_version: String::new(),
            agent_run_id: String::new(),
            certificate_ends: None,
            impairments: vec![],
        }
    }

    fn report(processes: Vec<Process>) -> ComponentReport {
        ComponentReport::new(&component(&[(None, 1, Some(1))]), &[processes], ComponentContext::default())
    }

    #[test]
    fn what_is_the_same_as_before_is_shared_and_nothing_else() {
        let of_host = |pids: [u32; 2]| {
            let components = pids.map(|pid| report(vec![process(pid, 1)]));
            sample_report(Ok(components.into()))
        };
        let (before, mut after) = (of_host([7, 8]), of_host([7, 9]));
        let expected = after.clone();
        after.share_unchanged(&before);
        assert_eq!(after, expected);
        let shares = |at: usize| {
            let of = |report: &Report| report.components.as_ref().unwrap()[at].processes.clone();
            Snapshot::ptr_eq(&of(&before), &of(&after))
        };
        assert_eq!([shares(0), shares(1)], [true, false]);
        let mut blind = sample_report(Err("/proc hides processes".to_owned()));
        blind.share_unchanged(&before);
        assert!(blind.components.is_err());
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
        assert_eq!(report.parts[0].surplus().as_deref(), Some("it runs more than once: pids 10, 20"));
    }

    #[test]
    fn a_child_that_still_shows_its_parents_command_line_is_no_double() {
        assert!(!report(vec![process(10, 1), process(11, 10), process(12, 11)]).doubled);
    }

    #[test]
    fn an_action_under_way_is_the_state() {
        let component = component(&[(None, 1, Some(1))]);
        let acting = |kind| {
            let hold = ActionLock { kind, by: Requester::default(), since: Timestamp::UNIX_EPOCH };
            ComponentContext { action: Some(hold), ..ComponentContext::default() }
        };
        let starting = ComponentReport::new(&component, &[vec![process(1, 0)]], acting(ActionKind::Start));
        assert_eq!(starting.state, State::Starting);
        let stopping = ComponentReport::new(&component, &[vec![]], acting(ActionKind::Stop));
        assert_eq!(stopping.state, State::Stopping);
        let restarting =
            |processes| ComponentReport::new(&component, &[processes], acting(ActionKind::Restart)).state;
        assert_eq!(restarting(vec![process(1, 0)]), State::Stopping);
        assert_eq!(restarting(vec![]), State::Starting);
    }

    #[test]
    fn a_component_of_parts_runs_with_all_of_them_and_names_what_is_missing() {
        let component = component(&[
            (Some("launcher"), 1, Some(1)),
            (Some("driver"), 1, Some(1)),
            (Some("worker"), 2, None),
        ]);
        let seen = |launchers: &[u32], drivers: &[u32], workers: &[u32]| {
            let matches = [launchers, drivers, workers]
                .map(|pids| pids.iter().map(|pid| process(*pid, 1)).collect::<Vec<_>>());
            ComponentReport::new(&component, &matches, ComponentContext::default())
        };
        let missing = |report: &ComponentReport| -> Vec<String> {
            report.parts.iter().filter_map(PartReport::missing).collect()
        };
        let whole = seen(&[11], &[2], &[3, 4, 5]);
        assert_eq!((whole.state, whole.doubled, whole.processes.len()), (State::Running, false, 5));
        let partial = seen(&[11], &[], &[3]);
        assert_eq!(partial.state, State::Partial);
        assert_eq!(missing(&partial), ["driver", "worker (1 of 2)"]);
        let tallies: Vec<String> = partial.parts.iter().map(PartReport::tally).collect();
        assert_eq!(tallies, ["launcher 1/1", "driver 0/1", "worker 1/2+"]);
        let doubled = seen(&[11], &[2, 6], &[3, 4]);
        assert_eq!((doubled.state, doubled.doubled), (State::Running, true));
        assert_eq!(
            doubled.parts[1].surplus().as_deref(),
            Some("driver runs 2 times, at most 1 is right: pids 2, 6")
        );
        assert_eq!(seen(&[], &[], &[]).state, State::Stopped);
    }

    #[test]
    fn component_of_an_unknown_user_is_unknown_whatever_runs() {
        let mut component = component(&[(None, 1, Some(1))]);
        component.parts[0].criteria.push(Criterion::Attribute(user("kafka", None)));
        let report = ComponentReport::new(&component, &[vec![]], ComponentContext::default());
        assert_eq!(report.state, State::Unknown);
        assert_eq!(
            report.unseen.as_deref(),
            Some(
                "there is no user \"kafka\" on this host: create the account, or correct its criterion's user"
            )
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_called_stopped() {
        let component = component(&[(None, 1, Some(1))]);
        let blind = || ComponentContext { unseen: Some("pid 7".to_owned()), ..ComponentContext::default() };
        let report = ComponentReport::new(&component, &[vec![]], blind());
        assert_eq!((report.state, report.unseen.as_deref()), (State::Unknown, Some("pid 7")));
        assert_eq!(ComponentReport::new(&component, &[vec![process(1, 0)]], blind()).state, State::Running);
    }
}
