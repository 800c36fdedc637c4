//! How a component's probe fares.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::human::elapsed;

/// What the last attempts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// Not asked yet since the component runs, or asked without having passed or having failed often enough to count.
    Pending,
    /// The last attempt passed, or too few in a row have failed since.
    Passing,
    /// As many attempts in a row failed as its configuration lets it.
    Failing,
}

impl ProbeState {
    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Passing => "passing",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for ProbeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How a component's probe fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    /// What the last attempts say.
    pub state: ProbeState,
    /// Since when they say so, by the host's clock.
    pub since: Timestamp,
    /// Why it fails, or why its last attempt failed while it is pending, as a sentence; empty where none did.
    pub reason: String,
}

impl ProbeReport {
    /// Whether it has neither passed nor failed since the component runs.
    pub fn is_pending(&self) -> bool {
        self.state == ProbeState::Pending
    }

    /// `probe passing for 3 min`, at the moment `now` by the host's clock.
    pub fn standing(&self, now: Timestamp) -> String {
        format!("probe {} for {}", self.state, elapsed(self.since, now))
    }
}
