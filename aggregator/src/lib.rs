//! rta's aggregator: follows every agent, concludes what is up and why not, and renders it.
//!
//! | module | holds |
//! |---|---|
//! | [`access`] | who may look and who may act: users, tokens, sessions |
//! | `agent_id`, `agent` | one host's agent, as it is asked and followed |
//! | `knowledge` | what was heard of the hosts |
//! | `clock` | how far hosts' clocks differ from the aggregator's |
//! | `conclusion` | from reports to health: the rules |
//! | `local` | the same rules on one host alone, for `rta local` |
//! | [`operation_error`] | why an operation was not done |
//! | `changes`, `chronicle` | what differs between two overviews, and what of it is recorded |
//! | `since` | since when everything has been as it is |
//! | `maintenance` | what is in maintenance |
//! | `prerequisites` | what each agent is told of what its components need on other hosts |
//! | `record` | what happened, and what has to outlive the aggregator, in SQLite |
//! | `strip` | how each instance was over a length of time |
//! | `usage_history` | what each instance used over the last hour |
//! | `fleet`, `followers` | the platform with its agents; the tasks that follow them |
//! | `graph` | what needs what, as it is drawn |
//! | `hub` | the one owner of what is known; publishes the overview |
//! | `keeper` | the one owner of the configuration; reloads it |
//! | `plan` | what is done for one wish, in which order, and what became of it |
//! | [`operations`], `history` | what the page and the gRPC service can ask |
//! | `detail` | all that is known of one instance |
//! | [`logs`] | instances' logs, read through their agents |
//! | `service`, `caller`, `call_limit` | the gRPC service, who may ask it what, and how much at once |
//! | `doors` | in clear or by TLS: who is let in, and who it says to the agents that it is |
//! | [`web`], `web_server` | the page, and what serves it |
//! | [`open_files`] | how many files and connections may be open |
//! | `certificates`, `expiry` | what is to be said of those that end soon; looking for them |
//! | `serve` | both servers together |

pub mod access;
mod agent;
mod agent_id;
mod call_limit;
mod caller;
mod certificates;
mod changes;
mod chronicle;
mod clock;
mod conclusion;
mod detail;
mod doors;
mod expiry;
mod fleet;
mod followers;
mod graph;
mod history;
mod hub;
mod keeper;
mod knowledge;
mod local;
pub mod logs;
mod maintenance;
pub mod open_files;
pub mod operation_error;
pub mod operations;
mod pending;
mod plan;
mod planned_stops;
mod prerequisites;
mod record;
mod serve;
mod service;
mod since;
mod strip;
mod usage_history;
pub mod web;
mod web_server;

pub use doors::Doors;
pub use history::length;
pub use keeper::Configuration;
pub use local::evaluate_host;
pub use record::{Record, RecordOptions, Recorder, Unfinished};
pub use serve::{Page, serve};
pub use web::Network;
