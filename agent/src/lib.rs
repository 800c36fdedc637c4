//! Agent of rta: observes and controls the components of one host.
//!
//! | module | holds |
//! |---|---|
//! | `server` | servers and tasks of the agent |
//! | `service` | gRPC service |
//! | `authorization` | authorization of callers |
//! | `request_target` | refusing requests that are for another host, boot or configuration |
//! | [`reload`] | reloading the configuration |
//! | [`host`] | access to the host: processes, control groups, users, systemd |
//! | [`watch`] | watching the host's processes by events or scans |
//! | `state` | owner of the host report and of the component reservations |
//! | `actions` | starting and stopping components, one action at a time for each |
//! | [`probe`] | probes of running components |
//! | `supervisor` | keeping components running |
//! | `desired_state` | operators' decisions and other state that outlives the agent |
//! | `run_history` | current run of each component, or the reason why it is down |
//! | `run_recorder` | feeds the run history from the reports |
//! | `metrics` | metrics of the host for Prometheus |
//! | `maintenance` | maintenance windows, in which nothing is started automatically |
//! | `prerequisites` | readiness of components on other hosts, as received from the aggregator |
//! | `leader_epoch` | refusing aggregators that no longer lead |
//! | `limits` | limits of what components use |
//! | `logs` | reading the components' own logs for display |
//! | `certificate_expiry` | expiry of the agent's certificate |
//! | [`lock`] | keeping a second agent from the same host and state folder |

mod actions;
mod authorization;
mod certificate_expiry;
mod desired_state;
pub mod host;
mod leader_epoch;
mod limits;
pub mod lock;
mod logs;
mod maintenance;
mod metrics;
mod prerequisites;
pub mod probe;
pub mod reload;
mod request_target;
mod run_history;
mod run_recorder;
mod server;
mod service;
mod state;
mod supervisor;
pub mod watch;

pub use host::machine::{interface_addresses, machine_name};
pub use host::users::resolve_users;
pub use metrics::server::MetricsListener;
pub use server::{AgentOptions, serve};
