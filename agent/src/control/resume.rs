//! Repeats a stop or restart that an earlier agent did not finish.

use std::time::Duration;

use rta_shared::action::{ActionKind, ActionResult};
use rta_shared::process::ProcessId;
use rta_shared::report::State;
use rustix::process::Signal;
use tokio::time::Instant;

use super::act::Act;
use super::engine::perform;
use super::held::{Held, still_there};
use super::refusal::{Refusal, off_the_runtime};
use crate::cgroup_mount::CgroupFreezers;
use crate::procfs::ProcFs;

/// Interval between two checks whether an earlier agent's stop command has ended.
const PACE: Duration = Duration::from_millis(50);

/// Repeats an unfinished stop or restart. Waits for its stop command first, since a second one would
/// interfere with it.
///
/// # Errors
/// Returns an error if the action was not done, with the reason.
pub(super) async fn resume(
    act: &Act,
    kind: ActionKind,
    stop_command: Option<ProcessId>,
) -> Result<ActionResult, Refusal> {
    if let Some(id) = stop_command {
        until_ended(act, id).await?;
    }
    perform(act, kind).await
}

/// Waits for a stop command for as long as a stop may take; then kills it.
async fn until_ended(act: &Act, id: ProcessId) -> Result<(), Refusal> {
    let deadline = Instant::now() + act.component.stop.timeout;
    let hold = move || {
        Held::new(&ProcFs::open().map_err(Refusal::failed)?, id, &CgroupFreezers::default(), |_, _| true)
    };
    let Some(held) = off_the_runtime(hold).await? else { return Ok(()) };
    let mut left = vec![held];
    while Instant::now() < deadline && act.eyes.glance().await?.state != State::Stopped {
        left = still_there(left)?;
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(PACE).await;
    }
    // The command has done its work, or never will.
    left.iter().try_for_each(|held| held.send(Signal::KILL))
}
