//! Measures the cost of a full scan, relative to the minimum work of any scan and to sysinfo's own refresh.
//!
//! `cargo bench --workspace --bench scan` creates 3,000 idle processes and 14 that match, and measures in
//! rounds, each of which runs everything once, with cold caches. The floor lists /proc, and opens, reads and
//! closes every /proc/PID/cmdline, as plainly as the system allows. Then splitting and matching alone are
//! measured in memory, on 300, 3,000 and 30,000 command lines. The exit code is 1 if a full scan costs more
//! than 1.3 times the floor.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

use std::ffi::CStr;
use std::hint::black_box;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rta_agent::host::scanner::Scanner;
use rta_shared::config::{HostConfig, Source, load_sources};
use rta_shared::matcher::{Matcher, PartId};
use rta_shared::process::CommandLine;
use rta_tests::command_lines::{SERVICES, service, services_toml, unrelated};
use rta_tests::measurement::median;
use rta_tests::{IdleProcesses, wait_for};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, RawDir, SeekFrom};
use rustix::time::{ClockId, clock_gettime};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

const UNRELATED: usize = 3000;
const ROUNDS: usize = 40;
/// Number of bytes written between two measurements to evict the processor's caches.
const CACHE_EVICTION_BYTES: usize = 128 << 20;
/// Maximum cost of a full scan relative to the floor.
const MAX_COST_RATIO: f64 = 1.3;
const FLOOR: &str = "the floor: list, open, read, close";
const SCAN: &str = "rta: a full scan, matched";

/// Measurements of one operation, round by round.
struct MeasuredOperation {
    what: &'static str,
    run: Box<dyn FnMut()>,
    cpu: Vec<Duration>,
    wall: Vec<Duration>,
}

impl MeasuredOperation {
    fn new(what: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { what, run: Box::new(run), cpu: Vec::new(), wall: Vec::new() }
    }

    fn run(&mut self) {
        let (wall, cpu) = (Instant::now(), cpu_time());
        (self.run)();
        self.cpu.push(cpu_time() - cpu);
        self.wall.push(wall.elapsed());
    }
}

fn main() -> ExitCode {
    IdleProcesses::run_if_idle_process();
    let token = std::process::id().to_string();
    let mut crowd = IdleProcesses::new();
    for number in 0..UNRELATED {
        crowd.add(&unrelated(number));
    }
    for number in 0..SERVICES {
        crowd.add(&service(number, &token));
    }
    let (ratio, floor_a_process) = scans(&token);
    drop(crowd);
    in_memory(&token, floor_a_process);
    if ratio <= MAX_COST_RATIO { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures full scans of the real /proc. Returns the cost of one relative to the floor, and the floor's cost
/// per process.
fn scans(token: &str) -> (f64, Duration) {
    let config = config(token);
    let mut floor = MinimalScan::open();
    let processes = floor.scan();
    println!(
        "full scans of {processes} processes, {SERVICES} components of 3 criteria; medians of {ROUNDS} rounds\n"
    );
    let mut scanner = Scanner::new(config);
    // A process that is just calling exec has no command line for a moment.
    wait_for("all that matches to be found", || {
        let components = scanner.scan().components.unwrap();
        let found: usize = components.iter().map(|component| component.processes.len()).sum();
        (found == SERVICES).then_some(())
    });
    let refresh = |update| {
        let mut system = System::new().unwrap();
        let kind = ProcessRefreshKind::nothing().with_cmd(update).without_tasks();
        move || {
            black_box(system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind));
        }
    };
    let mut all = [
        MeasuredOperation::new(FLOOR, move || {
            black_box(floor.scan());
        }),
        MeasuredOperation::new(SCAN, move || drop(black_box(scanner.scan()))),
        MeasuredOperation::new("sysinfo: refresh, command lines kept", refresh(UpdateKind::OnlyIfNotSet)),
        MeasuredOperation::new("sysinfo: refresh, command lines", refresh(UpdateKind::Always)),
    ];
    let mut memory = vec![0_u8; CACHE_EVICTION_BYTES];
    for _ in 0..=ROUNDS {
        // The order alternates, so that no operation always follows the same one.
        all.reverse();
        for measured in &mut all {
            // Data that was just read is far cheaper to read again; an agent scans twice a minute.
            memory.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
            measured.run();
        }
    }
    for measured in &mut all {
        // The first round warms up.
        measured.cpu.remove(0);
        measured.wall.remove(0);
    }
    all.sort_by_key(|measured| median(&measured.cpu));
    let of = |what| {
        let measured = all.iter().find(|measured| measured.what == what).unwrap();
        (median(&measured.cpu), median(&measured.wall))
    };
    let (floor, scan) = (of(FLOOR), of(SCAN));
    println!("| {:36} | CPU, ms | wall, ms | CPU to the floor | wall to the floor |", "");
    println!(
        "|--------------------------------------|--------:|---------:|-----------------:|------------------:|"
    );
    for MeasuredOperation { what, cpu, wall, .. } in &all {
        let (cpu, wall) = (median(cpu), median(wall));
        println!(
            "| {what:36} | {:7.2} | {:8.2} | {:16.2} | {:17.2} |",
            ms(cpu),
            ms(wall),
            cpu.div_duration_f64(floor.0),
            wall.div_duration_f64(floor.1)
        );
    }
    (scan.0.div_duration_f64(floor.0), floor.0 / u32::try_from(processes).unwrap())
}

/// Measures splitting and matching alone, without a system call.
fn in_memory(token: &str, floor: Duration) {
    let config = config(token);
    let components = config.components.iter().enumerate();
    let mut matcher = Matcher::new(components.flat_map(|(component, configured)| {
        let parts = configured.parts.iter().enumerate();
        parts.map(move |(part, configured)| (PartId { component, part }, configured))
    }));
    println!("\nsplitting and matching in memory; the floor's cost for a process is {:.2} us\n", us(floor));
    println!("| command lines | us a command line | projected ratio to the floor |");
    println!("|--------------:|------------------:|-----------------------------:|");
    for count in [300, 3_000, 30_000] {
        let lines =
            (SERVICES..count).map(unrelated).chain((0..SERVICES).map(|number| service(number, token)));
        let contents: Vec<Vec<u8>> = lines.map(|line| (line.join("\0") + "\0").into_bytes()).collect();
        let mut line = CommandLine::new();
        let mut found = Vec::new();
        let times = (0..ROUNDS).map(|_| {
            let began = cpu_time();
            found.clear();
            for content in &contents {
                let read = |buffer: &mut Vec<u8>| {
                    buffer.extend_from_slice(content);
                    Ok::<(), ()>(())
                };
                line.replace_with(read).unwrap();
                matcher.find(black_box(&line), &mut found);
            }
            cpu_time() - began
        });
        let times: Vec<Duration> = times.collect();
        assert_eq!(found.len(), SERVICES, "the matcher finds what matches");
        let each = median(&times) / u32::try_from(count).unwrap();
        println!("| {count:13} | {:17.3} | {:28.3} |", us(each), 1.0 + each.div_duration_f64(floor));
    }
}

fn config(token: &str) -> HostConfig {
    let names: Vec<String> = (0..SERVICES)
        .map(|number| format!("\"{}\"", rta_tests::command_lines::service_name(number)))
        .collect();
    let text = format!(
        "{}[[environment]]\nname = \"BENCH\"\nhost = [{{ name = \"h\", components = [{}] }}]\n",
        services_toml(token),
        names.join(", ")
    );
    let platform = load_sources(&[Source { name: "bench.toml".to_owned(), text }]).unwrap();
    platform.host_config(&platform.environments[0].hosts[0], &[]).unwrap()
}

/// Minimum work of any scan.
struct MinimalScan {
    root: OwnedFd,
    entries: Vec<MaybeUninit<u8>>,
    pids: Vec<u32>,
    content: Vec<u8>,
}

impl MinimalScan {
    fn open() -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            root: rustix::fs::openat(CWD, "/proc", flags, Mode::empty()).unwrap(),
            entries: vec![MaybeUninit::uninit(); 32 * 1024],
            pids: Vec::new(),
            content: vec![0; 8 * 1024],
        }
    }

    /// Runs a scan; returns the number of processes.
    fn scan(&mut self) -> usize {
        self.pids.clear();
        rustix::fs::seek(&self.root, SeekFrom::Start(0)).unwrap();
        let mut entries = RawDir::new(&self.root, &mut self.entries);
        while let Some(entry) = entries.next() {
            let entry = entry.unwrap();
            self.pids.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        }
        let mut path = [0; 24];
        for pid in &self.pids {
            write!(path.as_mut_slice(), "{pid}/cmdline\0").unwrap();
            let path = CStr::from_bytes_until_nul(&path).unwrap();
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(&self.root, path, flags, Mode::empty()) else { continue };
            // A short read is the end of the file.
            while rustix::io::read(&file, &mut self.content).is_ok_and(|read| read == self.content.len()) {}
            black_box(&self.content);
        }
        self.pids.len()
    }
}

/// Returns the CPU time of this process, all threads together.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
