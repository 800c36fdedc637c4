//! Keeps components running: restarts a component that an operator started, or that the configuration
//! declares as running, after it has ended by itself.

mod policy;
mod task;
#[cfg(test)]
mod tests;
mod unmet_prerequisite;

pub(crate) use task::run_supervisor;
