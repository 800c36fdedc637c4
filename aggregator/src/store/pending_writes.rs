//! Pending writes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{PlanEnd, PlanStart, StepChange, StepState};
use rta_shared::planned_maintenance::PlannedMaintenance;
use rta_shared::planned_stop::PlannedStop;

use super::incidents::PendingIncidents;
use super::notifications::PendingNotifications;
use super::scope::WriterScope;
use super::{HostOrInstance, UnfinishedPlan, known_value_of};
use crate::store::rows::{RecoveredState, RowCache, StoredNumber, events, plans, state, write_number};
use crate::store::samples::PendingSamples;
use crate::store::sql::{SqlSession, StoreError};

/// Maximum number of pending events while they cannot be written; the oldest are dropped first.
pub(crate) const MAX_PENDING_EVENTS: usize = 1000;
/// Maximum number of ended plans that are kept while their end cannot be written.
const MAX_PENDING_PLANS: usize = 100;

/// Pending writes. Events are appended; everything else is state, of which only the latest value is written,
/// however often it changed while nothing could be written.
#[derive(Debug, Default)]
pub(crate) struct PendingWrites {
    events: VecDeque<Arc<Event>>,
    /// Number of events dropped since the last call of [`PendingWrites::take_lost`].
    lost: u64,
    plans: BTreeMap<u64, PendingPlan>,
    maintenance: DirtyValue<Vec<Maintenance>>,
    /// Planned maintenance, and the highest ID in use.
    planned_maintenance: DirtyValue<(Vec<PlannedMaintenance>, u64)>,
    known: HashMap<HostOrInstance, String>,
    changed_places: BTreeSet<HostOrInstance>,
    planned_stops: HashMap<InstanceId, PlannedStop>,
    changed_stops: BTreeSet<InstanceId>,
    last_plan: DirtyValue<u64>,
    last_event: DirtyValue<u64>,
    pub(crate) samples: PendingSamples,
    pub(crate) notifications: PendingNotifications,
    pub(crate) incidents: PendingIncidents,
    /// Environment of the maintenance and the notifications, of one of several writers.
    environment: Option<Name>,
    /// IDs of the planned maintenance in the database that this writer knows, of several.
    written_planned: Option<BTreeSet<u64>>,
}

#[derive(Debug, Default)]
struct DirtyValue<T> {
    value: T,
    is_dirty: bool,
}

impl<T> DirtyValue<T> {
    fn to(value: T) -> Self {
        Self { value, is_dirty: true }
    }
}

/// Plan whose end is not written yet.
#[derive(Debug)]
struct PendingPlan {
    begun: PlanStart,
    /// State and last text of each step.
    states: Vec<(StepState, String)>,
    is_new: bool,
    changed: BTreeSet<usize>,
    end: Option<PlanEnd>,
}

impl PendingWrites {
    /// Adds the state that an earlier aggregator left, which is already written.
    pub(crate) fn with_recovered(self, recovered: &RecoveredState, scope: &WriterScope) -> Self {
        // What names no environment may be of another one.
        let planned = recovered.planned_maintenance.iter().filter(|planned| !planned.environment.is_empty());
        let planned = planned.map(|planned| planned.id);
        let plans = recovered.unfinished.iter().map(|UnfinishedPlan { begun, states }| {
            let (begun, states) = (begun.clone(), states.clone());
            (begun.id, PendingPlan { begun, states, is_new: false, changed: BTreeSet::new(), end: None })
        });
        Self {
            plans: plans.collect(),
            maintenance: DirtyValue { value: recovered.maintenance.clone(), is_dirty: false },
            planned_maintenance: DirtyValue {
                value: (recovered.planned_maintenance.clone(), recovered.last_planned_maintenance),
                is_dirty: false,
            },
            known: recovered.known_values.clone(),
            planned_stops: recovered.planned_stops.clone(),
            notifications: PendingNotifications::from(&recovered.notifications)
                .of_environment(scope.environment()),
            incidents: (&recovered.incidents).into(),
            environment: scope.environment().cloned(),
            written_planned: scope.is_shared().then(|| planned.collect()),
            ..self
        }
    }

    /// Marks everything as unwritten, since the database is a new one.
    pub(crate) fn mark_all_dirty(&mut self, now: Timestamp) {
        for open in self.plans.values_mut() {
            open.is_new = true;
            open.changed = (0..open.states.len()).collect();
        }
        self.maintenance.is_dirty = true;
        self.planned_maintenance.is_dirty = true;
        self.changed_places = self.known.keys().cloned().collect();
        self.changed_stops = self.planned_stops.keys().cloned().collect();
        self.last_plan.is_dirty = true;
        self.last_event.is_dirty = true;
        self.samples.repeat_states(now);
        self.notifications.mark_all_dirty();
        self.incidents.mark_all_dirty();
    }

    pub(crate) fn add_event(&mut self, event: Arc<Event>) {
        if let Some((place, value)) = known_value_of(&event) {
            self.set_known(place, value);
        }
        self.events.push_back(event);
    }

    /// Adds the known value of an instance or a host.
    pub(crate) fn set_known(&mut self, place: HostOrInstance, value: String) {
        self.changed_places.insert(place.clone());
        self.known.insert(place, value);
    }

    /// Adds a planned stop; `None` removes it.
    pub(crate) fn set_planned_stop(&mut self, id: InstanceId, stop: Option<PlannedStop>) {
        self.changed_stops.insert(id.clone());
        match stop {
            Some(stop) => drop(self.planned_stops.insert(id, stop)),
            None => drop(self.planned_stops.remove(&id)),
        }
    }

    pub(crate) fn begin_plan(&mut self, begun: PlanStart) {
        let states = vec![(StepState::Waiting, String::new()); begun.plan.steps.len()];
        let ended: Vec<u64> =
            self.plans.iter().filter(|(_, open)| open.end.is_some()).map(|(id, _)| *id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(MAX_PENDING_PLANS)) {
            self.plans.remove(id);
        }
        let open = PendingPlan { begun, states, is_new: true, changed: BTreeSet::new(), end: None };
        self.plans.insert(open.begun.id, open);
    }

    pub(crate) fn change_step(&mut self, plan: u64, change: &StepChange) {
        let Some(open) = self.plans.get_mut(&plan) else { return };
        if let Some(known) = open.states.get_mut(change.step) {
            *known = (change.state, change.text.clone());
            open.changed.insert(change.step);
        }
    }

    pub(crate) fn end_plan(&mut self, plan: u64, end: PlanEnd) {
        let Some(open) = self.plans.get_mut(&plan) else { return };
        open.end = Some(end);
    }

    pub(crate) fn set_maintenance(&mut self, all: Vec<Maintenance>) {
        self.maintenance = DirtyValue::to(all);
    }

    /// Replaces the planned maintenance; `last_id` is the highest ID in use.
    pub(crate) fn set_planned_maintenance(&mut self, all: Vec<PlannedMaintenance>, last_id: u64) {
        self.planned_maintenance = DirtyValue::to((all, last_id));
    }

    /// Reserves plan IDs up to this one.
    pub(crate) fn reserve_plan_ids(&mut self, last_plan: u64) {
        self.last_plan = DirtyValue::to(last_plan);
    }

    /// Reserves event IDs up to this one.
    pub(crate) fn reserve_event_ids(&mut self, last_event: u64) {
        self.last_event = DirtyValue::to(last_event);
    }

    /// Returns the pending events, the oldest first, under the IDs that the last attempt to write gave them.
    pub(crate) fn numbered_events(&self) -> Vec<Arc<Event>> {
        self.events.iter().cloned().collect()
    }

    /// Sets the IDs of the first pending events. They are kept after an attempt that failed, since it may
    /// have been committed all the same.
    pub(crate) fn set_event_ids(&mut self, ids: &[u64]) {
        for (event, id) in self.events.iter_mut().zip(ids) {
            if event.id != *id {
                *event = Arc::new(Event { id: *id, ..event.as_ref().clone() });
            }
        }
    }

    /// Returns the event ID up to which all are reserved.
    pub(crate) fn reserved_event_id(&self) -> u64 {
        self.last_event.value
    }

    /// Returns true if there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.changed_places.is_empty()
            && self.changed_stops.is_empty()
            && self.samples.is_empty()
            && self.notifications.is_empty()
            && self.incidents.is_empty()
            && !self.maintenance.is_dirty
            && !self.planned_maintenance.is_dirty
            && !self.last_plan.is_dirty
            && !self.last_event.is_dirty
            && self.plans.values().all(|open| !open.is_new && open.changed.is_empty() && open.end.is_none())
    }

    /// Returns the pending events, the newest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev().map(Arc::as_ref)
    }

    /// Writes everything within the caller's transaction. Adds the ID of each event to `ids`.
    pub(crate) fn write_all(
        &self,
        session: &mut dyn SqlSession,
        cache: &mut RowCache,
        ids: &mut Vec<u64>,
    ) -> Result<(), StoreError> {
        for event in &self.events {
            ids.push(events::write_event(session, cache, event)?);
        }
        for (id, open) in &self.plans {
            if open.is_new {
                plans::write_plan(session, &open.begun)?;
            }
            for step in &open.changed {
                if let Some(state) = open.states.get(*step) {
                    plans::write_step(session, *id, *step, state)?;
                }
            }
            if let Some(end) = &open.end {
                plans::write_plan_end(session, *id, end.at)?;
            }
        }
        if self.maintenance.is_dirty {
            state::write_maintenance(session, &self.maintenance.value, self.environment.as_ref())?;
        }
        if self.planned_maintenance.is_dirty {
            let (all, last_id) = &self.planned_maintenance.value;
            state::write_planned_maintenance(session, all, self.written_planned.as_ref())?;
            if self.written_planned.is_none() {
                write_number(session, StoredNumber::PlannedMaintenance, to_number(*last_id))?;
            }
        }
        for place in &self.changed_places {
            if let Some(known) = self.known.get(place) {
                state::write_known_value(session, place, known)?;
            }
        }
        for id in &self.changed_stops {
            state::write_planned_stop(session, id, self.planned_stops.get(id))?;
        }
        if self.last_plan.is_dirty {
            write_number(session, StoredNumber::Plan, to_number(self.last_plan.value))?;
        }
        if self.last_event.is_dirty {
            write_number(session, StoredNumber::Event, to_number(self.last_event.value))?;
        }
        self.samples.write_all(session, cache)?;
        self.notifications.write_all(session)?;
        self.incidents.write_all(session)
    }

    /// Removes everything after a successful write.
    pub(crate) fn clear_written(&mut self) {
        self.events.clear();
        self.plans.retain(|_, open| open.end.is_none());
        for open in self.plans.values_mut() {
            open.is_new = false;
            open.changed.clear();
        }
        self.changed_places.clear();
        self.changed_stops.clear();
        self.maintenance.is_dirty = false;
        self.planned_maintenance.is_dirty = false;
        if let Some(known) = &mut self.written_planned {
            *known = self.planned_maintenance.value.0.iter().map(|planned| planned.id).collect();
        }
        self.last_plan.is_dirty = false;
        self.last_event.is_dirty = false;
        self.samples.clear_written();
        self.notifications.clear_written();
        self.incidents.clear_written();
    }

    /// Drops the oldest events above [`MAX_PENDING_EVENTS`] after a failed write.
    pub(crate) fn drop_excess(&mut self) {
        let surplus = self.events.len().saturating_sub(MAX_PENDING_EVENTS);
        self.events.drain(..surplus);
        self.lost += u64::try_from(surplus).unwrap_or(u64::MAX);
        self.incidents.drop_excess();
    }

    /// Returns and resets the number of dropped events.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

fn to_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
