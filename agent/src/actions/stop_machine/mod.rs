//! Decides how a stop goes on. Pure: takes observations and the time, returns effects to perform.
//!
//! - Terminate: the matched processes get the stop command or the signal; the others that belong to the
//!   component get the signal once the matched ones have ended.
//! - Kill: what is left at the time limit gets SIGKILL, if the configuration allows it.
//! - Settle: the component must not come back for the settle time.
//! - End: a stop command that still runs is ended.

mod effects;
mod failure;
#[cfg(test)]
mod properties;
mod reports;
mod signal_record;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rta_shared::action::{ActionOutcome, ActionPhase, ActionResult};
use rta_shared::config::StopRule;
use rta_shared::process::ProcessId;
use rustix::process::Signal;

pub(super) use self::effects::{CommandEnd, StopEffect, StopObservation, StopScan};
pub(super) use self::failure::StopFailure;
use self::reports::{pids, report, to_signal};
use self::signal_record::SignalRecord;
use super::error::ActionError;
use super::external_supervisor::ExternalSupervisor;
use super::stop_targets::SignalResult;

/// Time limit for a process to end after SIGKILL. One in uninterruptible sleep may take longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of rounds after which a component that matches again counts as restarted by something else. Several
/// rounds are normal: a launcher's children may appear while the launcher ends.
const MAX_ROUNDS: u32 = 10;
/// Interval between two checks whether the component has come back.
const SETTLE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Stop of a component.
#[derive(Debug)]
pub(super) struct StopMachine {
    rule: StopRule,
    began: Instant,
    deadline: Instant,
    phase: StopPhase,
    /// Program that may restart the component.
    supervisor: Option<ExternalSupervisor>,
    remaining: StopScan,
    is_scan_thorough: bool,
    /// Processes found since the stop began, in the order of discovery.
    found: Vec<ProcessId>,
    /// PIDs of the processes that were ended.
    ended: Vec<u32>,
    rounds: u32,
    signals: SignalRecord,
    /// Processes that are signalled next, or were signalled last.
    batch: SignalBatch,
    command: StopCommand,
}

#[derive(Debug)]
enum StopPhase {
    Begin,
    Terminate,
    Kill {
        deadline: Instant,
        killed: HashSet<ProcessId>,
        /// Signal or command that did not end the processes.
        means: String,
    },
    Settle {
        until: Instant,
        outcome: ActionOutcome,
    },
    /// Waits for the end of the stop command.
    End(Result<ActionOutcome, ActionError>),
    Finished,
}

/// Processes that are signalled together.
#[derive(Debug, Default)]
struct SignalBatch {
    processes: Vec<ProcessId>,
    /// True if no process was signalled before.
    is_first: bool,
    are_matched: bool,
}

/// Configured stop command.
#[derive(Debug)]
enum StopCommand {
    Untried,
    Running {
        pid: u32,
    },
    /// Ended with exit status 0.
    Succeeded,
    /// The signal is sent instead.
    Failed,
}

impl StopMachine {
    /// Creates the machine for a stop that begins at `began`. Its first observation is
    /// [`StopObservation::Begun`].
    pub(super) fn new(rule: StopRule, began: Instant) -> Self {
        Self {
            deadline: began + rule.timeout,
            rule,
            began,
            phase: StopPhase::Begin,
            supervisor: None,
            remaining: StopScan::default(),
            is_scan_thorough: false,
            found: Vec::new(),
            ended: Vec::new(),
            rounds: 0,
            signals: SignalRecord::default(),
            batch: SignalBatch::default(),
            command: StopCommand::Untried,
        }
    }

    /// Takes an observation made at `now`, and returns the effects to perform in this order. After
    /// [`StopEffect::Finish`] there are none.
    pub(super) fn next(&mut self, now: Instant, observation: StopObservation) -> Vec<StopEffect> {
        match observation {
            _ if matches!(self.phase, StopPhase::Finished) => Vec::new(),
            StopObservation::Begun => self.scan(true),
            StopObservation::Scanned(scan) => self.after_scan(now, scan),
            StopObservation::SupervisorFound(supervisor) => {
                self.supervisor = supervisor;
                self.phase = StopPhase::Terminate;
                self.terminate_remaining(now)
            }
            StopObservation::CommandLaunched { pid } => {
                let signalled = pids(&self.signals.signalled);
                let mut effects =
                    vec![reports::command_launched(&self.rule, pid), reports::waiting(&self.rule, signalled)];
                self.command = StopCommand::Running { pid };
                effects.extend(self.signal_batch());
                effects
            }
            StopObservation::CommandNotLaunched(error) => {
                self.command = StopCommand::Failed;
                let mut effects = vec![reports::command_not_launched(&error.reason)];
                effects.extend(self.signal_batch());
                effects
            }
            StopObservation::Signalled { result, names } => self.after_signal(now, result, &names),
            StopObservation::Waited(command_end) => self.after_wait(now, command_end),
            StopObservation::CommandTerminated(was_running) => self.finish(now, was_running),
            StopObservation::Failed(error) => self.end(now, Err(error)),
        }
    }

    fn scan(&mut self, thorough: bool) -> Vec<StopEffect> {
        self.is_scan_thorough = thorough;
        vec![StopEffect::Scan { thorough }]
    }

    fn after_scan(&mut self, now: Instant, scan: StopScan) -> Vec<StopEffect> {
        let known: HashSet<ProcessId> = self.found.iter().copied().collect();
        self.found.extend(scan.all().into_iter().filter(|id| !known.contains(id)));
        self.remaining = scan;
        match &self.phase {
            StopPhase::Begin if self.remaining.is_empty() => {
                self.phase = StopPhase::Finished;
                vec![StopEffect::Finish(Ok(self.result(now, ActionOutcome::AlreadyStopped)))]
            }
            StopPhase::Begin => {
                let (matched, own) = (self.remaining.matched.clone(), self.remaining.all());
                vec![StopEffect::FindSupervisor { matched, own }]
            }
            StopPhase::Terminate => self.terminate_remaining(now),
            StopPhase::Kill { .. } => self.kill_remaining(now),
            StopPhase::Settle { .. } if !self.remaining.matched.is_empty() => self.fail_restarted(),
            // A process that only a scan of all finds must not be missed at the end.
            StopPhase::Settle { until, .. } if now >= *until && !self.is_scan_thorough => self.scan(true),
            StopPhase::Settle { until, outcome } => self.settle(now, *until, *outcome),
            StopPhase::End(_) | StopPhase::Finished => Vec::new(),
        }
    }

    fn terminate_remaining(&mut self, now: Instant) -> Vec<StopEffect> {
        if self.remaining.is_empty() && !self.is_scan_thorough {
            return self.scan(true);
        }
        if self.remaining.is_empty() && !self.remaining.is_command_running {
            return self.begin_settling(now, ActionOutcome::Stopped);
        }
        if now >= self.deadline {
            return self.begin_killing(now);
        }
        if self.remaining.is_empty() {
            return vec![StopEffect::WaitForCommand { until: self.deadline }];
        }
        self.terminate_new()
    }

    /// Terminates processes that were not signalled yet: the matched ones, by the stop command or the signal,
    /// and only after these have ended the others.
    fn terminate_new(&mut self) -> Vec<StopEffect> {
        let are_matched = !self.remaining.matched.is_empty();
        let group = self.remaining.first_group().iter();
        let fresh: Vec<ProcessId> =
            group.filter(|id| !self.signals.signalled.contains(id)).copied().collect();
        if fresh.is_empty() {
            return self.wait_unless_all_denied();
        }
        let is_first = self.signals.signalled.is_empty();
        self.signals.signalled.extend(&fresh);
        self.batch = SignalBatch { processes: fresh, is_first, are_matched };
        if are_matched {
            self.rounds += 1;
            if self.rounds > MAX_ROUNDS {
                return self.fail_restarted();
            }
            if let StopCommand::Untried = self.command {
                if !self.rule.command.is_empty() {
                    return vec![StopEffect::LaunchCommand];
                }
                self.command = StopCommand::Failed;
            }
        }
        self.signal_batch()
    }

    /// Signals the batch. If the stop command is to end it, its stopped processes are only resumed, since
    /// they would not act on the command's signal.
    fn signal_batch(&self) -> Vec<StopEffect> {
        let signal = match self.is_batch_for_command() {
            true => Signal::CONT,
            false => to_signal(self.rule.signal),
        };
        vec![StopEffect::Signal { signal, ids: self.batch.processes.clone() }]
    }

    fn is_batch_for_command(&self) -> bool {
        let by_command = matches!(self.command, StopCommand::Running { .. } | StopCommand::Succeeded);
        self.batch.are_matched && by_command
    }

    fn after_signal(&mut self, now: Instant, result: SignalResult, names: &str) -> Vec<StopEffect> {
        match &self.phase {
            StopPhase::Terminate if self.is_batch_for_command() => {
                // Whether the agent may signal them does not matter to the command.
                let result = SignalResult { denied: Vec::new(), why: None, ..result };
                let mut effects = self.signals.add(result).1;
                effects.extend(self.wait_unless_all_denied());
                effects
            }
            StopPhase::Terminate => {
                let (reached, mut effects) = self.signals.add(result);
                if !reached.is_empty() {
                    let (signal, are_matched) = (self.rule.signal, self.batch.are_matched);
                    effects.push(reports::signal_sent(signal, are_matched, names, reached.clone()));
                    if self.batch.is_first {
                        effects.push(reports::waiting(&self.rule, reached));
                    }
                }
                effects.extend(self.wait_unless_all_denied());
                effects
            }
            StopPhase::Kill { deadline, means, .. } => {
                let killed = reports::killed(&self.rule, means, names, pids(&self.batch.processes));
                let wait = StopEffect::Wait { until: *deadline };
                let mut effects = self.signals.add(result).1;
                match self.fail_if_all_denied() {
                    Some(failed) => effects.push(failed),
                    None => effects.extend([killed, wait]),
                }
                effects
            }
            StopPhase::Begin | StopPhase::Settle { .. } | StopPhase::End(_) | StopPhase::Finished => {
                self.end(now, Err(ActionError::internal("the stop received an unexpected observation")))
            }
        }
    }

    fn wait_unless_all_denied(&mut self) -> Vec<StopEffect> {
        vec![self.fail_if_all_denied().unwrap_or(StopEffect::Wait { until: self.deadline })]
    }

    fn fail_if_all_denied(&mut self) -> Option<StopEffect> {
        let error = self.signals.take_denial(self.remaining.first_group())?;
        Some(self.explain(StopFailure::Denied(error)))
    }

    fn after_wait(&mut self, now: Instant, command_end: Option<CommandEnd>) -> Vec<StopEffect> {
        let mut effects = Vec::new();
        if let StopPhase::Terminate = self.phase
            && let StopCommand::Running { pid } = self.command
            && let Some(end) = command_end
        {
            effects.extend(self.record_command_end(pid, &end));
        }
        let thorough = match &self.phase {
            StopPhase::Settle { until, .. } => now >= *until,
            // If nothing was left but the command, a scan of all follows at once.
            _ => self.remaining.is_empty(),
        };
        effects.extend(self.scan(thorough));
        effects
    }

    /// Records the end of the command. If it failed, the processes that it was to end are signalled.
    fn record_command_end(&mut self, pid: u32, end: &CommandEnd) -> Option<StopEffect> {
        if end.status.success() {
            self.command = StopCommand::Succeeded;
            return None;
        }
        self.command = StopCommand::Failed;
        self.signals.signalled.clear();
        Some(reports::command_failed(pid, end))
    }

    /// Escalates after the time limit.
    fn begin_killing(&mut self, now: Instant) -> Vec<StopEffect> {
        if self.remaining.is_empty() {
            // Only the command has not ended.
            return self.begin_settling(now, ActionOutcome::Stopped);
        }
        let means = match self.command {
            StopCommand::Running { .. } | StopCommand::Succeeded => "its stop command".to_owned(),
            StopCommand::Untried | StopCommand::Failed => self.rule.signal.to_string(),
        };
        if !self.rule.kill {
            let frozen = self.signals.explain_frozen(&self.remaining.all());
            return vec![self.explain(StopFailure::TimedOut { limit: self.rule.timeout, means, frozen })];
        }
        self.phase = StopPhase::Kill { deadline: now + KILL_TIMEOUT, killed: HashSet::new(), means };
        self.kill_new()
    }

    fn kill_remaining(&mut self, now: Instant) -> Vec<StopEffect> {
        if self.remaining.is_empty() {
            return match self.is_scan_thorough {
                true => self.begin_settling(now, ActionOutcome::Killed),
                false => self.scan(true),
            };
        }
        match &self.phase {
            StopPhase::Kill { deadline, killed, .. } if now >= *deadline => {
                let survivors = self.remaining.all();
                if !survivors.iter().any(|id| killed.contains(id)) {
                    return self.fail_restarted();
                }
                let frozen = self.signals.explain_frozen(&survivors);
                vec![self.explain(StopFailure::Unkillable { frozen })]
            }
            _ => self.kill_new(),
        }
    }

    fn kill_new(&mut self) -> Vec<StopEffect> {
        let StopPhase::Kill { deadline, killed, .. } = &mut self.phase else { return Vec::new() };
        let all = self.remaining.all().into_iter();
        let fresh: Vec<ProcessId> = all.filter(|id| !killed.contains(id)).collect();
        if fresh.is_empty() {
            return vec![StopEffect::Wait { until: *deadline }];
        }
        self.rounds += u32::from(!killed.is_empty());
        killed.extend(&fresh);
        if self.rounds > MAX_ROUNDS {
            return self.fail_restarted();
        }
        self.batch = SignalBatch { processes: fresh.clone(), ..SignalBatch::default() };
        vec![StopEffect::Kill { fresh }]
    }

    /// Begins to check that the component does not come back, if something may restart it.
    fn begin_settling(&mut self, now: Instant, outcome: ActionOutcome) -> Vec<StopEffect> {
        self.ended = pids(&self.found);
        let settle = match (self.rule.settle, &self.supervisor) {
            (Some(settle), _) => settle,
            (None, Some(_)) => StopRule::SETTLE,
            (None, None) => Duration::ZERO,
        };
        let until = now + settle;
        let mut effects = Vec::new();
        if let Some(supervisor) = self.supervisor.as_ref().filter(|by| !settle.is_zero() && by.is_known()) {
            let text = format!("it is gone, and is watched for {} s: {supervisor}", settle.as_secs_f64());
            effects.push(report(ActionPhase::Waiting, text, Vec::new()));
        }
        effects.extend(self.settle(now, until, outcome));
        effects
    }

    fn settle(&mut self, now: Instant, until: Instant, outcome: ActionOutcome) -> Vec<StopEffect> {
        if now >= until {
            return self.end(now, Ok(outcome));
        }
        self.phase = StopPhase::Settle { until, outcome };
        vec![StopEffect::Sleep { until: until.min(now + SETTLE_CHECK_INTERVAL) }]
    }

    /// Fails, since the component was started again in the meantime.
    fn fail_restarted(&self) -> Vec<StopEffect> {
        let remaining: HashSet<ProcessId> = self.remaining.all().into_iter().collect();
        let ended = pids(self.found.iter().filter(|id| !remaining.contains(id)));
        let matched = self.remaining.matched.clone();
        let supervisor = self.supervisor.clone();
        vec![self.explain(StopFailure::Restarted { ended, matched, supervisor })]
    }

    fn explain(&self, failure: StopFailure) -> StopEffect {
        StopEffect::Explain { failure, remaining: self.remaining.all() }
    }

    fn end(&mut self, now: Instant, result: Result<ActionOutcome, ActionError>) -> Vec<StopEffect> {
        self.phase = StopPhase::End(result);
        match self.command {
            // The stop is over; the command is no longer needed.
            StopCommand::Running { .. } => vec![StopEffect::TerminateCommand],
            StopCommand::Untried | StopCommand::Succeeded | StopCommand::Failed => self.finish(now, false),
        }
    }

    fn finish(&mut self, now: Instant, was_command_running: bool) -> Vec<StopEffect> {
        let StopPhase::End(result) = std::mem::replace(&mut self.phase, StopPhase::Finished) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        if let StopCommand::Running { pid } = self.command
            && was_command_running
        {
            effects.push(reports::command_terminated(pid));
        }
        if result.is_ok() {
            let gone = report(ActionPhase::Gone, "nothing of it is left", self.ended.clone());
            effects.extend([StopEffect::RemoveLaunch, gone, StopEffect::RemoveCgroup]);
        }
        effects.push(StopEffect::Finish(result.map(|outcome| self.result(now, outcome))));
        effects
    }

    fn result(&self, now: Instant, outcome: ActionOutcome) -> ActionResult {
        let took = now.saturating_duration_since(self.began);
        ActionResult { outcome, pids: self.ended.clone(), took, warning: None }
    }
}
