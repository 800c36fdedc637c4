//! Cost of the agent with an aggregator connected: at rest among 3,000 unrelated processes, and while 300
//! processes start and end per second.
//!
//! `cargo bench --workspace --bench load` takes about three minutes in each mode. `-- --mode events` selects
//! one mode; `--rest SECONDS` and `--storm SECONDS` change the duration of the measurements. The exit code is
//! 1 if the agent, with events, uses 2 ms of CPU per second at rest, 5 % of a core in the storm, or 16 MB of
//! memory; or if it misses a component in any mode.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rta_shared::proto::v1::State;
use rta_tests::command_lines::{SERVICES, service, service_name, services_toml, unrelated};
use rta_tests::measurement::{CpuMeter, argument, resident_kb};
use rta_tests::{AgentMode, ForkLoad, IdleProcesses, TestHost};

const UNRELATED: usize = 3000;
const FORKS_A_SECOND: u32 = 300;
/// Age until which a process is examined in each pass, without events.
const SETTLED: Duration = Duration::from_secs(12);
/// Time limit for reporting a component; later counts as missed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Cost of a mode.
struct Cost {
    /// CPU time per second.
    rest: Duration,
    storm: Duration,
    forks_a_second: f64,
    most_kb: u64,
    /// Number of component changes in the storm, and the number of those not reported.
    changes: usize,
    missed: usize,
    /// Counters reported by the agent.
    overruns: u64,
    differences: u64,
}

fn main() -> ExitCode {
    IdleProcesses::run_if_idle_process();
    let seconds = |name, default| argument(name).map_or(default, |text| text.parse().unwrap());
    let (rest, storm) = (seconds("--rest", 60), seconds("--storm", 60));
    println!(
        "the agent with {SERVICES} components among {UNRELATED} unrelated processes; \
         {rest} s at rest, {storm} s with {FORKS_A_SECOND} forks a second"
    );
    let mut reached = true;
    for mode in AgentMode::from_arguments() {
        let cost = measure(mode, Duration::from_secs(rest), Duration::from_secs(storm));
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("{}:", mode.word());
        println!("  at rest       {:8.2} ms of CPU a second (aim: under 2 with events)", ms(cost.rest));
        println!(
            "  in the storm  {:8.2} ms of CPU a second, {:.2} % of a core (aim: under 5 % with events), {:.0} forks a second",
            ms(cost.storm),
            ms(cost.storm) / 10.0,
            cost.forks_a_second
        );
        println!("  resident      {:8.2} MB at most (aim: under 16)", mb(cost.most_kb));
        println!(
            "  components    {} changes in the storm, {} missed; {} overruns, {} differences found by full scans",
            cost.changes, cost.missed, cost.overruns, cost.differences
        );
        reached &= cost.missed == 0 && cost.differences == 0;
        if mode == AgentMode::Events {
            reached &= ms(cost.rest) < 2.0 && ms(cost.storm) < 50.0 && mb(cost.most_kb) < 16.0;
        }
    }
    if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::cast_precision_loss, reason = "megabytes")]
fn mb(kb: u64) -> f64 {
    kb as f64 * 1024.0 / 1e6
}

fn measure(mode: AgentMode, rest: Duration, storm: Duration) -> Cost {
    let mut crowd = IdleProcesses::new();
    for number in 0..UNRELATED {
        crowd.add(&unrelated(number));
    }
    let mut host = TestHost::start(mode, |config| services_toml(config.token()));
    let token = host.cluster.config.token().to_owned();
    let mut services: Vec<u32> = (0..SERVICES).map(|number| crowd.add(&service(number, &token))).collect();
    for (number, pid) in services.iter().enumerate() {
        assert!(tells(&mut host, number, State::Running, &[*pid]), "{} is not seen", service_name(number));
    }
    std::thread::sleep(SETTLED);

    let mut meter = CpuMeter::new(host.cluster.agents[0].process.pid());
    let mut most_kb = 0;
    let sample = |meter: &mut CpuMeter, most_kb: &mut u64| {
        *most_kb = (*most_kb).max(resident_kb(meter.pid()));
        meter.read()
    };
    let (began, before) = (Instant::now(), sample(&mut meter, &mut most_kb));
    let mut used = before;
    while began.elapsed() < rest {
        std::thread::sleep(Duration::from_millis(500));
        used = sample(&mut meter, &mut most_kb);
    }
    let at_rest = (used - before).div_f64(began.elapsed().as_secs_f64());

    let whirl = ForkLoad::new(FORKS_A_SECOND, 0);
    let (began, before) = (Instant::now(), sample(&mut meter, &mut most_kb));
    let (mut changes, mut missed) = (0, 0);
    let mut end = began;
    while began.elapsed() < storm {
        std::thread::sleep(Duration::from_millis(400));
        let number = changes / 2 % SERVICES;
        crowd.kill(services[number]);
        missed += usize::from(!tells(&mut host, number, State::Stopped, &[]));
        sample(&mut meter, &mut most_kb);
        std::thread::sleep(Duration::from_millis(400));
        services[number] = crowd.add(&service(number, &token));
        missed += usize::from(!tells(&mut host, number, State::Running, &[services[number]]));
        changes += 2;
        used = sample(&mut meter, &mut most_kb);
        end = Instant::now();
    }
    let seconds = (end - began).as_secs_f64();
    let in_storm = (used - before).div_f64(seconds);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let forks_a_second = whirl.started() as f64 / seconds;
    drop(whirl);
    let watch = host.reports.last().map(|sighting| sighting.watch.clone()).unwrap();
    Cost {
        rest: at_rest,
        storm: in_storm,
        forks_a_second,
        most_kb,
        changes,
        missed,
        overruns: watch.overruns,
        differences: watch.differences,
    }
}

/// Returns true if both the agent and the aggregator report this state of a service in time.
fn tells(host: &mut TestHost, number: usize, state: State, pids: &[u32]) -> bool {
    [&mut host.reports, &mut host.overviews].into_iter().all(|follower| {
        let is_it = |seen: &rta_tests::ObservedComponent| seen.state == state && seen.pids() == pids;
        follower.wait_for_component(&service_name(number), PATIENCE, is_it).is_some()
    })
}
