//! What tells agents apart.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tells one agent from every other that there is or was, whatever the configuration calls its host and
/// wherever it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AgentId(u64);

impl AgentId {
    /// One that no agent had before.
    pub(crate) fn fresh() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}
