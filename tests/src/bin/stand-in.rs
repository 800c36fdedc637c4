//! Stand-in for a component's process in tests: does nothing, under any command line.
//!
//! Exits when the test process with the PID in `STAND_IN_LEASE` exits, so that no test leaves processes
//! behind. With `STAND_IN_IGNORES=TERM` only SIGKILL ends it earlier.

use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

fn main() -> ExitCode {
    let lease = std::env::var("STAND_IN_LEASE").ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let Some(Ok(lease)) = lease.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return ExitCode::FAILURE;
    };
    if std::env::var("STAND_IN_IGNORES").is_ok_and(|signal| signal == "TERM") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return ExitCode::FAILURE };
        // Registering a listener disables the signal's default action; that outlasts the runtime.
        let listener = runtime
            .block_on(async { tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) });
        if listener.is_err() {
            return ExitCode::FAILURE;
        }
    }
    println!("stand-in ready");
    let mut watched = [PollFd::new(&lease, PollFlags::IN)];
    while poll(&mut watched, None).is_err() {}
    ExitCode::SUCCESS
}
