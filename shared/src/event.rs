//! What happened, as it is recorded.

use jiff::Timestamp;
use serde::Serialize;

use crate::control::Requester;
use crate::name::Name;

/// What sort of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// An instance's health changed.
    Health,
    /// A host became reachable or unreachable.
    Host,
    /// A plan began or ended.
    Plan,
    /// A step of a plan began or ended.
    Step,
    /// Maintenance began or ended.
    Maintenance,
    /// A configuration was taken or refused.
    Config,
    /// An agent started something again by itself, or gave that up.
    Autostart,
    /// The aggregator began or ended, or cannot record.
    Aggregator,
}

impl EventKind {
    /// Every value.
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

    /// The word shown to people, and on the wire.
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

    /// The kind of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Grows with every event; 0 before it is recorded.
    pub id: u64,
    /// When, by the aggregator's clock.
    pub at: Timestamp,
    /// What sort of thing.
    pub kind: EventKind,
    /// What it is about; `None` where it is about more.
    pub environment: Option<Name>,
    /// The host that it is about.
    pub host: Option<Name>,
    /// The component that it is about.
    pub component: Option<Name>,
    /// What it was before.
    pub from: Option<String>,
    /// What it is now.
    pub to: Option<String>,
    /// A sentence.
    pub text: String,
    /// Who asked for it.
    pub by: Option<Requester>,
    /// The plan that it belongs to.
    pub plan: Option<u64>,
}
