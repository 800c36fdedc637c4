//! Plans requested from an aggregator over gRPC, and their events.

use rta_shared::action::ActionKind;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{
    ActionRequest, ExecutionOptions, Plan, PlanEnd, PlanEvent, PlanStart, StepChange, StepState,
};
use rta_shared::proto::v1;
use tokio::runtime::Runtime;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use crate::{AggregatorClient, TestAggregator};

/// Client of an aggregator's plans, whose calls block.
#[derive(Debug)]
pub struct PlanClient {
    client: AggregatorClient,
    runtime: Runtime,
}

impl PlanClient {
    /// Connects to an aggregator.
    ///
    /// # Panics
    /// Panics if it cannot be reached.
    pub fn connect(aggregator: &TestAggregator) -> Self {
        let runtime = Runtime::new().expect("a runtime can be made");
        let client = runtime.block_on(aggregator.client());
        Self { client, runtime }
    }

    /// Returns the plan of a request without executing it.
    ///
    /// # Errors
    /// Returns the status with which the aggregator refuses.
    ///
    /// # Panics
    /// Panics if the plan is invalid.
    pub fn preview(&self, kind: ActionKind, request: &ActionRequest) -> Result<Plan, Status> {
        let request =
            v1::PlanRequest { kind: v1::ActionKind::from(kind).into(), selection: Some(request.into()) };
        let response = self.runtime.block_on(self.client.clone().plan(request))?.into_inner();
        Ok(response.plan.expect("there is a plan").try_into().expect("the plan is valid"))
    }

    /// Starts a plan as this user, and reads its events to the end.
    ///
    /// # Errors
    /// Returns the status with which the aggregator refuses, or the stream breaks off.
    ///
    /// # Panics
    /// Panics if an event is invalid.
    pub fn run(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
        options: &ExecutionOptions,
        user: &str,
    ) -> Result<PlanRecord, Status> {
        let mut client = self.client.clone();
        let request = act_request(kind, request, options, user);
        self.runtime.block_on(async {
            let started = client.act(request).await?;
            PlanRecord::read(started.into_inner().map(|message| Ok(message?.event))).await
        })
    }

    /// Starts a plan for user `ann`, disconnects once an agent has accepted a step, and returns the plan's
    /// number.
    ///
    /// # Panics
    /// Panics if the plan ends before.
    pub fn start_and_disconnect(&self, request: &ActionRequest, options: &ExecutionOptions) -> u64 {
        let mut client = self.client.clone();
        let request = act_request(ActionKind::Start, request, options, "ann");
        self.runtime.block_on(async {
            let mut events = client.act(request).await.expect("the plan starts").into_inner();
            let mut id = 0;
            loop {
                let message = events.message().await.expect("the stream goes on").expect("the plan goes on");
                let event = message.event.expect("a message has an event");
                match event.try_into().expect("the event is valid") {
                    PlanEvent::Begun(begun) => id = begun.id,
                    // Accepted by its agent, because there is progress.
                    PlanEvent::Step(StepChange { state: StepState::UnderWay, progress: Some(_), .. }) => {
                        return id;
                    }
                    PlanEvent::Step(StepChange { state: StepState::UnderWay, .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
    }

    /// Reads the events of a plan from its beginning to its end.
    ///
    /// # Errors
    /// Returns the status with which the aggregator refuses, or the stream breaks off.
    ///
    /// # Panics
    /// Panics if an event is invalid.
    pub fn watch(&self, plan_id: u64) -> Result<PlanRecord, Status> {
        self.runtime.block_on(async {
            let events = self.client.clone().watch_plan(v1::WatchPlanRequest { plan_id }).await?;
            PlanRecord::read(events.into_inner().map(|message| Ok(message?.event))).await
        })
    }

    /// Cancels a plan and returns the number of skipped steps.
    ///
    /// # Errors
    /// Returns the status with which the aggregator refuses.
    pub fn cancel(&self, plan_id: u64) -> Result<u32, Status> {
        let mut client = self.client.clone();
        let cancelled = client.cancel_plan(v1::CancelPlanRequest { plan_id });
        Ok(self.runtime.block_on(cancelled)?.into_inner().skipped)
    }
}

/// Events of a plan.
#[derive(Debug)]
pub struct PlanRecord {
    /// First event.
    pub begun: PlanStart,
    /// All events, with the first and the last.
    pub events: Vec<PlanEvent>,
    /// Last event.
    pub end: PlanEnd,
}

impl PlanRecord {
    async fn read(
        mut events: impl Stream<Item = Result<Option<v1::PlanEvent>, Status>> + Unpin,
    ) -> Result<Self, Status> {
        let mut all: Vec<PlanEvent> = Vec::new();
        while let Some(event) = events.next().await {
            let event = event?.expect("a message has an event");
            all.push(event.try_into().expect("the event is valid"));
        }
        let (Some(PlanEvent::Begun(begun)), Some(PlanEvent::Ended(end))) = (all.first(), all.last()) else {
            panic!("it begins and ends: {all:?}");
        };
        Ok(Self { begun: begun.clone(), end: end.clone(), events: all })
    }

    /// Returns the planned steps; see [`describe_plan`].
    pub fn planned(&self) -> Vec<String> {
        describe_plan(&self.begun.plan)
    }

    /// Returns the start and end events of the steps, in order of arrival.
    pub fn step_states(&self) -> Vec<(usize, StepState)> {
        let changes = self.events.iter().filter_map(|event| match event {
            PlanEvent::Step(change) if change.progress.is_none() => Some((change.step, change.state)),
            _ => None,
        });
        changes.collect()
    }

    /// Returns the final state of the step on a component, and its text.
    ///
    /// # Panics
    /// Panics if there is no such step.
    pub fn outcome(&self, component: &str) -> (StepState, &str) {
        let at = self.begun.plan.steps.iter().rposition(|step| step.instance.component == *component);
        let said = self.events.iter().rev().find_map(|event| match event {
            PlanEvent::Step(change) if Some(change.step) == at => Some((change.state, change.text.as_str())),
            _ => None,
        });
        said.expect("there is a step on the component")
    }

    /// Asserts that the steps were started and completed one after the other.
    ///
    /// # Panics
    /// Panics if they were not.
    pub fn assert_one_after_the_other(&self) {
        let expected: Vec<_> = (0..self.begun.plan.steps.len())
            .flat_map(|at| [(at, StepState::UnderWay), (at, StepState::Done)])
            .collect();
        assert_eq!(self.step_states(), expected, "{self:?}");
        assert!(self.end.is_complete());
    }
}

/// Returns the steps of a plan as `+start storage/detector`, with a mark at unnamed instances.
pub fn describe_plan(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().map(|step| {
        let InstanceId { host, component, .. } = &step.instance;
        format!("{}{} {host}/{component}", if step.named { "" } else { "+" }, step.word())
    });
    steps.collect()
}

fn act_request(
    kind: ActionKind,
    request: &ActionRequest,
    options: &ExecutionOptions,
    user: &str,
) -> v1::AggregatorServiceActRequest {
    v1::AggregatorServiceActRequest {
        kind: v1::ActionKind::from(kind).into(),
        selection: Some(request.into()),
        options: Some(v1::PlanOptions::new(options, user)),
    }
}
