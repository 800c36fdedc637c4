//! What a bench measures with: percentiles, a process's CPU time and memory, and its own arguments.

use std::collections::HashMap;
use std::time::Duration;

/// The value below which this share (0 to 1) of all lies, by the nearest rank.
///
/// # Panics
/// Without any value.
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

/// The value in the middle.
///
/// # Panics
/// Without any value.
pub fn median(values: &[Duration]) -> Duration {
    percentile(values, 0.5)
}

/// The value that follows `name` among this program's arguments.
pub fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// The CPU time of another process, summed over its threads from one reading to the next.
#[derive(Debug)]
pub struct CpuMeter {
    pid: u32,
    /// For each thread what it had used when it was seen last: one that ended is not forgotten.
    threads: HashMap<String, u64>,
}

impl CpuMeter {
    /// One for this process.
    pub fn new(pid: u32) -> Self {
        Self { pid, threads: HashMap::new() }
    }

    /// Whose time it is.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// All that was used so far. To be called at least each second, or the last of a thread that ends is missed.
    ///
    /// # Panics
    /// Where the process is gone.
    pub fn read(&mut self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the process is there");
        for task in tasks.flatten() {
            // The first number is the time on a processor, in nanoseconds (Documentation/scheduler/sched-stats).
            let Ok(figures) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let used = figures.split(' ').next().and_then(|used| used.parse().ok()).unwrap_or_default();
            self.threads.insert(task.file_name().to_string_lossy().into_owned(), used);
        }
        Duration::from_nanos(self.threads.values().sum())
    }
}

/// A process's resident memory in kB.
///
/// # Panics
/// Where the process is gone.
pub fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
