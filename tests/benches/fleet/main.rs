//! Cost of the aggregator for platforms of many hosts with 14 components each, whose agents are simulated.
//!
//! `cargo bench --workspace --bench fleet` prints one column per size, and the goals at 1,000 and 10,000 hosts.
//! `-- --hosts 1000,3000` chooses the sizes (100 and 1,000 by default), `--rows check,rest` the rows,
//! `--rest SECONDS` the time at rest (20), `--environments N` the number of environments over which the hosts
//! are spread; `--aggregators N` measures several aggregators over one PostgreSQL in their place, each with its share of
//! the hosts. The exit code is 1 if a goal for the size is missed; goals hold up to their size.

#![expect(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, counts little, and fails if it cannot set itself up"
)]

mod agent_process;
mod changes;
mod rows;
mod scenario;
mod several;

use std::process::ExitCode;

use rta_tests::measurement::argument;

use agent_process::{SIMULATE, simulate};
use rows::{Measured, ROWS};
use scenario::{Options, measure};
use several::measure_several;

fn main() -> ExitCode {
    let list = |name: &str, default: &str| -> Vec<String> {
        argument(name).unwrap_or_else(|| default.to_owned()).split(',').map(str::to_owned).collect()
    };
    let number = |text: &str| text.parse().expect("a number is given");
    if argument(SIMULATE).is_some() {
        let numbers: Vec<usize> = list(SIMULATE, "").iter().map(|text| number(text)).collect();
        simulate(numbers[0], numbers[1]);
        return ExitCode::SUCCESS;
    }
    let sizes: Vec<usize> = list("--hosts", "100,1000").iter().map(|text| number(text)).collect();
    let options = Options {
        groups: argument("--rows").map(|_| list("--rows", "")),
        rest_seconds: argument("--rest").map_or(20, |text| number(&text) as u64),
        environments: argument("--environments").map_or(1, |text| number(&text)),
    };
    let aggregators = argument("--aggregators").map(|text| number(&text));
    let measure = |hosts: &usize| match aggregators {
        Some(count) => measure_several(*hosts, count, &options),
        None => measure(*hosts, &options),
    };
    let results: Vec<Measured> = sizes.iter().map(measure).collect();
    print!("\n{:55}", "hosts");
    sizes.iter().for_each(|hosts| print!("{hosts:>10}"));
    println!("{:>12}{:>12}", "goal 1,000", "goal 10,000");
    let mut is_reached = true;
    for row in ROWS {
        if results.iter().all(|measured| measured.get(row.key).is_none()) {
            continue;
        }
        print!("{:55}", row.label);
        for (hosts, measured) in sizes.iter().zip(&results) {
            let value = measured.get(row.key);
            print!("{:>10}", value.map_or("-".to_owned(), |value| short(*value)));
            let goal = if *hosts <= 1_000 { row.goal_1000 } else { row.goal_10000 };
            is_reached &= value.zip(goal).is_none_or(|(value, goal)| *value <= goal);
        }
        let goal = |goal: Option<f64>| goal.map_or("-".to_owned(), short);
        println!("{:>12}{:>12}", goal(row.goal_1000), goal(row.goal_10000));
    }
    if is_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns a figure with about three digits.
fn short(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0}"),
        medium if medium >= 10.0 => format!("{medium:.1}"),
        small => format!("{small:.2}"),
    }
}
