//! Conversions of incidents.

use super::{ProtocolError, from_wire_time, optional, optional_name, to_wire_time, v1};
use crate::event::Event;
use crate::incident::{Incident, IncidentDetails, IncidentKind};
use crate::root_cause::CauseId;

impl From<&CauseId> for v1::InstanceId {
    fn from(place: &CauseId) -> Self {
        Self {
            environment: place.environment.to_string(),
            host: place.host.to_string(),
            component: place.component.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl From<v1::InstanceId> for CauseId {
    fn from(id: v1::InstanceId) -> Self {
        Self {
            environment: id.environment.into(),
            host: id.host.into(),
            component: optional_name(id.component),
        }
    }
}

impl From<&Incident> for v1::Incident {
    fn from(incident: &Incident) -> Self {
        Self {
            id: incident.id,
            kind: incident.kind.word().to_owned(),
            text: incident.text.clone(),
            began_as: incident.began_as.clone().unwrap_or_default(),
            begun_at: Some(to_wire_time(incident.begun_at)),
            ended_at: incident.ended_at.map(to_wire_time),
            end_note: incident.end_note.clone().unwrap_or_default(),
            begins: incident.begins,
            causes: incident.causes.iter().map(Into::into).collect(),
            affected: u64::try_from(incident.affected).unwrap_or(u64::MAX),
            affected_instances: incident.affected_instances.iter().map(Into::into).collect(),
            plans: incident.plans.clone(),
            persons: incident.persons.clone(),
            notifications: incident.notifications,
        }
    }
}

impl TryFrom<v1::Incident> for Incident {
    type Error = ProtocolError;

    fn try_from(incident: v1::Incident) -> Result<Self, ProtocolError> {
        Ok(Self {
            id: incident.id,
            kind: IncidentKind::from_word(&incident.kind)
                .ok_or_else(|| ProtocolError::unknown("kind", &incident.kind))?,
            text: incident.text,
            began_as: optional(incident.began_as),
            begun_at: from_wire_time(incident.begun_at.ok_or(ProtocolError::Missing("begun_at"))?)?,
            ended_at: incident.ended_at.map(from_wire_time).transpose()?,
            end_note: optional(incident.end_note),
            begins: incident.begins,
            causes: incident.causes.into_iter().map(Into::into).collect(),
            affected: usize::try_from(incident.affected).unwrap_or(usize::MAX),
            affected_instances: incident.affected_instances.into_iter().map(Into::into).collect(),
            plans: incident.plans,
            persons: incident.persons,
            notifications: incident.notifications,
        })
    }
}

impl From<&IncidentDetails> for v1::GetIncidentResponse {
    fn from(details: &IncidentDetails) -> Self {
        Self {
            incident: Some((&details.incident).into()),
            events: details.events.iter().map(Into::into).collect(),
            truncated: details.is_truncated,
        }
    }
}

impl TryFrom<v1::GetIncidentResponse> for IncidentDetails {
    type Error = ProtocolError;

    fn try_from(response: v1::GetIncidentResponse) -> Result<Self, ProtocolError> {
        Ok(Self {
            incident: response.incident.ok_or(ProtocolError::Missing("incident"))?.try_into()?,
            events: response.events.into_iter().map(Event::try_from).collect::<Result<_, _>>()?,
            is_truncated: response.truncated,
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::event::EventKind;

    #[test]
    fn incident_comes_back_over_the_wire() {
        for kind in IncidentKind::ALL {
            let place = CauseId { environment: "E".into(), host: "h".into(), component: None };
            let instance = CauseId { component: Some("kafka".into()), ..place.clone() };
            let incident = Incident {
                id: 7,
                kind,
                text: "kafka on h is degraded".to_owned(),
                began_as: Some("kafka on h is down".to_owned()),
                begun_at: Timestamp::UNIX_EPOCH,
                ended_at: Some(Timestamp::UNIX_EPOCH),
                end_note: Some("so it was found".to_owned()),
                begins: 2,
                causes: vec![place, instance],
                affected: 3,
                affected_instances: vec![crate::overview::InstanceId {
                    environment: "E".into(),
                    host: "h".into(),
                    component: "detector".into(),
                }],
                plans: vec![4, 5],
                persons: vec!["ann".to_owned()],
                notifications: 2,
            };
            let event = Event::new(Timestamp::UNIX_EPOCH, EventKind::Health, "so".to_owned());
            let details = IncidentDetails { incident, events: vec![event], is_truncated: true };
            assert_eq!(v1::GetIncidentResponse::from(&details).try_into(), Ok(details));
        }
    }
}
