//! Keeping components running: what an operator started, or the configuration wants, is started again when it
//! has ended by itself.

mod driver;
mod exits;
mod policy;
#[cfg(test)]
mod tests;
mod unmet;

use std::collections::HashMap;

use rta_shared::autostart::Autostart;
use rta_shared::name::Name;

pub(crate) use driver::keep_running;
pub(crate) use exits::Exits;

/// How each component is kept running that ever is.
pub(crate) type Autostarts = HashMap<Name, Autostart>;
