//! Starting a component: launch, wait until it matches, wait until it stays.

use std::process::ExitStatus;
use std::time::Duration;

use rta_shared::config::{Engine, HostComponent};
use rta_shared::control::{Done, Outcome};
use rta_shared::process::Process;
use rta_shared::report::{ComponentReport, PartReport, State};
use tokio::time::Instant;
use tonic::Code;

use crate::eyes::{Eyes, pids, pids_text};
use crate::launch::{Launched, launch};
use crate::refusal::Refusal;

/// How often the processes are looked at in the meantime.
const PACE: Duration = Duration::from_millis(100);

/// Every so many looks, while nothing matches, is a full scan: one a second.
const THOROUGH: u32 = 10;

/// Starts `component`. Where it runs, nothing is launched.
pub(crate) async fn start(component: &HostComponent, eyes: &Eyes) -> Result<Done, Refusal> {
    let began = Instant::now();
    let Some(rule) = &component.start else {
        let reason = "the configuration has no start command for it; it is watched only";
        return Err(Refusal::new(Code::FailedPrecondition, reason));
    };
    let found = eyes.look().await?;
    match found.state {
        State::Running => {
            let pids = pids(&found.processes);
            return Ok(Done { outcome: Outcome::AlreadyRunning, pids, took: began.elapsed() });
        }
        State::Partial => {
            let reason =
                format!("some of its processes run already, missing: {}; stop it first", missing(&found));
            return Err(Refusal::new(Code::FailedPrecondition, reason));
        }
        State::Stopped | State::Starting | State::Stopping | State::Unknown => {}
    }
    let Engine::Command(command) = &rule.engine else {
        return Err(Refusal::new(Code::Internal, "systemd starts it"));
    };
    let launched = launch(command)?;
    eyes.follow_exit(&launched);
    tracing::info!(component = %component.name, pid = launched.pid, command = ?command.command, "launched");

    let deadline = Instant::now() + rule.timeout;
    let mut matched: Vec<Process> = Vec::new();
    let mut was_whole = false;
    let mut looks = 0_u32;
    let mut settled_at = deadline;
    loop {
        // Looked at in this order: a launcher that has just become the component has not ended.
        let exit = launched.exit();
        // A title that a process gives itself is no news to a glance: now and then everything is looked at.
        looks += 1;
        let seen = match matched.is_empty() && looks.is_multiple_of(THOROUGH) {
            true => eyes.look().await,
            false => eyes.glance().await,
        };
        let found = seen.map_err(|refusal| left_behind(refusal, &launched))?;
        let is_whole = found.state == State::Running;
        let now = &found.processes;
        let stays = now.iter().any(|process| matched.iter().any(|before| before.id == process.id));
        if is_whole && was_whole && stays {
            if Instant::now() >= settled_at {
                return Ok(Done { outcome: Outcome::Started, pids: pids(now), took: began.elapsed() });
            }
        } else if !matched.is_empty() && now.is_empty() {
            return Err(died(&matched, &launched).await);
        } else if is_whole {
            // It matches for the first time, or one process handed over to another: the wait begins anew.
            settled_at = Instant::now() + rule.settle;
        } else if let Some(status) = exit.filter(|status| !status.success() && now.is_empty()) {
            let reason = format!(
                "the command ended with {} before the criteria matched{}",
                ending(status),
                launched.last_words()
            );
            return Err(Refusal::new(Code::Internal, reason));
        }
        if Instant::now() >= deadline && !is_whole {
            return Err(too_late(rule.timeout, &found, launched).await);
        }
        matched.clone_from(&found.processes);
        was_whole = is_whole;
        if Instant::now() >= deadline + rule.settle + PACE && settled_at > Instant::now() {
            let seconds = (rule.timeout + rule.settle).as_secs();
            let who = pids_text(&pids(&matched));
            let reason = format!(
                "its processes keep changing: after {seconds} s none had stayed for its settle time (now {who}){}",
                launched.last_words()
            );
            return Err(Refusal::new(Code::Aborted, reason));
        }
        tokio::time::sleep(PACE).await;
    }
}

/// It matched, and then ended within its settle time.
async fn died(matched: &[Process], launched: &Launched) -> Refusal {
    // What was matched is often the launched process itself, which is being reaped just now.
    tokio::time::sleep(PACE).await;
    let how = launched.exit().map(|status| format!(" with {}", ending(status))).unwrap_or_default();
    let who = pids_text(&pids(matched));
    let reason = format!("it started ({who}) and ended again{how}{}", launched.last_words());
    Refusal::new(Code::Internal, reason)
}

/// What of it is missing: `driver, worker (1 of 2)`.
fn missing(found: &ComponentReport) -> String {
    let missing: Vec<String> = found.parts.iter().filter_map(PartReport::missing).collect();
    missing.join(", ")
}

/// It did not match in time.
async fn too_late(timeout: Duration, found: &ComponentReport, launched: Launched) -> Refusal {
    let seconds = timeout.as_secs();
    let words = launched.last_words();
    let pid = launched.pid;
    let rest = match launched.give_up().await {
        true => format!("the command (pid {pid}) was still running and has been ended"),
        false => format!("the command (pid {pid}) had ended without an error"),
    };
    let what = match found.state {
        State::Partial => {
            format!("within {seconds} s only some of its processes ran, missing: {}", missing(found))
        }
        _ => format!("no process matched its criteria within {seconds} s"),
    };
    Refusal::new(Code::DeadlineExceeded, format!("{what}; {rest}; check the criteria{words}"))
}

/// The action cannot be watched to its end.
fn left_behind(refusal: Refusal, launched: &Launched) -> Refusal {
    let reason = format!("{}; what was launched (pid {}) goes on", refusal.reason, launched.pid);
    Refusal::new(refusal.code, reason)
}

/// `exit status 1` or `signal 9 (SIGKILL)`.
fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
