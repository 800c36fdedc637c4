//! Latency from SIGKILL of a matched process to the agent's report and to the aggregator's overview.
//!
//! `cargo bench --workspace --bench latency` measures 200 kills in each mode; `-- --mode events`
//! selects one mode. The exit code is 1 if the 99th percentile to the overview exceeds 20 ms with
//! events or 1.2 s with scans.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rta_shared::proto::v1::State;
use rta_tests::measurement::percentile;
use rta_tests::{AgentMode, TestHost};

/// Number of processes that run at the same time and are killed one after the other.
const COMPONENTS: usize = 20;
const ROUNDS: usize = 10;
/// Time limit that no correct run exceeds.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    println!("from SIGKILL to what the streams say, {} kills, in ms", COMPONENTS * ROUNDS);
    println!("{:8} {:24} {:>9} {:>9} {:>9} {:>9}", "mode", "to", "p50", "p99", "most", "aim (p99)");
    let mut reached = true;
    for mode in AgentMode::from_arguments() {
        let aim = match mode {
            AgentMode::Events => Duration::from_millis(20),
            AgentMode::Scans => Duration::from_millis(1200),
        };
        let (reports, overviews) = measure(mode);
        for (to, latencies) in [("the agent's report", &reports), ("the aggregator's overview", &overviews)] {
            let ms = |share| percentile(latencies, share).as_secs_f64() * 1000.0;
            let aim = aim.as_millis();
            println!("{:8} {to:24} {:9.2} {:9.2} {:9.2} {aim:>9}", mode.word(), ms(0.5), ms(0.99), ms(1.0));
        }
        reached &= percentile(&overviews, 0.99) < aim;
    }
    if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures the latencies to the report and to the overview.
fn measure(mode: AgentMode) -> (Vec<Duration>, Vec<Duration>) {
    let name = |number: usize| format!("c{number}");
    let mut host = TestHost::start(mode, |config| {
        (0..COMPONENTS).map(|number| config.component_toml(&name(number), "", "")).collect()
    });
    let (mut reports, mut overviews) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let children: Vec<_> =
            (0..COMPONENTS).map(|number| host.cluster.config.start_stand_in(&name(number))).collect();
        for (number, child) in children.iter().enumerate() {
            for follower in [&mut host.reports, &mut host.overviews] {
                let runs = follower.wait_for_component(&name(number), PATIENCE, |seen| {
                    seen.state == State::Running && seen.pids() == [child.id()]
                });
                runs.expect("a component that runs is seen");
            }
        }
        for (number, mut child) in children.into_iter().enumerate() {
            // Irregular pauses, so that kills do not coincide with anything periodic.
            std::thread::sleep(Duration::from_millis(20 + u64::try_from(number * 7 % 31).unwrap()));
            let killed = Instant::now();
            child.kill().unwrap();
            for (follower, latencies) in
                [(&mut host.reports, &mut reports), (&mut host.overviews, &mut overviews)]
            {
                let observed =
                    follower.wait_for_component(&name(number), PATIENCE, |seen| seen.state == State::Stopped);
                latencies.push(observed.expect("a component that is killed is seen to stop") - killed);
            }
            child.wait().unwrap();
        }
    }
    (reports, overviews)
}
