//! A full scan of the host: every process against every component.

use std::time::Instant;

use jiff::Timestamp;
use rta_shared::config::{HostComponent, HostConfig};
use rta_shared::explain::{ExplainedProcess, nearest};
use rta_shared::matching::matches;
use rta_shared::process::{CommandLine, Process, ProcessId};
use rta_shared::report::{
    ActionKind, Circumstances, ComponentReport, ConfigStanding, Report, ScanFigures, Watch, WatchMode,
};
use rustix::io::Errno;

use crate::procfs::Proc;
use crate::visibility;

/// How many processes an explanation shows.
const NEAREST: usize = 5;

/// Scans a host for its components. Buffers are kept from scan to scan.
#[derive(Debug)]
pub struct Scanner {
    config: HostConfig,
    boot_id: String,
    /// Seconds after 1970; `None` where the host does not tell.
    booted_at: Option<u64>,
    ticks_per_second: u64,
    /// Opened by the first scan, and again after a failure.
    proc: Option<Proc>,
    pids: Vec<u32>,
    line: CommandLine,
}

/// What one scan saw.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) figures: ScanFigures,
    /// For each part of each component the processes that match; or why they cannot be seen.
    pub(crate) processes: Result<Vec<Vec<Vec<Process>>>, String>,
}

impl Scanner {
    /// A scanner for the components of `config`.
    pub fn new(config: HostConfig) -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            config,
            boot_id: boot_id.trim().to_owned(),
            booted_at: sysinfo::System::boot_time().ok(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            proc: None,
            pids: Vec::new(),
            line: CommandLine::new(),
        }
    }

    /// Scans now.
    pub fn scan(&mut self) -> Report {
        let sight = self.look();
        self.report(&sight, |_| None)
    }

    /// What a report says of `sight`, where `action` tells what is under way on the component at a position.
    pub(crate) fn report(
        &self,
        sight: &Sight,
        action: impl Fn(usize) -> Option<(ActionKind, Timestamp)>,
    ) -> Report {
        let components = sight.processes.as_ref().map_err(Clone::clone).map(|processes| {
            self.config
                .components
                .iter()
                .zip(processes)
                .enumerate()
                .map(|(at, (component, processes))| {
                    let circumstances = Circumstances { action: action(at), ..Circumstances::default() };
                    ComponentReport::new(component, processes, circumstances)
                })
                .collect()
        });
        Report {
            host: self.config.host.clone(),
            boot_id: self.boot_id.clone(),
            scan: sight.figures,
            components,
            watch: Watch { mode: WatchMode::Scans, fallback: None, overruns: 0, differences: 0 },
            config: ConfigStanding { digest: self.config.digest.clone(), error: None },
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The processes that come nearest to a component's criteria, the nearest first.
    ///
    /// # Errors
    /// Why the processes cannot be seen.
    pub fn explain(&mut self, component: &HostComponent) -> Result<Vec<ExplainedProcess>, String> {
        if let Some(problem) = visibility::problem() {
            return Err(problem);
        }
        let mut explained = Vec::new();
        self.each_process(|_, _, pid, line| {
            explained.extend(component.parts.iter().map(|part| ExplainedProcess::new(pid, part, line)));
            Ok(())
        })?;
        Ok(nearest(explained, NEAREST))
    }

    pub(crate) fn look(&mut self) -> Sight {
        let began = Instant::now();
        let processes = match visibility::problem() {
            Some(problem) => Err(problem),
            None => self.match_all(),
        };
        if processes.is_err() {
            self.proc = None;
        }
        Sight {
            figures: ScanFigures {
                scanned_at: Timestamp::now(),
                seen_at: Timestamp::now(),
                duration: began.elapsed(),
                processes_seen: u32::try_from(self.pids.len()).unwrap_or(u32::MAX),
            },
            processes,
        }
    }

    fn match_all(&mut self) -> Result<Vec<Vec<Vec<Process>>>, String> {
        let mut matched: Vec<Vec<Vec<Process>>> =
            self.config.components.iter().map(|component| vec![Vec::new(); component.parts.len()]).collect();
        self.each_process(|scanner, proc, pid, line| {
            if scanner.config.components.iter().any(|component| component.claims(line)) {
                scanner.confirm(proc, pid, &mut matched)?;
            }
            Ok(())
        })?;
        Ok(matched)
    }

    /// Shows every process that has a command line to `visit`, this one apart.
    fn each_process(
        &mut self,
        mut visit: impl FnMut(&Self, &Proc, u32, &CommandLine) -> Result<(), String>,
    ) -> Result<(), String> {
        let told = |error: Errno| format!("cannot see the processes: /proc cannot be read: {error}");
        let mut proc = match self.proc.take() {
            Some(proc) => proc,
            None => Proc::open().map_err(told)?,
        };
        proc.list(&mut self.pids).map_err(told)?;
        let own = std::process::id();
        let mut line = std::mem::take(&mut self.line);
        for pid in self.pids.iter().copied().filter(|pid| *pid != own) {
            match proc.command_line(pid, &mut line) {
                Ok(()) => {}
                Err(error) if is_gone(error) => continue,
                // A process that cannot be read may be any component: to call one stopped would be a guess.
                Err(error) => {
                    return Err(format!(
                        "cannot see every process: the command line of pid {pid} cannot be read: {error}; \
                         run the agent as root or give it CAP_SYS_PTRACE"
                    ));
                }
            }
            if !line.is_empty() {
                visit(self, &proc, pid, &line)?;
            }
        }
        self.line = line;
        self.proc = Some(proc);
        Ok(())
    }

    /// Reads a matching process again through one hold on it, so that its identity and its command line are of
    /// the same process, and notes it where it still matches.
    fn confirm(&self, proc: &Proc, pid: u32, matched: &mut [Vec<Vec<Process>>]) -> Result<(), String> {
        let mut line = CommandLine::new();
        let read = proc.process(pid).and_then(|folder| {
            let stat = folder.stat()?;
            folder.command_line(&mut line)?;
            Ok(stat)
        });
        let stat = match read {
            Ok(stat) => stat,
            Err(error) if is_gone(error) => return Ok(()),
            Err(error) => return Err(format!("cannot see every process: pid {pid} cannot be read: {error}")),
        };
        let process = Process {
            id: ProcessId { pid, start_ticks: stat.start_ticks },
            parent_pid: stat.parent_pid,
            started_at: self.started_at(stat.start_ticks),
        };
        for (component, processes) in self.config.components.iter().zip(matched) {
            for (part, processes) in component.parts.iter().zip(processes) {
                if matches(&part.criteria, &line) {
                    processes.push(process);
                }
            }
        }
        Ok(())
    }

    fn started_at(&self, ticks: u64) -> Option<Timestamp> {
        let millis = self
            .booted_at?
            .checked_mul(1000)?
            .checked_add(ticks.checked_mul(1000)? / self.ticks_per_second)?;
        Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()
    }
}

/// Whether a process ended while it was looked at.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}
