//! Which events are asked for.

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::name::Name;

/// How many events are given at most.
pub(crate) const MOST: usize = 10_000;

/// Which events are asked for: those to which all of it applies, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Not older.
    pub(crate) since: Option<Timestamp>,
    /// With a smaller ID.
    pub(crate) before: Option<u64>,
    pub(crate) environment: Option<Name>,
    pub(crate) host: Option<Name>,
    pub(crate) component: Option<Name>,
    /// Of one of these kinds; none: of any.
    pub(crate) kinds: Vec<EventKind>,
    /// No more than so many.
    pub(crate) limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            since: None,
            before: None,
            environment: None,
            host: None,
            component: None,
            kinds: Vec::new(),
            limit: 200,
        }
    }
}

impl Query {
    /// Whether all of it applies to an event that has no ID yet.
    pub(super) fn fits_new(&self, event: &Event) -> bool {
        fn fits(wanted: Option<&Name>, found: Option<&Name>) -> bool {
            wanted.is_none() || wanted == found
        }
        self.before.is_none()
            && self.since.is_none_or(|since| event.at >= since)
            && fits(self.environment.as_ref(), event.environment.as_ref())
            && fits(self.host.as_ref(), event.host.as_ref())
            && fits(self.component.as_ref(), event.component.as_ref())
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
    }
}
