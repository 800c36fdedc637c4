//! Request for a plan, and a plan's state, as JSON.

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::{ActionKind, Requester};
use rta_shared::overview::InstanceId;
use rta_shared::plan::{
    ActionRequest, BatchGate, ExecutionOptions, GateCondition, Plan, PlanEnd, RollingRestart, StepState,
};
use serde::{Deserialize, Serialize};
use tonic::Code;

use crate::operation_error::OperationError;
use crate::plans::run::PlanSnapshot;

/// Request for a plan. Unknown keys are refused: one that is misspelled would not have its effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PlanBody {
    /// Action; left out where the address names it.
    action: Option<ActionKind>,
    environment: String,
    host: String,
    /// Role of the hosts.
    role: String,
    component: String,
    /// True for all instances that match.
    all: bool,
    no_dependencies: bool,
    /// Plan whose stopped instances are to be started again.
    stopped_by: Option<u64>,
    /// Batches of a restart.
    rolling: Option<RollingBody>,
    /// Instances that the requester has confirmed.
    confirmed: Vec<InstanceId>,
    /// True to confirm every instance.
    confirm_all: bool,
    keep_going: bool,
    /// Maximum number of concurrent steps; 0: the default.
    parallel: u32,
}

/// Batches of a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollingBody {
    /// Number of hosts of a batch.
    batch: u32,
    /// Time for which the condition must hold between two batches.
    #[serde(default)]
    pause: SignedDuration,
    condition: GateCondition,
}

impl PlanBody {
    /// Returns the request and the options for its execution. `kind` is the action that the address names.
    ///
    /// # Errors
    /// Returns an error if there is no action, or a different one.
    pub(super) fn parts(
        self,
        kind: Option<ActionKind>,
    ) -> Result<(ActionKind, ActionRequest, ExecutionOptions), OperationError> {
        let Self { environment, host, role, component, all, no_dependencies, stopped_by, .. } = self;
        let invalid = |message: &str| OperationError::new(Code::InvalidArgument, message);
        let kind = match (kind, self.action) {
            (None, None) => return Err(invalid("action has to be start, stop or restart")),
            (Some(named), Some(other)) if named != other => {
                return Err(invalid("action is not the one that the address names; leave it out"));
            }
            (Some(kind), _) | (None, Some(kind)) => kind,
        };
        if stopped_by == Some(0) {
            return Err(invalid("stopped_by has to be the ID of a plan, which is greater than 0"));
        }
        let stopped_by = stopped_by.unwrap_or_default();
        let rolling = self.rolling.map(|RollingBody { batch, pause, condition }| RollingRestart {
            batch,
            pause,
            condition,
        });
        let request =
            ActionRequest { component, environment, host, role, all, no_dependencies, stopped_by, rolling };
        let options = ExecutionOptions {
            everything: self.confirm_all,
            agreed: self.confirmed,
            keep_going: self.keep_going,
            parallel: self.parallel,
        };
        Ok((kind, request, options))
    }
}

/// Plan that was not begun, and the instances that have to be confirmed to begin it.
#[derive(Serialize)]
pub(super) struct PlanPreview<'p> {
    pub(super) plan: &'p Plan,
    pub(super) to_confirm: Vec<&'p InstanceId>,
}

impl<'p> From<&'p Plan> for PlanPreview<'p> {
    fn from(plan: &'p Plan) -> Self {
        Self { plan, to_confirm: plan.instances_to_confirm() }
    }
}

/// Plan that was begun.
#[derive(Serialize)]
pub(super) struct PlanState {
    id: u64,
    action: ActionKind,
    at: Timestamp,
    by: Requester,
    /// Reason why it was not on disk before its first step.
    unrecorded: Option<String>,
    steps: Vec<PlanStepState>,
    /// `None` while it is under way.
    end: Option<PlanEnd>,
}

/// Step of a plan that was begun.
#[derive(Serialize)]
struct PlanStepState {
    instance: InstanceId,
    action: ActionKind,
    /// True if the request names the instance.
    named: bool,
    /// Positions of the steps that must be done before.
    after: Vec<usize>,
    why: String,
    irreversible: String,
    /// Batch of a rolling restart, from 1; left out without batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    /// Gate that the step waits for; left out if it acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<BatchGate>,
    state: StepState,
    /// Progress or result, as a sentence.
    text: String,
}

impl From<PlanSnapshot> for PlanState {
    fn from(snapshot: PlanSnapshot) -> Self {
        let PlanSnapshot { begun, steps, end } = snapshot;
        let steps = begun.plan.steps.into_iter().zip(steps).map(|(step, (state, text))| PlanStepState {
            instance: step.instance,
            action: step.action,
            named: step.named,
            after: step.after,
            why: step.why,
            irreversible: step.irreversible,
            batch: Some(step.batch).filter(|batch| *batch > 0),
            gate: step.gate,
            state,
            text,
        });
        Self {
            id: begun.id,
            action: begun.plan.kind,
            at: begun.at,
            by: begun.by,
            unrecorded: begun.unrecorded,
            steps: steps.collect(),
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<PlanBody, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn body_becomes_a_request_and_its_options() {
        let json = r#"{"action": "stop", "environment": "ITG", "component": "kafka server", "keep_going": true,
                       "confirmed": [{"environment": "ITG", "host": "h", "component": "raw writer"}]}"#;
        let (kind, request, options) = parse(json).unwrap().parts(None).unwrap();
        assert_eq!(
            (kind, request.component.as_str(), request.all),
            (ActionKind::Stop, "kafka server", false)
        );
        assert_eq!(options.agreed[0].to_string(), "ITG/h/raw writer");
        assert!(options.keep_going && !options.everything);
        let (kind, request, _) =
            parse(r#"{"stopped_by": 5}"#).unwrap().parts(Some(ActionKind::Start)).unwrap();
        assert_eq!((kind, request.stopped_by), (ActionKind::Start, 5));
        let json = r#"{"role": "main", "rolling": {"batch": 2, "pause": "PT30S", "condition": "probe"}}"#;
        let (_, request, _) = parse(json).unwrap().parts(Some(ActionKind::Restart)).unwrap();
        let (pause, condition) = (SignedDuration::from_secs(30), GateCondition::Probe);
        assert_eq!(request.role, "main");
        assert_eq!(request.rolling, Some(RollingRestart { batch: 2, pause, condition }));
    }

    #[test]
    fn wrong_bodies_are_refused() {
        assert!(parse(r#"{"confirmd": []}"#).unwrap_err().contains("unknown field `confirmd`"));
        assert!(parse(r#"{"action": "destroy"}"#).unwrap_err().contains("unknown variant"));
        let refused = |json: &str, kind| parse(json).unwrap().parts(kind).unwrap_err().message;
        assert_eq!(refused("{}", None), "action has to be start, stop or restart");
        assert!(refused(r#"{"action": "stop"}"#, Some(ActionKind::Start)).contains("leave it out"));
        assert!(refused(r#"{"action": "start", "stopped_by": 0}"#, None).contains("greater than 0"));
    }
}
