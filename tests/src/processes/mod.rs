//! Processes of tests and benches beside the programs under test.
//!
//! | module | holds |
//! |---|---|
//! | `children` | child processes that end with the test |
//! | `fork_load` | a load of short-lived processes |
//! | `idle` | many idle processes with chosen command lines |

mod children;
mod fork_load;
mod idle;

pub use self::children::{ChildProcesses, control_group};
pub use self::fork_load::ForkLoad;
pub use self::idle::IdleProcesses;
