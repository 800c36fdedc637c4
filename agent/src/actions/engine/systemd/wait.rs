//! Waits for the processes of a unit: until they are stable, or until they are gone.

use std::time::Duration;

use rta_shared::action::ActionPhase;
use rta_shared::process::Process;
use rta_shared::report::State;
use tokio::time::Instant;

use super::SystemdEngine;
use crate::actions::component_view::format_pids;
use crate::actions::error::{ActionError, ActionErrorKind};
use crate::actions::stable_wait::{CHECK_INTERVAL, StableCheck, StableLimit, StableVerdict, StableWait};
use crate::actions::start_machine::StartScan;
use crate::actions::start_probe::RepeatedProbe;
use crate::logs::NotedPosition;

/// Number of checks, while nothing matches, after which one is a full scan and queries systemd too.
const FULL_SCAN_EVERY: u32 = 5;
/// Time limit for a process of a stopped unit to disappear.
const FINAL_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

impl SystemdEngine<'_> {
    /// Waits until the component is stable; returns the PIDs of its processes. Its run writes its log from
    /// `log_start` on.
    pub(super) async fn wait_until_stable(
        &self,
        deadline: Instant,
        log_start: Option<NotedPosition>,
    ) -> Result<Vec<u32>, ActionError> {
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
                    repeated_probe = RepeatedProbe::start(self.component, log_start.clone());
                }
                StableVerdict::Matched => {
                    let text = "its criteria match; waiting for its settle time";
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
                Some(StableLimit::Match) => return Err(self.timeout_error(&StartScan::from(&found)).await?),
                Some(StableLimit::Settle) => {
                    let reason = format!(
                        "its processes keep changing: none has stayed for its settle time (now {})",
                        format_pids(&wait.pids())
                    );
                    return Err(ActionError::new(ActionErrorKind::Conflict, reason));
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
        Ok(ActionError::new(ActionErrorKind::Internal, reason))
    }

    /// Creates the error for a component that did not match in time.
    async fn timeout_error(&self, found: &StartScan) -> Result<ActionError, ActionError> {
        let state = self.systemd.unit_state(self.unit).await?;
        let seconds = self.rule.timeout.as_secs();
        let what = match found.processes.is_empty() {
            true => format!("no process matched its criteria within {seconds} s"),
            false => {
                let missing = &found.missing;
                format!("within {seconds} s only some of its processes ran, missing: {missing}")
            }
        };
        let (unit, state) = (self.unit, state.describe());
        let reason = format!("{what}, though {unit} is {state}; check the criteria");
        Ok(ActionError::new(ActionErrorKind::TimedOut, reason))
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
        Err(ActionError::new(ActionErrorKind::Internal, reason))
    }

    /// Verifies that no process of `before` is left; `None`: that none is left at all.
    pub(super) async fn verify_gone(
        &self,
        before: Option<&[Process]>,
        advice: &str,
    ) -> Result<(), ActionError> {
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
                return Err(ActionError::new(ActionErrorKind::TimedOut, reason));
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}
