//! Cost of a large plan for the aggregator: a stop of everything on 100 and on 1,000 hosts with 14 components
//! each, whose agents are simulated.
//!
//! `cargo bench --workspace --bench plans`; `-- --hosts 200` measures a single size. Each step must cost the
//! same in both sizes: the exit code is 1 if the CPU time per step more than triples.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rta_shared::plan::{ActionRequest, ExecutionOptions, PlanEvent};
use rta_shared::proto::v1;
use rta_tests::measurement::{CpuMeter, argument, resident_kb};
use rta_tests::{FakeAgents, TestCluster, TestConfig, wait_for};
use rustix::process::Signal;
use tokio::runtime::Runtime;

const COMPONENTS: usize = 14;

/// Cost of one plan.
struct Cost {
    steps: usize,
    /// Time from the request to the plan's end.
    plan: Duration,
    /// Time from the plan's end until it is recorded.
    record: Duration,
    /// Time from SIGTERM to the aggregator's exit.
    end: Duration,
    cpu: Duration,
    resident_kb: u64,
}

fn main() -> ExitCode {
    let sizes = argument("--hosts").map_or(vec![100, 1_000], |hosts| vec![hosts.parse().unwrap()]);
    println!(
        "{:>7} {:>10} {:>12} {:>12} {:>10} {:>14} {:>10}",
        "steps", "plan, s", "recorded, s", "SIGTERM, s", "CPU, s", "CPU/step, ms", "RSS, MB"
    );
    let costs: Vec<Cost> = sizes.into_iter().map(measure).collect();
    let per_step = |cost: &Cost| cost.cpu.as_secs_f64() * 1000.0 / cost.steps as f64;
    for cost in &costs {
        println!(
            "{:>7} {:10.2} {:12.2} {:12.2} {:10.2} {:14.3} {:10.1}",
            cost.steps,
            cost.plan.as_secs_f64(),
            cost.record.as_secs_f64(),
            cost.end.as_secs_f64(),
            cost.cpu.as_secs_f64(),
            per_step(cost),
            cost.resident_kb as f64 / 1024.0
        );
    }
    let is_linear = costs.windows(2).all(|pair| per_step(&pair[1]) < 3.0 * per_step(&pair[0]));
    if is_linear { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(hosts: usize) -> Cost {
    let steps = hosts * COMPONENTS;
    let agents = FakeAgents::new(hosts, COMPONENTS);
    let mut cluster =
        TestCluster::builder(TestConfig::new()).components(&agents.startable_toml()).data().start();
    cluster.aggregator.wait_until_ready();
    let web = cluster.aggregator.web;
    let runtime = Runtime::new().unwrap();
    let mut cpu = CpuMeter::new(cluster.aggregator.process.pid());
    let before = cpu.read();
    let begun = Instant::now();
    let events = runtime.block_on(async {
        let mut client = cluster.aggregator.client().await;
        let selection = ActionRequest { all: true, ..ActionRequest::default() };
        let options = ExecutionOptions { everything: true, parallel: 64, ..ExecutionOptions::default() };
        let request = v1::AggregatorServiceActRequest {
            kind: v1::ActionKind::Stop.into(),
            selection: Some((&selection).into()),
            options: Some(v1::PlanOptions::new(&options, "ann")),
        };
        let mut updates = client.act(request).await.unwrap().into_inner();
        let mut events = 0;
        while let Some(message) = updates.message().await.unwrap() {
            events += 1;
            if let PlanEvent::Ended(end) = message.event.unwrap().try_into().unwrap() {
                assert_eq!(end.done, steps);
            }
        }
        events
    });
    assert!(events > 2 * steps);
    let plan = begun.elapsed();
    wait_for("the record to have its end", || {
        let found = web.get("/api/v1/events?kind=plan").body;
        cpu.read();
        found.contains(&format!("{steps} steps done")).then_some(())
    });
    let record = begun.elapsed() - plan;
    let cost = (cpu.read() - before, resident_kb(cluster.aggregator.process.pid()));
    let ending = Instant::now();
    cluster.aggregator.stop(Signal::TERM);
    Cost { steps, plan, record, end: ending.elapsed(), cpu: cost.0, resident_kb: cost.1 }
}
