//! Cleans up after a failed start: ends the processes that it left, so that the next start finds none.

use std::collections::HashSet;
use std::time::Duration;

use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rustix::process::Signal;
use tokio::time::Instant;
use tonic::Code;

use super::act::Act;
use super::chase::{Chase, who};
use super::eyes::pids_text;
use super::launch::Launched;
use super::launch_record::{Launch, monotonic_ms};
use super::process_tree::ProcessTree;
use super::refusal::{Refusal, off_the_runtime};
use crate::procfs::is_alive;

/// Time limit for the processes to end, once after SIGTERM and once after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses a start while processes of a failed start remain: the component would run twice.
///
/// # Errors
/// Returns an error, naming the remaining processes, if there are any.
pub(super) async fn nothing_left(act: &Act) -> Result<(), Refusal> {
    if !act.launches.of(&act.component.name).is_some_and(|launch| launch.is_unfinished) {
        return Ok(());
    }
    let left = Chase::of_launch(act).look(true).await?;
    if left.is_empty() {
        act.launches.ended(&act.component.name);
        return Ok(());
    }
    let who = who(&left.all()).await;
    let reason = format!("what an earlier start launched is there and does not match: {who}; stop it first");
    Err(Refusal::new(Code::FailedPrecondition, reason))
}

/// Refuses while an earlier agent's launch of a component that was removed from the configuration may still become
/// one, perhaps this component under another name. A start would run a second one beside it.
///
/// # Errors
/// Returns an error that names the removed component and the launched process.
pub(super) async fn no_launch_of_a_removed_component(act: &Act) -> Result<(), Refusal> {
    let (config, now) = (act.eyes.config(), monotonic_ms());
    let is_configured = |name: &Name| config.components.iter().any(|known| known.name == *name);
    let removed = act.launches.all().into_iter().filter(|(name, _)| !is_configured(name));
    let pending = |launch: &Launch| launch.is_unfinished && now < launch.deadline_ms;
    let pending: Vec<(Name, Launch)> =
        removed.filter_map(|(name, record)| Some((name, record.launch.filter(pending)?))).collect();
    if pending.is_empty() {
        return Ok(());
    }
    let standing = off_the_runtime(move || {
        let tree = ProcessTree::read().map_err(Refusal::failed)?;
        Ok(pending.into_iter().find(|(_, launch)| launch.stands(&tree)))
    });
    let Some((name, launch)) = standing.await? else { return Ok(()) };
    let seconds = launch.deadline_ms.saturating_sub(now).div_ceil(1000);
    let reason = format!(
        "a start of {name}, which the configuration no longer has, is under way (pid {}) and may become it; try again in \
         {seconds} s",
        launch.leader.pid
    );
    Err(Refusal::new(Code::FailedPrecondition, reason))
}

/// Refuses while a process exists that was the component and only stopped matching: the configuration or the process
/// itself has changed. A start would run a second one beside it.
///
/// # Errors
/// Returns an error that names such processes.
pub(super) async fn nothing_unmatched(act: &Act) -> Result<(), Refusal> {
    let last = act.eyes.last_processes().await?;
    if last.is_empty() {
        return Ok(());
    }
    let living =
        off_the_runtime(move || Ok(last.into_iter().filter(|id| is_alive(*id)).collect::<Vec<_>>())).await?;
    if living.is_empty() {
        return Ok(());
    }
    let who = who(&living).await;
    let reason = format!(
        "{who} ran as it, is still there, and does not match its criteria any more; correct the criteria, or end it"
    );
    Err(Refusal::new(Code::FailedPrecondition, reason))
}

/// Returns true if any process of the launch remains.
pub(super) async fn is_left(act: &Act) -> Result<bool, Refusal> {
    Ok(!Chase::of_launch(act).look(false).await?.is_empty())
}

/// Ends the launched process and all of its descendants. Returns a sentence on the result; empty if all had
/// ended by themselves.
pub(super) async fn end(act: &Act, launched: &Launched) -> String {
    match try_to_end(act, launched).await {
        Ok(sentence) => sentence,
        Err(refusal) => format!("what it launched goes on ({})", refusal.reason),
    }
}

async fn try_to_end(act: &Act, launched: &Launched) -> Result<String, Refusal> {
    let was_running = !launched.has_ended();
    let mut chase = Chase::of_launch(act);
    let mut left = chase.look(true).await?;
    let mut denied = None;
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + PATIENCE;
        let mut asked: HashSet<ProcessId> = HashSet::new();
        while !left.is_empty() && Instant::now() < deadline {
            let fresh: Vec<ProcessId> = left.all().into_iter().filter(|id| asked.insert(*id)).collect();
            let signalled = match signal {
                Signal::KILL if !fresh.is_empty() => chase.kill(&left).await?,
                _ => chase.signal(&left, &fresh, signal).await?,
            };
            denied = denied.or(signalled.why);
            chase.wait(&left, deadline).await?;
            left = chase.look(false).await?;
        }
    }
    let ended = chase.ended(&left);
    let is_command_ended = was_running && ended.contains(&launched.pid);
    let rest: Vec<u32> = ended.into_iter().filter(|pid| *pid != launched.pid).collect();
    let mut sentence = match (is_command_ended, rest.as_slice()) {
        (true, []) => format!("the command (pid {}) was still running and has been ended", launched.pid),
        (true, rest) => format!(
            "the command (pid {}) was still running and has been ended, with what it had begun ({})",
            launched.pid,
            pids_text(rest)
        ),
        (false, []) => String::new(),
        (false, rest) => format!("what it had left ({}) has been ended", pids_text(rest)),
    };
    if left.is_empty() {
        act.launches.ended(&act.component.name);
        return Ok(sentence);
    }
    let why =
        denied.map_or_else(|| "the kernel holds it, perhaps on a disk".to_owned(), |refusal| refusal.reason);
    if !sentence.is_empty() {
        sentence.push_str("; ");
    }
    sentence.push_str(&format!("{} did not end even by SIGKILL: {why}", who(&left.all()).await));
    Ok(sentence)
}
