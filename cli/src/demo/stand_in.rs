//! The processes that stand for components in the demo: this very program, run under their command lines.

use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Holds the demo's process ID, and makes the program a stand-in.
pub(crate) const LEASE: &str = "RTA_STAND_IN";

/// Where this process is a stand-in: does nothing until the demo ends or a signal comes, and then says how to
/// exit. Its arguments are those of the component, and mean nothing.
pub(crate) fn play() -> Option<ExitCode> {
    let lease = std::env::var_os(LEASE)?;
    let demo = lease.to_str().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    // Where the demo is gone already, so is the reason to stand in.
    if let Some(Ok(demo)) = demo.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        let mut watched = [PollFd::new(&demo, PollFlags::IN)];
        while poll(&mut watched, None).is_err() {}
    }
    Some(ExitCode::SUCCESS)
}
