//! Root causes at one moment, as the tracker compares them: without references into an overview. Pure.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use rta_shared::incident::IncidentKind;
use rta_shared::overview::{Health, InstanceId, Overview};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::root_cause::{CauseId, RootCause};

use crate::causes::{CauseOutcome, CauseState, actual_root_causes, cause_outcome, cause_state, on_purpose};

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
    /// True if it was stopped on purpose, by a plan or otherwise.
    pub(super) is_on_purpose: bool,
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
            is_on_purpose: root.instance.and_then(on_purpose).is_some(),
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
    /// Returns how an earlier root cause is that is none at the moment, and not over either.
    fn undecided(overview: &Overview, id: &CauseId) -> Option<Self> {
        let CauseState { health, reason } = cause_state(overview, id)?;
        Some(Self {
            health,
            reason,
            since: None,
            stop: None,
            is_on_purpose: false,
            maintenance: None,
            affected: Vec::new(),
        })
    }

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
    /// How those are that are not over.
    pub(super) undecided: HashMap<CauseId, ObservedCause>,
}

impl Observation {
    /// Reads the root causes of `overview`, and what has become of those in `open`.
    pub(super) fn new(overview: &Overview, open: &[CauseId]) -> Self {
        let roots = actual_root_causes(overview);
        let causes: BTreeMap<_, _> = roots.iter().map(|root| (CauseId::of(root), root.into())).collect();
        let earlier = open.iter().filter(|id| !causes.contains_key(*id));
        let outcomes: HashMap<_, _> = earlier.map(|id| (id.clone(), cause_outcome(overview, id))).collect();
        let undecided = outcomes.iter().filter(|(_, outcome)| **outcome == CauseOutcome::Undecided);
        let undecided =
            undecided.filter_map(|(id, _)| Some((id.clone(), ObservedCause::undecided(overview, id)?)));
        Self { at: to_microseconds(overview.generated_at), undecided: undecided.collect(), causes, outcomes }
    }
}
