//! Chaos on several hosts for minutes; what the aggregator says at any time is compared with what runs.
//!
//! `cargo bench -p rta-tests --bench chaos` takes two minutes; `-- --minutes 15` takes longer, `--seed N` another course,
//! `--verbose` prints each action, and `--without look-alike,lost-data,mid-start,second-agent,stopped-process` leaves scenarios out.
//! It needs root and iproute2 for its hosts, and says so where it cannot run; in the gate that is a failure.
//!
//! Three hosts with an agent each and a fourth with the aggregator live in namespaces of their own. Operators, each with a
//! name, start, stop and restart components by the real command. Meanwhile processes are killed and stopped by signals,
//! other users run look-alikes, agents are killed (in the middle of a start, too), lose the reader of their log or get a
//! second agent beside them, hosts are cut off and lose power, one host's clock is hours ahead, and the aggregator ends and
//! loses its data folder. Ten times a second the overview is compared with each host's own `/proc`.
//!
//! A violation is
//! - a wrong state: a health that was not right at any moment of the time that rta has to notice (see `judge.rs`);
//! - a double: two processes of one component, neither of which belongs to somebody else, or two agents of one host;
//! - an unattributed action: a plan or a step without a requester's name in the record, an accepted request that the record
//!   does not know, or a process that began without any request.
//!
//! The exit code is 1 where there was one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

mod components;
mod judge;
mod operators;
mod platform;
mod record;
mod sampler;
mod scenario;
mod truth;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rta_tests::NamespacedHosts;
use rta_tests::figures::argument;

use crate::platform::Platform;
use crate::scenario::Scenario;

fn main() -> ExitCode {
    let minutes: f64 = argument("--minutes").map_or(2.0, |text| text.parse().unwrap());
    let seed: u64 = argument("--seed").map_or(1, |text| text.parse().unwrap());
    let Some(hosts) = NamespacedHosts::start(&platform::HOSTS) else { return ExitCode::SUCCESS };
    let platform = Platform::start(hosts);
    let mut scenario = Scenario::new(platform, seed);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs_f64(minutes * 60.0) {
        scenario.step();
    }
    let violations = scenario.finish();
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
