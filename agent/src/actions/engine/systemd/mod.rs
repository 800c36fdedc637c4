//! Starts, stops and restarts a component by its systemd unit, and verifies the result on the component's
//! processes.

mod wait;

use rta_shared::action::{ActionOutcome, ActionPhase, ActionResult};
use rta_shared::config::{HostComponent, StartRule};
use rta_shared::process::Process;
use rta_shared::report::State;
use rta_shared::snapshot::Snapshot;
use tokio::time::Instant;

use super::Engine;
use crate::actions::component_view::{ComponentView, format_pids, pids};
use crate::actions::context::ActionContext;
use crate::actions::error::{ActionError, ActionErrorKind, run_blocking_step};
use crate::actions::progress::ProgressSender;
use crate::actions::start_probe::note_log_end;
use crate::host::systemd::{SystemdClient, SystemdError, UnitOperation, UnitState, describe_failed_job};
use crate::logs::{LogPath, log_length, log_tail};

/// Engine of a component that is a unit of systemd.
pub(super) struct SystemdEngine<'a> {
    systemd: &'a SystemdClient,
    component: &'a HostComponent,
    rule: &'a StartRule,
    unit: &'a str,
    view: &'a ComponentView,
    progress: &'a ProgressSender,
}

impl Engine for SystemdEngine<'_> {
    /// Starts the unit. If the component runs already, systemd is not called.
    async fn start(&self) -> Result<ActionResult, ActionError> {
        let began = Instant::now();
        let found = self.view.full_scan().await?;
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
                return Err(ActionError::new(ActionErrorKind::PreconditionFailed, reason));
            }
            State::Stopped | State::Starting | State::Stopping | State::Unknown => {}
        }
        let state = self.systemd.unit_state(self.unit).await?;
        // The unit of a SysV script, or one with RemainAfterExit, stays active (exited) when its process
        // dies. systemd does not start a unit that is active.
        if state.is_active() {
            let text =
                format!("{} is {}, but nothing of it runs: it is restarted", self.unit, state.describe());
            self.progress.send(ActionPhase::Waiting, text, Vec::new());
            return self.start_and_verify(UnitOperation::Restart, began, ActionOutcome::Started).await;
        }
        self.start_and_verify(UnitOperation::Start, began, ActionOutcome::Started).await
    }

    /// Stops the unit. If nothing matches and the unit is not active, systemd is not called.
    async fn stop(&self) -> Result<ActionResult, ActionError> {
        let began = Instant::now();
        let running = self.view.full_scan().await?.processes;
        let state = self.systemd.unit_state(self.unit).await?;
        if state.is_idle() && running.is_empty() {
            return Ok(ActionResult {
                outcome: ActionOutcome::AlreadyStopped,
                pids: Vec::new(),
                took: began.elapsed(),
                warning: None,
            });
        }
        self.refuse_foreign_processes(&state, &running)?;
        let deadline = began + self.component.stop.timeout;
        self.run_job(UnitOperation::Stop, ActionPhase::Signalled, pids(&running), deadline).await?;
        self.verify_gone(None, "is not of that unit any more; end it by hand").await?;
        // TimeoutStopSec passed, and systemd sent SIGKILL.
        let state = self.systemd.unit_state(self.unit).await?;
        let outcome = if state.result == "timeout" { ActionOutcome::Killed } else { ActionOutcome::Stopped };
        self.progress.send(ActionPhase::Gone, "nothing of it is left".to_owned(), Vec::new());
        Ok(ActionResult { outcome, pids: pids(&running), took: began.elapsed(), warning: None })
    }

    /// Restarts the unit; starts it if it does not run.
    async fn restart(&self) -> Result<ActionResult, ActionError> {
        let began = Instant::now();
        let running = self.view.full_scan().await?.processes;
        let state = self.systemd.unit_state(self.unit).await?;
        self.refuse_foreign_processes(&state, &running)?;
        self.start_and_verify(
            UnitOperation::Restart,
            began + self.component.stop.timeout,
            ActionOutcome::Restarted,
        )
        .await
        .map(|done| ActionResult { took: began.elapsed(), ..done })
    }
}

impl From<SystemdError> for ActionError {
    fn from(trouble: SystemdError) -> Self {
        let code = match trouble {
            SystemdError::NoBus(_)
            | SystemdError::NoSystemd(_)
            | SystemdError::UnknownUnit(_)
            | SystemdError::Denied(_) => ActionErrorKind::PreconditionFailed,
            SystemdError::ConnectionLost | SystemdError::Refused(_) => ActionErrorKind::Internal,
        };
        Self::new(code, trouble.to_string())
    }
}

impl<'a> SystemdEngine<'a> {
    /// Creates the engine for the unit of a component, which is started by `rule`.
    pub(super) fn new(context: &'a ActionContext, rule: &'a StartRule, unit: &'a str) -> Self {
        Self {
            systemd: &context.systemd,
            component: &context.component,
            rule,
            unit,
            view: &context.view,
            progress: &context.progress,
        }
    }

    /// Runs `operation`, and waits until the component is stable; the timeout begins at `from`.
    async fn start_and_verify(
        &self,
        operation: UnitOperation,
        from: Instant,
        outcome: ActionOutcome,
    ) -> Result<ActionResult, ActionError> {
        let deadline = from + self.rule.timeout;
        let written = self.log_length().await;
        let log_start = note_log_end(self.component).await;
        let before = match operation {
            UnitOperation::Restart => self.view.quick_check().await?.processes,
            UnitOperation::Start | UnitOperation::Stop => Snapshot::default(),
        };
        let phase = if before.is_empty() { ActionPhase::Launched } else { ActionPhase::Signalled };
        let asked = self.run_job(operation, phase, pids(&before), deadline).await;
        if let Err(error) = asked {
            return Err(self.with_last_log_lines(error, written).await);
        }
        self.verify_gone(Some(&before), "is not of that unit; end it by hand").await?;
        let stable = self.wait_until_stable(deadline, log_start).await;
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
        self.progress.send(ActionPhase::Waiting, "waiting for the job of systemd".to_owned(), Vec::new());
        let result = match tokio::time::timeout_at(deadline, job.wait_for_result()).await {
            Ok(result) => result?,
            Err(_) => {
                let state = self.systemd.unit_state(unit).await?;
                let reason = format!(
                    "systemd has not done the {word} of {unit} in time, and goes on with it; it is {}",
                    state.describe()
                );
                return Err(ActionError::new(ActionErrorKind::TimedOut, reason));
            }
        };
        if result == "done" {
            return Ok(());
        }
        let code = match result.as_str() {
            "canceled" => ActionErrorKind::Conflict,
            "timeout" => ActionErrorKind::TimedOut,
            _ => ActionErrorKind::Internal,
        };
        let state = self.systemd.unit_state(unit).await?;
        Err(ActionError::new(code, describe_failed_job(&result, word, unit, &state)))
    }

    /// Refuses processes that match although the unit is not active: systemd cannot stop them, and would
    /// start a second instance.
    fn refuse_foreign_processes(&self, state: &UnitState, running: &[Process]) -> Result<(), ActionError> {
        if running.is_empty() || !state.is_idle() {
            return Ok(());
        }
        let reason = format!(
            "{} is {}, but {} matches all the same: systemd did not start it, so that it cannot \
             stop it; end it by hand",
            self.unit,
            state.describe(),
            format_pids(&pids(running))
        );
        Err(ActionError::new(ActionErrorKind::PreconditionFailed, reason))
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
