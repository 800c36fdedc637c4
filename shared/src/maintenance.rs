//! Maintenance windows of hosts and instances.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::Requester;
use crate::name::Name;

/// Maintenance window of a host or an instance: it suppresses alerts and automatic starts; only an operator
/// starts anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Environment of the host.
    pub environment: Name,
    /// Host.
    pub host: Name,
    /// Component; `None`: the whole host.
    pub component: Option<Name>,
    /// Start of the window.
    pub since: Timestamp,
    /// End of the window; `None`: until it is ended manually.
    pub until: Option<Timestamp>,
    /// Reason; empty if none was given.
    pub reason: String,
    /// Requester of the maintenance.
    pub by: Requester,
}

impl Maintenance {
    /// Returns true if the window is over at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Returns a description: `in maintenance until 12:00 UTC: new disks (ann)`.
    pub fn sentence(&self) -> String {
        let mut sentence = "in maintenance".to_owned();
        if let Some(until) = self.until {
            sentence.push_str(&until.strftime(" until %Y-%m-%d %H:%M UTC").to_string());
        }
        if !self.reason.is_empty() {
            sentence.push_str(": ");
            sentence.push_str(&self.reason);
        }
        if !self.by.user.is_empty() {
            sentence.push_str(&format!(" ({})", self.by.user));
        }
        sentence
    }
}
