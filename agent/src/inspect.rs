//! Looking at one process: whether it is one of the components'.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rta_shared::attributes::ProcessAttributes as _;
use rta_shared::config::HostConfig;
use rta_shared::matcher::{Matcher, PartId};
use rta_shared::process::{CommandLine, Process, ProcessId, Suspension};
use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::cgroup_mount::Freezers;
use crate::procfs::{Listed, Proc, Stat};
use crate::users::UserNames;

/// How often a process is read again that runs another program while it is looked at.
const ATTEMPTS: usize = 3;
/// A process that its tracer holds for so long, without being switched once, is held by a debugger; one whose system
/// calls are merely watched goes on.
const HELD: Duration = Duration::from_millis(500);
/// After so long without a look at it a hold is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What a look at a process shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It has ended, or is none of the components'.
    Other,
    /// It may be any of them: it cannot be read.
    Unreadable(Errno),
    /// Its arguments fit one of them.
    Candidate(Candidate),
}

/// A process whose arguments fit parts of components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) process: Process,
    /// It is these. With no doubts either, it is none at the moment, and may become one.
    pub(crate) parts: Vec<PartId>,
    /// It may be these: a sentence says what cannot be read.
    pub(crate) doubts: Vec<(PartId, String)>,
    /// It can begin or cease to be a part without running another program, of which nobody is told.
    pub(crate) may_change: bool,
}

impl Candidate {
    /// Whether both are the same process in the same role.
    pub(crate) fn is_same_match(&self, other: &Self) -> bool {
        self.process.id == other.process.id && self.parts == other.parts
    }
}

/// The eyes of what follows processes; tests have their own.
pub(crate) trait Look {
    /// Looks at the process that has this PID now.
    fn look(&mut self, pid: u32) -> Seen;

    /// What keeps this very process from running; without a look at anything else.
    ///
    /// # Errors
    /// It cannot be read: it has ended, or its PID is another's.
    fn suspension(&mut self, id: ProcessId) -> Result<Option<Suspension>, Errno>;
}

/// Looks at the processes of this host. Nothing is allocated for one whose arguments do not fit.
#[derive(Debug)]
pub(crate) struct Inspector {
    proc: Proc,
    matcher: Matcher,
    line: CommandLine,
    /// Reused.
    found: Vec<PartId>,
    /// Reused.
    again: Vec<PartId>,
    own_pid: u32,
    clock: BootClock,
    users: UserNames,
    freezers: Freezers,
    /// The processes that a tracer holds.
    held: HashMap<ProcessId, Hold>,
}

/// How long a tracer has held a process.
#[derive(Clone, Copy, Debug)]
struct Hold {
    since: Instant,
    /// How often it had been switched then.
    switches: u64,
    /// When it was looked at last.
    seen: Instant,
}

impl Inspector {
    /// One that knows the components of `config`.
    ///
    /// # Errors
    /// /proc cannot be opened.
    pub(crate) fn new(config: &HostConfig) -> Result<Self, Errno> {
        Ok(Self {
            proc: Proc::open()?,
            matcher: matcher(config),
            line: CommandLine::new(),
            found: Vec::new(),
            again: Vec::new(),
            own_pid: std::process::id(),
            clock: BootClock::new(),
            users: UserNames::new(),
            freezers: Freezers::read(),
            held: HashMap::new(),
        })
    }

    /// Replaces the components that it knows.
    pub(crate) fn configure(&mut self, config: &HostConfig) {
        self.matcher = matcher(config);
        // An account may have been renamed.
        self.users = UserNames::new();
    }

    /// Replaces `listed` by the processes that are there now, by PID.
    pub(crate) fn list(&mut self, listed: &mut Vec<Listed>) -> Result<(), Errno> {
        self.proc.list(listed)
    }

    /// Reads the command line of a process other than this one. False where it has none, or has ended.
    fn read_line(&mut self, pid: u32) -> Result<bool, Errno> {
        if pid == self.own_pid {
            return Ok(false);
        }
        match self.proc.command_line(pid, &mut self.line) {
            Ok(()) => Ok(!self.line.is_empty()),
            Err(error) if is_gone(error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the command line and the attributes of a process other than this one to `work`; `None` where it has no
    /// command line, or has ended.
    pub(crate) fn with_process<T>(
        &mut self,
        pid: u32,
        work: impl FnOnce(&CommandLine, &Attributes<'_>) -> T,
    ) -> Result<Option<T>, Errno> {
        if !self.read_line(pid)? {
            return Ok(None);
        }
        let read = self.proc.process(pid).and_then(|folder| {
            folder.command_line(&mut self.line)?;
            let attributes = Attributes::new(&self.proc, &folder, pid);
            Ok((!self.line.is_empty()).then(|| work(&self.line, &attributes)))
        });
        read.or_else(|error| if is_gone(error) { Ok(None) } else { Err(error) })
    }

    /// Reads a process whose arguments fit once more, through one hold on it, with what else it is asked about.
    fn confirm(&mut self, pid: u32) -> Result<Seen, Errno> {
        let folder = self.proc.process(pid)?;
        for _ in 0..ATTEMPTS {
            let attributes = Attributes::new(&self.proc, &folder, pid);
            let mut candidate = Candidate {
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
                    // Of a part that tests no argument any process would be near.
                    Ok(false) => self.matcher.tests_arguments(*id),
                    Err(reason) => {
                        candidate.doubts.push((*id, reason));
                        true
                    }
                };
                candidate.may_change |= is_near && self.matcher.may_change(*id);
            }
            if candidate.parts.is_empty() && candidate.doubts.is_empty() && !candidate.may_change {
                return Ok(Seen::Other);
            }
            // In this order: arguments that are the same before and after are those of what was asked about.
            let stat = folder.stat()?;
            folder.command_line(&mut self.line)?;
            self.again.clear();
            self.matcher.find(&self.line, &mut self.again);
            if self.line.is_empty() || self.again.is_empty() {
                return Ok(Seen::Other);
            }
            if self.again != self.found {
                std::mem::swap(&mut self.found, &mut self.again);
                continue;
            }
            let id = ProcessId { pid, start_ticks: stat.start_ticks };
            let suspension = suspension(id, stat, &attributes, &self.freezers, &mut self.held);
            candidate.process = Process {
                id,
                parent_pid: stat.parent_pid,
                started_at: self.clock.time(stat.start_ticks),
                user: attributes.uid().map(|uid| self.users.name(uid)).unwrap_or_default(),
                suspension,
            };
            return Ok(Seen::Candidate(candidate));
        }
        // Whatever it is by now, the next look shows it.
        Ok(Seen::Other)
    }
}

impl Look for Inspector {
    fn look(&mut self, pid: u32) -> Seen {
        match self.read_line(pid) {
            Ok(true) => {}
            Ok(false) => return Seen::Other,
            Err(error) => return Seen::Unreadable(error),
        }
        self.found.clear();
        self.matcher.find(&self.line, &mut self.found);
        if self.found.is_empty() {
            return Seen::Other;
        }
        match self.confirm(pid) {
            Ok(seen) => seen,
            Err(error) if is_gone(error) => Seen::Other,
            Err(error) => Seen::Unreadable(error),
        }
    }

    fn suspension(&mut self, id: ProcessId) -> Result<Option<Suspension>, Errno> {
        let folder = self.proc.process(id.pid)?;
        let stat = folder.stat()?;
        if stat.start_ticks != id.start_ticks || stat.is_zombie {
            return Err(Errno::SRCH);
        }
        let attributes = Attributes::new(&self.proc, &folder, id.pid);
        Ok(suspension(id, stat, &attributes, &self.freezers, &mut self.held))
    }
}

/// What keeps a process from running, as far as that can be read.
fn suspension(
    id: ProcessId,
    stat: Stat,
    attributes: &Attributes<'_>,
    freezers: &Freezers,
    held: &mut HashMap<ProcessId, Hold>,
) -> Option<Suspension> {
    if stat.is_stopped {
        return Some(Suspension::Signal);
    }
    if stat.is_traced {
        let (now, switches) = (Instant::now(), attributes.status().ok()?.switches);
        // Those that ended while they were held are not looked at again.
        held.retain(|_, hold| now.duration_since(hold.seen) < FORGOTTEN);
        let new = Hold { since: now, switches, seen: now };
        let hold = held.entry(id).or_insert(new);
        *hold = if hold.switches == switches { Hold { seen: now, ..*hold } } else { new };
        return (now.duration_since(hold.since) >= HELD).then_some(Suspension::Debugger);
    }
    held.remove(&id);
    freezers.frozen(attributes.control_groups().ok()?).map(|_| Suspension::Freezer)
}

fn matcher(config: &HostConfig) -> Matcher {
    let components = config.components.iter().enumerate();
    Matcher::new(components.flat_map(|(component, configured)| {
        let parts = configured.parts.iter().enumerate();
        parts.map(move |(part, configured)| (PartId { component, part }, configured))
    }))
}

/// Whether a process ended while it was looked at.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

/// Turns clock ticks after boot into wall-clock time.
#[derive(Clone, Copy, Debug)]
struct BootClock {
    /// Seconds after 1970; `None` where the host does not tell.
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
