//! What would be if an action were done, or a host were lost: the question and its answer.

use serde::Serialize;

use crate::action::ActionKind;
use crate::overview::{Health, InstanceId, Overview};
use crate::plan::{ActionRequest, Plan};

/// What is assumed to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhatIfAssumption {
    /// The plan for a start or a stop is carried out without a failure.
    Action(ActionKind, ActionRequest),
    /// The agent of a host does not answer any more.
    HostDown {
        /// Environment, as a user names it; empty: any.
        environment: String,
        /// Host, as a user names it.
        host: String,
    },
}

/// Answer: the overview as it would be, and its differences from the present one.
///
/// Serialized with serde, this is the JSON of `GET /api/v1/what-if`; its field names are a public contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIfOverview {
    /// Assumption as a clause: `kafka server on h1 were stopped`.
    pub assumption: String,
    /// Plan that is assumed to be carried out; `None` if the assumption is no action.
    pub plan: Option<Plan>,
    /// Instances whose health would differ, the worst first, else in the configuration's order.
    pub changes: Vec<HealthChange>,
    /// Reasons why a part of the assumption has no effect or an unknown one, as sentences.
    pub notes: Vec<String>,
    /// Overview as it would be.
    pub overview: Overview,
}

/// Instance whose health would differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthChange {
    /// Instance.
    pub instance: InstanceId,
    /// Present health.
    pub before: Health,
    /// Health as it would be.
    pub after: Health,
    /// Reason for a health other than up, as a sentence.
    pub reason: String,
    /// Instance that would be the root cause; `None` if it is up, or its own cause.
    pub cause: Option<InstanceId>,
}
