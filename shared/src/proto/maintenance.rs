//! Conversions of planned maintenance.

use std::time::Duration;

use super::{
    ProtocolError, from_wire_duration, from_wire_time, optional, to_wire_duration, to_wire_time, v1,
};
use crate::planned_maintenance::{MaintenanceWindow, PlannedMaintenance, Recurrence, UpcomingMaintenance};

impl From<&UpcomingMaintenance> for v1::PlannedMaintenance {
    fn from(upcoming: &UpcomingMaintenance) -> Self {
        use v1::planned_maintenance::Begins;
        let UpcomingMaintenance { planned, next, problem } = upcoming;
        let window = |window: &MaintenanceWindow| v1::MaintenanceWindow {
            begin: Some(to_wire_time(window.begin)),
            end: Some(to_wire_time(window.end)),
        };
        Self {
            id: planned.id,
            environment: planned.environment.clone(),
            host: planned.host.clone(),
            component: planned.component.clone(),
            all: planned.all,
            begins: Some(match &planned.recurrence {
                Recurrence::At(at) => Begins::At(at.to_string()),
                Recurrence::Every(rule) => Begins::Every(rule.to_string()),
            }),
            length: Some(to_wire_duration(Duration::from_secs(planned.length_seconds.into()))),
            time_zone: planned.time_zone.clone(),
            reason: planned.reason.clone(),
            by: Some((&planned.by).into()),
            created_at: Some(to_wire_time(planned.created_at)),
            next: next.iter().map(window).collect(),
            problem: problem.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::PlannedMaintenance> for UpcomingMaintenance {
    type Error = ProtocolError;

    fn try_from(planned: v1::PlannedMaintenance) -> Result<Self, ProtocolError> {
        use v1::planned_maintenance::Begins;
        let recurrence = match planned.begins.ok_or(ProtocolError::Missing("begins"))? {
            Begins::At(at) => Recurrence::parse_at(&at).map_err(|_| ProtocolError::unknown("at", at))?,
            Begins::Every(rule) => {
                Recurrence::parse_every(&rule).map_err(|_| ProtocolError::unknown("every", rule))?
            }
        };
        let length = from_wire_duration(planned.length.ok_or(ProtocolError::Missing("length"))?)?;
        let length_seconds = u32::try_from(length.as_secs());
        let created_at = from_wire_time(planned.created_at.ok_or(ProtocolError::Missing("created_at"))?)?;
        let next = planned.next.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self {
            planned: PlannedMaintenance {
                id: planned.id,
                environment: planned.environment,
                host: planned.host,
                component: planned.component,
                all: planned.all,
                recurrence,
                length_seconds: length_seconds
                    .map_err(|_| ProtocolError::unknown("length", length.as_secs()))?,
                time_zone: planned.time_zone,
                reason: planned.reason,
                by: planned.by.unwrap_or_default().into(),
                created_at,
                handled: created_at,
            },
            next,
            problem: optional(planned.problem),
        })
    }
}

impl TryFrom<v1::MaintenanceWindow> for MaintenanceWindow {
    type Error = ProtocolError;

    fn try_from(window: v1::MaintenanceWindow) -> Result<Self, ProtocolError> {
        Ok(Self {
            begin: from_wire_time(window.begin.ok_or(ProtocolError::Missing("begin"))?)?,
            end: from_wire_time(window.end.ok_or(ProtocolError::Missing("end"))?)?,
        })
    }
}

impl v1::PlanMaintenanceRequest {
    /// Returns the requested duration of each window; `None` if it has none.
    ///
    /// # Errors
    /// Returns an error if the duration is negative or out of range.
    pub fn lasting(&self) -> Result<Option<Duration>, ProtocolError> {
        self.length.map(from_wire_duration).transpose()
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::action::Requester;

    #[test]
    fn planned_maintenance_survives_the_wire() {
        let begin = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(9);
        for recurrence in [
            Recurrence::parse_every("first sat 02:00").unwrap(),
            Recurrence::parse_at("2026-12-05 02:00").unwrap(),
        ] {
            let upcoming = UpcomingMaintenance {
                planned: PlannedMaintenance {
                    id: 7,
                    environment: "ITG".to_owned(),
                    host: String::new(),
                    component: "kafka".to_owned(),
                    all: true,
                    recurrence,
                    length_seconds: 7200,
                    time_zone: "Europe/Berlin".to_owned(),
                    reason: "patches".to_owned(),
                    by: Requester { user: "ann".to_owned(), address: String::new() },
                    created_at: Timestamp::UNIX_EPOCH,
                    handled: Timestamp::UNIX_EPOCH,
                },
                next: vec![MaintenanceWindow { begin, end: begin + SignedDuration::from_secs(7200) }],
                problem: Some("no host".to_owned()),
            };
            assert_eq!(v1::PlannedMaintenance::from(&upcoming).try_into(), Ok(upcoming));
        }
        assert!(UpcomingMaintenance::try_from(v1::PlannedMaintenance::default()).is_err());
    }
}
