//! Cleans up after a failed start: ends the processes that it left, so that the next start finds none.

use std::collections::HashSet;
use std::time::Duration;

use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rustix::process::Signal;
use tokio::time::Instant;

use super::action_record::{LaunchedSession, monotonic_ms};
use super::component_view::format_pids;
use super::context::ActionContext;
use super::error::{ActionError, ActionErrorKind, run_blocking_step};
use super::launch::LaunchedCommand;
use super::stop_targets::{StopTargets, describe_processes};
use crate::host::process_tree::ProcessTree;
use crate::host::procfs::is_alive;

/// Time limit for the processes to end, once after SIGTERM and once after SIGKILL.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Refuses a start while processes of a failed start remain: the component would run twice.
///
/// # Errors
/// Returns an error, naming the remaining processes, if there are any.
pub(super) async fn refuse_if_launch_remains(context: &ActionContext) -> Result<(), ActionError> {
    if !context.records.last_launch(&context.component.name).is_some_and(|launch| launch.is_unfinished) {
        return Ok(());
    }
    let remaining = StopTargets::launched_only(context).find_remaining(true).await?;
    if remaining.is_empty() {
        context.records.remove_launch(&context.component.name);
        return Ok(());
    }
    let who = describe_processes(&remaining.all()).await;
    let reason = format!("what an earlier start launched is there and does not match: {who}; stop it first");
    Err(ActionError::new(ActionErrorKind::PreconditionFailed, reason))
}

/// Refuses while an earlier agent's launch of a component that was removed from the configuration may still
/// become one, perhaps this component under another name. A start would run a second one beside it.
///
/// # Errors
/// Returns an error that names the removed component and the launched process.
pub(super) async fn refuse_if_removed_launch_pending(context: &ActionContext) -> Result<(), ActionError> {
    let (config, now) = (context.view.config(), monotonic_ms());
    let is_configured = |name: &Name| config.components.iter().any(|known| known.name == *name);
    let removed = context.records.all().into_iter().filter(|(name, _)| !is_configured(name));
    let pending = |launch: &LaunchedSession| launch.is_unfinished && now < launch.deadline_ms;
    let pending: Vec<(Name, LaunchedSession)> =
        removed.filter_map(|(name, record)| Some((name, record.launch.filter(pending)?))).collect();
    if pending.is_empty() {
        return Ok(());
    }
    let pending_launch = run_blocking_step(move || {
        let tree = ProcessTree::read().map_err(ActionError::internal)?;
        Ok(pending.into_iter().find(|(_, launch)| launch.is_session_alive(&tree)))
    });
    let Some((name, launch)) = pending_launch.await? else { return Ok(()) };
    let seconds = launch.deadline_ms.saturating_sub(now).div_ceil(1000);
    let reason = format!(
        "a start of {name}, which the configuration no longer has, is under way (pid {}) and may become it; try again in \
         {seconds} s",
        launch.leader.pid
    );
    Err(ActionError::new(ActionErrorKind::PreconditionFailed, reason))
}

/// Refuses while a process exists that was the component and only stopped matching: the configuration or the
/// process itself has changed. A start would run a second one beside it.
///
/// # Errors
/// Returns an error that names such processes.
pub(super) async fn refuse_if_unmatched_remains(context: &ActionContext) -> Result<(), ActionError> {
    let last = context.view.last_processes().await?;
    if last.is_empty() {
        return Ok(());
    }
    let living =
        run_blocking_step(move || Ok(last.into_iter().filter(|id| is_alive(*id)).collect::<Vec<_>>()))
            .await?;
    if living.is_empty() {
        return Ok(());
    }
    let who = describe_processes(&living).await;
    let reason = format!(
        "{who} ran as it, is still there, and does not match its criteria any more; correct the criteria, or end it"
    );
    Err(ActionError::new(ActionErrorKind::PreconditionFailed, reason))
}

/// Returns true if any process of the launch remains.
pub(super) async fn is_launch_remaining(context: &ActionContext) -> Result<bool, ActionError> {
    let mut targets = StopTargets::launched_only(context);
    // A process that left the session is found by its mark alone, in a scan of all.
    Ok(!targets.find_remaining(false).await?.is_empty() || !targets.find_remaining(true).await?.is_empty())
}

/// Ends the launched process and all of its descendants. Returns a sentence on the result; empty if all had
/// ended by themselves.
pub(super) async fn end_launch(context: &ActionContext, launched: &LaunchedCommand) -> String {
    match try_end_launch(context, launched).await {
        Ok(sentence) => sentence,
        Err(error) => format!("what it launched goes on ({})", error.reason),
    }
}

async fn try_end_launch(context: &ActionContext, launched: &LaunchedCommand) -> Result<String, ActionError> {
    let was_running = !launched.has_ended();
    let mut targets = StopTargets::launched_only(context);
    let mut remaining = targets.find_remaining(true).await?;
    let mut denied = None;
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + END_TIMEOUT;
        let mut signalled: HashSet<ProcessId> = HashSet::new();
        while !remaining.is_empty() && Instant::now() < deadline {
            let fresh: Vec<ProcessId> =
                remaining.all().into_iter().filter(|id| signalled.insert(*id)).collect();
            let result = match signal {
                Signal::KILL if !fresh.is_empty() => targets.kill(&remaining).await?,
                _ => targets.signal(&remaining, &fresh, signal).await?,
            };
            denied = denied.or(result.why);
            targets.wait(&remaining, deadline).await?;
            remaining = targets.find_remaining(false).await?;
            if remaining.is_empty() {
                // A process that left the session meanwhile is found by its mark alone, in a scan of all.
                remaining = targets.find_remaining(true).await?;
            }
        }
    }
    let ended = targets.ended_pids(&remaining);
    let is_command_ended = was_running && ended.contains(&launched.pid);
    let rest: Vec<u32> = ended.into_iter().filter(|pid| *pid != launched.pid).collect();
    let mut sentence = match (is_command_ended, rest.as_slice()) {
        (true, []) => format!("the command (pid {}) was still running and has been ended", launched.pid),
        (true, rest) => format!(
            "the command (pid {}) was still running and has been ended, with what it had begun ({})",
            launched.pid,
            format_pids(rest)
        ),
        (false, []) => String::new(),
        (false, rest) => format!("what it had left ({}) has been ended", format_pids(rest)),
    };
    if remaining.is_empty() {
        context.records.remove_launch(&context.component.name);
        return Ok(sentence);
    }
    let why =
        denied.map_or_else(|| "the kernel holds it, perhaps on a disk".to_owned(), |error| error.reason);
    if !sentence.is_empty() {
        sentence.push_str("; ");
    }
    sentence.push_str(&format!(
        "{} did not end even by SIGKILL: {why}",
        describe_processes(&remaining.all()).await
    ));
    Ok(sentence)
}
