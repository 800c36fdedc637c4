//! Measuring tools for benches: percentiles, CPU time and memory of a process, command line arguments.

use std::collections::HashMap;
use std::time::Duration;

/// Returns the percentile for a share from 0 to 1, by the nearest-rank method.
///
/// # Panics
/// Panics if `values` is empty.
pub fn percentile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among a bench's values"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Returns the median.
///
/// # Panics
/// Panics if `values` is empty.
pub fn median(values: &[Duration]) -> Duration {
    percentile(values, 0.5)
}

/// Returns the value after `name` in this program's arguments.
pub fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// CPU time of another process, summed over its threads between readings.
#[derive(Debug)]
pub struct CpuMeter {
    pid: u32,
    /// CPU time of each thread at its last reading, in nanoseconds; ended threads are kept.
    threads: HashMap<String, u64>,
}

impl CpuMeter {
    /// Creates a meter for a process.
    pub fn new(pid: u32) -> Self {
        Self { pid, threads: HashMap::new() }
    }

    /// Returns the PID of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the CPU time used so far. Must be called at least once a second, or the last CPU time of
    /// ending threads is lost.
    ///
    /// # Panics
    /// Panics if the process has ended.
    pub fn read(&mut self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the process is there");
        for task in tasks.flatten() {
            // The first number is the time on a CPU, in nanoseconds (Documentation/scheduler/sched-stats).
            let Ok(figures) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let used = figures.split(' ').next().and_then(|used| used.parse().ok()).unwrap_or_default();
            self.threads.insert(task.file_name().to_string_lossy().into_owned(), used);
        }
        Duration::from_nanos(self.threads.values().sum())
    }
}

/// Returns a process's resident memory in kB.
///
/// # Panics
/// Panics if the process has ended.
pub fn resident_kb(pid: u32) -> u64 {
    status_kb(pid, "VmRSS:")
}

/// Returns the most resident memory that a process has had so far, in kB.
///
/// # Panics
/// Panics if the process has ended.
pub fn most_resident_kb(pid: u32) -> u64 {
    status_kb(pid, "VmHWM:")
}

fn status_kb(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
