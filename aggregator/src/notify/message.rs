//! Messages of notifications. Their JSON is a public contract: the body of webhooks, and the input of
//! commands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rta_shared::config::notify::Severity;
use rta_shared::name::Name;
use rta_shared::overview::Health;
use serde::{Deserialize, Serialize};

use super::cause::{Affected, Cause};

/// Version of the JSON.
pub(super) const VERSION: u32 = 1;

/// Kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MessageKind {
    /// A root cause appeared.
    Begin,
    /// It affects markedly more, or became more severe.
    Update,
    /// It is still there.
    Repeat,
    /// It comes and goes. Begins the notification if nothing was sent before.
    Flapping,
    /// The root cause is over, or no longer notified.
    End,
    /// A test that a person requested.
    Test,
}

impl MessageKind {
    /// Returns the word of the JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Update => "update",
            Self::Repeat => "repeat",
            Self::Flapping => "flapping",
            Self::End => "end",
            Self::Test => "test",
        }
    }
}

/// Reason for the end of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndReason {
    /// It is well again.
    Recovered,
    /// It is in maintenance from now on.
    Maintenance,
    /// It was stopped on purpose.
    StoppedOnPurpose,
    /// It was removed from the configuration.
    Removed,
}

/// Message for one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Version of this JSON.
    pub(crate) version: u32,
    /// Idempotency key: a message that is delivered twice has the same one.
    pub(crate) key: String,
    pub(crate) kind: MessageKind,
    /// Time at which the message was due.
    pub(crate) at: Timestamp,
    /// Same for all messages about one occurrence of a root cause.
    pub(crate) incident: String,
    pub(crate) severity: Severity,
    /// Severity in the message before, if it changed.
    pub(crate) previous_severity: Option<Severity>,
    /// One sentence.
    pub(crate) summary: String,
    pub(crate) cause: MessageCause,
    pub(crate) affected: Affected,
    /// Time of the first message about it.
    pub(crate) begun_at: Timestamp,
    /// Only in the last message.
    pub(crate) end_reason: Option<EndReason>,
    /// Number of recent begins.
    pub(crate) begins: usize,
    /// Page of the root cause.
    pub(crate) link: Option<String>,
}

/// Root cause in a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageCause {
    pub(crate) environment: String,
    pub(crate) host: String,
    /// `None`: the whole host.
    pub(crate) component: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) health: Health,
    pub(crate) reason: String,
    /// Start of the outage; `None`: before the aggregator started.
    pub(crate) since: Option<Timestamp>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) runbook: Option<String>,
}

impl From<&Cause> for MessageCause {
    fn from(cause: &Cause) -> Self {
        let text = |name: &Name| name.as_str().to_owned();
        Self {
            environment: text(&cause.id.environment),
            host: text(&cause.id.host),
            component: cause.id.component.as_ref().map(text),
            role: cause.role.as_ref().map(text),
            health: cause.health,
            reason: cause.reason.clone(),
            since: cause.since,
            labels: cause.labels.clone(),
            runbook: cause.runbook.clone(),
        }
    }
}

impl MessageCause {
    /// Returns the name for a sentence: `kafka server on h1 (ITG)`.
    pub(crate) fn name_in_text(&self) -> String {
        match &self.component {
            Some(component) => format!("{component} on {} ({})", self.host, self.environment),
            None => format!("host {} ({})", self.host, self.environment),
        }
    }
}

/// Message with its channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub(crate) channel: String,
    pub(crate) message: Message,
}
