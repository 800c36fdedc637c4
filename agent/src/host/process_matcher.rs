//! Checks whether a single process belongs to a component.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rta_shared::attributes::ProcessAttributes as _;
use rta_shared::config::HostConfig;
use rta_shared::matcher::{Matcher, PartId};
use rta_shared::proc_stat::ProcStat;
use rta_shared::process::{CommandLine, Process, ProcessId, Suspension};
use rustix::io::Errno;

use crate::host::cgroup_mount::CgroupFreezers;
use crate::host::process_attributes::ProcfsAttributes;
use crate::host::procfs::{ListedProcess, ProcFs};
use crate::host::users::UserNames;

/// Maximum number of attempts to read a process that calls exec while it is read.
const READ_ATTEMPTS: usize = 3;
/// Time after which a process that its tracer stops, without a context switch, counts as held by a debugger.
/// A process whose system calls are merely traced keeps running.
const DEBUGGER_HOLD: Duration = Duration::from_millis(500);
/// Time without a check after which a hold is forgotten.
const HOLD_EXPIRY: Duration = Duration::from_secs(60);

/// Result of checking a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProcessObservation {
    /// The process has ended, or belongs to no component.
    Other,
    /// The process cannot be read, so it may belong to any component.
    Unreadable(Errno),
    /// The arguments of the process match at least one part.
    Candidate(ProcessCandidate),
}

/// Process whose arguments match parts of components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessCandidate {
    pub(crate) process: Process,
    /// Parts that the process belongs to. If these and the doubts are empty, it belongs to none at the
    /// moment, but may later.
    pub(crate) parts: Vec<PartId>,
    /// Parts that the process may belong to, each with a sentence on what cannot be read.
    pub(crate) doubts: Vec<(PartId, String)>,
    /// True if the process can start or cease to match without calling exec, which no event reports.
    pub(crate) may_change: bool,
}

impl ProcessCandidate {
    /// Returns true if both are the same process with the same parts.
    pub(crate) fn is_same_match(&self, other: &Self) -> bool {
        self.process.id == other.process.id && self.parts == other.parts
    }
}

/// Source of information on processes; tests have their own.
pub(crate) trait ProcessObserver {
    /// Checks the process that currently has this PID.
    fn observe(&mut self, pid: u32) -> ProcessObservation;

    /// Returns what keeps this very process from running, and reads nothing else.
    ///
    /// # Errors
    /// Returns an error if that cannot be read: the process has ended, or its PID was reused.
    fn suspension(&mut self, id: ProcessId) -> Result<Option<Suspension>, Errno>;
}

/// Checks the processes of this host. Allocates nothing for a process whose arguments do not match.
#[derive(Debug)]
pub(crate) struct ProcessMatcher {
    proc: ProcFs,
    matcher: Matcher,
    line: CommandLine,
    /// Reused buffer.
    found: Vec<PartId>,
    /// Reused buffer.
    rechecked: Vec<PartId>,
    own_pid: u32,
    clock: BootClock,
    users: UserNames,
    freezers: CgroupFreezers,
    /// Processes that a tracer holds.
    tracer_holds: HashMap<ProcessId, TracerHold>,
}

/// Hold of a tracer on a process.
#[derive(Clone, Copy, Debug)]
struct TracerHold {
    since: Instant,
    /// Number of context switches at the beginning of the hold.
    switches: u64,
    /// Time of the last check.
    seen: Instant,
}

impl ProcessMatcher {
    /// Creates a matcher for the components of `config`.
    ///
    /// # Errors
    /// Returns an error if /proc cannot be opened.
    pub(crate) fn new(config: &HostConfig) -> Result<Self, Errno> {
        Ok(Self {
            proc: ProcFs::open()?,
            matcher: build_matcher(config),
            line: CommandLine::new(),
            found: Vec::new(),
            rechecked: Vec::new(),
            own_pid: std::process::id(),
            clock: BootClock::new(),
            users: UserNames::new(),
            freezers: CgroupFreezers::read(),
            tracer_holds: HashMap::new(),
        })
    }

    /// Replaces the components.
    pub(crate) fn configure(&mut self, config: &HostConfig) {
        self.matcher = build_matcher(config);
        // An account may have been renamed.
        self.users = UserNames::new();
    }

    /// Replaces `listed` by the current processes, sorted by PID.
    pub(crate) fn list(&mut self, listed: &mut Vec<ListedProcess>) -> Result<(), Errno> {
        self.proc.list(listed)
    }

    /// Reads the command line of a process other than this one. Returns false if it has none, or has ended.
    fn read_line(&mut self, pid: u32) -> Result<bool, Errno> {
        if pid == self.own_pid {
            return Ok(false);
        }
        match self.proc.command_line(pid, &mut self.line) {
            Ok(()) => Ok(!self.line.is_empty()),
            Err(error) if is_process_gone(error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Calls `work` with the command line and the attributes of a process other than this one; `None` if it
    /// has no command line, or has ended.
    pub(crate) fn with_process<T>(
        &mut self,
        pid: u32,
        work: impl FnOnce(&CommandLine, &ProcfsAttributes<'_>) -> T,
    ) -> Result<Option<T>, Errno> {
        if !self.read_line(pid)? {
            return Ok(None);
        }
        let read = self.proc.process(pid).and_then(|folder| {
            folder.command_line(&mut self.line)?;
            let attributes = ProcfsAttributes::new(&self.proc, &folder, pid);
            Ok((!self.line.is_empty()).then(|| work(&self.line, &attributes)))
        });
        read.or_else(|error| if is_process_gone(error) { Ok(None) } else { Err(error) })
    }

    /// Reads a process with matching arguments again, through one open folder, together with the other tested
    /// attributes.
    fn read_candidate(&mut self, pid: u32) -> Result<ProcessObservation, Errno> {
        let folder = self.proc.process(pid)?;
        for _ in 0..READ_ATTEMPTS {
            let attributes = ProcfsAttributes::new(&self.proc, &folder, pid);
            let mut candidate = ProcessCandidate {
                process: Process::new(ProcessId { pid, start_ticks: 0 }, 0),
                parts: Vec::new(),
                doubts: Vec::new(),
                may_change: false,
            };
            for id in &self.found {
                let is_near = match self.matcher.confirms(*id, &attributes) {
                    Ok(true) => {
                        candidate.parts.push(*id);
                        true
                    }
                    // For a part that tests no argument any process would be near.
                    Ok(false) => self.matcher.tests_arguments(*id),
                    Err(reason) => {
                        candidate.doubts.push((*id, reason));
                        true
                    }
                };
                candidate.may_change |= is_near && self.matcher.may_change(*id);
            }
            if candidate.parts.is_empty() && candidate.doubts.is_empty() && !candidate.may_change {
                return Ok(ProcessObservation::Other);
            }
            // The order matters: if the arguments before and after are the same, they are those of the tested
            // process.
            let stat = folder.stat()?;
            folder.command_line(&mut self.line)?;
            self.rechecked.clear();
            self.matcher.find(&self.line, &mut self.rechecked);
            if self.line.is_empty() || self.rechecked.is_empty() {
                return Ok(ProcessObservation::Other);
            }
            if self.rechecked != self.found {
                std::mem::swap(&mut self.found, &mut self.rechecked);
                continue;
            }
            let id = ProcessId { pid, start_ticks: stat.start_ticks };
            let suspension = find_suspension(id, stat, &attributes, &self.freezers, &mut self.tracer_holds);
            candidate.process = Process {
                id,
                parent_pid: stat.parent_pid,
                started_at: self.clock.time(stat.start_ticks),
                user: attributes.uid().map(|uid| self.users.name(uid)).unwrap_or_default(),
                suspension,
            };
            return Ok(ProcessObservation::Candidate(candidate));
        }
        // The process keeps changing; the next check shows what it has become.
        Ok(ProcessObservation::Other)
    }
}

impl ProcessObserver for ProcessMatcher {
    fn observe(&mut self, pid: u32) -> ProcessObservation {
        match self.read_line(pid) {
            Ok(true) => {}
            Ok(false) => return ProcessObservation::Other,
            Err(error) => return ProcessObservation::Unreadable(error),
        }
        self.found.clear();
        self.matcher.find(&self.line, &mut self.found);
        if self.found.is_empty() {
            return ProcessObservation::Other;
        }
        match self.read_candidate(pid) {
            Ok(seen) => seen,
            Err(error) if is_process_gone(error) => ProcessObservation::Other,
            Err(error) => ProcessObservation::Unreadable(error),
        }
    }

    fn suspension(&mut self, id: ProcessId) -> Result<Option<Suspension>, Errno> {
        let folder = self.proc.process(id.pid)?;
        let stat = folder.stat()?;
        if stat.start_ticks != id.start_ticks || stat.is_zombie {
            return Err(Errno::SRCH);
        }
        let attributes = ProcfsAttributes::new(&self.proc, &folder, id.pid);
        Ok(find_suspension(id, stat, &attributes, &self.freezers, &mut self.tracer_holds))
    }
}

/// Returns what keeps a process from running, as far as that can be read.
fn find_suspension(
    id: ProcessId,
    stat: ProcStat,
    attributes: &ProcfsAttributes<'_>,
    freezers: &CgroupFreezers,
    held: &mut HashMap<ProcessId, TracerHold>,
) -> Option<Suspension> {
    if stat.is_stopped {
        return Some(Suspension::Signal);
    }
    if stat.is_traced {
        let (now, switches) = (Instant::now(), attributes.status().ok()?.switches);
        // Holds of processes that ended while they were held are removed here.
        held.retain(|_, hold| now.duration_since(hold.seen) < HOLD_EXPIRY);
        let new = TracerHold { since: now, switches, seen: now };
        let hold = held.entry(id).or_insert(new);
        *hold = if hold.switches == switches { TracerHold { seen: now, ..*hold } } else { new };
        return (now.duration_since(hold.since) >= DEBUGGER_HOLD).then_some(Suspension::Debugger);
    }
    held.remove(&id);
    freezers.find_frozen(attributes.control_groups().ok()?).map(|_| Suspension::Freezer)
}

fn build_matcher(config: &HostConfig) -> Matcher {
    let components = config.components.iter().enumerate();
    Matcher::new(components.flat_map(|(component, configured)| {
        let parts = configured.parts.iter().enumerate();
        parts.map(move |(part, configured)| (PartId { component, part }, configured))
    }))
}

/// Returns true if the error means that the process ended while it was read.
fn is_process_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

/// Converts clock ticks since boot into wall-clock time.
#[derive(Clone, Copy, Debug)]
struct BootClock {
    /// Seconds since 1970; `None` if the host does not report it.
    booted_at: Option<u64>,
    ticks_per_second: u64,
}

impl BootClock {
    fn new() -> Self {
        Self {
            booted_at: sysinfo::System::boot_time().ok(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
        }
    }

    fn time(self, ticks: u64) -> Option<Timestamp> {
        let millis = self
            .booted_at?
            .checked_mul(1000)?
            .checked_add(ticks.checked_mul(1000)? / self.ticks_per_second)?;
        Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()
    }
}
