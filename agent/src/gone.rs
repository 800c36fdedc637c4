//! That what was asked is gone.

/// What was asked is gone, since the agent is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;
