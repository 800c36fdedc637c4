//! Keeps components running: restarts a component that an operator started, or that the configuration
//! declares as running, after it has ended by itself.

mod driver;
mod policy;
#[cfg(test)]
mod tests;
mod unmet;

pub(crate) use driver::keep_running;
