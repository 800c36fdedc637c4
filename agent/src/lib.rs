//! rta's agent: sees and controls the components of one host.
//!
//! | module | holds |
//! |---|---|
//! | `procfs` | raw, allocation-free reading of /proc |
//! | `attributes` | what a process is beside its command line, read when it is asked for |
//! | `cgroup_mount` | where control groups are mounted, and which are frozen |
//! | `users` | users by name and by number |
//! | `visibility` | whether /proc shows other users' processes at all |
//! | `gone` | that what was asked is gone, at the agent's end |
//! | `inspect` | whether one process is one of the components' |
//! | [`scan`] | a full scan on its own: every process against every component |
//! | [`watch`] | following the host's processes by events or scans |
//! | `probe` | asking components whether they are well |
//! | `usage` | what the host and the matched processes use |
//! | `worker` | the one owner of what is said of the host and of what is under way |
//! | [`survey`] | every process with its command line, and who listens where, for learning |
//! | `systemd` | its units, over the system bus |
//! | `autostart` | keeping components running |
//! | `launched_exits` | how what the agent launched ended |
//! | `run_history` | what each component did last: that it runs, or why it does not |
//! | `run_recorder` | drives the run history for the owner of the report |
//! | `state_folder` | what is remembered over the agent's end |
//! | `maintenance` | the times in which nothing is started by itself |
//! | `safe_open` | opening files in folders that other users can change |
//! | `prerequisites` | what the components need on other hosts, as the aggregator tells it |
//! | `logs` | reading the components' own logs for people |
//! | `clean_start` | how every child of the agent starts: with nothing of what the agent has |
//! | `control` | starting and stopping components, one action at a time for each |
//! | [`reload`] | reading the configuration anew |
//! | `request_target` | refusing requests that are for another host, boot or configuration |
//! | `service` | the gRPC service |
//! | `authorize` | who may call it, and under which name they act |
//! | `certificate` | when its certificates end |
//! | `serve` | the server |
//! | [`lock`] | keeping a second agent from the same host and state folder |
//! | `machine` | this machine's name and addresses |

mod attributes;
mod authorize;
mod autostart;
mod certificate;
mod cgroup_mount;
mod clean_start;
mod control;
mod gone;
mod inspect;
mod inspection;
mod launched_exits;
pub mod lock;
mod logs;
mod machine;
mod maintenance;
mod prerequisites;
pub mod probe;
mod procfs;
pub mod reload;
mod request_target;
mod run_history;
mod run_recorder;
mod safe_open;
pub mod scan;
mod serve;
mod service;
mod state_folder;
pub mod survey;
mod systemd;
mod usage;
mod users;
mod visibility;
pub mod watch;
mod worker;

pub use machine::{interface_addresses, machine_name};
pub use serve::{Options, serve};
pub use users::resolve_users;
