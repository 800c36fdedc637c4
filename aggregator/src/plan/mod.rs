//! Plans: from a wish to ordered steps, and from these to what became of each.
//!
//! | module | holds |
//! |---|---|
//! | `select` | from a wish to the instances that it names |
//! | `reach` | what an instance needs, and what needs it |
//! | `make` | the plan: pure |
//! | `targets` | which host, boot and configuration each step is for |
//! | `agree` | what a plan touches beside the named, and whether that was agreed |
//! | `account` | what is told of one plan, to any number of listeners |
//! | `book` | the accounts of the plans under way and of late |
//! | `run` | carries a plan out |
//! | `schedule` | which steps may begin, and which are skipped: pure |
//! | `unfinished` | the plans that the aggregator's end interrupted |

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
