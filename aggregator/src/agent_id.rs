//! Identity of agents.

use std::sync::atomic::{AtomicU64, Ordering};

/// Unique ID of an agent, independent of its host's name and of its position in the configuration. Never
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AgentId(u64);

impl AgentId {
    /// Returns an ID that was never used before.
    pub(crate) fn new_unique() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}
