//! Processes that tests and benches create beside the components: idle ones, and a load of short-lived ones.

mod fork_load;
mod idle;

pub use self::fork_load::ForkLoad;
pub use self::idle::IdleProcesses;
