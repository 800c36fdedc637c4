//! Subject of an action's form.

use rta_shared::overview::InstanceId;
use rta_shared::plan::{ActionRequest, GateCondition, RollingRestart};
use serde::Deserialize;
use tonic::Code;

use crate::api::history::parse_length;
use crate::operation_error::OperationError;

/// Subject of an action's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ActionSubject {
    /// Single instance.
    Instance(InstanceId),
    /// The instances that the plan with this ID has stopped.
    StoppedBy(u64),
    /// The instances of a component, batch by batch over their hosts.
    Rolling(RollingSubject),
}

/// Instances of a component in an environment, which are restarted batch by batch over their hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RollingSubject {
    pub(super) environment: String,
    pub(super) component: String,
    /// Role of the hosts; empty: any.
    pub(super) role: String,
    pub(super) batches: RollingRestart,
}

impl ActionSubject {
    /// Returns the request for an action on it.
    pub(super) fn to_request(&self) -> ActionRequest {
        match self {
            Self::Instance(instance) => ActionRequest {
                component: instance.component.as_str().to_owned(),
                environment: instance.environment.as_str().to_owned(),
                host: instance.host.as_str().to_owned(),
                ..ActionRequest::default()
            },
            Self::StoppedBy(plan) => ActionRequest { stopped_by: *plan, ..ActionRequest::default() },
            Self::Rolling(RollingSubject { environment, component, role, batches }) => ActionRequest {
                component: component.clone(),
                environment: environment.clone(),
                role: role.clone(),
                all: true,
                rolling: Some(batches.clone()),
                ..ActionRequest::default()
            },
        }
    }
}

/// Fields of a form about batches, as a person wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct RollingFields {
    /// Role of the hosts; empty: any.
    pub(super) role: String,
    /// Number of hosts of a batch; empty: no batches.
    pub(super) batch: String,
    /// Time between two batches; empty: none.
    pub(super) pause: String,
    /// Word of the condition for the next batch; empty: that it is up.
    pub(super) gate: String,
}

impl RollingFields {
    /// Returns the subject that these fields name.
    ///
    /// # Errors
    /// Returns an error if a field is invalid.
    pub(super) fn into_subject(
        self,
        environment: String,
        component: String,
    ) -> Result<RollingSubject, OperationError> {
        let invalid = |message: String| OperationError::new(Code::InvalidArgument, message);
        let Self { role, batch, pause, gate } = self;
        let batch = batch.trim().parse().ok().filter(|hosts| *hosts > 0);
        let batch = batch.ok_or_else(|| invalid("a batch needs a number of hosts, at least 1".to_owned()))?;
        let pause = if pause.trim().is_empty() { "0s" } else { pause.as_str() };
        let condition = match gate.trim() {
            "" => GateCondition::Up,
            word => GateCondition::from_word(word)
                .ok_or_else(|| invalid("the condition for the next batch is up or probe".to_owned()))?,
        };
        let batches = RollingRestart { batch, pause: parse_length(pause).map_err(invalid)?, condition };
        Ok(RollingSubject { environment, component, role: role.trim().to_owned(), batches })
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn fields(batch: &str, pause: &str, gate: &str) -> Result<RollingRestart, String> {
        let [batch, pause, gate] = [batch, pause, gate].map(str::to_owned);
        let fields = RollingFields { batch, pause, gate, role: " main ".to_owned() };
        let subject =
            fields.into_subject("E".to_owned(), "kafka".to_owned()).map_err(|error| error.message)?;
        assert_eq!((subject.role.as_str(), subject.component.as_str()), ("main", "kafka"));
        Ok(subject.batches)
    }

    #[test]
    fn batches_are_read_and_slips_are_told() {
        let up = RollingRestart { batch: 2, pause: SignedDuration::ZERO, condition: GateCondition::Up };
        assert_eq!(fields("2", "", ""), Ok(up));
        let pause = SignedDuration::from_secs(90);
        let probe = RollingRestart { batch: 1, pause, condition: GateCondition::Probe };
        assert_eq!(fields(" 1 ", "1m 30s", "probe"), Ok(probe));
        for (batch, pause, gate, expected) in [
            ("", "", "", "a number of hosts"),
            ("0", "", "", "a number of hosts"),
            ("-1", "", "", "a number of hosts"),
            ("1", "soon", "", "\"soon\" is no length of time"),
            ("1", "", "always", "is up or probe"),
        ] {
            assert!(fields(batch, pause, gate).unwrap_err().contains(expected), "{batch} {pause} {gate}");
        }
    }
}
