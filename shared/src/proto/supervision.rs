//! Conversions of the state of systemd units and automatic restarts.

use super::{ProtocolError, from_wire_time, optional, to_wire_time, v1};
use crate::autostart::Autostart;
use crate::unit::UnitReport;

impl From<&UnitReport> for v1::UnitReport {
    fn from(unit: &UnitReport) -> Self {
        Self {
            name: unit.name.clone(),
            active_state: unit.active_state.clone(),
            sub_state: unit.sub_state.clone(),
            result: unit.result.clone(),
            error: unit.error.clone().unwrap_or_default(),
        }
    }
}

impl From<v1::UnitReport> for UnitReport {
    fn from(unit: v1::UnitReport) -> Self {
        let v1::UnitReport { name, active_state, sub_state, result, error } = unit;
        Self { name, active_state, sub_state, result, error: optional(error) }
    }
}

impl From<&Autostart> for v1::Autostart {
    fn from(autostart: &Autostart) -> Self {
        Self {
            wanted: autostart.wanted,
            why: autostart.why.clone(),
            restarts: autostart.restarts,
            restarts_total: autostart.restarts_total,
            next_at: autostart.next_at.map(to_wire_time),
            given_up: autostart.given_up,
            flapping: autostart.flapping,
            last_end: autostart.last_end.clone(),
            waiting_for: autostart.waiting_for.clone(),
        }
    }
}

impl TryFrom<v1::Autostart> for Autostart {
    type Error = ProtocolError;

    fn try_from(autostart: v1::Autostart) -> Result<Self, ProtocolError> {
        let v1::Autostart {
            wanted,
            why,
            restarts,
            next_at,
            given_up,
            flapping,
            last_end,
            waiting_for,
            restarts_total,
        } = autostart;
        let next_at = next_at.map(from_wire_time).transpose()?;
        Ok(Self { wanted, why, restarts, restarts_total, next_at, given_up, flapping, last_end, waiting_for })
    }
}
