//! What systemd says of a unit.

use std::fmt;

use serde::Serialize;

/// What systemd says of a unit; the words are those of org.freedesktop.systemd1(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitReport {
    /// Its name.
    pub name: String,
    /// ActiveState: active, reloading, inactive, failed, activating, deactivating.
    pub active_state: String,
    /// SubState: running, dead, exited, auto-restart and others.
    pub sub_state: String,
    /// Result: success, exit-code, signal, timeout and others; empty where the unit's type has none.
    pub result: String,
    /// Why systemd could not be asked; `None` where it could, and the rest holds.
    pub error: Option<String>,
}

impl fmt::Display for UnitReport {
    /// `kafka.service failed (failed, exit-code)`.
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
