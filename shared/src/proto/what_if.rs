//! Conversions of what-if questions and answers.

use super::overview::health_from_wire;
use super::{ProtocolError, requested_action_kind, v1};
use crate::overview::InstanceId;
use crate::what_if::{HealthChange, WhatIfAssumption, WhatIfOverview};
use tonic::Status;

impl From<&WhatIfAssumption> for v1::WhatIfRequest {
    fn from(assumption: &WhatIfAssumption) -> Self {
        use v1::what_if_request::Assumption;
        let assumption = match assumption {
            WhatIfAssumption::Action(kind, request) => Assumption::Action(v1::AssumedAction {
                kind: v1::ActionKind::from(*kind).into(),
                selection: Some(request.into()),
            }),
            WhatIfAssumption::HostDown { environment, host } => {
                Assumption::HostDown(v1::AssumedHost { environment: environment.clone(), host: host.clone() })
            }
        };
        Self { assumption: Some(assumption) }
    }
}

impl TryFrom<v1::WhatIfRequest> for WhatIfAssumption {
    type Error = Status;

    fn try_from(request: v1::WhatIfRequest) -> Result<Self, Status> {
        use v1::what_if_request::Assumption;
        match request.assumption {
            Some(Assumption::Action(v1::AssumedAction { kind, selection })) => {
                Ok(Self::Action(requested_action_kind(kind)?, selection.unwrap_or_default().try_into()?))
            }
            Some(Assumption::HostDown(v1::AssumedHost { environment, host })) => {
                Ok(Self::HostDown { environment, host })
            }
            None => Err(Status::invalid_argument("the request assumes nothing; name an action or a host")),
        }
    }
}

impl From<&HealthChange> for v1::HealthChange {
    fn from(change: &HealthChange) -> Self {
        Self {
            instance: Some((&change.instance).into()),
            before: v1::Health::from(change.before).into(),
            after: v1::Health::from(change.after).into(),
            reason: change.reason.clone(),
            cause: change.cause.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::HealthChange> for HealthChange {
    type Error = ProtocolError;

    fn try_from(change: v1::HealthChange) -> Result<Self, ProtocolError> {
        Ok(Self {
            instance: change.instance.ok_or(ProtocolError::Missing("instance"))?.into(),
            before: health_from_wire(change.before)?,
            after: health_from_wire(change.after)?,
            reason: change.reason,
            cause: change.cause.map(InstanceId::from),
        })
    }
}

impl From<&WhatIfOverview> for v1::WhatIfResponse {
    fn from(answer: &WhatIfOverview) -> Self {
        Self {
            assumption: answer.assumption.clone(),
            plan: answer.plan.as_ref().map(Into::into),
            changes: answer.changes.iter().map(Into::into).collect(),
            notes: answer.notes.clone(),
            overview: Some((&answer.overview).into()),
        }
    }
}

impl TryFrom<v1::WhatIfResponse> for WhatIfOverview {
    type Error = ProtocolError;

    fn try_from(answer: v1::WhatIfResponse) -> Result<Self, ProtocolError> {
        Ok(Self {
            assumption: answer.assumption,
            plan: answer.plan.map(TryInto::try_into).transpose()?,
            changes: answer.changes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            notes: answer.notes,
            overview: answer.overview.ok_or(ProtocolError::Missing("overview"))?.try_into()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::ActionKind;
    use crate::overview::Health;
    use crate::plan::ActionRequest;

    #[test]
    fn questions_and_differences_come_back() {
        let request = ActionRequest { component: "kafka".to_owned(), ..ActionRequest::default() };
        for question in [
            WhatIfAssumption::Action(ActionKind::Stop, request),
            WhatIfAssumption::HostDown { environment: "E".to_owned(), host: "h".to_owned() },
        ] {
            assert_eq!(v1::WhatIfRequest::from(&question).try_into().map_err(|_: Status| ()), Ok(question));
        }
        assert!(WhatIfAssumption::try_from(v1::WhatIfRequest::default()).is_err());
        let id = |component: &str| InstanceId {
            environment: "E".into(),
            host: "h".into(),
            component: component.into(),
        };
        for cause in [None, Some(id("kafka"))] {
            let change = HealthChange {
                instance: id("app"),
                before: Health::Up,
                after: Health::Degraded,
                reason: "kafka is down".to_owned(),
                cause,
            };
            assert_eq!(v1::HealthChange::from(&change).try_into(), Ok(change));
        }
    }
}
