//! rta's aggregator: follows every agent, evaluates what is up and why not, and renders it.
//!
//! | module | holds |
//! |---|---|
//! | `agent_id` | identity of agents |
//! | `agents` | the client of one host's agent, its report stream, and the tasks that follow all agents |
//! | [`api`] | operations that the page and the gRPC service offer |
//! | [`audit`] | the audit log: who did what, from where, and how it ended |
//! | [`auth`] | authentication and authorization: users, tokens, sessions, gRPC callers |
//! | `causes` | root causes that outlive an overview |
//! | `certificate_check` | periodic check for certificates that expire soon |
//! | `certificates` | warnings about certificates that expire soon |
//! | `clock` | the aggregator's clock, and the skew of the hosts' clocks |
//! | `config_manager` | the configuration manager; reloads the configuration |
//! | `events` | the event bus: numbers, records and broadcasts every event |
//! | `forwarding` | passing on to the leader of an environment what changes something |
//! | `graph` | the drawing of dependencies |
//! | `grpc` | the gRPC service and its limit of calls |
//! | `incidents` | the events of one cause as one incident |
//! | `inventory` | the platform with its agents |
//! | [`leadership`] | which of several aggregators leads an environment, and the leases that decide it |
//! | `metrics` | metrics for Prometheus |
//! | `notify` | notifications by root cause: rules, queues, channels |
//! | [`open_files`] | the limit of open files and connections |
//! | [`operation_error`] | reasons why an operation was not done |
//! | `plans` | planning and execution of actions |
//! | `relay` | the states of hosts that the leader of their environment follows |
//! | `server` | both servers together |
//! | `state` | the state actor: host states, evaluation, transitions, maintenance |
//! | `store` | the event store, and the state that survives a restart, in a database |
//! | `timeline` | timelines of instances |
//! | `tls_configs` | TLS configuration of the servers and the agent client |
//! | `usage` | resource usage of instances over the last hour |
//! | [`web`] | the page: router, middleware, pages, live changes, assets |

mod agent_id;
mod agents;
pub mod api;
pub mod audit;
pub mod auth;
mod causes;
mod certificate_check;
mod certificates;
mod clock;
mod config_manager;
mod events;
mod forwarding;
mod graph;
mod grpc;
mod incidents;
mod inventory;
pub mod leadership;
mod metrics;
mod notify;
pub mod open_files;
pub mod operation_error;
mod pauses;
mod plans;
mod relay;
#[cfg(test)]
mod sample_overview;
#[cfg(test)]
mod sample_plan;
#[cfg(test)]
mod sample_platform;
mod server;
mod state;
mod store;
mod timeline;
mod tls_configs;
mod usage;
pub mod web;

pub use api::environment_leads::SharedLead;
pub use api::history::parse_length;
pub use config_manager::ConfigSource;
pub use events::EventBus;
pub use notify::NotifyOptions;
pub use server::{ServerOptions, WebListeners, WebOptions, serve};
pub use state::single_host::evaluate_host;
pub use store::{
    CopiedTable, EventStore, EventStoreHandle, HeldLease, PostgresLocation, StoreLocation, StoreOptions,
    UnfinishedPlan, WriterScope, copy_store, hide_password,
};
pub use tls_configs::TlsConfigs;
pub use web::IpNetwork;
