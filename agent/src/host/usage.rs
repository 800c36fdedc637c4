//! Resource usage of the host and the matched processes.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::usage::{HostUsage, ProcessUsage};
use sysinfo::{
    MemoryRefreshKind, Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System,
};

/// Measures repeatedly; CPU figures cover the time since the previous measurement.
pub(crate) struct UsageSampler {
    /// Processes of the last measurement; `None` if the host provides no figures at all.
    system: Option<System>,
}

impl UsageSampler {
    /// Creates a sampler without measurements.
    pub(crate) fn new() -> Self {
        Self { system: new_system() }
    }

    /// Measures the usage of the host, and of those of the processes `pids` that exist. Reads files of /proc,
    /// so it may block.
    pub(crate) fn measure(&mut self, pids: &[u32]) -> HostUsage {
        let mut requested: Vec<Pid> = pids.iter().copied().map(Pid::from_u32).collect();
        requested.sort_unstable();
        requested.dedup();
        if let Some(system) = &mut self.system {
            refresh_processes(system, &requested);
        }
        // sysinfo cannot forget a process that lives but is no longer wanted. That happens when the
        // configuration changes or a PID was reused, and costs the others one CPU figure.
        if self.tracked_pids().any(|pid| requested.binary_search(pid).is_err()) {
            self.system = new_system();
            if let Some(system) = &mut self.system {
                refresh_processes(system, &requested);
            }
        }
        let host = self.system.as_ref();
        let load = System::load_average().map_or([0.0; 3], |load| [load.one, load.five, load.fifteen]);
        let booted_at = System::boot_time().ok().and_then(|boot| i64::try_from(boot).ok());
        HostUsage {
            measured_at: Timestamp::now(),
            cpus: host.map_or(0, |host| u32::try_from(host.cpus().len()).unwrap_or(u32::MAX)),
            load,
            memory_total_bytes: host.map_or(0, System::total_memory),
            memory_available_bytes: host.map_or(0, System::available_memory),
            booted_at: booted_at.and_then(|second| Timestamp::from_second(second).ok()),
            processes: requested.iter().filter_map(|pid| process_usage(host?.process(*pid)?)).collect(),
            cpu_times: Vec::new(),
            probe_durations: Vec::new(),
        }
    }

    /// Returns the user and system time of a process at the last measurement, in seconds.
    pub(crate) fn cpu_seconds(&self, pid: u32) -> Option<f64> {
        let process = self.system.as_ref()?.process(Pid::from_u32(pid))?;
        Some(Duration::from_millis(process.accumulated_cpu_time()).as_secs_f64())
    }

    fn tracked_pids(&self) -> impl Iterator<Item = &Pid> {
        self.system.iter().flat_map(|system| system.processes().keys())
    }
}

fn new_system() -> Option<System> {
    System::new().inspect_err(|error| tracing::error!(%error, "the host's usage cannot be measured")).ok()
}

/// Reads the processes `requested`, sorted, and those known from before, so that ended ones are removed.
fn refresh_processes(system: &mut System, requested: &[Pid]) {
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let mut all = requested.to_vec();
    all.extend(system.processes().keys().filter(|pid| requested.binary_search(pid).is_err()));
    // Without tasks: those are a process's threads, and a JVM has hundreds.
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&all), true, what);
}

/// Returns the usage of a process; `None` if it has ended, which includes zombies.
fn process_usage(process: &Process) -> Option<ProcessUsage> {
    if matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead) {
        return None;
    }
    let pid = process.pid().as_u32();
    Some(ProcessUsage {
        pid,
        cpu_percent: f64::from(process.cpu_usage()),
        resident_bytes: process.memory(),
        threads: parse_thread_count(&fs::read(format!("/proc/{pid}/stat")).ok()?)?,
        open_files: process.open_files().map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
    })
}

/// Returns the soft limit of open files of a process; `None` if it has ended, is not readable, or may open
/// any number. Reads a file of /proc, so it may block.
pub(crate) fn open_file_limit(pid: u32) -> Option<u64> {
    parse_open_file_limit(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

/// Returns the soft limit of open files in /proc/PID/limits (proc_pid_limits(5)).
fn parse_open_file_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns field 20 of /proc/PID/stat (proc_pid_stat(5)).
fn parse_thread_count(stat: &[u8]) -> Option<u32> {
    // Field 2, the program's name in parentheses, may itself contain spaces and parentheses.
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(stat.get(after_name..)?).ok()?.split_ascii_whitespace();
    // The first field after the name is number 3.
    fields.nth(20 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Child, Command};

    use super::*;

    /// Process that is killed and waited for when this is dropped.
    struct RunningChild(Child);

    impl RunningChild {
        fn new(script: &str) -> Self {
            Self(Command::new("sh").args(["-c", script]).spawn().unwrap())
        }

        fn idle() -> Self {
            Self::new("exec sleep 1000")
        }

        fn pid(&self) -> u32 {
            self.0.id()
        }
    }

    impl Drop for RunningChild {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn thread_count_is_field_20() {
        let stat = b"42 (a) b) (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 17 0 987654 1 1 1\n";
        assert_eq!(parse_thread_count(stat), Some(17));
        assert_eq!(parse_thread_count(b"42 (sh) S 7"), None);
    }

    #[test]
    fn open_file_limit_is_the_soft_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(parse_open_file_limit(limits), Some(1024));
        assert_eq!(parse_open_file_limit(&limits.replace("1024", "unlimited")), None);
        let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        assert_eq!(open_file_limit(std::process::id()), own);
        assert_eq!(open_file_limit(u32::MAX), None);
    }

    #[test]
    fn host_and_own_process_are_measured() {
        let own = std::process::id();
        let thread = std::thread::spawn(std::thread::park);
        let files: Vec<File> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
        let before = Timestamp::now();
        let mut sampler = UsageSampler::new();
        let usage = std::thread::spawn(move || sampler.measure(&[own, own])).join().unwrap();
        assert!(usage.measured_at >= before && usage.cpus > 0);
        assert!(usage.memory_total_bytes > usage.memory_available_bytes && usage.memory_available_bytes > 0);
        assert!(usage.booted_at.unwrap() < before);
        assert!(usage.load.iter().all(|load| (0.0..1e6).contains(load)), "{:?}", usage.load);
        let [process] = &*usage.processes else { panic!("{:?}", usage.processes) };
        assert_eq!(process.pid, own);
        assert_eq!(process.cpu_percent, 0.0);
        assert!(process.resident_bytes > 100_000, "{process:?}");
        assert!(process.threads >= 2, "{process:?}");
        assert!(process.open_files.unwrap() as usize >= files.len(), "{process:?}");
        thread.thread().unpark();
        thread.join().unwrap();
    }

    #[test]
    fn busy_process_uses_cpu_and_sleeping_one_does_not() {
        let (busy, idle) = (RunningChild::new("while :; do :; done"), RunningChild::idle());
        let mut sampler = UsageSampler::new();
        let pids = [busy.pid(), idle.pid()];
        let mut usage = sampler.measure(&pids);
        while usage.of(busy.pid()).unwrap().cpu_percent == 0.0 {
            std::thread::sleep(Duration::from_millis(20));
            usage = sampler.measure(&pids);
        }
        while sampler.cpu_seconds(busy.pid()).unwrap() == 0.0 {
            sampler.measure(&pids);
        }
        assert!(sampler.cpu_seconds(u32::MAX).is_none());
        // A momentary figure may be rounded up, but never exceeds all cores.
        let most = 100.0 * f64::from(usage.cpus);
        assert!(usage.of(busy.pid()).unwrap().cpu_percent <= most);
        assert_eq!(usage.of(idle.pid()).unwrap().resident_bytes % 4096, 0);
        let order: Vec<u32> = usage.processes.iter().map(|process| process.pid).collect();
        assert!(order.is_sorted() && order.len() == 2);
    }

    #[test]
    fn ended_process_is_left_out_even_as_a_zombie() {
        let mut sampler = UsageSampler::new();
        let mut child = RunningChild::idle();
        let pid = child.pid();
        assert!(sampler.measure(&[pid]).of(pid).is_some());
        child.0.kill().unwrap();
        // Not waited for: a zombie, once the signal has arrived.
        while sampler.measure(&[pid]).of(pid).is_some() {
            std::thread::yield_now();
        }
        drop(child);
        assert!(sampler.measure(&[pid]).processes.is_empty());
        assert_eq!(sampler.tracked_pids().count(), 0);
        assert!(sampler.measure(&[u32::MAX, 0]).processes.is_empty());
    }

    #[test]
    fn processes_not_requested_are_dropped() {
        let mut sampler = UsageSampler::new();
        let stays = std::process::id();
        let others: Vec<RunningChild> = (0..3).map(|_| RunningChild::idle()).collect();
        for round in 0..30 {
            // Live ones come and go, and dead ones with them.
            let other = others[round % others.len()].pid();
            let mut dead = Command::new("true").spawn().unwrap();
            let usage = sampler.measure(&[other, dead.id(), stays]);
            assert!(usage.of(stays).is_some() && usage.of(other).is_some());
            dead.wait().unwrap();
            assert!(sampler.tracked_pids().count() <= 3);
        }
        sampler.measure(&[stays]);
        assert_eq!(sampler.tracked_pids().count(), 1);
        sampler.measure(&[]);
        assert_eq!(sampler.tracked_pids().count(), 0);
    }
}
