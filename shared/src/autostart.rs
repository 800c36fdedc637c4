//! State of a component's automatic restarts.

use jiff::Timestamp;
use serde::Serialize;

/// State of a component's automatic restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Autostart {
    /// True if the agent restarts the component when it ends by itself.
    pub wanted: bool,
    /// Reason for `wanted`, as a sentence.
    pub why: String,
    /// Number of restarts within the configured time window.
    pub restarts: u32,
    /// Number of automatic starts since the agent began, failed ones included. It never decreases while the
    /// agent runs.
    pub restarts_total: u64,
    /// Time of the next attempt, by the host's clock.
    pub next_at: Option<Timestamp>,
    /// True if the component ended too often, and is not restarted until an operator starts it.
    pub given_up: bool,
    /// True if the component ended and was restarted so often that it does not count as up.
    pub flapping: bool,
    /// Description of its last end, as a sentence; empty if it has not ended.
    pub last_end: String,
    /// Prerequisite that is not up and delays the start: `kafka server on c9t17308`; empty if there is none.
    pub waiting_for: String,
}
