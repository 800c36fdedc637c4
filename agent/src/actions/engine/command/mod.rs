//! Engine of the agent itself: runs the configured commands, and signals processes.
//!
//! | module | holds |
//! |---|---|
//! | `start` | launching a component and waiting until it is stable |
//! | `stop` | ending a component's processes until none is left |
//! | `restart` | stop and start |

pub(super) mod restart;
pub(crate) mod start;
pub(super) mod stop;
