//! Times in which a host or an instance is worked on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::Requester;
use crate::name::Name;

/// A time in which a host or an instance is worked on: nobody is alerted, and nothing starts it but a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// The host's environment.
    pub environment: Name,
    /// The host.
    pub host: Name,
    /// `None`: the whole host.
    pub component: Option<Name>,
    /// When it began.
    pub since: Timestamp,
    /// When it ends by itself; `None`: never.
    pub until: Option<Timestamp>,
    /// Why; empty where nothing was said.
    pub reason: String,
    /// Who began it.
    pub by: Requester,
}

impl Maintenance {
    /// Whether it is over at the moment `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// `in maintenance until 12:00 UTC: new disks (ann)`.
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
