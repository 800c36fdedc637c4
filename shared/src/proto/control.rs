//! Results of starts and stops on the wire.

use super::{ProtocolError, from_wire_duration, to_wire_duration, v1};
use crate::control::{Done, Outcome};
use crate::overview::InstanceId;

impl From<Outcome> for v1::StartOutcome {
    /// An outcome that only a stop has becomes unspecified.
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Started => Self::Started,
            Outcome::AlreadyRunning => Self::AlreadyRunning,
            Outcome::Stopped | Outcome::AlreadyStopped | Outcome::Killed => Self::Unspecified,
        }
    }
}

impl From<Outcome> for v1::StopOutcome {
    /// An outcome that only a start has becomes unspecified.
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Stopped => Self::Stopped,
            Outcome::AlreadyStopped => Self::AlreadyStopped,
            Outcome::Killed => Self::Killed,
            Outcome::Started | Outcome::AlreadyRunning => Self::Unspecified,
        }
    }
}

fn start_outcome(outcome: i32) -> Result<Outcome, ProtocolError> {
    match v1::StartOutcome::try_from(outcome) {
        Ok(v1::StartOutcome::Started) => Ok(Outcome::Started),
        Ok(v1::StartOutcome::AlreadyRunning) => Ok(Outcome::AlreadyRunning),
        Ok(v1::StartOutcome::Unspecified) | Err(_) => Err(ProtocolError::unknown("outcome", outcome)),
    }
}

fn stop_outcome(outcome: i32) -> Result<Outcome, ProtocolError> {
    match v1::StopOutcome::try_from(outcome) {
        Ok(v1::StopOutcome::Stopped) => Ok(Outcome::Stopped),
        Ok(v1::StopOutcome::AlreadyStopped) => Ok(Outcome::AlreadyStopped),
        Ok(v1::StopOutcome::Killed) => Ok(Outcome::Killed),
        Ok(v1::StopOutcome::Unspecified) | Err(_) => Err(ProtocolError::unknown("outcome", outcome)),
    }
}

fn done(
    outcome: Outcome,
    pids: Vec<u32>,
    took: Option<prost_types::Duration>,
) -> Result<Done, ProtocolError> {
    let took = from_wire_duration(took.ok_or(ProtocolError::Missing("took"))?)?;
    Ok(Done { outcome, pids, took })
}

impl From<Done> for v1::AgentServiceStartResponse {
    fn from(done: Done) -> Self {
        Self {
            outcome: v1::StartOutcome::from(done.outcome).into(),
            pids: done.pids,
            took: Some(to_wire_duration(done.took)),
        }
    }
}

impl TryFrom<v1::AgentServiceStartResponse> for Done {
    type Error = ProtocolError;

    fn try_from(response: v1::AgentServiceStartResponse) -> Result<Self, ProtocolError> {
        done(start_outcome(response.outcome)?, response.pids, response.took)
    }
}

impl From<Done> for v1::AgentServiceStopResponse {
    fn from(done: Done) -> Self {
        Self {
            outcome: v1::StopOutcome::from(done.outcome).into(),
            pids: done.pids,
            took: Some(to_wire_duration(done.took)),
        }
    }
}

impl TryFrom<v1::AgentServiceStopResponse> for Done {
    type Error = ProtocolError;

    fn try_from(response: v1::AgentServiceStopResponse) -> Result<Self, ProtocolError> {
        done(stop_outcome(response.outcome)?, response.pids, response.took)
    }
}

impl From<(&InstanceId, Done)> for v1::AggregatorServiceStartResponse {
    fn from((instance, done): (&InstanceId, Done)) -> Self {
        Self {
            instance: Some(instance.into()),
            outcome: v1::StartOutcome::from(done.outcome).into(),
            pids: done.pids,
            took: Some(to_wire_duration(done.took)),
        }
    }
}

impl TryFrom<v1::AggregatorServiceStartResponse> for (InstanceId, Done) {
    type Error = ProtocolError;

    fn try_from(response: v1::AggregatorServiceStartResponse) -> Result<Self, ProtocolError> {
        let instance = response.instance.ok_or(ProtocolError::Missing("instance"))?.into();
        Ok((instance, done(start_outcome(response.outcome)?, response.pids, response.took)?))
    }
}

impl From<(&InstanceId, Done)> for v1::AggregatorServiceStopResponse {
    fn from((instance, done): (&InstanceId, Done)) -> Self {
        Self {
            instance: Some(instance.into()),
            outcome: v1::StopOutcome::from(done.outcome).into(),
            pids: done.pids,
            took: Some(to_wire_duration(done.took)),
        }
    }
}

impl TryFrom<v1::AggregatorServiceStopResponse> for (InstanceId, Done) {
    type Error = ProtocolError;

    fn try_from(response: v1::AggregatorServiceStopResponse) -> Result<Self, ProtocolError> {
        let instance = response.instance.ok_or(ProtocolError::Missing("instance"))?.into();
        Ok((instance, done(stop_outcome(response.outcome)?, response.pids, response.took)?))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_back() {
        let instance = InstanceId { environment: "DEV".into(), host: "h".into(), component: "c".into() };
        for outcome in [Outcome::Started, Outcome::AlreadyRunning] {
            let done = Done { outcome, pids: vec![1], took: Duration::from_millis(1500) };
            let wire = v1::AggregatorServiceStartResponse::from((&instance, done.clone()));
            assert_eq!(<(InstanceId, Done)>::try_from(wire), Ok((instance.clone(), done)));
        }
        for outcome in [Outcome::Stopped, Outcome::AlreadyStopped, Outcome::Killed] {
            let done = Done { outcome, pids: vec![1], took: Duration::from_millis(1500) };
            let wire = v1::AgentServiceStopResponse::from(done.clone());
            assert_eq!(Done::try_from(wire), Ok(done));
        }
    }

    #[test]
    fn an_outcome_of_the_other_kind_is_an_error() {
        let done = Done { outcome: Outcome::Killed, pids: vec![], took: Duration::ZERO };
        assert!(Done::try_from(v1::AgentServiceStartResponse::from(done)).is_err());
    }
}
