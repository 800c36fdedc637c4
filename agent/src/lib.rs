//! Agent of rta: observes and controls the components of one host.
//!
//! | module | holds |
//! |---|---|
//! | `procfs` | raw, allocation-free reading of /proc |
//! | `attributes` | attributes of a process beside its command line, read on first use |
//! | `cgroup_mount` | mount points of control groups; frozen groups |
//! | `users` | users by name and by number |
//! | `visibility` | detection of a /proc that hides other users' processes |
//! | `gone` | error for requests to a task that has ended |
//! | `inspect` | check of a single process against all components |
//! | [`scan`] | a single full scan: every process against every component |
//! | [`watch`] | watching the host's processes by events or scans |
//! | `probe` | probes of running components |
//! | `usage` | resource usage of the host and the matched processes |
//! | `worker` | owner of the host report and of the component reservations |
//! | [`survey`] | every process with its command line and listening sockets, for learning |
//! | `systemd` | access to systemd's units over the system bus |
//! | `autostart` | keeping components running |
//! | `launched_exits` | exit statuses of launched commands |
//! | `run_history` | current run of each component, or the reason why it is down |
//! | `run_recorder` | feeds the run history from the reports |
//! | `state_folder` | state that outlives the agent |
//! | `maintenance` | maintenance windows, in which nothing is started automatically |
//! | `safe_open` | opening files in folders that other users can change |
//! | `prerequisites` | readiness of components on other hosts, as received from the aggregator |
//! | `logs` | reading the components' own logs for display |
//! | `clean_start` | clean start of child processes, which inherit nothing of the agent's state |
//! | `control` | starting and stopping components, one action at a time for each |
//! | [`reload`] | reloading the configuration |
//! | `request_target` | refusing requests that are for another host, boot or configuration |
//! | `service` | gRPC service |
//! | `authorize` | authorization of callers |
//! | `certificate` | expiry of the agent's certificate |
//! | `serve` | server |
//! | [`lock`] | keeping a second agent from the same host and state folder |
//! | `machine` | this machine's name and addresses |

mod actions;
mod authorization;
mod certificate_expiry;
mod cgroup_mount;
mod child_setup;
mod command_lines;
mod desired_state;
mod gone;
mod launched_exits;
pub mod lock;
mod logs;
mod machine;
mod maintenance;
mod prerequisites;
pub mod probe;
mod process_attributes;
pub mod process_inventory;
mod process_matcher;
mod procfs;
pub mod reload;
mod request_target;
mod run_history;
mod run_recorder;
mod safe_open;
pub mod scanner;
mod server;
mod service;
mod state;
mod supervisor;
mod systemd;
mod usage;
mod users;
mod visibility;
pub mod watch;

pub use machine::{interface_addresses, machine_name};
pub use server::{AgentOptions, serve};
pub use users::resolve_users;
