//! Recorded events.

use jiff::Timestamp;
use serde::Serialize;

use crate::action::Requester;
use crate::name::Name;
use crate::words::words;

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The health of an instance changed.
    Health,
    /// A host became reachable or unreachable.
    Host,
    /// A plan began or ended.
    Plan,
    /// A step of a plan began or ended.
    Step,
    /// Maintenance began or ended.
    Maintenance,
    /// A configuration was accepted or rejected.
    Config,
    /// Somebody signed in to the page or out, or failed to.
    #[serde(rename = "sign-in")]
    SignIn,
    /// An agent restarted a component automatically, or gave up.
    Autostart,
    /// Somebody was notified of a root cause, or could not be.
    Notification,
    /// The aggregator started or ended, or cannot record events.
    Aggregator,
}

words!(EventKind {
    Health => "health",
    Host => "host",
    Plan => "plan",
    Step => "step",
    Maintenance => "maintenance",
    Config => "config",
    SignIn => "sign-in",
    Autostart => "autostart",
    Notification => "notification",
    Aggregator => "aggregator",
});

/// Recorded event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Sequence number, which grows with every event; 0 before it is published.
    pub id: u64,
    /// Time of the event, by the aggregator's clock.
    pub at: Timestamp,
    /// Kind of the event.
    pub kind: EventKind,
    /// Environment that it concerns; `None` if it concerns more than one.
    pub environment: Option<Name>,
    /// Host that it concerns.
    pub host: Option<Name>,
    /// Component that it concerns.
    pub component: Option<Name>,
    /// Previous value.
    pub from: Option<String>,
    /// New value.
    pub to: Option<String>,
    /// Description, as a sentence.
    pub text: String,
    /// Requester of the change.
    pub by: Option<Requester>,
    /// Plan that it belongs to.
    pub plan: Option<u64>,
    /// Incident that it belongs to, as far as the record knows; a new event has none yet.
    pub incident: Option<u64>,
}

impl Event {
    /// Creates an event without a number that concerns no place, nobody and no plan.
    pub fn new(at: Timestamp, kind: EventKind, text: String) -> Self {
        Self {
            id: 0,
            at,
            kind,
            environment: None,
            host: None,
            component: None,
            from: None,
            to: None,
            text,
            by: None,
            plan: None,
            incident: None,
        }
    }
}
