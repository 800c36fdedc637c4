//! Processes that stand for components in the demo: this program, run under their command lines.

use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Environment variable that makes the program a stand-in; holds the demo's process ID.
pub(crate) const LEASE_VARIABLE: &str = "RTA_STAND_IN";

/// Runs this process as a stand-in if it is one: waits until the demo ends, then returns the exit code. Its
/// arguments are those of the component and are ignored.
pub(crate) fn run_if_stand_in() -> Option<ExitCode> {
    let lease = std::env::var_os(LEASE_VARIABLE)?;
    let demo = lease.to_str().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    // If the demo has already ended, the stand-in exits at once.
    if let Some(Ok(demo)) = demo.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        let mut watched = [PollFd::new(&demo, PollFlags::IN)];
        while poll(&mut watched, None).is_err() {}
    }
    Some(ExitCode::SUCCESS)
}
