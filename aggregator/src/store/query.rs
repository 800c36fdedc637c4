//! Queries for events and timelines.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;

use crate::timeline::{RecordingGap, TimelineSample};

/// Maximum number of events in an answer.
pub(crate) const MAX_EVENTS: usize = 10_000;

/// Filter for events: all conditions must match. The result is ordered newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventQuery {
    /// Earliest time, inclusive.
    pub(crate) since: Option<Timestamp>,
    /// Upper bound of the ID, exclusive.
    pub(crate) before: Option<u64>,
    /// Lower bound of the ID, exclusive.
    pub(crate) after: Option<u64>,
    pub(crate) environment: Option<Name>,
    pub(crate) host: Option<Name>,
    pub(crate) component: Option<Name>,
    /// Kinds to match; empty: any.
    pub(crate) kinds: Vec<EventKind>,
    /// Maximum number of events.
    pub(crate) limit: usize,
}

impl Default for EventQuery {
    fn default() -> Self {
        Self {
            since: None,
            before: None,
            after: None,
            environment: None,
            host: None,
            component: None,
            kinds: Vec::new(),
            limit: 200,
        }
    }
}

impl EventQuery {
    /// Returns true if all conditions match an event.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        fn fits(wanted: Option<&Name>, found: Option<&Name>) -> bool {
            wanted.is_none() || wanted == found
        }
        self.before.is_none_or(|before| event.id < before)
            && self.after.is_none_or(|after| event.id > after)
            && self.since.is_none_or(|since| event.at >= since)
            && fits(self.environment.as_ref(), event.environment.as_ref())
            && fits(self.host.as_ref(), event.host.as_ref())
            && fits(self.component.as_ref(), event.component.as_ref())
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
    }
}

/// Query for the samples needed to reconstruct the state since a moment.
#[derive(Clone, Debug)]
pub(crate) struct TimelineQuery {
    pub(crate) since: Timestamp,
    /// `None`: all instances.
    pub(crate) instance: Option<InstanceId>,
}

/// Recorded samples and gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimelineRows {
    /// Samples of each instance since the requested moment, and the last one before, in recording order.
    pub(crate) samples: HashMap<InstanceId, Vec<TimelineSample>>,
    pub(crate) gaps: Vec<RecordingGap>,
}
