//! Starts, stops and restarts a component by its systemd unit, and verifies the result on the component's
//! processes.

use std::time::Duration;

use rta_shared::action::{ActionOutcome, ActionPhase, ActionResult};
use rta_shared::config::{HostComponent, StartRule};
use rta_shared::process::Process;
use rta_shared::report::State;
use tokio::time::Instant;
use tonic::Code;

use crate::actions::component_view::{ComponentView, format_pids, pids};
use crate::actions::error::{ActionError, run_blocking_step};
use crate::actions::progress::ProgressSender;
use crate::actions::stable_wait::{CHECK_INTERVAL, StableCheck, StableLimit, StableVerdict, StableWait};
use crate::actions::start_probe::RepeatedProbe;
use crate::host::systemd::{SystemdClient, SystemdError, UnitOperation, UnitState, describe_failed_job};
use crate::logs::{LogPath, log_length, log_tail};

/// Number of checks, while nothing matches, after which one is a full scan and queries systemd too.
const FULL_SCAN_EVERY: u32 = 5;
/// Time limit for a process of a stopped unit to disappear.
const FINAL_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Context of an action on a unit.
pub(super) struct UnitAction<'a> {
    pub(super) systemd: &'a SystemdClient,
    pub(super) component: &'a HostComponent,
    pub(super) rule: &'a StartRule,
    pub(super) unit: &'a str,
    pub(super) view: &'a ComponentView,
    pub(super) progress: &'a ProgressSender,
}

/// Starts the unit. If the component runs already, systemd is not called.
pub(super) async fn start_unit(context: &UnitAction<'_>) -> Result<ActionResult, ActionError> {
    let began = Instant::now();
    let found = context.view.full_scan().await?;
    match found.state {
        State::Running => {
            let pids = pids(&found.processes);
            return Ok(ActionResult {
                outcome: ActionOutcome::AlreadyRunning,
                pids,
                took: began.elapsed(),
                warning: None,
            });
        }
        State::Partial => {
            let who = format_pids(&pids(&found.processes));
            let reason = format!("some of its processes run already ({who}); stop it first");
            return Err(ActionError::new(Code::FailedPrecondition, reason));
        }
        State::Stopped | State::Starting | State::Stopping | State::Unknown => {}
    }
    let state = context.systemd.unit_state(context.unit).await?;
    // The unit of a SysV script, or one with RemainAfterExit, stays active (exited) when its process dies.
    // systemd does not start a unit that is active.
    if state.is_active() {
        let text =
            format!("{} is {}, but nothing of it runs: it is restarted", context.unit, state.describe());
        context.progress.send(ActionPhase::Waiting, text, Vec::new());
        return context.start_and_verify(UnitOperation::Restart, began, ActionOutcome::Started).await;
    }
    context.start_and_verify(UnitOperation::Start, began, ActionOutcome::Started).await
}

/// Stops the unit. If nothing matches and the unit is not active, systemd is not called.
pub(super) async fn stop_unit(context: &UnitAction<'_>) -> Result<ActionResult, ActionError> {
    let began = Instant::now();
    let running = context.view.full_scan().await?.processes;
    let state = context.systemd.unit_state(context.unit).await?;
    if state.is_idle() && running.is_empty() {
        return Ok(ActionResult {
            outcome: ActionOutcome::AlreadyStopped,
            pids: Vec::new(),
            took: began.elapsed(),
            warning: None,
        });
    }
    context.refuse_foreign_processes(&state, &running)?;
    let deadline = began + context.component.stop.timeout;
    context.run_job(UnitOperation::Stop, ActionPhase::Signalled, pids(&running), deadline).await?;
    context.verify_gone(None, "is not of that unit any more; end it by hand").await?;
    // TimeoutStopSec passed, and systemd sent SIGKILL.
    let state = context.systemd.unit_state(context.unit).await?;
    let outcome = if state.result == "timeout" { ActionOutcome::Killed } else { ActionOutcome::Stopped };
    context.progress.send(ActionPhase::Gone, "nothing of it is left".to_owned(), Vec::new());
    Ok(ActionResult { outcome, pids: pids(&running), took: began.elapsed(), warning: None })
}

/// Restarts the unit; starts it if it does not run.
pub(super) async fn restart_unit(context: &UnitAction<'_>) -> Result<ActionResult, ActionError> {
    let began = Instant::now();
    let running = context.view.full_scan().await?.processes;
    let state = context.systemd.unit_state(context.unit).await?;
    context.refuse_foreign_processes(&state, &running)?;
    context
        .start_and_verify(
            UnitOperation::Restart,
            began + context.component.stop.timeout,
            ActionOutcome::Restarted,
        )
        .await
        .map(|done| ActionResult { took: began.elapsed(), ..done })
}

impl From<SystemdError> for ActionError {
    fn from(trouble: SystemdError) -> Self {
        let code = match trouble {
            SystemdError::NoBus(_)
            | SystemdError::NoSystemd(_)
            | SystemdError::UnknownUnit(_)
            | SystemdError::Denied(_) => Code::FailedPrecondition,
            SystemdError::ConnectionLost | SystemdError::Refused(_) => Code::Internal,
        };
        Self::new(code, trouble.to_string())
    }
}

impl UnitAction<'_> {
    /// Runs `operation`, and waits until the component is stable; the timeout begins at `from`.
    async fn start_and_verify(
        &self,
        operation: UnitOperation,
        from: Instant,
        outcome: ActionOutcome,
    ) -> Result<ActionResult, ActionError> {
        let deadline = from + self.rule.timeout;
        let written = self.log_length().await;
        let before = match operation {
            UnitOperation::Restart => self.view.quick_check().await?.processes,
            UnitOperation::Start | UnitOperation::Stop => Vec::new(),
        };
        let phase = if before.is_empty() { ActionPhase::Launched } else { ActionPhase::Signalled };
        let asked = self.run_job(operation, phase, pids(&before), deadline).await;
        if let Err(error) = asked {
            return Err(self.with_last_log_lines(error, written).await);
        }
        self.verify_gone(Some(&before), "is not of that unit; end it by hand").await?;
        let stable = self.wait_until_stable(deadline).await;
        let pids = match stable {
            Ok(pids) => pids,
            Err(error) => return Err(self.with_last_log_lines(error, written).await),
        };
        self.progress.send(ActionPhase::Stable, "it is stable".to_owned(), pids.clone());
        Ok(ActionResult { outcome, pids, took: from.elapsed(), warning: None })
    }

    /// Runs `operation`, and waits until systemd has finished the job.
    async fn run_job(
        &self,
        operation: UnitOperation,
        phase: ActionPhase,
        pids: Vec<u32>,
        deadline: Instant,
    ) -> Result<(), ActionError> {
        let (unit, word) = (self.unit, operation.as_str());
        let job = self.systemd.start_job(operation, unit).await?;
        tracing::info!(component = %self.component.name, unit, verb = word, "systemd was asked");
        self.progress.send(phase, format!("systemd was asked to {word} {unit}"), pids);
        self.progress.send(
            ActionPhase::Waiting,
            "waiting for systemd to have done it".to_owned(),
            Vec::new(),
        );
        let result = match tokio::time::timeout_at(deadline, job.wait_for_result()).await {
            Ok(result) => result?,
            Err(_) => {
                let state = self.systemd.unit_state(unit).await?;
                let reason = format!(
                    "systemd has not done the {word} of {unit} in time, and goes on with it; it is {}",
                    state.describe()
                );
                return Err(ActionError::new(Code::DeadlineExceeded, reason));
            }
        };
        if result == "done" {
            return Ok(());
        }
        let code = match result.as_str() {
            "canceled" => Code::Aborted,
            "timeout" => Code::DeadlineExceeded,
            _ => Code::Internal,
        };
        let state = self.systemd.unit_state(unit).await?;
        Err(ActionError::new(code, describe_failed_job(&result, word, unit, &state)))
    }

    /// Waits until the component is stable; returns the PIDs of its processes.
    async fn wait_until_stable(&self, deadline: Instant) -> Result<Vec<u32>, ActionError> {
        let now = Instant::now();
        let (probe, left) = (self.component.probe.clone(), deadline.saturating_duration_since(now));
        let mut wait = StableWait::new(self.rule, probe, now.into_std(), left);
        let mut repeated_probe: Option<RepeatedProbe> = None;
        let mut checks = 0_u32;
        loop {
            let is_thorough = !wait.has_match() && checks.is_multiple_of(FULL_SCAN_EVERY);
            checks += 1;
            let found = match is_thorough {
                true => self.view.full_scan().await?,
                false => self.view.quick_check().await?,
            };
            let check = StableCheck {
                processes: found.processes.iter().map(|process| process.id).collect(),
                is_whole: found.state == State::Running,
                probe: repeated_probe.as_ref().and_then(RepeatedProbe::last_result),
            };
            let now = Instant::now().into_std();
            let (verdict, report) = wait.check(now, check);
            if let Some(report) = report {
                self.progress.send_report(report);
            }
            match verdict {
                StableVerdict::Stable => return Ok(wait.pids()),
                StableVerdict::ProbeFailed(error) => return Err(error),
                StableVerdict::ProbeDue => {
                    repeated_probe = self.component.probe.as_ref().map(RepeatedProbe::start);
                }
                StableVerdict::Matched => {
                    let text = "its criteria match; it has to last";
                    self.progress.send(ActionPhase::Matched, text, wait.pids());
                }
                StableVerdict::NoMatch(ended) if !ended.is_empty() => {
                    let ended: Vec<u32> = ended.iter().map(|id| id.pid).collect();
                    return Err(self.ended_error(&ended).await?);
                }
                StableVerdict::NoMatch(_) if is_thorough => self.refuse_idle_unit().await?,
                StableVerdict::NoMatch(_) | StableVerdict::Pending => {}
            }
            match wait.exceeded_limit(now) {
                Some(StableLimit::Match) => return Err(self.timeout_error().await?),
                Some(StableLimit::Settle) => {
                    let reason = format!(
                        "its processes keep changing: none has stayed for its settle time (now {})",
                        format_pids(&wait.pids())
                    );
                    return Err(ActionError::new(Code::Aborted, reason));
                }
                None => tokio::time::sleep(CHECK_INTERVAL).await,
            }
        }
    }

    /// Creates the error for a component that matched, and ended before it was stable.
    async fn ended_error(&self, pids: &[u32]) -> Result<ActionError, ActionError> {
        let state = self.systemd.unit_state(self.unit).await?;
        let (who, unit, state) = (format_pids(pids), self.unit, state.describe());
        let reason = format!("it started ({who}) and ended again; systemd: {unit} {state}");
        Ok(ActionError::new(Code::Internal, reason))
    }

    /// Creates the error for a component that did not match in time.
    async fn timeout_error(&self) -> Result<ActionError, ActionError> {
        let state = self.systemd.unit_state(self.unit).await?;
        let reason = format!(
            "no process matched its criteria within {} s, though {} is {}; check the criteria",
            self.rule.timeout.as_secs(),
            self.unit,
            state.describe()
        );
        Ok(ActionError::new(Code::DeadlineExceeded, reason))
    }

    /// Refuses to wait for the processes of a unit that is not active any more.
    async fn refuse_idle_unit(&self) -> Result<(), ActionError> {
        let state = self.systemd.unit_state(self.unit).await?;
        if !state.is_idle() {
            return Ok(());
        }
        let reason = match state.active.as_str() {
            "failed" => format!("systemd: {} {}", self.unit, state.describe()),
            _ => format!("systemd: {} is {} again before the criteria matched", self.unit, state.describe()),
        };
        Err(ActionError::new(Code::Internal, reason))
    }

    /// Verifies that no process of `before` is left; `None`: that none is left at all.
    async fn verify_gone(&self, before: Option<&[Process]>, advice: &str) -> Result<(), ActionError> {
        let deadline = Instant::now() + FINAL_CHECK_TIMEOUT;
        loop {
            let now = self.view.quick_check().await?.processes;
            let is_old = |process: &&Process| {
                before.is_none_or(|before| before.iter().any(|old| old.id == process.id))
            };
            let left: Vec<u32> = now.iter().filter(is_old).map(|process| process.id.pid).collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = format!(
                    "systemd has stopped {}, but {} still runs: it {advice}",
                    self.unit,
                    format_pids(&left)
                );
                return Err(ActionError::new(Code::DeadlineExceeded, reason));
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Refuses processes that match although the unit is not active: systemd cannot stop them, and would
    /// start a second instance.
    fn refuse_foreign_processes(&self, state: &UnitState, running: &[Process]) -> Result<(), ActionError> {
        if running.is_empty() || !state.is_idle() {
            return Ok(());
        }
        let reason = format!(
            "{} is {}, but {} matches all the same: systemd did not start it, so that it cannot stop it; end it by hand",
            self.unit,
            state.describe(),
            format_pids(&pids(running))
        );
        Err(ActionError::new(Code::FailedPrecondition, reason))
    }

    /// Returns the length of the component's own log; 0 without one. Off the runtime: the disk may hang.
    async fn log_length(&self) -> u64 {
        let Some(path) = LogPath::from_component(self.component) else { return 0 };
        run_blocking_step(move || Ok(log_length(&path))).await.unwrap_or_default()
    }

    /// Adds the lines that the component wrote to its own log since `from`, if it has one.
    async fn with_last_log_lines(&self, error: ActionError, from: u64) -> ActionError {
        let Some(path) = LogPath::from_component(self.component) else { return error };
        let words = run_blocking_step(move || Ok(log_tail(&path, from))).await;
        error.with_log(words.unwrap_or_default())
    }
}
