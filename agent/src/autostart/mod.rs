//! Keeping components running: what an operator started, or the configuration wants, is started again when it
//! has ended by itself.

mod driver;
mod policy;
#[cfg(test)]
mod tests;
mod unmet;

pub(crate) use driver::keep_running;
