//! rta's agent: sees and controls the components of one host.
//!
//! | module | holds |
//! |---|---|
//! | `procfs` | raw, allocation-free reading of /proc |
//! | `visibility` | whether /proc shows other users' processes at all |
//! | [`scan`] | a full scan: every process against every component |
//! | `worker` | the one owner of the scanner and of what is under way |
//! | `action` | what start and stop share: one at a time, refusals, waiting |
//! | `start`, `launch`, `log_tail` | starting a component |
//! | `stop` | stopping a component |
//! | `service` | the gRPC service |
//! | `serve` | the server |
//! | `machine` | this machine's name and addresses |

mod action;
mod launch;
mod log_tail;
mod machine;
mod procfs;
pub mod scan;
mod serve;
mod service;
mod start;
mod stop;
mod visibility;
mod worker;

pub use machine::{interface_addresses, machine_name};
pub use serve::serve;
