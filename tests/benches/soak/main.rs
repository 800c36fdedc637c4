//! Storms of processes, launchers and reused PIDs over minutes. Everything that the agent and the aggregator
//! report is compared with the bench's own record of what runs.
//!
//! `cargo bench --workspace --bench soak` takes a minute in each mode. `-- --minutes 10` takes longer,
//! `--mode events` selects one mode, `--seed N` another sequence. It must run as root, to choose PIDs. With
//! scans it runs in its own PID namespace with a low PID limit.
//!
//! A state is wrong
//! - if a component's state or PIDs differ from the record at a checkpoint, when nothing has started or
//!   ended for a while (events: 0.5 s, scans: 1.5 s); the storm continues during that time;
//! - if at any time a process is reported that ended or became another program more than a moment ago
//!   (events: 50 ms, scans: 1.2 s), or that never belonged to the component.
//!
//! The exit code is 1 if a state was wrong, or if the agent's memory grew by more than a megabyte between a
//! tenth of the time and the end.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

mod random_actions;
mod report_checker;

use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rta_tests::command_lines::unrelated;
use rta_tests::measurement::{argument, resident_kb};
use rta_tests::{AgentMode, ForkLoad, IdleProcesses, TestHost};

use crate::random_actions::RandomActions;
use crate::report_checker::ReportChecker;

const COMPONENTS: usize = 8;
const UNRELATED: usize = 300;
const FORKS_A_SECOND: u32 = 200;
/// Number of additional processes started at once every five seconds.
const BURST: usize = 500;
/// Interval between checkpoints.
const CHECKED: Duration = Duration::from_secs(5);
/// PID limit of the namespace.
const PIDS: &str = "1500";
/// Maximum growth of the agent's memory.
const GROWTH_KB: u64 = 1024;

fn main() -> ExitCode {
    IdleProcesses::run_if_idle_process();
    let minutes: f64 = argument("--minutes").map_or(1.0, |text| text.parse().unwrap());
    let time = Duration::from_secs_f64(minutes * 60.0);
    let right = if std::env::args().any(|argument| argument == "--inside") {
        end_with_stdin();
        soak(AgentMode::Scans, time)
    } else {
        // Runs each mode, even if an earlier one failed.
        let outcomes = AgentMode::from_arguments().into_iter().map(|mode| match mode {
            AgentMode::Events => soak(mode, time),
            AgentMode::Scans => in_namespace(minutes),
        });
        outcomes.fold(true, |all, one| all & one)
    };
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs this program again in its own PID namespace, which ends with it.
fn in_namespace(minutes: f64) -> bool {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(std::env::current_exe().unwrap());
    command.args(["--inside", "--minutes", &minutes.to_string()]);
    if let Some(seed) = argument("--seed") {
        command.args(["--seed", &seed]);
    }
    let mut inside = command.stdin(Stdio::piped()).spawn().unwrap();
    // Standard input stays open until the end.
    let lease = inside.stdin.take();
    let status = inside.wait().unwrap();
    drop(lease);
    status.success()
}

/// Ends this process, and thereby its namespace, when the parent has ended.
fn end_with_stdin() {
    assert_eq!(std::process::id(), 1, "--inside is for the first process of a namespace");
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        #[expect(clippy::exit, reason = "nobody is left to tell")]
        std::process::exit(1);
    });
}

/// Lowers the PID limit of this namespace, if namespaces have their own limit (since Linux 6.14).
fn lower_pids() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let has_own = (numbers.next(), numbers.next()) >= (Some(6), Some(14));
    has_own && std::fs::write("/proc/sys/kernel/pid_max", PIDS).is_ok()
}

/// Runs the bench in one mode; returns true if it passed.
fn soak(mode: AgentMode, time: Duration) -> bool {
    let (grace, quiet) = match mode {
        AgentMode::Events => (Duration::from_millis(50), Duration::from_millis(500)),
        AgentMode::Scans => (Duration::from_millis(1200), Duration::from_millis(1500)),
    };
    let seed = argument("--seed").map_or(1, |text| text.parse().unwrap());
    let components: Vec<String> = (0..COMPONENTS).map(|number| format!("c{number}")).collect();
    let mut host = TestHost::start(mode, |config| {
        components.iter().map(|component| config.component_toml(component, "", "")).collect()
    });
    let is_low = mode == AgentMode::Scans && lower_pids();
    let mut crowd = IdleProcesses::new();
    for number in 0..UNRELATED {
        crowd.add(&unrelated(number));
    }
    let mut record = ReportChecker::new(&components, grace);
    let mut acts = RandomActions::new(components, seed);
    let storm = ForkLoad::new(FORKS_A_SECOND, BURST);

    let began = Instant::now();
    let mut checkpoint = began + CHECKED;
    let mut memory = None;
    let mut checkpoints = 0;
    while began.elapsed() < time {
        acts.run_next(&host.cluster.config, &mut record);
        let pause = u64::try_from(acts.random(80)).unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        read_reports(&mut host, &mut record);
        if Instant::now() >= checkpoint {
            let quiesced = Instant::now() + quiet;
            while Instant::now() < quiesced {
                std::thread::sleep(Duration::from_millis(10));
                read_reports(&mut host, &mut record);
            }
            let second = began.elapsed().as_secs();
            record.compare("the agent", host.reports.last(), second);
            record.compare("the aggregator", host.overviews.last(), second);
            checkpoints += 1;
            checkpoint = Instant::now() + CHECKED;
        }
        if began.elapsed() >= time / 10 {
            memory.get_or_insert_with(|| kb(&host));
        }
    }
    let (early, late) = (memory.unwrap_or_default(), kb(&host));

    println!(
        "{}, {} s, seed {seed}{}:",
        mode.word(),
        time.as_secs(),
        if is_low { ", 1500 PIDs" } else { "" }
    );
    println!("  {} processes came and went beside these acts:", storm.started());
    acts.done.iter().for_each(|(what, times)| println!("  {times:6} {what}"));
    println!(
        "  {} reports and overviews judged; {checkpoints} checkpoints with {} comparisons",
        record.judged, record.compared
    );
    println!("  told of for {} ms after the end at most", record.latest.as_millis());
    if let Some(watch) = host.reports.last().map(|sighting| &sighting.watch) {
        println!("  {} overruns, {} differences found by full scans", watch.overruns, watch.differences);
    }
    println!("  agent      {} kB after a tenth, {} kB at the end", early.0, late.0);
    println!("  aggregator {} kB after a tenth, {} kB at the end", early.1, late.1);
    println!("  wrong states: {}", record.wrong.len());
    record.wrong.iter().take(20).for_each(|wrong| println!("    {wrong}"));
    record.wrong.is_empty() && late.0 <= early.0 + GROWTH_KB
}

/// Compares all new reports with the record, and checks that the last ones are still correct.
fn read_reports(host: &mut TestHost, record: &mut ReportChecker) {
    for (who, follower) in [("the agent", &mut host.reports), ("the aggregator", &mut host.overviews)] {
        for sighting in follower.take_new() {
            record.judge(who, &sighting, sighting.at);
        }
        if let Some(last) = follower.last() {
            record.judge(who, last, Instant::now());
        }
    }
}

/// Returns the resident memory of the agent and of the aggregator.
fn kb(host: &TestHost) -> (u64, u64) {
    (resident_kb(host.cluster.agents[0].process.pid()), resident_kb(host.cluster.aggregator.process.pid()))
}
