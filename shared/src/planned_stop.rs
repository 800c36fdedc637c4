//! A stop that a plan made on purpose.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::control::Requester;
use crate::human::ago;

/// A stop that a plan made on purpose, of an instance that has not run since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedStop {
    /// The plan's number.
    pub plan: u64,
    /// Who asked for it.
    pub by: Requester,
    /// When the instance had stopped, by the aggregator's clock.
    pub at: Timestamp,
}

impl PlannedStop {
    /// `stopped by ann 2 min ago (plan 5)`
    pub fn sentence(&self, now: Timestamp) -> String {
        let (before, after) = self.around_age();
        format!("{before} {}{after}", ago(self.at, now))
    }

    /// Returns the text before and after the age in [`PlannedStop::sentence`].
    pub fn around_age(&self) -> (String, String) {
        (format!("stopped by {}", self.user()), format!(" (plan {})", self.plan))
    }

    /// Returns who asked for it, or that this is not known.
    pub fn user(&self) -> &str {
        if self.by.user.is_empty() { "somebody" } else { &self.by.user }
    }
}

impl fmt::Display for PlannedStop {
    /// `stopped by ann (plan 5)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {} (plan {})", self.user(), self.plan)
    }
}
