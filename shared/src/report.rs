//! What one agent says of its host.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::autostart::Autostart;
use crate::config::{Count, HostComponent, Part};
use crate::control::{ActionKind, Hold};
use crate::down_cause::DownCause;
use crate::impairment::Impairment;
use crate::name::Name;
use crate::probe::ProbeReport;
use crate::process::Process;
use crate::unit::UnitReport;

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
    /// The agent launched it, and it has not yet matched for its settle time; or it runs, whoever started it, and
    /// its probe has not passed yet since then.
    Starting,
    /// The agent signalled it, and it is not yet gone.
    Stopping,
    /// It was not found, and may be one of the processes that cannot be read.
    Unknown,
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
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One part of a component as its agent saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// `None` for the only part of a component that is not divided.
    pub name: Option<Name>,
    /// How many processes it is to have.
    pub count: Count,
    /// How many it has; a match whose parent matches too is no further one.
    pub running: u32,
    /// Every matched process, sorted.
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

    /// What of it is missing: `driver`, or `worker (1 of 2)`; `None` where nothing is.
    pub fn missing(&self) -> Option<String> {
        let Count { min, .. } = self.count;
        let name = self.name.as_ref().map_or("its process", Name::as_str);
        match self.running {
            running if running >= min => None,
            0 if min == 1 => Some(name.to_owned()),
            running => Some(format!("{name} ({running} of {min})")),
        }
    }

    /// How many of how many run: `driver 0/1`, `worker 3/2+`; the only part of a component has no name.
    pub fn tally(&self) -> String {
        let name = self.name.as_ref().map_or("processes", Name::as_str);
        format!("{name} {}/{}", self.running, self.count)
    }

    /// How far it runs too often, as a sentence; `None` where it does not.
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

/// How many trees of processes `processes` are, all of them matches of one part.
///
/// A match whose parent matches too is part of its parent's tree: a child that has not yet called exec shows
/// its parent's command line (process-exporter issue 191), and pre-forked workers keep it for life.
fn trees(processes: &[Process]) -> usize {
    let is_match = |pid| processes.iter().any(|process| process.id.pid == pid);
    processes.iter().filter(|process| !is_match(process.parent_pid)).count()
}

/// One component of a host as its agent saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentReport {
    /// The component's canonical name.
    pub component: Name,
    /// What was seen.
    pub state: State,
    /// The matched processes of all parts, sorted by PID.
    pub processes: Vec<Process>,
    /// Its parts, in the configuration's order.
    pub parts: Vec<PartReport>,
    /// A part runs more often than it should.
    pub doubled: bool,
    /// Why its processes may not all be seen, as a sentence.
    pub unseen: Option<String>,
    /// What is under way on it.
    pub action: Option<Hold>,
    /// `None` where it has no probe, or does not run.
    pub probe: Option<ProbeReport>,
    /// `None` where systemd does not start it.
    pub unit: Option<UnitReport>,
    /// `None` where it is never started again by itself.
    pub autostart: Option<Autostart>,
    /// Why it is stopped; `None` in any other state, and where nothing is known.
    pub down_cause: Option<DownCause>,
}

/// What an agent knows of a component beside its processes.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// See [`ComponentReport::action`].
    pub action: Option<Hold>,
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
    /// The report on a component: `matches` are the processes of each of its parts.
    pub fn new(component: &HostComponent, matches: &[Vec<Process>], circumstances: Circumstances) -> Self {
        let Circumstances { action, unseen, probe, unit, autostart } = circumstances;
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
        let state = match action.as_ref().map(|hold| hold.kind) {
            Some(ActionKind::Start) => State::Starting,
            Some(ActionKind::Stop) => State::Stopping,
            // It first stops what runs.
            Some(ActionKind::Restart) if processes.is_empty() => State::Starting,
            Some(ActionKind::Restart) => State::Stopping,
            None if !is_missing => State::Running,
            None if unseen.is_some() => State::Unknown,
            None if processes.is_empty() => State::Stopped,
            None => State::Partial,
        };
        let mut report = Self {
            component: component.name.clone(),
            state,
            processes,
            doubled: parts.iter().any(|part| part.surplus().is_some()),
            parts,
            unseen,
            action,
            probe: None,
            unit,
            autostart,
            down_cause: None,
        };
        report.set_probe(probe);
        report
    }

    /// Sets the state of its probe. A component that runs is starting until its probe has passed once, or has
    /// failed for good: that its process exists says nothing yet.
    pub fn set_probe(&mut self, probe: Option<ProbeReport>) {
        if self.state == State::Running && probe.as_ref().is_some_and(ProbeReport::is_pending) {
            self.state = State::Starting;
        }
        self.probe = probe;
    }

    /// Whether it runs and only the first pass of its probe is missing.
    pub fn awaits_probe(&self) -> bool {
        awaits_probe(Some(self.state), self.action.as_ref())
    }
}

/// Whether a component in this state runs and only the first pass of its probe is missing: it is starting, and no
/// action does that.
pub fn awaits_probe(state: Option<State>, action: Option<&Hold>) -> bool {
    state == Some(State::Starting) && action.is_none()
}

/// How an agent learns of processes between two full scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// The kernel tells of each fork, exec and exit (its process connector).
    Events,
    /// Deaths are told by pidfds; new processes are looked for every second.
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

/// How well an agent follows its host's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watch {
    /// How it learns of them.
    pub mode: WatchMode,
    /// Why the kernel's events are not used; `None` where they are.
    pub fallback: Option<String>,
    /// How often events were lost; each time a full scan answered that.
    pub overruns: u64,
    /// What full scans found that should have been known before, since the agent began.
    pub differences: u64,
}

impl fmt::Display for Watch {
    /// `watching by kernel events`, or `watching by scans: <why not by events>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watching by {}", self.mode)?;
        match &self.fallback {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl Watch {
    /// That of an agent which knows nothing but scans, as the first version did.
    pub fn scans_only() -> Self {
        Self { mode: WatchMode::Scans, fallback: None, overruns: 0, differences: 0 }
    }
}

/// The configuration that an agent works by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigStanding {
    /// What tells it from every other one.
    pub digest: String,
    /// Why one that was to replace it was refused.
    pub error: Option<String>,
}

/// What one agent says of its host at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The host's name in the configuration.
    pub host: Name,
    /// `/proc/sys/kernel/random/boot_id`: changes with every boot.
    pub boot_id: String,
    /// How far the agent has followed the host.
    pub scan: ScanFigures,
    /// Every component of the host in the configuration's order, or why none can be seen.
    pub components: Result<Vec<ComponentReport>, String>,
    /// How well the agent follows its host.
    pub watch: Watch,
    /// What it works by.
    pub config: ConfigStanding,
    /// The agent's version.
    pub agent_version: String,
    /// When the certificate ends by which the agent proves who it is; `None`: it is asked in clear, or is of a version
    /// that does not tell.
    pub certificate_ends: Option<Timestamp>,
    /// Parts of the agent that are impaired.
    pub impairments: Vec<Impairment>,
}

impl Report {
    /// Whether `other` says the same of the host, the times apart.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.host == other.host
            && self.boot_id == other.boot_id
            && self.components == other.components
            && self.watch == other.watch
            && self.config == other.config
            && self.certificate_ends == other.certificate_ends
            && self.impairments == other.impairments
    }
}

/// The last full scan, and how far the host was followed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanFigures {
    /// When the last full scan ended, by the host's own clock.
    pub scanned_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How many processes it looked at.
    pub processes_seen: u32,
    /// Until when the host was followed without a gap: what the report says held then.
    pub seen_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::tests::user;
    use crate::config::{RestartRule, StopRule};
    use crate::control::Requester;
    use crate::criterion::Criterion;
    use crate::process::ProcessId;

    fn process(pid: u32, parent_pid: u32) -> Process {
        Process::new(ProcessId { pid, start_ticks: 1 }, parent_pid)
    }

    fn component(parts: &[(Option<&str>, u32, Option<u32>)]) -> HostComponent {
        let parts = parts.iter().map(|(name, min, max)| Part {
            name: name.map(Name::from),
            criteria: vec![],
            count: Count { min: *min, max: *max },
            container: false,
        });
        HostComponent {
            name: "kafka server".into(),
            aliases: vec![],
            parts: parts.collect(),
            start: None,
            stop: StopRule::default(),
            probe: None,
            log: None,
            restart: RestartRule::default(),
            wanted: false,
            depends_on: vec![],
        }
    }

    fn report(processes: Vec<Process>) -> ComponentReport {
        ComponentReport::new(&component(&[(None, 1, Some(1))]), &[processes], Circumstances::default())
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
            let hold = Hold { kind, by: Requester::default(), since: Timestamp::UNIX_EPOCH };
            Circumstances { action: Some(hold), ..Circumstances::default() }
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
            ComponentReport::new(&component, &matches, Circumstances::default())
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
        let report = ComponentReport::new(&component, &[vec![]], Circumstances::default());
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
        let blind = || Circumstances { unseen: Some("pid 7".to_owned()), ..Circumstances::default() };
        let report = ComponentReport::new(&component, &[vec![]], blind());
        assert_eq!((report.state, report.unseen.as_deref()), (State::Unknown, Some("pid 7")));
        assert_eq!(ComponentReport::new(&component, &[vec![process(1, 0)]], blind()).state, State::Running);
    }
}
