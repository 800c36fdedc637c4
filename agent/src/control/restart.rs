//! Restarts a component: a stop and a start.

use rta_shared::action::{ActionOutcome, ActionResult};
use tokio::time::Instant;
use tonic::Code;

use super::act::Act;
use super::eyes::pids_text;
use super::launch::check;
use super::refusal::{Refusal, off_the_runtime};
use super::start::{self, startable};
use super::stop;

/// Restarts a component. If it could not be started again, it is not stopped.
pub(super) async fn restart(act: &Act) -> Result<ActionResult, Refusal> {
    let began = Instant::now();
    let (_, command) = startable(&act.component)?;
    let command = command.clone();
    off_the_runtime(move || check(&command).map(drop)).await.map_err(|refusal| Refusal {
        reason: format!("it could not be started again, so it was not stopped: {}", refusal.reason),
        ..refusal
    })?;
    let stopped = stop::stop(act).await?;
    let started = start::start(act).await.map_err(|refusal| match stopped.outcome {
        ActionOutcome::AlreadyStopped => refusal,
        _ => Refusal { reason: format!("it was stopped, and then: {}", refusal.reason), ..refusal },
    })?;
    if started.outcome == ActionOutcome::AlreadyRunning {
        let who = pids_text(&started.pids);
        let reason = format!("when it was stopped, something else started it ({who})");
        return Err(Refusal::new(Code::Aborted, reason));
    }
    Ok(ActionResult {
        outcome: ActionOutcome::Restarted,
        pids: started.pids,
        took: began.elapsed(),
        warning: None,
    })
}
