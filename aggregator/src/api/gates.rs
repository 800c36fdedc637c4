//! Gates between the batches of a rolling restart, by the published overviews.

use std::time::Instant;

use jiff::Timestamp;
use rta_shared::action::{ActionPhase, ActionProgress};
use rta_shared::overview::InstanceId;
use rta_shared::plan::BatchGate;

use super::Operations;
use crate::plans::executor::StepFailure;
use crate::plans::gate::{GateDecision, GateWait, read_gate};
use crate::plans::run::PlanRun;

impl Operations {
    /// Waits until an instance has passed its gate, or has failed to, or the plan is cancelled. The step at
    /// the position `step` shows what it waits for.
    pub(super) async fn await_gate(
        &self,
        plan_run: &PlanRun,
        step: usize,
        id: &InstanceId,
        gate: &BatchGate,
    ) -> Result<String, StepFailure> {
        let failure = |reason| StepFailure { reason, unreachable: false };
        let mut overviews = self.watch_overview();
        let mut wait = GateWait::new(gate, Instant::now());
        let mut shown = String::new();
        loop {
            let reading = read_gate(gate.condition, id, &overviews.borrow_and_update());
            let (until, text) = match wait.decide(reading, Instant::now()) {
                GateDecision::Pass(text) => return Ok(text),
                GateDecision::Fail(reason) => return Err(failure(reason)),
                GateDecision::Wait(until, text) => (until, text),
            };
            if text != shown {
                let (at, phase) = (Timestamp::now(), ActionPhase::Waiting);
                plan_run.add_progress(
                    step,
                    at,
                    ActionProgress { at, phase, text: text.clone(), pids: vec![] },
                );
                shown = text;
            }
            tokio::select! {
                changed = overviews.changed() => {
                    if changed.is_err() {
                        return Err(failure("the aggregator is shutting down".to_owned()));
                    }
                }
                () = tokio::time::sleep_until(until.into()) => {}
                () = plan_run.cancelled().cancelled() => {
                    return match wait.is_met() {
                        true => Ok("it is up; the pause was cut short, since the plan was cancelled".to_owned()),
                        false => Err(failure(format!("the plan was cancelled before; {shown}"))),
                    };
                }
            }
        }
    }
}
