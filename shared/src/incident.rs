//! Incidents: the events of one cause, from its begin to its end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::name::Name;
use crate::overview::InstanceId;
use crate::root_cause::CauseId;
use crate::words::words;

/// Maximum number of affected instances that an incident names.
pub const MAX_NAMED_INSTANCES: usize = 100;

/// Kind of an incident's cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentKind {
    /// An instance is down, degraded or unknown by itself.
    Failure,
    /// A host cannot be reached, or reports nothing.
    Host,
    /// A plan stopped or restarted something.
    Plan,
    /// Something in maintenance is not up.
    Maintenance,
}

words!(IncidentKind {
    Failure => "failure",
    Host => "host",
    Plan => "plan",
    Maintenance => "maintenance",
});

/// Events of one cause, from its begin to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Number, which grows with every incident.
    pub id: u64,
    /// Kind of its cause.
    pub kind: IncidentKind,
    /// How it is, as a sentence; once it is over, how it was at its begin or at its worst.
    pub text: String,
    /// How it was at its begin or at its worst, as a sentence, while `text` differs from that.
    pub began_as: Option<String>,
    /// Begin, by the aggregator's clock.
    pub begun_at: Timestamp,
    /// End; `None`: it is open.
    pub ended_at: Option<Timestamp>,
    /// How its end is known if it was not seen as it happened, as a sentence.
    pub end_note: Option<String>,
    /// Number of times that it began; more than one: it came back soon after it was over.
    pub begins: u32,
    /// Root causes that belong to it, the first one first.
    pub causes: Vec<CauseId>,
    /// Number of instances whose bad health it explained, at its peak.
    pub affected: usize,
    /// Names of those instances, at most [`MAX_NAMED_INSTANCES`].
    pub affected_instances: Vec<InstanceId>,
    /// Plans that belong to it: the one that caused it, and those that acted on it.
    pub plans: Vec<u64>,
    /// Names of the people who acted, the first one first.
    pub persons: Vec<String>,
    /// Number of notifications that were sent.
    pub notifications: u64,
}

impl Incident {
    /// Returns true if it is not over.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Returns the environments of its root causes, without repetitions.
    pub fn environments(&self) -> Vec<&Name> {
        let mut environments: Vec<&Name> = Vec::new();
        for cause in &self.causes {
            if !environments.contains(&&cause.environment) {
                environments.push(&cause.environment);
            }
        }
        environments
    }

    /// Returns true if this person acted; names are compared without regard to case.
    pub fn has_person(&self, name: &str) -> bool {
        self.persons.iter().any(|person| person.to_lowercase() == name.to_lowercase())
    }
}

/// Incident with its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentDetails {
    /// The incident.
    pub incident: Incident,
    /// Its events, the oldest first.
    pub events: Vec<Event>,
    /// True if there are more events than these, which are the newest.
    #[serde(rename = "truncated")]
    pub is_truncated: bool,
}

impl IncidentDetails {
    /// Creates the details of an incident with at most `limit` of its events, which are given with the newest first.
    pub fn new(incident: Incident, mut events: Vec<Event>, limit: usize) -> Self {
        let is_truncated = events.len() > limit;
        events.truncate(limit);
        events.reverse();
        Self { incident, events, is_truncated }
    }
}
