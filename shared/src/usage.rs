//! Resource usage of a host and of the matched processes on it.

use jiff::Timestamp;
use serde::Serialize;

use crate::name::Name;

/// Resource usage of one matched process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProcessUsage {
    /// PID.
    pub pid: u32,
    /// CPU usage in percent of one core, since the previous measurement; 0 at the first.
    pub cpu_percent: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Number of threads.
    pub threads: u32,
    /// Number of open files; `None` if the agent lacks the permission to count them.
    pub open_files: Option<u32>,
}

/// Resource usage of a host at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostUsage {
    /// Time of the measurement, by the host's own clock.
    pub measured_at: Timestamp,
    /// Number of logical cores.
    pub cpus: u32,
    /// Mean number of runnable processes over 1, 5 and 15 minutes (proc_loadavg(5)).
    pub load: [f64; 3],
    /// Total memory.
    pub memory_total_bytes: u64,
    /// Memory that could be used without swapping (MemAvailable in proc_meminfo(5)).
    pub memory_available_bytes: u64,
    /// Boot time of the host; `None` if the agent does not report it.
    pub booted_at: Option<Timestamp>,
    /// Usage of the matched processes, sorted by PID.
    pub processes: Vec<ProcessUsage>,
    /// CPU time of the components, in the configuration's order; empty if the agent does not report it.
    pub cpu_times: Vec<ComponentCpuTime>,
    /// Duration of the last attempt of each probe, in the configuration's order; empty if the agent does not
    /// report it.
    pub probe_durations: Vec<ProbeDuration>,
}

/// CPU time that a component's processes have used since its agent began to watch them. It never decreases
/// while the agent runs, also if processes end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComponentCpuTime {
    /// Name of the component.
    pub component: Name,
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
}

/// Duration of the last attempt of a component's probe in its present run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbeDuration {
    /// Name of the component.
    pub component: Name,
    /// Duration, in seconds.
    pub seconds: f64,
}

/// Sum of the resource usage of one component's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct UsageTotal {
    /// CPU usage in percent of one core.
    pub cpu_percent: f64,
    /// Resident memory; pages that processes share count for each of them.
    pub resident_bytes: u64,
    /// Number of threads.
    pub threads: u32,
    /// Number of open files; `None` unless it is known for every process.
    pub open_files: Option<u32>,
}

impl HostUsage {
    /// Returns the total usage of these processes; `None` if none of them has been measured yet.
    pub fn total_of(&self, pids: impl IntoIterator<Item = u32>) -> Option<UsageTotal> {
        let measured = pids.into_iter().filter_map(|pid| self.of(pid));
        measured.fold(None, |sum: Option<UsageTotal>, process| {
            let sum = sum.unwrap_or(UsageTotal { open_files: Some(0), ..UsageTotal::default() });
            Some(UsageTotal {
                cpu_percent: sum.cpu_percent + process.cpu_percent,
                resident_bytes: sum.resident_bytes.saturating_add(process.resident_bytes),
                threads: sum.threads.saturating_add(process.threads),
                open_files: sum.open_files.zip(process.open_files).map(|(all, own)| all.saturating_add(own)),
            })
        })
    }

    /// Returns the CPU time of a component in seconds; `None` if it is not reported.
    pub fn cpu_seconds(&self, component: &Name) -> Option<f64> {
        let found = self.cpu_times.iter().find(|one| one.component == *component)?;
        Some(found.cpu_seconds)
    }

    /// Returns the duration of the last attempt of a component's probe in seconds; `None` if it is not
    /// reported.
    pub fn probe_seconds(&self, component: &Name) -> Option<f64> {
        let found = self.probe_durations.iter().find(|one| one.component == *component)?;
        Some(found.seconds)
    }

    /// Returns the usage of one process.
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
        let usage = HostUsage {
            measured_at: Timestamp::UNIX_EPOCH,
            cpus: 1,
            load: [0.0; 3],
            memory_total_bytes: 0,
            memory_available_bytes: 0,
            booted_at: None,
            processes: vec![process(1, Some(3)), process(2, Some(4)), process(3, None)],
            cpu_times: Vec::new(),
            probe_durations: Vec::new(),
        };
        let two = UsageTotal { cpu_percent: 3.0, resident_bytes: 20, threads: 4, open_files: Some(7) };
        assert_eq!(usage.total_of([1, 2, 9]), Some(two));
        assert_eq!(usage.total_of([1, 3]).map(|used| used.open_files), Some(None));
        assert_eq!(usage.total_of([9]), None);
    }
}
