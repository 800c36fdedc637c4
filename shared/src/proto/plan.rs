//! Conversions of plans.

use super::control::action_kind;
use jiff::SignedDuration;
use tonic::Status;

use super::{
    ProtocolError, from_wire_duration, from_wire_time, optional, to_wire_duration, to_wire_time, v1,
};
use crate::action::{ActionProgress, Requester};
use crate::overview::InstanceId;
use crate::plan::{
    ActionRequest, BatchGate, ExecutionOptions, GateCondition, Plan, PlanEnd, PlanEvent, PlanStart,
    RollingRestart, Step, StepChange, StepState,
};

impl From<&ActionRequest> for v1::PlanSelection {
    fn from(selection: &ActionRequest) -> Self {
        let ActionRequest { component, environment, host, role, all, no_dependencies, stopped_by, rolling } =
            selection.clone();
        let rolling = rolling.map(|rolling| v1::RollingRestart {
            batch: rolling.batch,
            pause: Some(to_wire_duration(rolling.pause.unsigned_abs())),
            condition: v1::GateCondition::from(rolling.condition).into(),
        });
        Self { component, environment, host, role, all, no_dependencies, stopped_by, rolling }
    }
}

impl TryFrom<v1::PlanSelection> for ActionRequest {
    type Error = Status;

    fn try_from(selection: v1::PlanSelection) -> Result<Self, Status> {
        let v1::PlanSelection {
            component,
            environment,
            host,
            role,
            all,
            no_dependencies,
            stopped_by,
            rolling,
        } = selection;
        let rolling = rolling.map(|rolling| {
            let pause = rolling.pause.map_or(Ok(SignedDuration::ZERO), signed_duration);
            let pause =
                pause.map_err(|_| Status::invalid_argument("the pause between batches is not a duration"));
            let condition = gate_condition(rolling.condition).map_err(|_| {
                let message =
                    "the request asks for a gate between batches that this version of rta does not know";
                Status::invalid_argument(message)
            });
            Ok::<_, Status>(RollingRestart { batch: rolling.batch, pause: pause?, condition: condition? })
        });
        let rolling = rolling.transpose()?;
        Ok(Self { component, environment, host, role, all, no_dependencies, stopped_by, rolling })
    }
}

impl From<GateCondition> for v1::GateCondition {
    fn from(condition: GateCondition) -> Self {
        match condition {
            GateCondition::Up => Self::Up,
            GateCondition::Probe => Self::Probe,
        }
    }
}

fn gate_condition(condition: i32) -> Result<GateCondition, ProtocolError> {
    match v1::GateCondition::try_from(condition) {
        Ok(v1::GateCondition::Up) => Ok(GateCondition::Up),
        Ok(v1::GateCondition::Probe) => Ok(GateCondition::Probe),
        Ok(v1::GateCondition::Unspecified) | Err(_) => {
            Err(ProtocolError::unknown("gate.condition", condition))
        }
    }
}

fn signed_duration(duration: prost_types::Duration) -> Result<SignedDuration, ProtocolError> {
    SignedDuration::try_from(from_wire_duration(duration)?)
        .map_err(|_| ProtocolError::unknown("duration", duration))
}

impl From<&BatchGate> for v1::BatchGate {
    fn from(gate: &BatchGate) -> Self {
        Self {
            condition: v1::GateCondition::from(gate.condition).into(),
            pause: Some(to_wire_duration(gate.pause.unsigned_abs())),
        }
    }
}

impl TryFrom<v1::BatchGate> for BatchGate {
    type Error = ProtocolError;

    fn try_from(gate: v1::BatchGate) -> Result<Self, ProtocolError> {
        let pause = signed_duration(gate.pause.ok_or(ProtocolError::Missing("gate.pause"))?)?;
        Ok(Self { condition: gate_condition(gate.condition)?, pause })
    }
}

impl v1::PlanOptions {
    /// Creates the message for `options`; `user` is the requester's name as they state it.
    pub fn new(options: &ExecutionOptions, user: impl Into<String>) -> Self {
        Self {
            everything: options.everything,
            agreed: options.agreed.iter().map(Into::into).collect(),
            keep_going: options.keep_going,
            parallel: options.parallel,
            user: user.into(),
        }
    }

    /// Returns the options, and the requester's name as they state it.
    pub fn parts(self) -> (ExecutionOptions, String) {
        let Self { everything, agreed, keep_going, parallel, user } = self;
        let agreed = agreed.into_iter().map(Into::into).collect();
        (ExecutionOptions { everything, agreed, keep_going, parallel }, user)
    }
}

impl From<&Plan> for v1::Plan {
    fn from(plan: &Plan) -> Self {
        let steps = plan.steps.iter().map(|step| v1::PlanStep {
            instance: Some((&step.instance).into()),
            action: v1::ActionKind::from(step.action).into(),
            named: step.named,
            after: step.after.iter().map(|at| to_count(*at)).collect(),
            why: step.why.clone(),
            irreversible: step.irreversible.clone(),
            batch: step.batch,
            gate: step.gate.as_ref().map(Into::into),
        });
        Self { kind: v1::ActionKind::from(plan.kind).into(), steps: steps.collect() }
    }
}

impl TryFrom<v1::Plan> for Plan {
    type Error = ProtocolError;

    fn try_from(plan: v1::Plan) -> Result<Self, ProtocolError> {
        let steps = plan.steps.into_iter().enumerate().map(|(at, step)| {
            let after: Vec<usize> = step.after.into_iter().map(from_count).collect();
            // A step that waits for itself, or for a later one, would wait forever.
            if let Some(later) = after.iter().find(|before| **before >= at) {
                return Err(ProtocolError::unknown("after", later));
            }
            Ok(Step {
                instance: InstanceId::from(step.instance.ok_or(ProtocolError::Missing("instance"))?),
                action: action_kind(step.action)?,
                named: step.named,
                after,
                why: step.why,
                irreversible: step.irreversible,
                batch: step.batch,
                gate: step.gate.map(TryInto::try_into).transpose()?,
            })
        });
        Ok(Self { kind: action_kind(plan.kind)?, steps: steps.collect::<Result<_, _>>()? })
    }
}

impl From<StepState> for v1::StepState {
    fn from(state: StepState) -> Self {
        match state {
            StepState::Waiting => Self::Waiting,
            StepState::UnderWay => Self::UnderWay,
            StepState::Done => Self::Done,
            StepState::Failed => Self::Failed,
            StepState::Skipped => Self::Skipped,
            StepState::Interrupted => Self::Interrupted,
        }
    }
}

fn step_state(state: i32) -> Result<StepState, ProtocolError> {
    match v1::StepState::try_from(state) {
        Ok(v1::StepState::Waiting) => Ok(StepState::Waiting),
        Ok(v1::StepState::UnderWay) => Ok(StepState::UnderWay),
        Ok(v1::StepState::Done) => Ok(StepState::Done),
        Ok(v1::StepState::Failed) => Ok(StepState::Failed),
        Ok(v1::StepState::Skipped) => Ok(StepState::Skipped),
        Ok(v1::StepState::Interrupted) => Ok(StepState::Interrupted),
        Ok(v1::StepState::Unspecified) | Err(_) => Err(ProtocolError::unknown("step.state", state)),
    }
}

impl From<&PlanEvent> for v1::PlanEvent {
    fn from(event: &PlanEvent) -> Self {
        use v1::plan_event::Event;
        let event = match event {
            PlanEvent::Begun(begun) => Event::Begun(v1::PlanBegun {
                plan_id: begun.id,
                plan: Some((&begun.plan).into()),
                at: Some(to_wire_time(begun.at)),
                by: Some((&begun.by).into()),
                unrecorded: begun.unrecorded.clone().unwrap_or_default(),
            }),
            PlanEvent::Step(change) => Event::Step(v1::StepChange {
                step: to_count(change.step),
                at: Some(to_wire_time(change.at)),
                state: v1::StepState::from(change.state).into(),
                progress: change.progress.as_ref().map(Into::into),
                text: change.text.clone(),
            }),
            PlanEvent::Ended(end) => Event::Ended(v1::PlanEnd {
                at: Some(to_wire_time(end.at)),
                done: to_count(end.done),
                failed: to_count(end.failed),
                skipped: to_count(end.skipped),
                interrupted: to_count(end.interrupted),
                cancelled: end.cancelled,
            }),
        };
        Self { event: Some(event) }
    }
}

impl TryFrom<v1::PlanEvent> for PlanEvent {
    type Error = ProtocolError;

    fn try_from(event: v1::PlanEvent) -> Result<Self, ProtocolError> {
        use v1::plan_event::Event;
        let time =
            |at: Option<prost_types::Timestamp>| from_wire_time(at.ok_or(ProtocolError::Missing("at"))?);
        Ok(match event.event.ok_or(ProtocolError::Missing("event"))? {
            Event::Begun(begun) => Self::Begun(PlanStart {
                id: begun.plan_id,
                plan: begun.plan.ok_or(ProtocolError::Missing("plan"))?.try_into()?,
                at: time(begun.at)?,
                by: Requester::from(begun.by.unwrap_or_default()),
                unrecorded: optional(begun.unrecorded),
            }),
            Event::Step(change) => Self::Step(StepChange {
                step: from_count(change.step),
                at: time(change.at)?,
                state: step_state(change.state)?,
                progress: change.progress.map(ActionProgress::try_from).transpose()?,
                text: change.text,
            }),
            Event::Ended(end) => Self::Ended(PlanEnd {
                at: time(end.at)?,
                done: from_count(end.done),
                failed: from_count(end.failed),
                skipped: from_count(end.skipped),
                interrupted: from_count(end.interrupted),
                cancelled: end.cancelled,
            }),
        })
    }
}

fn to_count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn from_count(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::action::{ActionKind, ActionPhase};

    fn plan() -> Plan {
        let step = |component: &str, action, named, after: &[usize]| Step {
            instance: InstanceId { environment: "E".into(), host: "h".into(), component: component.into() },
            action,
            named,
            after: after.to_vec(),
            why: if named { String::new() } else { "app needs it".to_owned() },
            irreversible: String::new(),
            batch: 0,
            gate: None,
        };
        Plan {
            kind: ActionKind::Start,
            steps: vec![
                step("kafka", ActionKind::Start, false, &[]),
                step("app", ActionKind::Restart, true, &[0]),
                Step {
                    batch: 1,
                    gate: Some(BatchGate {
                        condition: GateCondition::Probe,
                        pause: SignedDuration::from_secs(30),
                    }),
                    ..step("app", ActionKind::Restart, true, &[1])
                },
            ],
        }
    }

    #[test]
    fn plans_and_what_becomes_of_them_come_back() {
        let at = Timestamp::UNIX_EPOCH;
        let progress =
            ActionProgress { at, phase: ActionPhase::Matched, text: "matched".to_owned(), pids: vec![7] };
        let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
        let mut events = vec![
            PlanEvent::Begun(PlanStart { id: 7, plan: plan(), at, by: by.clone(), unrecorded: None }),
            PlanEvent::Begun(PlanStart { id: 7, plan: plan(), at, by, unrecorded: Some("why".to_owned()) }),
            PlanEvent::Ended(PlanEnd { at, done: 1, failed: 2, skipped: 3, interrupted: 4, cancelled: true }),
        ];
        for state in StepState::ALL {
            let progress = (state == StepState::UnderWay).then(|| progress.clone());
            events.push(PlanEvent::Step(StepChange { step: 1, at, state, progress, text: "x".to_owned() }));
        }
        for event in events {
            assert_eq!(v1::PlanEvent::from(&event).try_into(), Ok(event));
        }
    }

    #[test]
    fn a_step_that_waits_for_itself_is_refused() {
        let mut wire = v1::Plan::from(&plan());
        wire.steps[1].after = vec![1];
        assert_eq!(Plan::try_from(wire), Err(ProtocolError::unknown("after", 1)));
    }

    #[test]
    fn wishes_and_conduct_come_back() {
        let selection =
            ActionRequest { component: "c".to_owned(), all: true, stopped_by: 5, ..ActionRequest::default() };
        let rolling =
            |condition| RollingRestart { batch: 2, pause: SignedDuration::from_secs(30), condition };
        for rolling in [None, Some(rolling(GateCondition::Up)), Some(rolling(GateCondition::Probe))] {
            let selection = ActionRequest { rolling, role: "main".to_owned(), ..selection.clone() };
            let wire = v1::PlanSelection::from(&selection);
            assert_eq!(ActionRequest::try_from(wire).map_err(|_| ()), Ok(selection));
        }
        let unknown = v1::PlanSelection {
            rolling: Some(v1::RollingRestart { batch: 1, pause: None, condition: 77 }),
            ..v1::PlanSelection::default()
        };
        assert!(ActionRequest::try_from(unknown).is_err());
        let agreed = vec![plan().steps[0].instance.clone()];
        let options = ExecutionOptions { agreed, keep_going: true, parallel: 3, everything: false };
        assert_eq!(v1::PlanOptions::new(&options, "ann").parts(), (options, "ann".to_owned()));
    }
}
