//! Performs the effects of the machines on the host.

use std::collections::HashSet;

use rta_shared::action::ActionResult;
use rta_shared::process::ProcessId;
use rta_shared::redact::redact_command_line;
use tokio::time::Instant;

use crate::actions::context::ActionContext;
use crate::actions::error::{ActionError, run_blocking_step};
use crate::actions::external_supervisor::{ExternalSupervisor, ProcessOrigin};
use crate::actions::launch::{LaunchPurpose, LaunchRequest, LaunchedCommand, launch};
use crate::actions::stop_machine::{
    CommandEnd, StopEffect, StopFailure, StopMachine, StopObservation, StopScan,
};
use crate::actions::stop_targets::{RemainingProcesses, StopTargets, describe_processes};
use crate::host::process_tree::ProcessTree;
use crate::host::procfs::ProcFs;

/// Maximum number of processes whose origin is read.
const MAX_ORIGINS: usize = 20;

/// Runs the stop machine until it finishes.
pub(super) async fn run_stop(context: &ActionContext) -> Result<ActionResult, ActionError> {
    let mut machine = StopMachine::new(context.component.stop.clone(), Instant::now().into_std());
    let mut executor = StopExecutor {
        context,
        targets: StopTargets::new(context),
        remaining: RemainingProcesses::default(),
        command: None,
    };
    let mut observation = StopObservation::Begun;
    loop {
        let mut next = None;
        for effect in machine.next(Instant::now().into_std(), observation) {
            match effect {
                StopEffect::Finish(result) => return result,
                effect => next = executor.perform(effect).await.unwrap_or_else(failed_stop).or(next),
            }
        }
        observation = next.ok_or_else(|| ActionError::internal("the stop came to a halt"))?;
    }
}

fn failed_stop(error: ActionError) -> Option<StopObservation> {
    Some(StopObservation::Failed(error))
}

/// Performs the effects of a stop.
struct StopExecutor<'a> {
    context: &'a ActionContext,
    targets: StopTargets<'a>,
    /// Processes of the last scan.
    remaining: RemainingProcesses,
    /// Stop command, until its end has been observed.
    command: Option<LaunchedCommand>,
}

impl StopExecutor<'_> {
    /// Performs an effect; returns the observation that it gives, if any.
    async fn perform(&mut self, effect: StopEffect) -> Result<Option<StopObservation>, ActionError> {
        Ok(Some(match effect {
            StopEffect::Scan { thorough } => {
                self.remaining = self.targets.find_remaining(thorough).await?;
                StopObservation::Scanned(StopScan {
                    matched: self.remaining.matched.clone(),
                    rest: self.remaining.rest.clone(),
                    is_command_running: self.command.as_ref().is_some_and(|it| it.exit_status().is_none()),
                })
            }
            StopEffect::FindSupervisor { matched, own } => {
                StopObservation::SupervisorFound(find_supervisor(matched, own).await)
            }
            StopEffect::LaunchCommand => match self.launch_command().await {
                Ok(pid) => StopObservation::CommandLaunched { pid },
                Err(error) => StopObservation::CommandNotLaunched(error),
            },
            StopEffect::Signal { signal, ids } => {
                let names = describe_processes(&ids).await;
                let result = self.targets.signal(&self.remaining, &ids, signal).await?;
                StopObservation::Signalled { result, names }
            }
            StopEffect::Kill { fresh } => {
                let pids: Vec<u32> = fresh.iter().map(|id| id.pid).collect();
                let component = &self.context.component.name;
                tracing::warn!(%component, ?pids, "did not end in time and is killed");
                let names = describe_processes(&fresh).await;
                let result = self.targets.kill(&self.remaining).await?;
                StopObservation::Signalled { result, names }
            }
            StopEffect::Wait { until } => {
                self.targets.wait(&self.remaining, until.into()).await?;
                StopObservation::Waited(self.take_command_end().await)
            }
            StopEffect::WaitForCommand { until } => {
                if let Some(command) = &mut self.command {
                    let left = Instant::from_std(until).saturating_duration_since(Instant::now());
                    command.wait_for_exit(left).await;
                }
                StopObservation::Waited(self.take_command_end().await)
            }
            StopEffect::Sleep { until } => {
                tokio::time::sleep_until(until.into()).await;
                StopObservation::Waited(None)
            }
            StopEffect::TerminateCommand => StopObservation::CommandTerminated(match self.command.take() {
                Some(command) => command.terminate().await,
                None => false,
            }),
            StopEffect::Explain { failure, remaining } => {
                let starter = match &failure {
                    StopFailure::Restarted { matched, .. } => {
                        find_supervisor(matched.clone(), Vec::new()).await
                    }
                    _ => None,
                };
                let names = describe_processes(&remaining).await;
                StopObservation::Failed(failure.into_error(&names, starter))
            }
            StopEffect::RemoveLaunch => {
                self.context.sessions.remove_launch(&self.context.component.name);
                return Ok(None);
            }
            StopEffect::RemoveCgroup => {
                if let Some(group) = &self.context.cgroup {
                    group.remove();
                }
                return Ok(None);
            }
            StopEffect::Report { phase, text, pids } => {
                self.context.progress.send(phase, text, pids);
                return Ok(None);
            }
            StopEffect::Finish(_) => return Ok(None),
        }))
    }

    /// Runs the configured stop command; returns its PID.
    async fn launch_command(&mut self) -> Result<u32, ActionError> {
        let component = &self.context.component;
        let Some(rule) = component.stop_command() else {
            return Err(ActionError::internal("no stop command is configured"));
        };
        let shown = redact_command_line(rule.command.iter().map(String::as_str));
        let launched = launch(LaunchRequest {
            rule,
            // Not in the component's control group, since it would end itself.
            group: None,
            log: None,
            purpose: LaunchPurpose::Stop,
            component: component.name.clone(),
            launches: self.context.sessions.clone(),
            tasks: self.context.tasks.clone(),
        })
        .await?;
        let pid = launched.pid;
        tracing::info!(component = %component.name, pid, command = shown, "launched");
        self.command = Some(launched);
        Ok(pid)
    }

    /// Returns the end of the stop command once, after it has ended.
    async fn take_command_end(&mut self) -> Option<CommandEnd> {
        let status = self.command.as_ref()?.exit_status()?;
        let command = self.command.take()?;
        let last_line = match status.success() {
            true => None,
            false => command.last_log_lines().await.pop(),
        };
        Some(CommandEnd { status, last_line })
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
