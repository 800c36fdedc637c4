//! Queries for events, incidents and timelines.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::incident::{Incident, IncidentDetails};
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
    /// Plan to which the events belong.
    pub(crate) plan: Option<u64>,
    /// Name of the requester.
    pub(crate) person: Option<String>,
    /// Incident to which the events belong.
    pub(crate) incident: Option<u64>,
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
            plan: None,
            person: None,
            incident: None,
            limit: 200,
        }
    }
}

impl EventQuery {
    /// Returns true if all conditions match an event, apart from the incident, which an event does not know.
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
            && self.plan.is_none_or(|plan| event.plan == Some(plan))
            && self
                .person
                .as_ref()
                .is_none_or(|person| event.by.as_ref().is_some_and(|by| by.user == *person))
    }
}

/// Filter for incidents: all conditions must match. The result is ordered newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IncidentQuery {
    pub(crate) id: Option<u64>,
    /// True for only those that are not over.
    pub(crate) is_open: bool,
    /// Environment of a root cause.
    pub(crate) environment: Option<Name>,
    /// Name of a person who acted, without regard to case.
    pub(crate) person: Option<String>,
    /// Time at which, or after which, they were open.
    pub(crate) since: Option<Timestamp>,
    /// Upper bound of the ID, exclusive.
    pub(crate) before: Option<u64>,
    /// Maximum number of incidents.
    pub(crate) limit: usize,
    /// Maximum number of events of each incident, the newest ones.
    pub(crate) events: usize,
}

impl IncidentQuery {
    /// Adds to each incident its newest events, which `read` returns for a query.
    ///
    /// # Errors
    /// Returns the first error of `read`.
    pub(super) fn add_events<E>(
        &self,
        found: Vec<Incident>,
        mut read: impl FnMut(&EventQuery) -> Result<Vec<Event>, E>,
    ) -> Result<Vec<IncidentDetails>, E> {
        let mut details = Vec::new();
        for incident in found {
            let mut events = Vec::new();
            if self.events > 0 {
                // One more shows whether there are more.
                let (incident, limit) = (Some(incident.id), self.events.saturating_add(1));
                events = read(&EventQuery { incident, limit, ..EventQuery::default() })?;
            }
            details.push(IncidentDetails::new(incident, events, self.events));
        }
        Ok(details)
    }

    /// Returns true if all conditions match an incident.
    pub(crate) fn matches(&self, incident: &Incident) -> bool {
        self.id.is_none_or(|id| incident.id == id)
            && self.before.is_none_or(|before| incident.id < before)
            && (!self.is_open || incident.is_open())
            && self.since.is_none_or(|since| incident.ended_at.is_none_or(|end| end >= since))
            && self.environment.as_ref().is_none_or(|name| incident.environments().contains(&name))
            && self.person.as_ref().is_none_or(|person| incident.has_person(person))
    }
}

/// What an earlier aggregator left of its incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredIncidents {
    /// Open incidents, and those that ended recently, the oldest first.
    pub(crate) incidents: Vec<Incident>,
    /// Highest ID in use.
    pub(crate) last_id: u64,
    /// Last time at which an aggregator is known to have run; `None` if none has.
    pub(crate) last_active: Option<Timestamp>,
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
