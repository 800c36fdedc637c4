//! The incident to which an event belongs. Pure.
//!
//! An overview and the events of the same change arrive in any order. An event waits until an overview of its time
//! was observed; if it belongs to no incident then, it waits for a while for one that begins later.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rta_shared::event::{Event, EventKind};
use rta_shared::root_cause::CauseId;

use super::tracker::{IncidentTracker, TrackedIncident};

/// Time after which an event is compared with the incidents although no later overview was observed: nothing that
/// matters has changed.
const SETTLE_TIME: SignedDuration = SignedDuration::from_secs(1);
/// Time for which an event waits for an incident that begins later.
const MAX_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// Maximum number of events that wait; the oldest are dropped first.
const MAX_WAITING: usize = 10_000;
/// Word of a notification that could not be delivered.
const FAILED: &str = "failed";

/// Place of an incident: open or over, and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum IncidentIndex {
    Recent(usize),
    Open(usize),
}

/// Returns the place of an event, if it concerns one host.
fn place_of(event: &Event) -> Option<CauseId> {
    let (environment, host) = (event.environment.clone()?, event.host.clone()?);
    Some(CauseId { environment, host, component: event.component.clone() })
}

impl IncidentTracker {
    /// Takes in an event. [`IncidentTracker::attribute`] finds its incident.
    pub(super) fn observe_event(&mut self, event: &Arc<Event>) {
        let place = place_of(event);
        self.plans.observe(event, place.as_ref());
        match event.kind {
            EventKind::Aggregator | EventKind::Config | EventKind::SignIn => {}
            EventKind::Plan => self.attribute_plan(event),
            _ if place.is_none() => {}
            _ => self.fresh.push_back(Arc::clone(event)),
        }
    }

    /// Lets events that belonged to no incident be compared again.
    pub(super) fn retry_unmatched(&mut self) {
        let mut again = std::mem::take(&mut self.unmatched);
        again.append(&mut self.fresh);
        self.fresh = again;
    }

    /// Adds the event of a plan's begin or end to the incidents of the plan.
    fn attribute_plan(&mut self, event: &Event) {
        let Some(plan) = event.plan else { return };
        for tracked in self.open.iter().chain(&self.recent) {
            if tracked.incident.plans.contains(&plan) {
                self.attributed.push((tracked.incident.id, event.id));
            }
        }
    }

    /// Returns true if events wait for an overview, or for the time until they are compared without one.
    pub(super) fn has_fresh_events(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Finds the incidents of the events whose time has come at `now`.
    pub(super) fn attribute(&mut self, now: Timestamp) {
        if self.fresh.is_empty() {
            return;
        }
        self.index_places();
        let mut found = Vec::new();
        let mut early = std::collections::VecDeque::new();
        for event in std::mem::take(&mut self.fresh) {
            let is_observed = self.observed_at.is_some_and(|at| event.at <= at);
            if !is_observed && now.duration_since(event.at) < SETTLE_TIME {
                early.push_back(event);
                continue;
            }
            match self.find_incident(&event) {
                Some(at) => found.push((at, event)),
                None => self.unmatched.push_back(event),
            }
        }
        self.fresh = early;
        for (at, event) in found {
            self.add_event(at, &event);
        }
        let plans = &self.plans;
        let waits = |event: &Arc<Event>| {
            let is_recent = now.duration_since(event.at) < MAX_WAIT;
            is_recent || event.plan.is_some_and(|plan| plans.is_under_way(plan))
        };
        self.unmatched.retain(waits);
        let surplus = self.unmatched.len().saturating_sub(MAX_WAITING);
        self.unmatched.drain(..surplus);
    }

    /// Returns the incidents that touch a place: the open ones first, and the newest of each first.
    fn incidents_at(&self, place: &CauseId) -> Vec<IncidentIndex> {
        let index = |id: &u64| {
            let open = self.open.iter().position(|one| one.incident.id == *id).map(IncidentIndex::Open);
            open.or_else(|| {
                self.recent.iter().position(|one| one.incident.id == *id).map(IncidentIndex::Recent)
            })
        };
        let mut found: Vec<IncidentIndex> =
            self.by_place.get(place).into_iter().flatten().filter_map(index).collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        found
    }

    fn tracked(&self, at: IncidentIndex) -> Option<&TrackedIncident> {
        match at {
            IncidentIndex::Open(at) => self.open.get(at),
            IncidentIndex::Recent(at) => self.recent.get(at),
        }
    }

    /// Returns the incident to which an event belongs: first one of which its place is a root cause now, then one
    /// that affects it, then one that touched it before, then that of its host, then that of its plan.
    fn find_incident(&self, event: &Event) -> Option<IncidentIndex> {
        let place = place_of(event)?;
        let host = CauseId { component: None, ..place.clone() };
        let is_notification = event.kind == EventKind::Notification;
        let is_then = |at: &IncidentIndex| {
            self.tracked(*at).is_some_and(|tracked| {
                let incident = &tracked.incident;
                // The message about the end, and the end of a step, are later than the end.
                let is_late =
                    is_notification || event.plan.is_some_and(|plan| incident.plans.contains(&plan));
                event.at >= incident.begun_at
                    && (is_late || incident.ended_at.is_none_or(|end| event.at <= end))
                    && (!is_notification || incident.causes.contains(&place))
            })
        };
        let is_open = |at: &IncidentIndex| matches!(at, IncidentIndex::Open(_));
        let holds = |at: &IncidentIndex, test: &dyn Fn(&TrackedIncident) -> bool| {
            is_open(at) && self.tracked(*at).is_some_and(test)
        };
        let candidates: Vec<IncidentIndex> = self.incidents_at(&place).into_iter().filter(is_then).collect();
        let find =
            |test: &dyn Fn(&TrackedIncident) -> bool| candidates.iter().copied().find(|at| holds(at, test));
        find(&|tracked| tracked.present.contains(&place))
            .or_else(|| find(&|tracked| tracked.affected.contains(&place)))
            .or_else(|| candidates.first().copied())
            .or_else(|| {
                let of_host = |at: &IncidentIndex| {
                    self.tracked(*at).is_some_and(|tracked| tracked.incident.causes.contains(&host))
                };
                self.incidents_at(&host).into_iter().filter(is_then).find(of_host)
            })
            .or_else(|| {
                let plan = event.plan?;
                let is_its = |tracked: &TrackedIncident| tracked.causing_plan() == Some(plan);
                let open = self.open.iter().rposition(is_its).map(IncidentIndex::Open);
                open.or_else(|| self.recent.iter().rposition(is_its).map(IncidentIndex::Recent))
            })
    }

    fn add_event(&mut self, at: IncidentIndex, event: &Event) {
        let tracked = match at {
            IncidentIndex::Open(at) => self.open.get_mut(at),
            IncidentIndex::Recent(at) => self.recent.get_mut(at),
        };
        let Some(tracked) = tracked else { return };
        let id = tracked.incident.id;
        self.attributed.push((id, event.id));
        let mut is_changed = false;
        if let Some(plan) = event.plan {
            let events = self.plans.get(plan).map(|plan| plan.events.clone()).unwrap_or_default();
            is_changed |= tracked.add_plan(Some(plan), &events, &mut self.attributed);
        }
        if let Some(by) = &event.by {
            is_changed |= tracked.add_person(&by.user);
        }
        if event.kind == EventKind::Notification && event.to.as_deref() != Some(FAILED) {
            tracked.incident.notifications += 1;
            is_changed = true;
        }
        if is_changed {
            self.mark_changed(id);
        }
    }
}
