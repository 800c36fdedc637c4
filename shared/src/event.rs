//! Recorded events.

use jiff::Timestamp;
use serde::Serialize;

use crate::action::Requester;
use crate::name::Name;

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
    /// An agent restarted a component automatically, or gave up.
    Autostart,
    /// The aggregator started or ended, or cannot record events.
    Aggregator,
}

impl EventKind {
    /// All values.
    pub const ALL: [Self; 8] = [
        Self::Health,
        Self::Host,
        Self::Plan,
        Self::Step,
        Self::Maintenance,
        Self::Config,
        Self::Autostart,
        Self::Aggregator,
    ];

    /// Returns the word shown to users and used on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Host => "host",
            Self::Plan => "plan",
            Self::Step => "step",
            Self::Maintenance => "maintenance",
            Self::Config => "config",
            Self::Autostart => "autostart",
            Self::Aggregator => "aggregator",
        }
    }

    /// Returns the kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Recorded event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Sequence number, which grows with every event; 0 before it is recorded.
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
}
