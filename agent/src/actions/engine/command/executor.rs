//! Performs the effects of the machines on the host.

use std::collections::HashSet;
use std::time::Duration;

use rta_shared::action::ActionResult;
use rta_shared::config::{CommandRule, StartRule};
use rta_shared::process::ProcessId;
use rta_shared::redact::redact_command_line;
use rta_shared::report::State;
use tokio::time::Instant;

use crate::actions::action_record::{LaunchedSession, monotonic_ms};
use crate::actions::context::ActionContext;
use crate::actions::error::{ActionError, run_blocking_step};
use crate::actions::external_supervisor::{ExternalSupervisor, ProcessOrigin};
use crate::actions::failed_start_cleanup;
use crate::actions::launch::{LaunchPurpose, LaunchRequest, LaunchedCommand, launch};
use crate::actions::marked_processes::find_marked_processes;
use crate::actions::start_machine::{CommandState, StartEffect, StartMachine, StartObservation, StartScan};
use crate::actions::start_probe::{RepeatedProbe, note_log_end};
use crate::actions::stop_machine::{
    CommandEnd, StopEffect, StopFailure, StopMachine, StopObservation, StopScan,
};
use crate::actions::stop_targets::{RemainingProcesses, StopTargets, describe_processes};
use crate::host::process_tree::ProcessTree;
use crate::host::procfs::ProcFs;
use crate::logs::{LogPath, LogPosition, NotedPosition, noted};

/// Maximum number of processes whose origin is read.
const MAX_ORIGINS: usize = 20;
/// Minimum time for a launch of an earlier agent to become the component, however late this agent began.
const MIN_ADOPTED_TIME: Duration = Duration::from_secs(2);

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
        observation = next.ok_or_else(|| ActionError::internal("the stop returned no effect to observe"))?;
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
                self.context.records.remove_launch(&self.context.component.name);
                return Ok(None);
            }
            StopEffect::RemoveCgroup => {
                if let Some(group) = &self.context.cgroup {
                    group.remove();
                }
                return Ok(None);
            }
            StopEffect::Report(report) => {
                self.context.progress.send_report(report);
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
            launches: self.context.records.clone(),
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

/// Performs the effects of a start.
pub(super) struct StartExecutor<'a> {
    context: &'a ActionContext,
    rule: &'a StartRule,
    command: &'a CommandRule,
    launched: Option<LaunchedCommand>,
    /// True if the members of the session of an ended command are known.
    knows_members: bool,
    probe: Option<RepeatedProbe>,
    /// Beginning of the run's lines in the component's log, if its probe searches them.
    log_start: Option<NotedPosition>,
}

impl<'a> StartExecutor<'a> {
    pub(super) fn new(context: &'a ActionContext, rule: &'a StartRule, command: &'a CommandRule) -> Self {
        Self { context, rule, command, launched: None, knows_members: false, probe: None, log_start: None }
    }

    /// Starts the component.
    pub(super) async fn run(self) -> Result<ActionResult, ActionError> {
        let machine = self.machine();
        self.drive(machine, StartObservation::Begun).await
    }

    /// Continues a start whose command an earlier agent launched, for the rest of its time.
    pub(super) async fn run_adopted(mut self, launch: &LaunchedSession) -> Result<ActionResult, ActionError> {
        let machine = self.machine();
        let (leader, id) = (launch.leader, launch.id.clone());
        let own = LogPath::from_component(&self.context.component);
        let log =
            launch.logs.iter().find(|(path, _)| own.as_ref().is_some_and(|own| own.path() == path.path()));
        self.log_start = log.map(|(_, length)| noted(LogPosition::at(*length)));
        let (known, tasks) = (launch.clone(), self.context.tasks.clone());
        let (launched, members) = run_blocking_step(move || {
            let launched = LaunchedCommand::adopt(&known, &tasks)?;
            let tree = ProcessTree::read().map_err(ActionError::internal)?;
            // Without its leader the session's number may have been reused, so the mark decides.
            let marked = find_marked_processes(&tree, &id);
            let is_member =
                |id: &ProcessId| tree.get(id.pid).is_some_and(|links| links.session == leader.pid);
            Ok((launched, marked.into_iter().filter(is_member).collect()))
        })
        .await?;
        self.context.records.record_members(&self.context.component.name, members);
        let left = Duration::from_millis(launch.deadline_ms.saturating_sub(monotonic_ms()));
        // While the leader lives, the members are read when it ends.
        self.knows_members = launched.has_ended();
        self.launched = Some(launched);
        let left = left.max(MIN_ADOPTED_TIME);
        self.drive(machine, StartObservation::Adopted { pid: leader.pid, left }).await
    }

    fn machine(&self) -> StartMachine {
        let began = Instant::now().into_std();
        StartMachine::new(&self.context.component, self.rule, self.command, began)
    }

    /// Runs the machine until it finishes.
    async fn drive(
        mut self,
        mut machine: StartMachine,
        mut observation: StartObservation,
    ) -> Result<ActionResult, ActionError> {
        loop {
            let mut next = None;
            for effect in machine.next(Instant::now().into_std(), observation) {
                match effect {
                    StartEffect::Finish(result) => return result,
                    effect => {
                        let performed = self.perform(effect).await;
                        next = performed.unwrap_or_else(|error| Some(StartObservation::Failed(error)));
                    }
                }
            }
            observation =
                next.ok_or_else(|| ActionError::internal("the start returned no effect to observe"))?;
        }
    }

    /// Performs an effect; returns the observation that it gives, if any.
    async fn perform(&mut self, effect: StartEffect) -> Result<Option<StartObservation>, ActionError> {
        let (context, name) = (self.context, &self.context.component.name);
        Ok(Some(match effect {
            StartEffect::Scan => StartObservation::Scanned((&context.view.full_scan().await?).into()),
            StartEffect::RefuseObstructed => {
                failed_start_cleanup::refuse_if_launch_remains(context).await?;
                failed_start_cleanup::refuse_if_unmatched_remains(context).await?;
                failed_start_cleanup::refuse_if_removed_launch_pending(context).await?;
                StartObservation::Unobstructed
            }
            StartEffect::Launch => StartObservation::Launched { pid: self.launch_command().await? },
            StartEffect::Check { at, thorough } => {
                tokio::time::sleep_until(at.into()).await;
                self.check(thorough).await.unwrap_or_else(StartObservation::CheckFailed)
            }
            StartEffect::FindLaunchRemains => {
                StartObservation::LaunchRemains(failed_start_cleanup::is_launch_remaining(context).await?)
            }
            StartEffect::ReadCommandExit { limit } => {
                StartObservation::CommandExit(match &mut self.launched {
                    Some(launched) => launched.wait_for_exit(limit).await,
                    None => None,
                })
            }
            StartEffect::FailStart { error, end_launch } => {
                StartObservation::Failed(self.finish_failed_start(error, end_launch).await)
            }
            StartEffect::StartProbe => {
                self.probe = RepeatedProbe::start(&context.component, self.log_start.clone());
                return Ok(None);
            }
            StartEffect::RecordMatched(ids) => {
                context.records.record_matched(name, ids);
                return Ok(None);
            }
            StartEffect::Report(report) => {
                context.progress.send_report(report);
                return Ok(None);
            }
            StartEffect::Finish(_) => return Ok(None),
        }))
    }

    /// Launches the start command; returns its PID.
    async fn launch_command(&mut self) -> Result<u32, ActionError> {
        let (context, component) = (self.context, &self.context.component);
        self.log_start = note_log_end(component).await;
        let launched = launch(LaunchRequest {
            rule: self.command.clone(),
            group: context.cgroup.clone(),
            log: component.log.clone(),
            purpose: LaunchPurpose::Start(self.rule.timeout),
            component: component.name.clone(),
            launches: context.records.clone(),
            tasks: context.tasks.clone(),
        })
        .await?;
        context.view.record_exit(&launched);
        let (pid, shown) =
            (launched.pid, redact_command_line(self.command.command.iter().map(String::as_str)));
        tracing::info!(component = %component.name, pid, command = shown, "launched");
        self.launched = Some(launched);
        Ok(pid)
    }

    /// Checks the processes, after the state of the command.
    async fn check(&mut self, thorough: bool) -> Result<StartObservation, ActionError> {
        let command = self
            .launched
            .as_ref()
            .map(|launched| CommandState { exit: launched.exit_status(), has_ended: launched.has_ended() });
        let command = command.unwrap_or_default();
        if command.has_ended && !self.knows_members {
            self.knows_members = true;
            self.record_session_members().await;
        }
        let found = match thorough {
            true => self.context.view.full_scan().await?,
            false => self.context.view.quick_check().await?,
        };
        if found.state != State::Running {
            // The probe was for another run of the component.
            self.probe = None;
        }
        let probe = self.probe.as_ref().and_then(RepeatedProbe::last_result);
        Ok(StartObservation::Checked { scan: StartScan::from(&found), command, probe })
    }

    /// Records the members of the session that has just lost its leader.
    async fn record_session_members(&self) {
        let Some(leader) = self.launched.as_ref().map(|launched| launched.id) else { return };
        let members = run_blocking_step(move || {
            ProcessTree::read().map(|tree| tree.session_members(leader)).map_err(ActionError::internal)
        });
        match members.await {
            Ok(members) => self.context.records.record_members(&self.context.component.name, members),
            Err(error) => tracing::warn!(reason = error.reason, "a session's members are not known"),
        }
    }

    /// Adds the last log lines to the error of a failed start, and ends what it left.
    async fn finish_failed_start(&self, error: ActionError, end_launch: bool) -> ActionError {
        let Some(launched) = &self.launched else { return error };
        let log = launched.last_log_lines().await;
        let rest = match end_launch {
            true => failed_start_cleanup::end_launch(self.context, launched).await,
            false => String::new(),
        };
        let reason = if rest.is_empty() { error.reason } else { format!("{}; {rest}", error.reason) };
        ActionError { reason, log, ..error }
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
