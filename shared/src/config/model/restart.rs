//! Rules for restarting a component that has ended by itself.

use std::time::Duration;

use super::exit::SuccessExitStatus;
use crate::words::words;

/// Rule for restarting a component that has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartRule {
    /// Condition for a restart.
    pub when: RestartWhen,
    /// Delay between the end of the component and the first attempt; each further delay is twice as long.
    pub backoff: Duration,
    /// Upper bound of that delay.
    pub longest: Duration,
    /// Number of starts `within` that time after which the agent gives up; never 0.
    pub limit: u32,
    /// Time window in which starts count.
    pub within: Duration,
    /// Exit statuses and signals that count as success, in addition to those that always do.
    pub success: SuccessExitStatus,
}

impl Default for RestartRule {
    fn default() -> Self {
        Self {
            when: RestartWhen::Never,
            backoff: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            limit: 5,
            within: Duration::from_secs(600),
            success: SuccessExitStatus::default(),
        }
    }
}

/// Condition on which a component that has ended by itself is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartWhen {
    /// Never.
    Never,
    /// Restart after a failure. [`SuccessExitStatus::is_clean`] defines which ends are no failures; an end
    /// with an unknown status counts as a failure.
    OnFailure,
    /// Restart after any end.
    Always,
}

words!(RestartWhen {
    Never => "never",
    OnFailure => "on-failure",
    Always => "always",
});
