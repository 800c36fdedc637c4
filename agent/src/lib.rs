//! rta's agent: sees and controls the components of one host.
//!
//! | module | holds |
//! |---|---|
//! | `procfs` | raw, allocation-free reading of /proc |
//! | `visibility` | whether /proc shows other users' processes at all |
//! | [`scan`] | a full scan: every process against every component |
//! | `worker` | the one owner of the scanner and of what is under way |
//! | `refusal` | why an action was not done |
//! | `eyes` | an action's view of its component |
//! | `start`, `launch`, `log_tail` | starting a component |
//! | `stop` | stopping a component |
//! | `action` | starts and stops, one at a time for a component |
//! | `probe` | asking running components whether they are well |
//! | `usage` | what the host and the matched processes use |
//! | `service` | the gRPC service |
//! | `serve` | the server |
//! | `machine` | this machine's name and addresses |

mod action;
mod eyes;
mod launch;
mod log_tail;
mod machine;
#[cfg_attr(not(test), expect(dead_code, reason = "not called yet"))]
mod probe;
mod procfs;
mod refusal;
pub mod scan;
mod serve;
mod service;
mod start;
mod stop;
#[cfg_attr(not(test), expect(dead_code, reason = "not called yet"))]
mod usage;
mod visibility;
mod worker;

pub use machine::{interface_addresses, machine_name};
pub use serve::serve;
