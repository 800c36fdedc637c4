//! Access to the host: the only code that depends on Linux, apart from the watcher's sockets.
//!
//! | module | holds |
//! |---|---|
//! | `procfs` | raw, allocation-free reading of /proc |
//! | `process_attributes` | attributes of a process beside its command line, read on first use |
//! | `process_matcher` | check of a single process against all components |
//! | `unreadable_processes` | sentences on processes that cannot be read; pure |
//! | [`scanner`] | a single full scan: every process against every component |
//! | `process_tree` | parents, groups and sessions of all processes |
//! | `command_lines` | command lines of matched processes for display, with secrets masked |
//! | [`process_inventory`] | every process with its command line and listening sockets, for learning |
//! | `cgroup`, `cgroup_mount` | control groups of components; mount points, and frozen groups |
//! | `cpu_times` | CPU time of components, over processes that come and go; pure |
//! | `child_setup` | setup of child processes, which inherit nothing of the agent's state |
//! | `safe_open` | opening files in folders that other users can change |
//! | `sockets` | listening TCP sockets of a process |
//! | `systemd` | access to systemd's units over the system bus |
//! | `usage` | resource usage of the host and the matched processes |
//! | `users` | users by name and by number |
//! | `visibility` | detection of a /proc that hides other users' processes |
//! | `machine` | this machine's name and addresses |

pub(crate) mod cgroup;
pub(crate) mod cgroup_mount;
pub(crate) mod child_setup;
pub(crate) mod command_lines;
pub(crate) mod cpu_times;
pub(crate) mod machine;
pub(crate) mod process_attributes;
pub mod process_inventory;
pub(crate) mod process_matcher;
pub(crate) mod process_tree;
pub(crate) mod procfs;
pub(crate) mod safe_open;
pub mod scanner;
pub(crate) mod sockets;
pub(crate) mod systemd;
pub(crate) mod unreadable_processes;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod visibility;
