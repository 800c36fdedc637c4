//! Root causes at one moment, as the tracker compares them: without references into an overview. Pure.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use rta_shared::incident::IncidentKind;
use rta_shared::overview::{Health, InstanceId, Overview};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::root_cause::{CauseId, RootCause};

use crate::causes::{CauseOutcome, actual_root_causes, cause_outcome};

/// Root cause at one moment.
#[derive(Clone, Debug)]
pub(super) struct ObservedCause {
    pub(super) health: Health,
    /// Reason as a sentence.
    pub(super) reason: String,
    /// Time since which the health is so; `None`: not known.
    pub(super) since: Option<Timestamp>,
    /// Stop by a plan.
    pub(super) stop: Option<PlannedStop>,
    /// Sentence of the maintenance that explains it.
    pub(super) maintenance: Option<String>,
    /// Instances elsewhere whose bad health it explains.
    pub(super) affected: Vec<InstanceId>,
}

impl From<&RootCause<'_>> for ObservedCause {
    fn from(root: &RootCause<'_>) -> Self {
        Self {
            health: root.health(),
            reason: match root.instance {
                Some(instance) => instance.reason.clone(),
                None => root.host.error.clone().unwrap_or_default(),
            },
            since: root.instance.and_then(|instance| instance.since).map(to_microseconds),
            stop: root.planned_stop().cloned(),
            maintenance: root.maintenance().map(|maintenance| maintenance.sentence()),
            affected: root.affected.iter().map(|affected| affected.id()).collect(),
        }
    }
}

/// Cuts a time to microseconds, as those of events are: what happens at the same moment has to be equal.
fn to_microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

impl ObservedCause {
    /// Returns the kind of an incident that begins with this cause alone.
    pub(super) fn kind(&self, id: &CauseId) -> IncidentKind {
        match (&self.stop, &self.maintenance, &id.component) {
            (Some(_), ..) => IncidentKind::Plan,
            (_, Some(_), _) => IncidentKind::Maintenance,
            (.., None) => IncidentKind::Host,
            (.., Some(_)) => IncidentKind::Failure,
        }
    }

    /// Returns the sentence of an incident that begins with this cause alone.
    pub(super) fn sentence(&self, id: &CauseId) -> String {
        let place = match &id.component {
            Some(component) => format!("{component} on {}", id.host),
            None => format!("host {}", id.host),
        };
        let reason = match (&self.stop, &self.maintenance) {
            (Some(stop), _) => stop.to_string(),
            (None, Some(maintenance)) => maintenance.clone(),
            (None, None) => self.reason.clone(),
        };
        match reason.is_empty() {
            true => format!("{place} is {}", self.health),
            false => format!("{place} is {}: {reason}", self.health),
        }
    }
}

/// Root causes at one moment, and what has become of earlier ones.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) at: Timestamp,
    pub(super) causes: BTreeMap<CauseId, ObservedCause>,
    /// Those of the requested ones that are no root causes any more; a missing one is over.
    pub(super) outcomes: HashMap<CauseId, CauseOutcome>,
}

impl Observation {
    /// Reads the root causes of `overview`, and what has become of those in `open`.
    pub(super) fn new(overview: &Overview, open: &[CauseId]) -> Self {
        let roots = actual_root_causes(overview);
        let causes: BTreeMap<_, _> = roots.iter().map(|root| (CauseId::of(root), root.into())).collect();
        let earlier = open.iter().filter(|id| !causes.contains_key(*id));
        let outcomes = earlier.map(|id| (id.clone(), cause_outcome(overview, id))).collect();
        Self { at: to_microseconds(overview.generated_at), causes, outcomes }
    }
}
