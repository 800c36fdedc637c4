//! What a host and the matched processes on it use.

use jiff::Timestamp;
use serde::Serialize;

/// What one matched process uses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProcessUsage {
    /// Its process ID.
    pub pid: u32,
    /// In percent of one core, since the measurement before; 0 at the first.
    pub cpu_percent: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// How many threads it has.
    pub threads: u32,
    /// How many files it holds open; `None` where the agent may not look.
    pub open_files: Option<u32>,
}

/// What a host uses at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// When it was measured, by the host's own clock.
    pub measured_at: Timestamp,
    /// Logical cores.
    pub cpus: u32,
    /// Mean number of runnable processes over 1, 5 and 15 minutes (proc_loadavg(5)).
    pub load: [f64; 3],
    /// All of the memory.
    pub memory_total_bytes: u64,
    /// What could be used without swapping (MemAvailable in proc_meminfo(5)).
    pub memory_available_bytes: u64,
    /// When the host booted; `None` where it does not tell.
    pub booted_at: Option<Timestamp>,
    /// The matched processes, sorted by PID.
    pub processes: Vec<ProcessUsage>,
}

impl Usage {
    /// What one process uses.
    pub fn of(&self, pid: u32) -> Option<&ProcessUsage> {
        let at = self.processes.binary_search_by_key(&pid, |process| process.pid).ok()?;
        self.processes.get(at)
    }
}
