//! State of a systemd unit.

use std::fmt;

use serde::Serialize;

/// State of a systemd unit, in the terms of org.freedesktop.systemd1(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitReport {
    /// Name of the unit.
    pub name: String,
    /// ActiveState: active, reloading, inactive, failed, activating, deactivating.
    pub active_state: String,
    /// SubState: running, dead, exited, auto-restart and others.
    pub sub_state: String,
    /// Result: success, exit-code, signal, timeout and others; empty where the unit's type has none.
    pub result: String,
    /// Reason why systemd could not be queried; `None` if the query succeeded and the other fields are valid.
    pub error: Option<String>,
}

impl fmt::Display for UnitReport {
    /// Writes the name with its states: `kafka.service failed (failed, exit-code)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return write!(f, "{}: {error}", self.name);
        }
        write!(f, "{} {} ({}", self.name, self.active_state, self.sub_state)?;
        if !matches!(self.result.as_str(), "" | "success") {
            write!(f, ", {}", self.result)?;
        }
        f.write_str(")")
    }
}
