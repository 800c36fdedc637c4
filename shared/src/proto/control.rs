//! Conversions of starts, stops and restarts to and from their protobuf messages.

use tonic::Status;

use super::{
    ProtocolError, from_wire_duration, from_wire_time, optional, to_wire_duration, to_wire_time, v1,
};
use crate::action::{
    ActionEvent, ActionKind, ActionLock, ActionOutcome, ActionPhase, ActionProgress, ActionResult, Requester,
};

impl From<ActionKind> for v1::ActionKind {
    fn from(kind: ActionKind) -> Self {
        match kind {
            ActionKind::Start => Self::Start,
            ActionKind::Stop => Self::Stop,
            ActionKind::Restart => Self::Restart,
        }
    }
}

/// Converts the kind of an action from its number on the wire.
///
/// # Errors
/// Returns an error if this version does not know the number.
pub(super) fn action_kind(kind: i32) -> Result<ActionKind, ProtocolError> {
    match v1::ActionKind::try_from(kind) {
        Ok(v1::ActionKind::Start) => Ok(ActionKind::Start),
        Ok(v1::ActionKind::Stop) => Ok(ActionKind::Stop),
        Ok(v1::ActionKind::Restart) => Ok(ActionKind::Restart),
        Ok(v1::ActionKind::Unspecified) | Err(_) => Err(ProtocolError::unknown("kind", kind)),
    }
}

/// Converts the kind of a requested action from its number on the wire.
///
/// # Errors
/// Returns `INVALID_ARGUMENT` if the request does not name an action, or one that this version does not know.
pub fn requested_action_kind(kind: i32) -> Result<ActionKind, Status> {
    action_kind(kind).map_err(|_| {
        let known = ActionKind::ALL.map(|kind| format!("{} {kind}", i32::from(v1::ActionKind::from(kind))));
        let known = known.join(", ");
        Status::invalid_argument(match kind {
            0 => format!("the request names no action; nothing was done; set its kind to one of {known}"),
            _ => format!(
                "the request asks for action {kind}, which this version of rta does not know; nothing was \
                 done; known are {known}"
            ),
        })
    })
}

impl From<&Requester> for v1::Requester {
    fn from(requester: &Requester) -> Self {
        Self { user: requester.user.clone(), address: requester.address.clone() }
    }
}

impl From<v1::Requester> for Requester {
    fn from(requester: v1::Requester) -> Self {
        Self { user: requester.user, address: requester.address }
    }
}

impl From<&ActionLock> for v1::ActionLock {
    fn from(hold: &ActionLock) -> Self {
        Self {
            kind: v1::ActionKind::from(hold.kind).into(),
            by: Some((&hold.by).into()),
            since: Some(to_wire_time(hold.since)),
        }
    }
}

impl TryFrom<v1::ActionLock> for ActionLock {
    type Error = ProtocolError;

    fn try_from(hold: v1::ActionLock) -> Result<Self, ProtocolError> {
        Ok(Self {
            kind: action_kind(hold.kind)?,
            by: hold.by.unwrap_or_default().into(),
            since: from_wire_time(hold.since.ok_or(ProtocolError::Missing("action.since"))?)?,
        })
    }
}

impl From<&ActionProgress> for v1::ActionProgress {
    fn from(progress: &ActionProgress) -> Self {
        let phase = match progress.phase {
            ActionPhase::Launched => v1::ActionPhase::Launched,
            ActionPhase::Waiting => v1::ActionPhase::Waiting,
            ActionPhase::Matched => v1::ActionPhase::Matched,
            ActionPhase::Probing => v1::ActionPhase::Probing,
            ActionPhase::Stable => v1::ActionPhase::Stable,
            ActionPhase::Signalled => v1::ActionPhase::Signalled,
            ActionPhase::Killed => v1::ActionPhase::Killed,
            ActionPhase::Gone => v1::ActionPhase::Gone,
        };
        Self {
            at: Some(to_wire_time(progress.at)),
            phase: phase.into(),
            text: progress.text.clone(),
            pids: progress.pids.clone(),
        }
    }
}

impl TryFrom<v1::ActionProgress> for ActionProgress {
    type Error = ProtocolError;

    fn try_from(progress: v1::ActionProgress) -> Result<Self, ProtocolError> {
        let phase = match v1::ActionPhase::try_from(progress.phase) {
            Ok(v1::ActionPhase::Launched) => ActionPhase::Launched,
            Ok(v1::ActionPhase::Matched) => ActionPhase::Matched,
            Ok(v1::ActionPhase::Probing) => ActionPhase::Probing,
            Ok(v1::ActionPhase::Stable) => ActionPhase::Stable,
            Ok(v1::ActionPhase::Signalled) => ActionPhase::Signalled,
            Ok(v1::ActionPhase::Killed) => ActionPhase::Killed,
            Ok(v1::ActionPhase::Gone) => ActionPhase::Gone,
            // A phase of a later version must not hide the action.
            Ok(v1::ActionPhase::Waiting | v1::ActionPhase::Unspecified) | Err(_) => ActionPhase::Waiting,
        };
        Ok(Self {
            at: from_wire_time(progress.at.ok_or(ProtocolError::Missing("progress.at"))?)?,
            phase,
            text: progress.text,
            pids: progress.pids,
        })
    }
}

impl From<&ActionResult> for v1::ActionResult {
    fn from(done: &ActionResult) -> Self {
        let outcome = match done.outcome {
            ActionOutcome::Started => v1::ActionOutcome::Started,
            ActionOutcome::AlreadyRunning => v1::ActionOutcome::AlreadyRunning,
            ActionOutcome::Stopped => v1::ActionOutcome::Stopped,
            ActionOutcome::AlreadyStopped => v1::ActionOutcome::AlreadyStopped,
            ActionOutcome::Killed => v1::ActionOutcome::Killed,
            ActionOutcome::Restarted => v1::ActionOutcome::Restarted,
        };
        Self {
            outcome: outcome.into(),
            pids: done.pids.clone(),
            took: Some(to_wire_duration(done.took)),
            warning: done.warning.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::ActionResult> for ActionResult {
    type Error = ProtocolError;

    fn try_from(result: v1::ActionResult) -> Result<Self, ProtocolError> {
        let outcome = match v1::ActionOutcome::try_from(result.outcome) {
            Ok(v1::ActionOutcome::Started) => ActionOutcome::Started,
            Ok(v1::ActionOutcome::AlreadyRunning) => ActionOutcome::AlreadyRunning,
            Ok(v1::ActionOutcome::Stopped) => ActionOutcome::Stopped,
            Ok(v1::ActionOutcome::AlreadyStopped) => ActionOutcome::AlreadyStopped,
            Ok(v1::ActionOutcome::Killed) => ActionOutcome::Killed,
            Ok(v1::ActionOutcome::Restarted) => ActionOutcome::Restarted,
            Ok(v1::ActionOutcome::Unspecified) | Err(_) => {
                return Err(ProtocolError::unknown("outcome", result.outcome));
            }
        };
        let took = from_wire_duration(result.took.ok_or(ProtocolError::Missing("took"))?)?;
        Ok(Self { outcome, pids: result.pids, took, warning: optional(result.warning) })
    }
}

impl From<&ActionEvent> for v1::AgentServiceActResponse {
    fn from(event: &ActionEvent) -> Self {
        use v1::agent_service_act_response::Event;
        let event = match event {
            ActionEvent::Progress(progress) => Event::Progress(progress.into()),
            ActionEvent::Done(done) => Event::Result(done.into()),
        };
        Self { event: Some(event) }
    }
}

impl TryFrom<v1::AgentServiceActResponse> for ActionEvent {
    type Error = ProtocolError;

    fn try_from(response: v1::AgentServiceActResponse) -> Result<Self, ProtocolError> {
        use v1::agent_service_act_response::Event;
        match response.event.ok_or(ProtocolError::Missing("event"))? {
            Event::Progress(progress) => Ok(Self::Progress(progress.try_into()?)),
            Event::Result(result) => Ok(Self::Done(result.try_into()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use tonic::Code;

    use super::*;

    #[test]
    fn what_an_agent_tells_comes_back() {
        for phase in [
            ActionPhase::Launched,
            ActionPhase::Probing,
            ActionPhase::Stable,
            ActionPhase::Killed,
            ActionPhase::Gone,
        ] {
            let progress =
                ActionProgress { at: Timestamp::UNIX_EPOCH, phase, text: "so".to_owned(), pids: vec![1, 2] };
            let event = ActionEvent::Progress(progress);
            assert_eq!(v1::AgentServiceActResponse::from(&event).try_into(), Ok(event));
        }
        for outcome in [
            ActionOutcome::Started,
            ActionOutcome::AlreadyStopped,
            ActionOutcome::Killed,
            ActionOutcome::Restarted,
        ] {
            let event = ActionEvent::Done(ActionResult {
                outcome,
                pids: vec![1],
                took: Duration::from_millis(1500),
                warning: None,
            });
            assert_eq!(v1::AgentServiceActResponse::from(&event).try_into(), Ok(event));
        }
    }

    #[test]
    fn absent_and_unknown_kinds_are_refused() {
        assert_eq!(requested_action_kind(3).ok(), Some(ActionKind::Restart));
        let refusals = [0, 99, -1].map(|kind| requested_action_kind(kind).unwrap_err());
        assert!(refusals.iter().all(|refusal| refusal.code() == Code::InvalidArgument));
        let known = "1 start, 2 stop, 3 restart";
        assert_eq!(
            refusals.map(|refusal| refusal.message().to_owned()),
            [
                format!("the request names no action; nothing was done; set its kind to one of {known}"),
                format!(
                    "the request asks for action 99, which this version of rta does not know; nothing was \
                     done; known are {known}"
                ),
                format!(
                    "the request asks for action -1, which this version of rta does not know; nothing was \
                     done; known are {known}"
                ),
            ]
        );
    }

    #[test]
    fn an_outcome_of_a_later_version_is_an_error_not_a_guess() {
        let wire = v1::ActionResult {
            outcome: 99,
            took: Some(to_wire_duration(Duration::ZERO)),
            ..Default::default()
        };
        assert_eq!(ActionResult::try_from(wire), Err(ProtocolError::unknown("outcome", 99)));
    }
}
