//! Chaos test on several hosts over minutes, which continuously compares the aggregator's overview with
//! the processes that run.
//!
//! `cargo bench --workspace --bench chaos` takes two minutes. `-- --minutes 15` takes longer, `--seed N`
//! selects another sequence, `--verbose` prints each action, and
//! `--without look-alike,lost-data,mid-start,second-agent,stopped-process` leaves scenarios out. The hosts
//! need root and iproute2; without them the bench reports that it cannot run, which is a failure in the gate.
//!
//! Three hosts with an agent each and a fourth with the aggregator run in their own namespaces. Operators,
//! each with their own name, start, stop and restart components with the real command. Meanwhile processes
//! are killed and stopped by signals and other users run look-alikes. Agents are killed (also during a
//! start), lose the reader of their log, or get a second agent beside them. Hosts are cut off and lose power,
//! one host's clock is hours ahead, and the aggregator is stopped and loses its data folder. Ten times a
//! second the overview is compared with each host's own `/proc`.
//!
//! With `--aggregators 3` (or 2) so many aggregators, each on a host of its own, share a PostgreSQL. Operators and
//! samples ask each of them in turn. Instead of the data folder's loss, leaders and followers are killed, ended, paused
//! and resumed, and cut off, and the database is restarted, crashes and hangs.
//!
//! A violation is
//! - a wrong state: a health that was not right at any moment of the time that rta has to notice (see
//!   `judge.rs`);
//! - a double: two processes of one component, neither of which belongs to another user, or two agents of
//!   one host;
//! - an unattributed action: a plan or a step without a requester's name in the event store, an accepted
//!   request missing from the event store, or a process that started without any request.
//!
//! The exit code is 1 if there was a violation.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

mod actual_state;
mod aggregators;
mod components;
mod event_log;
mod operators;
mod overview_checker;
mod platform;
mod sampler;
mod scenario;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rta_tests::NamespacedHosts;
use rta_tests::measurement::argument;

use crate::aggregators::Aggregators;
use crate::platform::{AGENTS, MAX_AGGREGATORS, Platform};
use crate::scenario::Scenario;

fn main() -> ExitCode {
    let minutes: f64 = argument("--minutes").map_or(2.0, |text| text.parse().unwrap());
    let seed: u64 = argument("--seed").map_or(1, |text| text.parse().unwrap());
    let count: usize = argument("--aggregators").map_or(1, |text| text.parse().unwrap());
    assert!((1..=MAX_AGGREGATORS).contains(&count), "--aggregators is from 1 to {MAX_AGGREGATORS}");
    let used = &platform::HOSTS[..AGENTS + count];
    let Some(hosts) = NamespacedHosts::start(used) else { return ExitCode::SUCCESS };
    // In the network of the hosts, where this thread is now.
    let Some(aggregators) = Aggregators::new(count) else { return ExitCode::SUCCESS };
    let platform = Platform::start(hosts, aggregators);
    let mut scenario = Scenario::new(platform, seed);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs_f64(minutes * 60.0) {
        scenario.step();
    }
    let violations = scenario.finish();
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
