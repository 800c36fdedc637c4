//! From SIGKILL of a matched process to the pages that people have open.
//!
//! `cargo bench -p rta-tests --bench pages` opens 200 pages and kills a process 40 times. The exit code is 1 where the
//! last of them is told later than 100 ms after the aggregator's overview, in the 95th percentile.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up fails; it prints"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rta_shared::proto::v1::State;
use rta_tests::figures::percentile;
use rta_tests::{Mode, Stage};

/// How many pages are open.
const PAGES: usize = 200;
const ROUNDS: usize = 40;
/// From the overview to the last page.
const AIM: Duration = Duration::from_millis(100);
/// Longer than anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let mut stage = Stage::new(Mode::Events, |site| {
        (0..20).map(|at| site.component(&format!("c{at}"), "", "")).collect()
    });
    let web = stage.aggregator.address("web");
    let (told, hears) = channel();
    for page in 0..PAGES {
        let told = told.clone();
        std::thread::spawn(move || listen(web, page, &told));
    }
    // Each is told the whole page first.
    for _ in 0..PAGES {
        hears.recv_timeout(PATIENCE).expect("every page is answered");
    }
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut child = stage.site.play("c7");
        let pid = child.id();
        let runs = stage
            .overviews
            .await_that("c7", PATIENCE, |seen| seen.state == State::Running && seen.pids() == [pid]);
        runs.expect("it is seen to run");
        drain(&hears);
        child.kill().unwrap();
        let seen = stage.overviews.await_that("c7", PATIENCE, |seen| seen.state == State::Stopped);
        let seen = seen.expect("it is seen to have stopped");
        let mut heard: Vec<Instant> = Vec::new();
        let mut pages = std::collections::HashSet::new();
        while pages.len() < PAGES {
            let (page, at) = hears.recv_timeout(PATIENCE).expect("every page is told");
            if pages.insert(page) {
                heard.push(at);
            }
        }
        heard.sort_unstable();
        first.push(heard[0].saturating_duration_since(seen));
        last.push(heard[PAGES - 1].saturating_duration_since(seen));
        child.wait().unwrap();
    }
    println!("from the aggregator's overview to {PAGES} open pages, {ROUNDS} changes, in ms");
    println!("{:20} {:>9} {:>9} {:>9}", "", "p50", "p95", "most");
    for (name, times) in [("the first page", &first), ("the last page", &last)] {
        let ms = |share| percentile(times, share).as_secs_f64() * 1000.0;
        println!("{name:20} {:9.2} {:9.2} {:9.2}", ms(0.5), ms(0.95), ms(1.0));
    }
    if percentile(&last, 0.95) < AIM { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads what one page is told, and tells when.
fn listen(web: SocketAddr, page: usize, told: &Sender<(usize, Instant)>) {
    let mut stream = TcpStream::connect(web).expect("the page can be asked for");
    write!(stream, "GET /live HTTP/1.1\r\nHost: {web}\r\n\r\n").expect("a request can be sent");
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        if line.starts_with(b"event: patch") && told.send((page, Instant::now())).is_err() {
            return;
        }
    }
}

/// What is still on its way belongs to what was before.
fn drain(hears: &Receiver<(usize, Instant)>) {
    while hears.recv_timeout(Duration::from_millis(300)).is_ok() {}
}
