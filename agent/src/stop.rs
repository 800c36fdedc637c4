//! Stopping a component: the signal to each matched process, a wait, then as configured.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rta_shared::config::{HostComponent, StopSignal};
use rta_shared::control::{Done, Outcome};
use rta_shared::process::{CommandLine, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::Instant;
use tonic::Code;

use crate::eyes::{Eyes, pids, pids_text};
use crate::procfs::Proc;
use crate::refusal::Refusal;

/// How long a process may take to end after SIGKILL. One in uninterruptible sleep may take longer.
const KILLED: Duration = Duration::from_secs(5);
/// A component that matches again after being ended this often has something else that starts it. Several
/// rounds are normal: a launcher's children may appear while the launcher ends.
const ROUNDS: u32 = 10;
/// How often it is asked whether the processes have ended.
const PACE: Duration = Duration::from_millis(20);

/// Stops `component`. Where nothing matches, nothing is signalled.
pub(crate) async fn stop(component: &HostComponent, eyes: &Eyes) -> Result<Done, Refusal> {
    let began = Instant::now();
    let rule = &component.stop;
    let deadline = began + rule.timeout;
    let mut ended: Vec<u32> = Vec::new();
    let mut killed = false;
    let mut rounds = 0;
    loop {
        let running = eyes.look().await?.processes;
        if running.is_empty() {
            let outcome = match (ended.is_empty(), killed) {
                (true, _) => Outcome::AlreadyStopped,
                (false, true) => Outcome::Killed,
                (false, false) => Outcome::Stopped,
            };
            return Ok(Done { outcome, pids: ended, took: began.elapsed() });
        }
        // Those that a round ended do not match any more: what does was started in the meantime.
        rounds += 1;
        if rounds > ROUNDS || (!ended.is_empty() && Instant::now() >= deadline) {
            return Err(Refusal::new(
                Code::Aborted,
                format!(
                    "it was ended ({}), but {} came in its place: something else starts it",
                    pids_text(&ended),
                    pids_text(&pids(&running))
                ),
            ));
        }
        let held = signal_all(component, &running, rule.signal)?;
        let signalled: Vec<u32> = held.iter().map(|held| held.pid).collect();
        let mut stubborn = wait_all(held, deadline).await?;
        if !stubborn.is_empty() {
            let who: Vec<u32> = stubborn.iter().map(|held| held.pid).collect();
            if !rule.kill {
                let (who, seconds, signal) = (pids_text(&who), rule.timeout.as_secs(), rule.signal);
                let reason = format!(
                    "{who} did not end within {seconds} s of {signal}, and kill = false in its configuration"
                );
                return Err(Refusal::new(Code::DeadlineExceeded, reason));
            }
            tracing::warn!(component = %component.name, pids = ?who, "did not end in time and is killed");
            for held in &stubborn {
                held.send(Signal::KILL)?;
            }
            killed = true;
            stubborn = wait_all(stubborn, Instant::now() + KILLED).await?;
            if !stubborn.is_empty() {
                let who: Vec<u32> = stubborn.iter().map(|held| held.pid).collect();
                let (who, seconds) = (pids_text(&who), KILLED.as_secs());
                let reason = format!(
                    "{who} did not end within {seconds} s of SIGKILL; the kernel holds it, perhaps on a disk"
                );
                return Err(Refusal::new(Code::DeadlineExceeded, reason));
            }
        }
        ended.extend(signalled);
    }
}

/// A process that cannot be confused with another one.
struct Held {
    pid: u32,
    pidfd: OwnedFd,
}

impl Held {
    fn send(&self, signal: Signal) -> Result<(), Refusal> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(Errno::PERM) => Err(Refusal::new(
                Code::FailedPrecondition,
                format!(
                    "the agent may not signal pid {}; run the agent as root or as that process's user",
                    self.pid
                ),
            )),
            Err(error) => {
                Err(Refusal::new(Code::Internal, format!("pid {} cannot be signalled: {error}", self.pid)))
            }
        }
    }
}

/// Signals those of `processes` that still are what was matched.
fn signal_all(
    component: &HostComponent,
    processes: &[Process],
    signal: StopSignal,
) -> Result<Vec<Held>, Refusal> {
    let told = |error: Errno| Refusal::new(Code::Unavailable, format!("/proc cannot be read: {error}"));
    let proc = Proc::open().map_err(told)?;
    let mut held = Vec::new();
    for process in processes {
        if let Some(process) = hold(&proc, component, process)? {
            process.send(as_signal(signal))?;
            held.push(process);
        }
    }
    Ok(held)
}

/// Opens a pidfd, and only then checks that its process is the one that was matched: a PID that was reused in
/// the meantime is not signalled.
fn hold(proc: &Proc, component: &HostComponent, process: &Process) -> Result<Option<Held>, Refusal> {
    let pid = process.id.pid;
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => {
            return Err(Refusal::new(Code::Internal, format!("pid {pid} cannot be held: {error}")));
        }
    };
    let mut line = CommandLine::new();
    let still_it = proc.process(pid).and_then(|folder| {
        let stat = folder.stat()?;
        folder.command_line(&mut line)?;
        Ok(stat.start_ticks == process.id.start_ticks && component.claims(&line))
    });
    if !matches!(still_it, Ok(true)) {
        return Ok(None);
    }
    Ok(Some(Held { pid, pidfd }))
}

/// Waits until all have ended; those that have not at the deadline.
async fn wait_all(mut held: Vec<Held>, deadline: Instant) -> Result<Vec<Held>, Refusal> {
    loop {
        held = still_there(held)?;
        if held.is_empty() || Instant::now() >= deadline {
            return Ok(held);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Those that have not ended: a pidfd is readable when its process has (pidfd_open(2)).
fn still_there(held: Vec<Held>) -> Result<Vec<Held>, Refusal> {
    let mut watched: Vec<PollFd<'_>> =
        held.iter().map(|process| PollFd::new(&process.pidfd, PollFlags::IN)).collect();
    // A time of zero asks without waiting. EINTR means that nothing is known, so that all are asked again.
    match poll(&mut watched, Some(&Timespec::default())) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => {
            return Err(Refusal::new(Code::Internal, format!("its processes cannot be waited for: {error}")));
        }
    }
    let there: Vec<bool> = watched.iter().map(|watched| watched.revents().is_empty()).collect();
    Ok(held.into_iter().zip(there).filter_map(|(process, there)| there.then_some(process)).collect())
}

fn as_signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Kill => Signal::KILL,
    }
}
