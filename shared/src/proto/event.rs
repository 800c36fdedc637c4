//! Conversions of recorded events and maintenance windows.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    ProtocolError, from_wire_duration, from_wire_time, optional, optional_name, to_wire_duration,
    to_wire_time, v1,
};
use crate::event::{Event, EventKind};
use crate::maintenance::Maintenance;
use crate::name::Name;

fn text(name: Option<&Name>) -> String {
    name.map(ToString::to_string).unwrap_or_default()
}

impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id,
            at: Some(to_wire_time(event.at)),
            kind: event.kind.word().to_owned(),
            environment: text(event.environment.as_ref()),
            host: text(event.host.as_ref()),
            component: text(event.component.as_ref()),
            from: event.from.clone().unwrap_or_default(),
            to: event.to.clone().unwrap_or_default(),
            text: event.text.clone(),
            by: event.by.as_ref().map(Into::into),
            plan_id: event.plan.unwrap_or_default(),
            incident_id: event.incident.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Event> for Event {
    type Error = ProtocolError;

    fn try_from(event: v1::Event) -> Result<Self, ProtocolError> {
        Ok(Self {
            id: event.id,
            at: from_wire_time(event.at.ok_or(ProtocolError::Missing("at"))?)?,
            // A kind of a later version must not make all other events unreadable; its text says what
            // happened.
            kind: EventKind::from_word(&event.kind).unwrap_or(EventKind::Aggregator),
            environment: optional_name(event.environment),
            host: optional_name(event.host),
            component: optional_name(event.component),
            from: optional(event.from),
            to: optional(event.to),
            text: event.text,
            by: event.by.map(Into::into),
            plan: (event.plan_id != 0).then_some(event.plan_id),
            incident: (event.incident_id != 0).then_some(event.incident_id),
        })
    }
}

impl From<&Maintenance> for v1::Maintenance {
    fn from(maintenance: &Maintenance) -> Self {
        Self {
            environment: maintenance.environment.to_string(),
            host: maintenance.host.to_string(),
            component: text(maintenance.component.as_ref()),
            since: Some(to_wire_time(maintenance.since)),
            until: maintenance.until.map(to_wire_time),
            reason: maintenance.reason.clone(),
            by: Some((&maintenance.by).into()),
        }
    }
}

impl TryFrom<v1::Maintenance> for Maintenance {
    type Error = ProtocolError;

    fn try_from(maintenance: v1::Maintenance) -> Result<Self, ProtocolError> {
        Ok(Self {
            environment: maintenance.environment.into(),
            host: maintenance.host.into(),
            component: optional_name(maintenance.component),
            since: from_wire_time(maintenance.since.ok_or(ProtocolError::Missing("since"))?)?,
            until: maintenance.until.map(from_wire_time).transpose()?,
            reason: maintenance.reason,
            by: maintenance.by.unwrap_or_default().into(),
        })
    }
}

impl v1::AgentMaintenance {
    /// Creates the message for an agent about maintenance on its host, at the time `now`; `None` if it is
    /// over.
    pub fn at(maintenance: &Maintenance, now: Timestamp) -> Option<Self> {
        let remaining = match maintenance.until {
            None => None,
            // The remaining time is zero or negative if it is over.
            Some(until) => {
                Some(Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())?)
            }
        };
        Some(Self {
            component: text(maintenance.component.as_ref()),
            remaining: remaining.map(to_wire_duration),
        })
    }
}

impl v1::ListEventsRequest {
    /// Returns the lower bound of the requested events' times.
    ///
    /// # Errors
    /// Returns an error if the time is out of range.
    pub fn oldest(&self) -> Result<Option<Timestamp>, ProtocolError> {
        self.since.map(from_wire_time).transpose()
    }
}

impl v1::ListIncidentsRequest {
    /// Returns the time from which on the requested incidents were open.
    ///
    /// # Errors
    /// Returns an error if the time is out of range.
    pub fn oldest(&self) -> Result<Option<Timestamp>, ProtocolError> {
        self.since.map(from_wire_time).transpose()
    }
}

impl v1::WatchEventsRequest {
    /// Returns the lower bound of the requested events' times.
    ///
    /// # Errors
    /// Returns an error if the time is out of range.
    pub fn oldest(&self) -> Result<Option<Timestamp>, ProtocolError> {
        self.since.map(from_wire_time).transpose()
    }
}

impl v1::SetMaintenanceRequest {
    /// Returns the requested duration of the maintenance; `None`: until it is ended manually.
    ///
    /// # Errors
    /// Returns an error if the duration is negative or out of range.
    pub fn lasting(&self) -> Result<Option<Duration>, ProtocolError> {
        self.length.map(from_wire_duration).transpose()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::action::Requester;

    #[test]
    fn events_and_maintenance_come_back() {
        let by = Requester { user: "ann".to_owned(), address: String::new() };
        for kind in EventKind::ALL {
            let event = Event {
                id: 3,
                at: Timestamp::UNIX_EPOCH,
                kind,
                environment: Some("E".into()),
                host: Some("h".into()),
                component: None,
                from: Some("up".to_owned()),
                to: None,
                text: "so".to_owned(),
                by: Some(by.clone()),
                plan: Some(4),
                incident: Some(5),
            };
            assert_eq!(v1::Event::from(&event).try_into(), Ok(event.clone()));
            let later = v1::Event { kind: "of a later version".to_owned(), ..(&event).into() };
            assert_eq!(later.try_into(), Ok(Event { kind: EventKind::Aggregator, ..event }));
        }
        let maintenance = Maintenance {
            environment: "E".into(),
            host: "h".into(),
            component: Some("c".into()),
            since: Timestamp::UNIX_EPOCH,
            until: None,
            reason: "disks".to_owned(),
            by,
        };
        assert_eq!(v1::Maintenance::from(&maintenance).try_into(), Ok(maintenance.clone()));

        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let wire = v1::AgentMaintenance::at(&maintenance, at(5)).unwrap();
        assert_eq!((wire.component.as_str(), wire.remaining), ("c", None));
        let limited = Maintenance { until: Some(at(7)), component: None, ..maintenance };
        let wire = v1::AgentMaintenance::at(&limited, at(5)).unwrap();
        assert_eq!((wire.component.as_str(), wire.remaining.map(|left| left.seconds)), ("", Some(2)));
        assert_eq!(v1::AgentMaintenance::at(&limited, at(7)), None);
        assert_eq!(v1::AgentMaintenance::at(&limited, at(8)), None);
    }
}
