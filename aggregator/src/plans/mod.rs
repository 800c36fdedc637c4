//! Plans: from a request to ordered steps, and their execution.
//!
//! | module | holds |
//! |---|---|
//! | `request` | the plan for a request; pure |
//! | `selection` | the instances that a request names |
//! | `planner_input` | dependencies that are missing, and dependents that a stop affects |
//! | `planner` | the planner; pure |
//! | `rolling` | the plan of a rolling restart, batch by batch; pure |
//! | `gate` | when a batch has passed its gate; pure |
//! | `targets` | the host, boot and configuration that each step is for |
//! | `confirmation` | confirmation of effects on instances beyond the named ones |
//! | `run` | the events and states of one plan, for any number of listeners |
//! | `plan_events` | the texts of the events of plans and their steps; pure |
//! | `registry` | the registry of current and recent plans |
//! | `executor` | execution of a plan |
//! | `schedule` | the steps that may begin or are skipped; pure |
//! | `recovery` | recovery of the plans that the aggregator's end interrupted |

mod schedule;
pub(crate) mod targets;

pub(crate) mod confirmation;
pub(crate) mod executor;
pub(crate) mod gate;
pub(crate) mod plan_events;
pub(crate) mod planner;
pub(crate) mod planner_input;
#[cfg(test)]
mod properties;
pub(crate) mod recovery;
pub(crate) mod registry;
pub(crate) mod request;
mod rolling;
pub(crate) mod run;
pub(crate) mod selection;
