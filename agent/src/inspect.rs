//! Looking at one process: whether it is one of the components'.

use jiff::Timestamp;
use rta_shared::config::HostConfig;
use rta_shared::matching::{Matcher, PartId};
use rta_shared::process::{CommandLine, Process, ProcessId};
use rustix::io::Errno;

use crate::procfs::{Listed, Proc};

/// What a look at a process shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It has ended, or is none of the components'.
    Other,
    /// It may be any of them: it cannot be read.
    Unreadable(Errno),
    /// It is these parts of these components.
    Match(Process, Vec<PartId>),
}

/// The eyes of what follows processes; tests have their own.
pub(crate) trait Look {
    /// Looks at the process that has this PID now.
    fn look(&mut self, pid: u32) -> Seen;
}

/// Looks at the processes of this host. Nothing is allocated for one that does not match.
#[derive(Debug)]
pub(crate) struct Inspector {
    proc: Proc,
    matcher: Matcher,
    line: CommandLine,
    found: Vec<PartId>,
    own_pid: u32,
    clock: BootClock,
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
            own_pid: std::process::id(),
            clock: BootClock::new(),
        })
    }

    /// Replaces the components that it knows.
    pub(crate) fn configure(&mut self, config: &HostConfig) {
        self.matcher = matcher(config);
    }

    /// Replaces `listed` by the processes that are there now, by PID.
    pub(crate) fn list(&mut self, listed: &mut Vec<Listed>) -> Result<(), Errno> {
        self.proc.list(listed)
    }

    /// The command line of a process other than this one; `None` where it has none, or has ended.
    pub(crate) fn command_line(&mut self, pid: u32) -> Result<Option<&CommandLine>, Errno> {
        if pid == self.own_pid {
            return Ok(None);
        }
        match self.proc.command_line(pid, &mut self.line) {
            Ok(()) => Ok(Some(&self.line).filter(|line| !line.is_empty())),
            Err(error) if is_gone(error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a matching process again through one hold on it, so that its identity and its command line are of
    /// the same process.
    fn confirm(&mut self, pid: u32) -> Seen {
        let read = self.proc.process(pid).and_then(|folder| {
            let stat = folder.stat()?;
            folder.command_line(&mut self.line)?;
            Ok(stat)
        });
        let stat = match read {
            Ok(stat) => stat,
            Err(error) if is_gone(error) => return Seen::Other,
            Err(error) => return Seen::Unreadable(error),
        };
        self.found.clear();
        self.matcher.find(&self.line, &mut self.found);
        if self.found.is_empty() {
            return Seen::Other;
        }
        let process = Process {
            id: ProcessId { pid, start_ticks: stat.start_ticks },
            parent_pid: stat.parent_pid,
            started_at: self.clock.time(stat.start_ticks),
        };
        Seen::Match(process, self.found.clone())
    }
}

impl Look for Inspector {
    fn look(&mut self, pid: u32) -> Seen {
        match self.command_line(pid) {
            Ok(Some(_)) => {}
            Ok(None) => return Seen::Other,
            Err(error) => return Seen::Unreadable(error),
        }
        self.found.clear();
        self.matcher.find(&self.line, &mut self.found);
        if self.found.is_empty() { Seen::Other } else { self.confirm(pid) }
    }
}

fn matcher(config: &HostConfig) -> Matcher {
    let components = config.components.iter().enumerate();
    Matcher::new(components.flat_map(|(component, configured)| {
        let parts = configured.parts.iter().enumerate();
        parts.map(move |(part, configured)| (PartId { component, part }, configured.criteria.as_slice()))
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
