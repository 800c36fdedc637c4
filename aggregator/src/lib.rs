//! rta's aggregator: follows every agent, evaluates what is up and why not, and renders it.
//!
//! | module | holds |
//! |---|---|
//! | [`access`] | authentication and authorization: users, tokens, sessions |
//! | `agent_id`, `agent` | the client of one host's agent |
//! | `knowledge` | the state of the hosts as reported |
//! | `clock` | the skew of the hosts' clocks |
//! | `conclusion` | evaluation: the rules from reports to health |
//! | `local` | the same rules on one host alone, for `rta local` |
//! | [`operation_error`] | reasons why an operation was not done |
//! | `changes`, `chronicle` | differences between two overviews, and the events to record of them |
//! | `since` | the time of the last health change of each instance |
//! | `maintenance` | active maintenance |
//! | `prerequisites` | the remote prerequisites that each agent needs to know |
//! | `record` | the event store, and the state that survives a restart, in SQLite |
//! | `strip` | timelines of instances |
//! | `usage_history` | resource usage of instances over the last hour |
//! | `fleet`, `followers` | the platform with its agents; the tasks that follow them |
//! | `graph` | the drawing of dependencies |
//! | `hub` | the state actor; publishes the overview |
//! | `keeper` | the configuration manager; reloads the configuration |
//! | `plan` | planning and execution of actions |
//! | [`operations`], `history` | the operations that the page and the gRPC service offer |
//! | `detail` | details of one instance |
//! | [`logs`] | logs of instances, read through their agents |
//! | `service`, `caller`, `call_limit` | the gRPC service, its authorization and its limits |
//! | `doors` | TLS configuration of the servers and the agent client |
//! | [`web`], `web_server` | the page and its server |
//! | [`open_files`] | the limit of open files and connections |
//! | `certificates`, `expiry` | warnings about certificates that expire soon |
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

pub use doors::TlsConfigs;
pub use history::parse_length;
pub use keeper::ConfigSource;
pub use local::evaluate_host;
pub use record::{EventStore, EventStoreHandle, StoreOptions, UnfinishedPlan};
pub use serve::{WebOptions, serve};
pub use web::IpNetwork;
