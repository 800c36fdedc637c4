//! Decides how a start by a command goes on. Pure: takes observations and the time, returns effects to
//! perform.
//!
//! - Begin: nothing is launched if the component runs already, or if something of an earlier start is in the
//!   way.
//! - Wait: the processes are checked until the component is stable, or until it or the command has failed, or
//!   a time limit is over. What a failed start left is ended, unless it is the component that runs.

mod effects;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rta_shared::action::{ActionOutcome, ActionPhase, ActionResult};
use rta_shared::config::{CommandRule, HostComponent, ProbeRule, StartRule, SuccessExitStatus};
use rta_shared::process::ProcessId;
use rta_shared::redact::redact_command_line;
use rta_shared::report::State;

pub(super) use self::effects::{CommandState, StartEffect, StartObservation, StartScan};
use super::component_view::format_pids;
use super::error::{ActionError, ActionErrorKind};
use super::exit_status::format_exit_status;
use super::progress::ProgressReport;
use super::stable_wait::{CHECK_INTERVAL, StableCheck, StableLimit, StableVerdict, StableWait};

/// Number of checks, while nothing matches, after which one is a full scan: one a second. A quick check does
/// not see a changed process title.
const FULL_SCAN_EVERY: u32 = 10;
/// Time limit for the exit status of an ended process to become known.
const EXIT_STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Start of a component by a command.
#[derive(Debug)]
pub(super) struct StartMachine {
    rule: StartRule,
    /// Program of the command, safe to show.
    program: String,
    probe: Option<ProbeRule>,
    success: SuccessExitStatus,
    began: Instant,
    phase: StartPhase,
}

#[derive(Debug)]
enum StartPhase {
    Begin,
    Wait(Box<LaunchWait>),
    Finished,
}

/// Wait for a launched command to become the component.
#[derive(Debug)]
struct LaunchWait {
    /// PID of the command.
    pid: u32,
    stable: StableWait,
    checks: u32,
    /// PIDs of processes that matched and ended while the command continued: a launcher's helper carries the
    /// component's arguments for a moment, as that of Spark does.
    ended_matches: Vec<u32>,
    /// True if they ended just before the last check.
    has_just_ended: bool,
    /// Missing parts at the last check, if only some processes ran.
    partial: Option<String>,
    command: CommandState,
}

impl StartMachine {
    /// Creates the machine for a start of `component` that begins at `began`. Its first observation is
    /// [`StartObservation::Begun`] or [`StartObservation::Adopted`].
    pub(super) fn new(
        component: &HostComponent,
        rule: &StartRule,
        command: &CommandRule,
        began: Instant,
    ) -> Self {
        Self {
            rule: rule.clone(),
            program: redact_command_line(command.command.first().map(String::as_str)),
            probe: component.probe.clone(),
            success: component.restart.success,
            began,
            phase: StartPhase::Begin,
        }
    }

    /// Takes an observation made at `now`, and returns the effects to perform in this order. After
    /// [`StartEffect::Finish`] there are none.
    pub(super) fn next(&mut self, now: Instant, observation: StartObservation) -> Vec<StartEffect> {
        match (&mut self.phase, observation) {
            (StartPhase::Finished, _) => Vec::new(),
            (StartPhase::Begin, StartObservation::Begun) => vec![StartEffect::Scan],
            (StartPhase::Begin, StartObservation::Scanned(scan)) => self.after_scan(now, scan),
            (StartPhase::Begin, StartObservation::Unobstructed) => vec![StartEffect::Launch],
            (StartPhase::Begin, StartObservation::Launched { pid }) => {
                let (program, seconds) = (&self.program, self.rule.timeout.as_secs());
                let launched = format!("{program} was launched (pid {pid})");
                let waiting = format!("waiting up to {seconds} s until its criteria match");
                let mut effects = vec![
                    report(ActionPhase::Launched, launched, vec![pid]),
                    report(ActionPhase::Waiting, waiting, vec![]),
                ];
                effects.extend(self.begin_wait(now, pid, self.rule.timeout));
                effects
            }
            (StartPhase::Begin, StartObservation::Adopted { pid, left }) => {
                let text =
                    format!("waiting for the command launched before the agent was restarted (pid {pid})");
                let mut effects = vec![report(ActionPhase::Waiting, text, vec![pid])];
                effects.extend(self.begin_wait(now, pid, left));
                effects
            }
            (StartPhase::Wait(wait), StartObservation::Checked { scan, command, probe }) => {
                wait.command = command;
                wait.partial = (scan.state == State::Partial).then_some(scan.missing);
                let is_whole = scan.state == State::Running;
                self.after_check(now, StableCheck { processes: scan.processes, is_whole, probe })
            }
            (StartPhase::Wait(_), StartObservation::LaunchRemains(true)) => self.go_on(now),
            (StartPhase::Wait(wait), StartObservation::LaunchRemains(false)) => wait.read_exit_of_ended(),
            (StartPhase::Wait(wait), StartObservation::CommandExit(exit)) => {
                let error = wait.early_exit_error(exit, self.success);
                vec![StartEffect::FailStart { error, end_launch: true }]
            }
            (StartPhase::Wait(wait), StartObservation::CheckFailed(error)) => {
                let reason = format!("{}; what was launched (pid {}) goes on", error.reason, wait.pid);
                self.finish(Err(ActionError { reason, ..error }))
            }
            (_, StartObservation::Failed(error) | StartObservation::CheckFailed(error)) => {
                self.finish(Err(error))
            }
            _ => self.finish(Err(ActionError::internal("the start received an unexpected observation"))),
        }
    }

    /// Decides on the processes that are there before the launch.
    fn after_scan(&mut self, now: Instant, scan: StartScan) -> Vec<StartEffect> {
        match scan.state {
            State::Running => {
                let done = self.result(now, ActionOutcome::AlreadyRunning, &scan.processes);
                let mut effects = vec![StartEffect::RecordMatched(scan.processes)];
                effects.extend(self.finish(Ok(done)));
                effects
            }
            State::Partial => {
                let missing = scan.missing;
                let reason = format!("some of its processes run already, missing: {missing}; stop it first");
                self.finish(Err(ActionError::new(ActionErrorKind::PreconditionFailed, reason)))
            }
            State::Stopped | State::Starting | State::Stopping | State::Unknown => {
                vec![StartEffect::RefuseObstructed]
            }
        }
    }

    fn begin_wait(&mut self, now: Instant, pid: u32, left: Duration) -> Vec<StartEffect> {
        let wait = LaunchWait {
            pid,
            stable: StableWait::new(&self.rule, self.probe.clone(), now, left),
            checks: 1,
            ended_matches: Vec::new(),
            has_just_ended: false,
            partial: None,
            command: CommandState::default(),
        };
        self.phase = StartPhase::Wait(Box::new(wait));
        vec![StartEffect::Check { at: now, thorough: false }]
    }

    fn after_check(&mut self, now: Instant, check: StableCheck) -> Vec<StartEffect> {
        let StartPhase::Wait(wait) = &mut self.phase else { return Vec::new() };
        let (verdict, news) = wait.stable.check(now, check);
        let mut effects: Vec<StartEffect> = news.map(StartEffect::Report).into_iter().collect();
        wait.has_just_ended = false;
        match verdict {
            StableVerdict::Pending => {}
            StableVerdict::Matched => effects.push(wait.matched_report(self.rule.settle)),
            StableVerdict::ProbeDue => effects.push(StartEffect::StartProbe),
            StableVerdict::ProbeFailed(error) => {
                effects.extend(wait.leave_running(error));
                return effects;
            }
            StableVerdict::Stable => {
                effects.extend(self.finish_stable(now));
                return effects;
            }
            StableVerdict::NoMatch(ended) => {
                if let Some(decided) = wait.after_no_match(&ended, self.success) {
                    effects.extend(decided);
                    return effects;
                }
            }
        }
        effects.extend(self.go_on(now));
        effects
    }

    /// Goes on with the next check, unless a time limit is over.
    fn go_on(&mut self, now: Instant) -> Vec<StartEffect> {
        let StartPhase::Wait(wait) = &mut self.phase else { return Vec::new() };
        let mut effects: Vec<StartEffect> = wait.ended_report().into_iter().collect();
        match wait.stable.exceeded_limit(now) {
            None => effects.push(wait.next_check(now)),
            Some(StableLimit::Match) => {
                let error = wait.timeout_error(self.rule.timeout);
                effects.push(StartEffect::FailStart { error, end_launch: true });
            }
            Some(StableLimit::Settle) => {
                let seconds = (self.rule.timeout + self.rule.settle).as_secs();
                let who = format_pids(&wait.stable.pids());
                let reason = format!(
                    "its processes keep changing: after {seconds} s none had stayed for its settle time (now \
                     {who})"
                );
                effects.extend(wait.leave_running(ActionError::new(ActionErrorKind::Conflict, reason)));
            }
        }
        effects
    }

    fn finish_stable(&mut self, now: Instant) -> Vec<StartEffect> {
        let StartPhase::Wait(wait) = &self.phase else { return Vec::new() };
        let text = match self.probe {
            Some(_) => "it stayed, and its probe passed",
            None => "it stayed",
        };
        let mut effects = vec![
            // Recorded before it is reported: what is known to run must not be launched again.
            StartEffect::RecordMatched(wait.stable.matched().to_vec()),
            report(ActionPhase::Stable, text, wait.stable.pids()),
        ];
        let done = self.result(now, ActionOutcome::Started, wait.stable.matched());
        effects.extend(self.finish(Ok(done)));
        effects
    }

    fn finish(&mut self, result: Result<ActionResult, ActionError>) -> Vec<StartEffect> {
        self.phase = StartPhase::Finished;
        vec![StartEffect::Finish(result)]
    }

    fn result(&self, now: Instant, outcome: ActionOutcome, processes: &[ProcessId]) -> ActionResult {
        let pids = processes.iter().map(|id| id.pid).collect();
        ActionResult { outcome, pids, took: now.saturating_duration_since(self.began), warning: None }
    }
}

impl LaunchWait {
    fn next_check(&mut self, now: Instant) -> StartEffect {
        self.checks += 1;
        let thorough = !self.stable.has_match() && self.checks.is_multiple_of(FULL_SCAN_EVERY);
        StartEffect::Check { at: now + CHECK_INTERVAL, thorough }
    }

    /// Decides on a check without any match; `ended` are the processes that matched before. Returns `None` if
    /// the component may still appear.
    fn after_no_match(
        &mut self,
        ended: &[ProcessId],
        success: SuccessExitStatus,
    ) -> Option<Vec<StartEffect>> {
        self.has_just_ended = !ended.is_empty();
        if self.has_just_ended {
            self.ended_matches = ended.iter().map(|id| id.pid).collect();
        }
        let failed = self.command.exit.filter(|status| !success.is_success(*status));
        if self.ended_matches.is_empty() {
            let how = format_exit_status(failed?);
            let reason = format!("the command ended with {how} before the criteria matched");
            let error = ActionError::new(ActionErrorKind::Internal, reason);
            return Some(vec![StartEffect::FailStart { error, end_launch: true }]);
        }
        // Can another process take the place of those that ended?
        match self.command {
            _ if self.ended_matches.contains(&self.pid) => Some(self.read_exit_of_ended()),
            CommandState { has_ended: false, .. } => None,
            _ if failed.is_some() => Some(self.read_exit_of_ended()),
            // A launcher that leaves processes behind may have left the future component.
            _ => Some(vec![StartEffect::FindLaunchRemains]),
        }
    }

    /// Reports processes that have just ended while the launch goes on.
    fn ended_report(&mut self) -> Option<StartEffect> {
        if !std::mem::take(&mut self.has_just_ended) {
            return None;
        }
        let who = format_pids(&self.ended_matches);
        let text =
            format!("{who} ended, but its launch is still running; waiting for the component's process");
        Some(report(ActionPhase::Waiting, text, Vec::new()))
    }

    fn matched_report(&self, settle: Duration) -> StartEffect {
        let (pids, settle) = (self.stable.pids(), settle.as_secs_f64());
        let matches = if pids.len() == 1 { "matches; it has" } else { "match; they have" };
        let text = format!("{} {matches} to stay for {settle} s", format_pids(&pids));
        report(ActionPhase::Matched, text, pids)
    }

    /// Fails without ending the processes, since they are the component.
    fn leave_running(&self, error: ActionError) -> [StartEffect; 2] {
        let matched = self.stable.matched().to_vec();
        [StartEffect::RecordMatched(matched), StartEffect::FailStart { error, end_launch: false }]
    }

    /// Fails, since the component matched, and ended before it was stable.
    fn read_exit_of_ended(&self) -> Vec<StartEffect> {
        // The match is often the launched process itself, which is being reaped just now.
        let is_command = self.ended_matches.contains(&self.pid);
        vec![StartEffect::ReadCommandExit {
            limit: if is_command { EXIT_STATUS_TIMEOUT } else { Duration::ZERO },
        }]
    }

    fn early_exit_error(&self, exit: Option<ExitStatus>, success: SuccessExitStatus) -> ActionError {
        let how = match exit {
            Some(status) if self.ended_matches.contains(&self.pid) => {
                format!(" with {}", format_exit_status(status))
            }
            Some(status) if !success.is_success(status) => {
                format!("; the command that launched it ended with {}", format_exit_status(status))
            }
            // The exit status is available to the parent only, which is not the agent here.
            Some(_) | None => String::new(),
        };
        let reason = format!("it started ({}) and ended again{how}", format_pids(&self.ended_matches));
        ActionError::new(ActionErrorKind::Internal, reason)
    }

    /// Creates the error for a component that did not match in time.
    fn timeout_error(&self, timeout: Duration) -> ActionError {
        let seconds = timeout.as_secs();
        let what = match &self.partial {
            Some(missing) => {
                format!("within {seconds} s only some of its processes ran, missing: {missing}")
            }
            None if self.ended_matches.is_empty() => {
                format!("no process matched its criteria within {seconds} s")
            }
            None => {
                let who = format_pids(&self.ended_matches);
                let reason = format!(
                    "it started ({who}) and ended again, and nothing took its place within {seconds} s"
                );
                return ActionError::new(ActionErrorKind::TimedOut, reason);
            }
        };
        let how = match self.command {
            CommandState { exit: Some(_), .. } => {
                format!("; the command (pid {}) had ended without an error", self.pid)
            }
            CommandState { has_ended: true, .. } => format!("; the command (pid {}) had ended", self.pid),
            CommandState { .. } => String::new(),
        };
        ActionError::new(ActionErrorKind::TimedOut, format!("{what}{how}; check the criteria"))
    }
}

fn report(phase: ActionPhase, text: impl Into<String>, pids: Vec<u32>) -> StartEffect {
    StartEffect::Report(ProgressReport { phase, text: text.into(), pids })
}
