//! Results of a component's health probe.

use jiff::Timestamp;
use serde::Serialize;

use crate::format::elapsed;
use crate::words::words;

/// Result of the last attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// No attempt since the component runs, or no pass and too few failures to count.
    Pending,
    /// The last attempt passed, or too few consecutive attempts have failed since.
    Passing,
    /// The configured number of consecutive attempts failed.
    Failing,
}

words!(ProbeState {
    Pending => "pending",
    Passing => "passing",
    Failing => "failing",
});

/// State of a component's health probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    /// Result of the last attempts.
    pub state: ProbeState,
    /// Time since which the result has been the same, by the host's clock.
    pub since: Timestamp,
    /// Reason of the failure, or of the last failed attempt while the probe is pending, as a sentence; empty
    /// if none failed.
    pub reason: String,
}

impl ProbeReport {
    /// Returns true if the probe has neither passed nor failed since the component runs.
    pub fn is_pending(&self) -> bool {
        self.state == ProbeState::Pending
    }

    /// Returns the state with its age at `now`, by the host's clock: `probe passing for 3 min`.
    pub fn status_text(&self, now: Timestamp) -> String {
        format!("probe {} for {}", self.state, elapsed(self.since, now))
    }
}
