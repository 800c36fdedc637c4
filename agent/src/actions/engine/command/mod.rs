//! Engine of the agent itself: runs the configured commands, and signals processes.
//!
//! | module | holds |
//! |---|---|
//! | `start` | launching a component and waiting until it is stable |
//! | `executor` | performing the effects of the stop machine |
//! | `restart` | stop and start |

mod executor;
pub(super) mod restart;
pub(crate) mod start;

use rta_shared::action::ActionResult;

use crate::actions::context::ActionContext;
use crate::actions::error::ActionError;

/// Stops a component. If none of its processes exists, nothing is signalled.
pub(crate) async fn stop_component(context: &ActionContext) -> Result<ActionResult, ActionError> {
    executor::run_stop(context).await
}
