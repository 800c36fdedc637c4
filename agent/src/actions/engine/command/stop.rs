//! Stops a component: terminates the matched processes, then the remaining ones, and finally escalates as
//! configured.

use std::collections::HashSet;
use std::time::Duration;

use rta_shared::action::{ActionOutcome, ActionPhase, ActionResult};
use rta_shared::config::{StopRule, StopSignal};
use rta_shared::format::counted;
use rta_shared::process::ProcessId;
use rta_shared::redact::redact_command_line;
use rustix::process::Signal;
use tokio::time::Instant;
use tonic::Code;

use crate::actions::component_view::format_pids;
use crate::actions::context::ActionContext;
use crate::actions::error::{ActionError, run_blocking_step};
use crate::actions::exit_status::format_exit_status;
use crate::actions::external_supervisor::{ExternalSupervisor, ProcessOrigin};
use crate::actions::launch::{LaunchPurpose, LaunchRequest, LaunchedCommand, launch};
use crate::actions::stop_targets::{RemainingProcesses, SignalResult, StopTargets, describe_processes};
use crate::actions::suspended_processes::{FrozenProcesses, format_resumed};
use crate::host::process_tree::ProcessTree;
use crate::host::procfs::ProcFs;

/// Time limit for a process to end after SIGKILL. One in uninterruptible sleep may take longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of rounds after which a component that matches again counts as restarted by something else. Several
/// rounds are normal: a launcher's children may appear while the launcher ends.
const MAX_ROUNDS: u32 = 10;
/// Interval between two checks whether the component has come back.
const SETTLE_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum number of processes whose origin is read.
const MAX_ORIGINS: usize = 20;

/// Stops a component. If none of its processes exists, nothing is signalled.
pub(crate) async fn stop_component(context: &ActionContext) -> Result<ActionResult, ActionError> {
    let began = Instant::now();
    let mut targets = StopTargets::new(context);
    let remaining = targets.find_remaining(true).await?;
    if remaining.is_empty() {
        return Ok(ActionResult {
            outcome: ActionOutcome::AlreadyStopped,
            pids: Vec::new(),
            took: began.elapsed(),
            warning: None,
        });
    }
    let deadline = began + context.component.stop.timeout;
    let supervisor = find_supervisor(remaining.matched.clone(), remaining.all()).await;
    let mut stop = RunningStop {
        context,
        targets,
        supervisor,
        deadline,
        rounds: 0,
        signalled: HashSet::new(),
        denied: HashSet::new(),
        why_denied: None,
        frozen: FrozenProcesses::default(),
        command: StopCommand::Untried,
    };
    let outcome = stop.wait_until_gone(remaining).await;
    let pids = stop.targets.found_pids();
    let outcome = match outcome {
        Ok(outcome) => stop.verify_stays_stopped().await.map(|()| outcome),
        Err(error) => Err(error),
    };
    // The command has done its work, or never will.
    if let StopCommand::Running(command) = stop.command {
        let pid = command.pid;
        if command.terminate().await {
            let text = format!("its stop command (pid {pid}) was still running and has been ended");
            context.progress.send(ActionPhase::Waiting, text, vec![pid]);
        }
    }
    let outcome = outcome?;
    context.sessions.remove_launch(&context.component.name);
    context.progress.send(ActionPhase::Gone, "nothing of it is left", pids.clone());
    if let Some(group) = &context.cgroup {
        group.remove();
    }
    Ok(ActionResult { outcome, pids, took: began.elapsed(), warning: None })
}

/// Running stop.
struct RunningStop<'a> {
    context: &'a ActionContext,
    targets: StopTargets<'a>,
    /// Program that may restart the component.
    supervisor: Option<ExternalSupervisor>,
    deadline: Instant,
    rounds: u32,
    /// Processes that got the signal, or that the command is to end.
    signalled: HashSet<ProcessId>,
    /// Processes that the agent may not signal.
    denied: HashSet<ProcessId>,
    why_denied: Option<ActionError>,
    frozen: FrozenProcesses,
    command: StopCommand,
}

/// Configured stop command.
enum StopCommand {
    Untried,
    Running(LaunchedCommand),
    /// Ended with exit status 0.
    Succeeded,
    /// The signal is sent instead.
    Failed,
}

impl RunningStop<'_> {
    async fn wait_until_gone(
        &mut self,
        mut remaining: RemainingProcesses,
    ) -> Result<ActionOutcome, ActionError> {
        loop {
            if remaining.is_empty() {
                remaining = self.targets.find_remaining(true).await?;
            }
            if remaining.is_empty() && !self.is_command_busy() {
                return Ok(ActionOutcome::Stopped);
            }
            if Instant::now() >= self.deadline {
                return self.kill_remaining(remaining).await;
            }
            if remaining.is_empty() {
                // Only the command is left.
                self.wait_for_command().await;
                self.check_command().await;
                continue;
            }
            self.terminate_new(&remaining).await?;
            self.refuse_if_all_denied(&remaining).await?;
            self.targets.wait(&remaining, self.deadline).await?;
            self.check_command().await;
            remaining = self.targets.find_remaining(false).await?;
        }
    }

    fn is_command_busy(&self) -> bool {
        matches!(&self.command, StopCommand::Running(command) if command.exit_status().is_none())
    }

    async fn wait_for_command(&mut self) {
        if let StopCommand::Running(command) = &mut self.command {
            command.wait_for_exit(self.deadline.saturating_duration_since(Instant::now())).await;
        }
    }

    /// Records the result of a signal and reports suspended processes. Returns the PIDs that the signal
    /// reached.
    fn record_signalled(&mut self, signalled: SignalResult) -> Vec<u32> {
        self.denied.extend(signalled.denied);
        if self.why_denied.is_none() {
            self.why_denied = signalled.why;
        }
        if let Some(text) = format_resumed(&signalled.resumed) {
            self.context.progress.send(
                ActionPhase::Signalled,
                text,
                signalled.resumed.iter().map(|id| id.pid).collect(),
            );
        }
        let frozen: Vec<ProcessId> = signalled.frozen.iter().map(|(id, _)| *id).collect();
        self.frozen.update(&signalled.reached, signalled.frozen);
        if let Some(why) = self.frozen.explain(&frozen) {
            self.context.progress.send(ActionPhase::Waiting, why, frozen.iter().map(|id| id.pid).collect());
        }
        signalled.reached.iter().map(|id| id.pid).collect()
    }

    /// Succeeds if at least one remaining process can be waited for.
    ///
    /// # Errors
    /// Returns an error if the agent may signal none of the remaining processes.
    async fn refuse_if_all_denied(&mut self, remaining: &RemainingProcesses) -> Result<(), ActionError> {
        let those = if remaining.matched.is_empty() { &remaining.rest } else { &remaining.matched };
        if !those.iter().all(|id| self.denied.contains(id)) {
            return Ok(());
        }
        let Some(error) = self.why_denied.take() else { return Ok(()) };
        let reason = format!("{}; still there: {}", error.reason, describe_processes(&remaining.all()).await);
        Err(ActionError { reason, ..error })
    }

    /// Terminates processes that were not signalled yet: the matched ones, by the stop command or the signal,
    /// and only after these have ended the others.
    async fn terminate_new(&mut self, remaining: &RemainingProcesses) -> Result<(), ActionError> {
        let are_matched = !remaining.matched.is_empty();
        let those = if are_matched { &remaining.matched } else { &remaining.rest };
        let fresh: Vec<ProcessId> = those.iter().filter(|id| !self.signalled.contains(id)).copied().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let is_first = self.signalled.is_empty();
        self.signalled.extend(&fresh);
        if are_matched {
            self.rounds += 1;
            if self.rounds > MAX_ROUNDS {
                return Err(self.restarted_error(remaining).await);
            }
            if matches!(self.command, StopCommand::Untried) {
                self.run_command().await;
            }
            if matches!(self.command, StopCommand::Running(_) | StopCommand::Succeeded) {
                // The command signals them too; a stopped process would not act on that.
                let resumed = self.targets.signal(remaining, &fresh, Signal::CONT).await?;
                self.record_signalled(SignalResult { denied: Vec::new(), why: None, ..resumed });
                return Ok(());
            }
        }
        let signal = self.context.component.stop.signal;
        let named = describe_processes(&fresh).await;
        let signalled = self.targets.signal(remaining, &fresh, to_signal(signal)).await?;
        let pids = self.record_signalled(signalled);
        if pids.is_empty() {
            return Ok(());
        }
        let text = match are_matched {
            true => format!("{signal} was sent to {named}"),
            false => format!("{signal} was sent to what it left behind: {named}"),
        };
        self.context.progress.send(ActionPhase::Signalled, text, pids.clone());
        if is_first {
            self.report_waiting(pids);
        }
        Ok(())
    }

    fn report_waiting(&self, pids: Vec<u32>) {
        let (count, seconds) =
            (counted(pids.len(), "process"), self.context.component.stop.timeout.as_secs());
        let then = if self.context.component.stop.kill { "SIGKILL follows" } else { "it is given up" };
        let text = format!("waiting for the end of {count}; {then} after {seconds} s");
        self.context.progress.send(ActionPhase::Waiting, text, pids);
    }

    /// Runs the configured command, if there is one.
    async fn run_command(&mut self) {
        let Some(rule) = self.context.component.stop_command() else {
            self.command = StopCommand::Failed;
            return;
        };
        let program = redact_command_line(rule.command.first().map(String::as_str));
        // Not in the component's control group, since it would end itself.
        match launch(LaunchRequest {
            rule: rule.clone(),
            group: None,
            log: None,
            purpose: LaunchPurpose::Stop,
            component: self.context.component.name.clone(),
            launches: self.context.sessions.clone(),
            tasks: self.context.tasks.clone(),
        })
        .await
        {
            Ok(launched) => {
                let pid = launched.pid;
                let shown = redact_command_line(rule.command.iter().map(String::as_str));
                tracing::info!(component = %self.context.component.name, pid, command = shown, "launched");
                let text = format!("its stop command {program} runs (pid {pid})");
                self.context.progress.send(ActionPhase::Signalled, text, vec![pid]);
                self.report_waiting(self.signalled.iter().map(|id| id.pid).collect());
                self.command = StopCommand::Running(launched);
            }
            Err(error) => {
                let text = format!("its stop command did not run, so it is signalled: {}", error.reason);
                self.context.progress.send(ActionPhase::Waiting, text, Vec::new());
                self.command = StopCommand::Failed;
            }
        }
    }

    /// Checks for the end of the command. If it failed, the processes that it was to end are signalled.
    async fn check_command(&mut self) {
        let StopCommand::Running(command) = &self.command else { return };
        let Some(status) = command.exit_status() else { return };
        if status.success() {
            self.command = StopCommand::Succeeded;
            return;
        }
        let mut text =
            format!("its stop command ended with {}, so it is signalled", format_exit_status(status));
        if let Some(last) = command.last_log_lines().await.last() {
            text.push_str(&format!("; it said: {last}"));
        }
        self.context.progress.send(ActionPhase::Waiting, text, vec![command.pid]);
        self.command = StopCommand::Failed;
        self.signalled.clear();
    }

    /// Escalates after the time limit: kills the remaining processes if that is configured.
    async fn kill_remaining(
        &mut self,
        mut remaining: RemainingProcesses,
    ) -> Result<ActionOutcome, ActionError> {
        let rule = &self.context.component.stop;
        let seconds = rule.timeout.as_secs();
        let of_what = match self.command {
            StopCommand::Running(_) | StopCommand::Succeeded => "its stop command".to_owned(),
            StopCommand::Untried | StopCommand::Failed => rule.signal.to_string(),
        };
        if remaining.is_empty() {
            // Only the command has not ended.
            return Ok(ActionOutcome::Stopped);
        }
        if !rule.kill {
            let named = describe_processes(&remaining.all()).await;
            let mut reason = format!(
                "{named} did not end within {seconds} s of {of_what}, and kill = false in its configuration"
            );
            if let Some(why) = self.frozen.explain(&remaining.all()) {
                reason.push_str(&format!("; {why}"));
            }
            return Err(ActionError::new(Code::DeadlineExceeded, reason));
        }
        let deadline = Instant::now() + KILL_TIMEOUT;
        let mut killed: HashSet<ProcessId> = HashSet::new();
        loop {
            let fresh: Vec<ProcessId> =
                remaining.all().into_iter().filter(|id| !killed.contains(id)).collect();
            if !fresh.is_empty() {
                self.rounds += u32::from(!killed.is_empty());
                if self.rounds > MAX_ROUNDS {
                    return Err(self.restarted_error(&remaining).await);
                }
                let pids: Vec<u32> = fresh.iter().map(|id| id.pid).collect();
                tracing::warn!(component = %self.context.component.name, ?pids, "did not end in time and is killed");
                let text = format!(
                    "not ended within {seconds} s of {of_what}: SIGKILL was sent to {}",
                    describe_processes(&fresh).await
                );
                killed.extend(fresh);
                let signalled = self.targets.kill(&remaining).await?;
                self.record_signalled(signalled);
                self.refuse_if_all_denied(&remaining).await?;
                self.context.progress.send(ActionPhase::Killed, text, pids);
            }
            self.targets.wait(&remaining, deadline).await?;
            remaining = self.targets.find_remaining(false).await?;
            if remaining.is_empty() {
                remaining = self.targets.find_remaining(true).await?;
            }
            if remaining.is_empty() {
                return Ok(ActionOutcome::Killed);
            }
            if Instant::now() >= deadline {
                let survivors = remaining.all();
                if !survivors.iter().any(|id| killed.contains(id)) {
                    return Err(self.restarted_error(&remaining).await);
                }
                let (named, seconds) = (describe_processes(&survivors).await, KILL_TIMEOUT.as_secs());
                let why = self
                    .frozen
                    .explain(&survivors)
                    .unwrap_or_else(|| "the kernel holds it, perhaps on a disk".to_owned());
                let reason = format!("{named} did not end within {seconds} s of SIGKILL; {why}");
                return Err(ActionError::new(Code::DeadlineExceeded, reason));
            }
        }
    }

    /// Checks during the settle time that the component does not come back.
    ///
    /// # Errors
    /// Returns an error if it comes back, with the cause and how to stop it there.
    async fn verify_stays_stopped(&mut self) -> Result<(), ActionError> {
        let settle = match (self.context.component.stop.settle, &self.supervisor) {
            (Some(settle), _) => settle,
            (None, Some(_)) => StopRule::SETTLE,
            (None, None) => Duration::ZERO,
        };
        if settle.is_zero() {
            return Ok(());
        }
        if let Some(supervisor) = self.supervisor.as_ref().filter(|supervisor| supervisor.is_known()) {
            let text = format!("it is gone, and is watched for {} s: {supervisor}", settle.as_secs_f64());
            self.context.progress.send(ActionPhase::Waiting, text, Vec::new());
        }
        let until = Instant::now() + settle;
        while Instant::now() < until {
            tokio::time::sleep(SETTLE_CHECK_INTERVAL.min(until.saturating_duration_since(Instant::now())))
                .await;
            let remaining = self.targets.find_remaining(Instant::now() >= until).await?;
            if !remaining.matched.is_empty() {
                return Err(self.restarted_error(&remaining).await);
            }
        }
        Ok(())
    }

    /// Creates the error for a component that was started again in the meantime: ended processes do not
    /// come back.
    async fn restarted_error(&self, remaining: &RemainingProcesses) -> ActionError {
        let ended = format_pids(&self.targets.ended_pids(remaining));
        let supervisor =
            find_supervisor(remaining.matched.clone(), Vec::new()).await.or_else(|| self.supervisor.clone());
        let by = supervisor.map_or_else(|| "something else starts it".to_owned(), |by| by.to_string());
        let who = describe_processes(&remaining.all()).await;
        ActionError::new(Code::Aborted, format!("it was ended ({ended}), but {who} came in its place: {by}"))
    }
}

/// Returns what else starts one of `matched`, as far as that can be determined; `own` are the processes of
/// the component itself.
async fn find_supervisor(matched: Vec<ProcessId>, own: Vec<ProcessId>) -> Option<ExternalSupervisor> {
    let read = run_blocking_step(move || {
        let own: HashSet<u32> = own.iter().map(|id| id.pid).collect();
        let (Ok(proc), Ok(tree)) = (ProcFs::open(), ProcessTree::read()) else { return Ok(None) };
        let origins = matched.iter().take(MAX_ORIGINS).map(|id| ProcessOrigin::read(&proc, &tree, *id, &own));
        Ok(origins.into_iter().find_map(|origin| origin.supervisor()))
    });
    // A failed read counts as unknown.
    read.await.ok().flatten()
}

fn to_signal(signal: StopSignal) -> Signal {
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
