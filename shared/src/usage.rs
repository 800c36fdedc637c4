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

/// What the processes of one component use together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// In percent of one core.
    pub cpu_percent: f64,
    /// Resident memory; pages that processes share count for each.
    pub resident_bytes: u64,
    /// How many threads they have.
    pub threads: u32,
    /// How many files they hold open; `None` where that is not known of each.
    pub open_files: Option<u32>,
}

impl Usage {
    /// What these processes use together; `None` where none of them was measured yet.
    pub fn together(&self, pids: impl IntoIterator<Item = u32>) -> Option<Used> {
        let measured = pids.into_iter().filter_map(|pid| self.of(pid));
        measured.fold(None, |sum: Option<Used>, process| {
            let sum = sum.unwrap_or(Used { open_files: Some(0), ..Used::default() });
            Some(Used {
                cpu_percent: sum.cpu_percent + process.cpu_percent,
                resident_bytes: sum.resident_bytes.saturating_add(process.resident_bytes),
                threads: sum.threads.saturating_add(process.threads),
                open_files: sum.open_files.zip(process.open_files).map(|(all, own)| all.saturating_add(own)),
            })
        })
    }

    /// What one process uses.
    pub fn of(&self, pid: u32) -> Option<&ProcessUsage> {
        let at = self.processes.binary_search_by_key(&pid, |process| process.pid).ok()?;
        self.processes.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_summed_and_a_sum_with_a_gap_is_none() {
        let process = |pid, open_files| ProcessUsage {
            pid,
            cpu_percent: 1.5,
            resident_bytes: 10,
            threads: 2,
            open_files,
        };
        let usage = Usage {
            measured_at: Timestamp::UNIX_EPOCH,
            cpus: 1,
            load: [0.0; 3],
            memory_total_bytes: 0,
            memory_available_bytes: 0,
            booted_at: None,
            processes: vec![process(1, Some(3)), process(2, Some(4)), process(3, None)],
        };
        let two = Used { cpu_percent: 3.0, resident_bytes: 20, threads: 4, open_files: Some(7) };
        assert_eq!(usage.together([1, 2, 9]), Some(two));
        assert_eq!(usage.together([1, 3]).map(|used| used.open_files), Some(None));
        assert_eq!(usage.together([9]), None);
    }
}
