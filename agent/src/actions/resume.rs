//! Repeats a stop or restart that an earlier agent did not finish.

use std::time::Duration;

use rta_shared::action::{ActionKind, ActionResult};
use rta_shared::process::ProcessId;
use rustix::process::Signal;
use tokio::time::Instant;

use super::context::ActionContext;
use super::engine::perform_action;
use super::error::{ActionError, run_blocking_step};
use super::pidfd_process::{PidfdProcess, remaining_processes};
use crate::host::cgroup_mount::CgroupFreezers;
use crate::host::procfs::ProcFs;

/// Interval between two checks whether an earlier agent's stop command has ended.
const EXIT_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Repeats an unfinished stop or restart. Waits for its stop command first, since a second one would
/// interfere with it.
///
/// # Errors
/// Returns an error if the action was not done, with the reason.
pub(super) async fn resume_action(
    context: &ActionContext,
    kind: ActionKind,
    stop_command: Option<ProcessId>,
) -> Result<ActionResult, ActionError> {
    if let Some(id) = stop_command {
        wait_for_stop_command(context, id).await?;
    }
    perform_action(context, kind).await
}

/// Waits for a stop command for as long as a stop may take, as the stop itself would have; then kills it.
async fn wait_for_stop_command(context: &ActionContext, id: ProcessId) -> Result<(), ActionError> {
    let deadline = Instant::now() + context.component.stop.timeout;
    let hold = move || {
        PidfdProcess::open_checked(
            &ProcFs::open().map_err(ActionError::internal)?,
            id,
            &CgroupFreezers::default(),
            |_, _| true,
        )
    };
    let Some(held) = run_blocking_step(hold).await? else { return Ok(()) };
    let mut left = vec![held];
    while Instant::now() < deadline {
        left = remaining_processes(left)?;
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(EXIT_CHECK_INTERVAL).await;
    }
    left.iter().try_for_each(|held| held.send_signal(Signal::KILL))
}
