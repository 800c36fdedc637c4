//! Pending writes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::maintenance::Maintenance;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{PlanEnd, PlanStart, StepChange};
use rta_shared::planned_stop::PlannedStop;
use rusqlite::Connection;

use super::marks::Unwritten;
use super::plans::Running;
use super::store::{self, Left};
use super::{Place, Unfinished, known_by};

/// Maximum number of pending events while they cannot be written; the oldest are dropped first.
pub(super) const KEPT: usize = 1000;
/// Maximum number of ended plans that are kept while their end cannot be written.
const KEPT_PLANS: usize = 100;

/// Pending writes. Events are appended; everything else is state, of which only the latest value is written,
/// however often it changed while nothing could be written.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    /// Number of events dropped since the last call of [`Backlog::take_lost`].
    lost: u64,
    plans: BTreeMap<u64, Open>,
    maintenance: Changed<Vec<Maintenance>>,
    known: HashMap<Place, String>,
    changed_places: BTreeSet<Place>,
    stops: HashMap<InstanceId, PlannedStop>,
    changed_stops: BTreeSet<InstanceId>,
    last_plan: Changed<u64>,
    pub(super) marks: Unwritten,
}

#[derive(Debug, Default)]
struct Changed<T> {
    value: T,
    is_new: bool,
}

impl<T> Changed<T> {
    fn to(value: T) -> Self {
        Self { value, is_new: true }
    }
}

/// Plan whose end is not written yet.
#[derive(Debug)]
struct Open {
    plan: Running,
    is_new: bool,
    changed: BTreeSet<usize>,
    end: Option<PlanEnd>,
}

impl Backlog {
    /// Adds the state that an earlier aggregator left, which is already written.
    pub(super) fn with(self, left: &Left) -> Self {
        let plans = left.unfinished.iter().map(|Unfinished { begun, states }| {
            let plan = Running::standing(begun.clone(), states.clone());
            (begun.id, Open { plan, is_new: false, changed: BTreeSet::new(), end: None })
        });
        Self {
            plans: plans.collect(),
            maintenance: Changed { value: left.maintenance.clone(), is_new: false },
            known: left.known.clone(),
            stops: left.stops.clone(),
            ..self
        }
    }

    /// Marks everything as unwritten, since the database is a new one.
    pub(super) fn everything_is_new(&mut self, now: Timestamp) {
        for open in self.plans.values_mut() {
            open.is_new = true;
            open.changed = (0..open.plan.states.len()).collect();
        }
        self.maintenance.is_new = true;
        self.changed_places = self.known.keys().cloned().collect();
        self.changed_stops = self.stops.keys().cloned().collect();
        self.last_plan.is_new = true;
        self.marks.note_all(now);
    }

    pub(super) fn add(&mut self, event: Event) {
        if let Some((place, value)) = known_by(&event) {
            self.know(place, value);
        }
        self.events.push_back(event);
    }

    /// Adds the known value of an instance or a host.
    pub(super) fn know(&mut self, place: Place, value: String) {
        self.changed_places.insert(place.clone());
        self.known.insert(place, value);
    }

    /// Adds a planned stop; `None` removes it.
    pub(super) fn note_stop(&mut self, id: InstanceId, stop: Option<PlannedStop>) {
        self.changed_stops.insert(id.clone());
        match stop {
            Some(stop) => drop(self.stops.insert(id, stop)),
            None => drop(self.stops.remove(&id)),
        }
    }

    pub(super) fn begin(&mut self, begun: PlanStart) {
        let plan = Running::new(begun);
        self.events.push_back(plan.beginning());
        let ended: Vec<u64> =
            self.plans.iter().filter(|(_, open)| open.end.is_some()).map(|(id, _)| *id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(KEPT_PLANS)) {
            self.plans.remove(id);
        }
        let open = Open { is_new: true, changed: BTreeSet::new(), end: None, plan };
        self.plans.insert(open.plan.begun.id, open);
    }

    pub(super) fn change(&mut self, plan: u64, change: &StepChange) {
        let Some(open) = self.plans.get_mut(&plan) else { return };
        self.events.extend(open.plan.change(change));
        open.changed.insert(change.step);
    }

    pub(super) fn end(&mut self, plan: u64, end: PlanEnd) {
        let Some(open) = self.plans.get_mut(&plan) else { return };
        self.events.push_back(open.plan.ending(&end));
        open.end = Some(end);
    }

    pub(super) fn maintain(&mut self, all: Vec<Maintenance>) {
        self.maintenance = Changed::to(all);
    }

    /// Reserves plan IDs up to this one.
    pub(super) fn reserve(&mut self, last_plan: u64) {
        self.last_plan = Changed::to(last_plan);
    }

    /// Returns true if there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.changed_places.is_empty()
            && self.changed_stops.is_empty()
            && self.marks.is_empty()
            && !self.maintenance.is_new
            && !self.last_plan.is_new
            && self.plans.values().all(|open| !open.is_new && open.changed.is_empty() && open.end.is_none())
    }

    /// Returns the pending events, the newest first.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev()
    }

    /// Writes everything within the caller's transaction.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for event in &self.events {
            store::put_event(connection, event)?;
        }
        for (id, open) in &self.plans {
            if open.is_new {
                store::put_plan(connection, &open.plan.begun)?;
            }
            for step in &open.changed {
                if let Some(state) = open.plan.states.get(*step) {
                    store::put_step(connection, *id, *step, state)?;
                }
            }
            if let Some(end) = &open.end {
                store::end_plan(connection, *id, end.at)?;
            }
        }
        if self.maintenance.is_new {
            store::put_maintenance(connection, &self.maintenance.value)?;
        }
        for place in &self.changed_places {
            if let Some(known) = self.known.get(place) {
                store::put_known(connection, place, known)?;
            }
        }
        for id in &self.changed_stops {
            store::put_planned_stop(connection, id, self.stops.get(id))?;
        }
        if self.last_plan.is_new {
            store::put_last_plan(connection, self.last_plan.value)?;
        }
        self.marks.write(connection)
    }

    /// Removes everything after a successful write.
    pub(super) fn is_written(&mut self) {
        self.events.clear();
        self.plans.retain(|_, open| open.end.is_none());
        for open in self.plans.values_mut() {
            open.is_new = false;
            open.changed.clear();
        }
        self.changed_places.clear();
        self.changed_stops.clear();
        self.maintenance.is_new = false;
        self.last_plan.is_new = false;
        self.marks.is_written();
    }

    /// Drops the oldest events above [`KEPT`] after a failed write.
    pub(super) fn is_kept(&mut self) {
        let surplus = self.events.len().saturating_sub(KEPT);
        self.events.drain(..surplus);
        self.lost += u64::try_from(surplus).unwrap_or(u64::MAX);
    }

    /// Returns and resets the number of dropped events.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}
