//! Plans: from a request to ordered steps, and their execution.
//!
//! | module | holds |
//! |---|---|
//! | `select` | the instances that a request names |
//! | `reach` | dependencies that are missing, and dependents that a stop affects |
//! | `make` | the planner; pure |
//! | `targets` | the host, boot and configuration that each step is for |
//! | `agree` | confirmation of effects on instances beyond the named ones |
//! | `account` | the events and states of one plan, for any number of listeners |
//! | `book` | the registry of current and recent plans |
//! | `run` | execution of a plan |
//! | `schedule` | the steps that may begin or are skipped; pure |
//! | `unfinished` | recovery of the plans that the aggregator's end interrupted |

pub(crate) mod account;
pub(crate) mod agree;
pub(crate) mod book;
pub(crate) mod make;
pub(crate) mod reach;
pub(crate) mod run;
mod schedule;
pub(crate) mod select;
pub(crate) mod targets;
pub(crate) mod unfinished;

#[cfg(test)]
mod properties;
