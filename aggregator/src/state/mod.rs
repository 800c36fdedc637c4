//! State of the platform: one actor owns it, and publishes the overview.
//!
//! | module | holds |
//! |---|---|
//! | `actor` | the state actor |
//! | `host_state` | the state of the hosts as reported |
//! | `host_feed` | a feed of the state of the hosts, for those who do not follow the agents themselves |
//! | `platform_state` | the state of the platform with its last evaluation |
//! | `flapping` | agents that come and go over and over |
//! | `evaluate` | evaluation: the rules from reports to health |
//! | `evaluation_input` | a copy of what an evaluation needs, to evaluate it apart from the actor |
//! | `what_if` | what would be if an action were done, or a host were lost |
//! | `single_host` | the same rules on one host alone, for `rta local` |
//! | `transitions` | the state before: what differs between two overviews, and the events to record of that |
//! | `state_since` | the time of the last health change of an instance |
//! | `maintenance` | active maintenance |
//! | `planned_maintenance` | maintenance that begins by itself |
//! | `planned_stops` | instances that plans have stopped, and that have not run since |
//! | `prerequisites` | the remote prerequisites that each agent needs to know |
//! | `pending_replies` | callers that wait for the next overview |

pub(crate) mod actor;
mod evaluate;
pub(crate) mod evaluation_input;
pub(crate) mod flapping;
pub(crate) mod host_feed;
pub(crate) mod host_state;
pub(crate) mod maintenance;
mod pending_replies;
pub(crate) mod planned_maintenance;
mod planned_stops;
mod platform_state;
pub(crate) mod prerequisites;
#[cfg(test)]
mod properties;
pub(crate) mod single_host;
mod state_since;
mod transitions;
pub(crate) mod what_if;
