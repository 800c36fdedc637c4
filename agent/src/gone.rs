//! Error for requests to a task of the agent that has ended.

/// The task that should answer has ended, since the agent is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AgentStopped;
