//! Stops that plans made on purpose.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::action::Requester;
use crate::format::ago;

/// Stop that a plan made on purpose. The instance has not run since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedStop {
    /// Number of the plan.
    pub plan: u64,
    /// Requester of the plan.
    pub by: Requester,
    /// Time at which the instance had stopped, by the aggregator's clock.
    pub at: Timestamp,
}

impl PlannedStop {
    /// Returns the sentence with its age: `stopped by ann 2 min ago (plan 5)`.
    pub fn sentence(&self, now: Timestamp) -> String {
        let (before, after) = self.around_age();
        format!("{before} {}{after}", ago(self.at, now))
    }

    /// Returns the text before and after the age in [`PlannedStop::sentence`].
    pub fn around_age(&self) -> (String, String) {
        (format!("stopped by {}", self.user()), format!(" (plan {})", self.plan))
    }

    /// Returns the name of the requester, or `somebody` if it is unknown.
    pub fn user(&self) -> &str {
        if self.by.user.is_empty() { "somebody" } else { &self.by.user }
    }
}

impl fmt::Display for PlannedStop {
    /// Writes the sentence without its age: `stopped by ann (plan 5)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {} (plan {})", self.user(), self.plan)
    }
}
