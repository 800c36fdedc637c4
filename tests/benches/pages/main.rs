//! Latencies that users notice: from a change to the open pages, and for loading the
//! page of a large platform.
//!
//! `cargo bench --workspace --bench pages` opens 200 pages: first those of one host, on which a process is
//! killed 40 times; then those of a thousand hosts with 14 components each, of which one changes 40 times.
//! The exit code is 1 if a goal is missed.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

mod readers;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use readers::{PATIENCE, PageReaders};
use rta_shared::proto::v1::State;
use rta_tests::measurement::percentile;
use rta_tests::{AgentMode, FakeAgents, TestCluster, TestConfig, TestHost, wait_for};

/// Number of open pages.
const PAGES: usize = 200;
const ROUNDS: usize = 40;
/// Goal for the time from a change to the last page, 95th percentile.
const TOLD: Duration = Duration::from_millis(100);
/// Goal for the time to load the page of a thousand hosts, 95th percentile.
const ASKED: Duration = Duration::from_millis(20);
/// Size limit of that page, in bytes, uncompressed.
const LARGEST: usize = 600_000;

const HOSTS: usize = 1_000;
const COMPONENTS: usize = 14;

fn main() -> ExitCode {
    println!("{:44} {:>9} {:>9} {:>9}", "in ms", "p50", "p95", "most");
    let is_well = [one_host(), a_thousand_hosts()];
    if is_well.iter().all(|is_well| *is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line and returns the 95th percentile.
fn print(what: &str, times: &[Duration]) -> Duration {
    let ms = |share| percentile(times, share).as_secs_f64() * 1000.0;
    println!("{what:44} {:9.2} {:9.2} {:9.2}", ms(0.5), ms(0.95), ms(1.0));
    percentile(times, 0.95)
}

/// Measures the time from the overview that shows a killed process as stopped to the update of the pages.
fn one_host() -> bool {
    let mut stage = TestHost::start(AgentMode::Events, |config| {
        (0..20).map(|at| config.component_toml(&format!("c{at}"), "", "")).collect()
    });
    let readers = PageReaders::open(stage.cluster.aggregator.web.0, PAGES);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut child = stage.cluster.config.start_stand_in("c7");
        let pid = child.id();
        let runs = stage
            .overviews
            .wait_for_component("c7", PATIENCE, |seen| seen.state == State::Running && seen.pids() == [pid]);
        runs.expect("it is seen to run");
        readers.drain();
        child.kill().unwrap();
        let seen = stage.overviews.wait_for_component("c7", PATIENCE, |seen| seen.state == State::Stopped);
        let seen = seen.expect("it is seen to have stopped");
        let round = readers.round();
        first.push(round.first.saturating_duration_since(seen));
        last.push(round.last.saturating_duration_since(seen));
        child.wait().unwrap();
    }
    print("one host: from the overview to the first page", &first);
    print(&format!("  to the last of {PAGES}"), &last) < TOLD
}

/// Measures the page of a large platform in which every twentieth host has a component down, which
/// affects its dependents.
fn a_thousand_hosts() -> bool {
    let hosts = FakeAgents::new(HOSTS, COMPONENTS);
    (0..HOSTS).step_by(20).for_each(|at| hosts.set_state(at, 3, State::Stopped));
    let cluster = TestCluster::builder(TestConfig::new()).components(&hosts.toml()).start();
    let web = cluster.aggregator.web.0;
    let verdict = format!("{} down, {} degraded", HOSTS / 20, HOSTS / 20 * (COMPONENTS - 4));
    wait_for("every host to be heard of", || page(web, "").contains(&verdict).then_some(()));
    let mut asked = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        page(web, "");
        asked.push(begun.elapsed());
    }
    let (size, compressed) = (page(web, "").len(), page(web, "Accept-Encoding: gzip\r\n").len());

    let readers = PageReaders::open(web, PAGES);
    let (mut first, mut last, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        readers.drain();
        let begun = Instant::now();
        hosts.set_state(7, COMPONENTS - 1, if round % 2 == 0 { State::Stopped } else { State::Running });
        let round = readers.round();
        first.push(round.first.saturating_duration_since(begun));
        last.push(round.last.saturating_duration_since(begun));
        bytes.push(round.bytes);
    }
    let asked = print(&format!("{HOSTS} hosts of {COMPONENTS}: a page is asked for"), &asked);
    print("  from an agent's report to the first page", &first);
    let printed = print(&format!("  to the last of {PAGES}"), &last);
    bytes.sort_unstable();
    // Occasionally, usage figures and times are updated together with a change.
    let (change, most) = (bytes[ROUNDS / 2], bytes[ROUNDS - 1]);
    println!("  the page has {size} bytes, compressed {compressed}; a change {change}, at most {most}");
    asked < ASKED && size < LARGEST && printed < TOLD
}

/// Returns the overview page as a browser receives it, including the headers.
fn page(web: SocketAddr, more: &str) -> String {
    let mut stream = TcpStream::connect(web).expect("the page can be asked for");
    write!(stream, "GET / HTTP/1.1\r\nHost: {web}\r\nConnection: close\r\n{more}\r\n")
        .expect("a request can be sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it is answered");
    String::from_utf8_lossy(&answer).into_owned()
}
