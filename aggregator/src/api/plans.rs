//! Plans: making, beginning, carrying out, watching and cancelling them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::{ActionKind, ActionOutcome, ActionProgress, ActionResult};
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::plan::{ActionRequest, ExecutionOptions, Plan, PlanStart, Step, StepState};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::proto::v1::RequestTarget;
use rta_shared::sanitize::printable_lines;
use rta_shared::timing::ActionTimes;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::task::TaskTracker;
use tonic::Code;

use super::environment_leads::EnvironmentLeader;
use super::recording::unrecorded_error;
use super::{Operations, agent_of, ready_overview};
use crate::agents::actions::AgentAction;
use crate::auth::ActingCaller;
use crate::operation_error::OperationError;
use crate::plans::confirmation;
use crate::plans::executor::{StepFailure, run_plan};
use crate::plans::recovery;
use crate::plans::request::plan_request;
use crate::plans::run::{PlanChanges, PlanRun};
use crate::plans::targets::request_targets;
use crate::state::actor::StateMessage;
use crate::store::RecordedPlan;

/// Maximum time that a plan waits for the first reports of hosts; longer than the time until they count as
/// unreachable.
const FIRST_REPORT_TIMEOUT: Duration = Duration::from_secs(6);

/// Plan, and the request target of each step.
struct PreparedPlan {
    plan: Plan,
    targets: Vec<RequestTarget>,
}

/// Maximum number of scans after the steps of one plan at once; further steps wait to end.
const MAX_SCANS: usize = 64;

/// Tasks that bring the outcomes of a plan's steps into the overview while later steps are under way. Clones share
/// them.
#[derive(Clone, Debug)]
struct StepOutcomes {
    tasks: TaskTracker,
    scans: Arc<Semaphore>,
}

impl StepOutcomes {
    fn new() -> Self {
        let tasks = TaskTracker::new();
        // It goes on taking tasks; who waits then waits for those that there are.
        tasks.close();
        Self { tasks, scans: Arc::new(Semaphore::new(MAX_SCANS)) }
    }

    /// Begins to show the outcome of a step on an instance that `acting` leads.
    async fn show(&self, acting: Operations, instance: InstanceId) {
        // The semaphore is never closed.
        let slot = Arc::clone(&self.scans).acquire_owned().await;
        let guard = acting.tasks.guard("the outcome of a step").may_end();
        self.tasks.spawn(async move {
            let (_guard, shutdown) = (guard, acting.shutdown.clone());
            let showing = async {
                acting.refresh_instance(&instance).await;
                // Any number may wait for the next overview.
                drop(slot);
                acting.flushed_overview().await;
            };
            shutdown.run_until_cancelled(showing).await;
        });
    }

    /// Returns when all outcomes are in the overview.
    async fn settle(&self) {
        self.tasks.wait().await;
    }
}

/// Reason why a plan was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BeginPlanError {
    /// Not possible.
    Refused(OperationError),
    /// It affects instances that the requester has not confirmed.
    Unconfirmed {
        /// Plan to confirm.
        plan: Plan,
        /// Instances to confirm, as a sentence.
        sentence: String,
    },
}

impl From<OperationError> for BeginPlanError {
    fn from(error: OperationError) -> Self {
        Self::Refused(error)
    }
}

impl From<BeginPlanError> for OperationError {
    fn from(not_begun: BeginPlanError) -> Self {
        match not_begun {
            BeginPlanError::Refused(error) => error,
            BeginPlanError::Unconfirmed { sentence, .. } => Self::new(Code::FailedPrecondition, sentence),
        }
    }
}

impl Operations {
    /// Returns the plan for a request, based on the current overview.
    ///
    /// # Errors
    /// Returns an error if the request matches nothing, or several instances without `all`, or if no plan
    /// fulfils it.
    pub async fn plan(&self, kind: ActionKind, request: &ActionRequest) -> Result<Plan, OperationError> {
        Ok(self.prepare_plan(kind, request).await?.plan)
    }

    /// Returns the plan (see [`Operations::plan`]) with the request target of each step.
    async fn prepare_plan(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
    ) -> Result<PreparedPlan, OperationError> {
        // Hosts that were just added, or all hosts after a start, soon report or count as unreachable.
        let _ = tokio::time::timeout(FIRST_REPORT_TIMEOUT, self.wait_until_ready()).await;
        let (inventory, overview, request) = (self.inventory(), self.overview(), request.clone());
        // For a large platform this takes a while.
        let made = tokio::task::spawn_blocking(move || {
            let plan = plan_request(kind, &inventory.platform, inventory.graph(), &overview, &request)?;
            Ok(PreparedPlan { targets: request_targets(&plan, &overview), plan })
        });
        made.await.unwrap_or_else(|error| {
            Err(OperationError::new(Code::Internal, format!("the aggregator failed: {error}")))
        })
    }

    /// Begins the plan for a request, here or at the aggregator that leads. It continues if the caller
    /// disconnects.
    ///
    /// # Errors
    /// Returns the errors of [`Operations::plan`], and an error if no leader answers, if instances must be
    /// confirmed, or if too many plans are under way.
    pub(crate) async fn begin_plan(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
        options: ExecutionOptions,
        caller: ActingCaller,
    ) -> Result<Arc<PlanRun>, BeginPlanError> {
        match self.plan_leader(kind, request, &caller).await? {
            EnvironmentLeader::Here(operations) => {
                operations.begin_plan_here(kind, request, options, caller).await
            }
            EnvironmentLeader::There(route) => {
                self.begin_plan_at_leader(&route, kind, request, options, &caller.by).await
            }
        }
    }

    /// Begins the plan for a request, as the leader.
    ///
    /// # Errors
    /// Returns the errors of [`Operations::begin_plan`].
    pub(crate) async fn begin_plan_here(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
        options: ExecutionOptions,
        caller: ActingCaller,
    ) -> Result<Arc<PlanRun>, BeginPlanError> {
        let PreparedPlan { plan, targets } = self.prepare_plan(kind, request).await?;
        let acting = self.plan_operations(&plan)?;
        let hosts = plan.steps.iter().map(|step| &step.instance.host);
        self.permit_hosts(&caller, kind.word(), hosts)?;
        let ActingCaller { by, .. } = caller;
        let unconfirmed = confirmation::unconfirmed_effects(&plan, &options);
        if !unconfirmed.is_empty() {
            let sentence = confirmation::confirmation_sentence(&plan, request, &unconfirmed);
            return Err(BeginPlanError::Unconfirmed { plan, sentence });
        }
        if acting.shutdown.is_cancelled() {
            let message = "the aggregator is shutting down";
            return Err(OperationError::new(Code::Unavailable, message).into());
        }
        let id = acting.store.reserve_plan_id().await.map_err(|why| unrecorded_error(&why))?;
        let begun = PlanStart { id, plan, at: Timestamp::now(), by, unrecorded: None };
        let changes = acting.plan_registry.changes().clone();
        let plan_run = PlanRun::new(begun, acting.events.clone(), changes);
        let plan_run = Arc::new(plan_run.carried_out_until(acting.shutdown.clone()));
        if !acting.plan_registry.add(Arc::clone(&plan_run)) {
            let message = "too many plans are under way; wait for one to end, or cancel it";
            return Err(OperationError::new(Code::ResourceExhausted, message).into());
        }
        let (recorded, is_recorded) = oneshot::channel();
        let guard = acting.tasks.guard("a plan").may_end();
        let plan_tasks = acting.plan_tasks.clone();
        let carrying_out = acting.execute_plan(Arc::clone(&plan_run), targets, options, recorded);
        plan_tasks.spawn(async move {
            let _guard = guard;
            carrying_out.await;
        });
        // The task drops the sender only if it panics, which ends the aggregator.
        is_recorded.await.unwrap_or(Ok(()))?;
        Ok(plan_run)
    }

    /// Records a plan, signals `recorded` when that has succeeded or failed, and executes the plan, unless it
    /// had to be recorded and was not.
    pub(super) async fn execute_plan(
        self,
        plan_run: Arc<PlanRun>,
        targets: Vec<RequestTarget>,
        options: ExecutionOptions,
        recorded: oneshot::Sender<Result<(), OperationError>>,
    ) {
        let begun = plan_run.begun();
        let (plan, action, steps, by) = (begun.id, begun.plan.kind, begun.plan.steps.len(), &begun.by);
        tracing::info!(plan, %action, steps, %by, "plan begins");
        if let Err(error) = self.record_begin(&plan_run).await {
            // The requester is refused. If the plan is recorded later all the same, it is with this end.
            for step in 0..steps {
                plan_run.end_step(step, Timestamp::now(), StepState::Skipped, error.message.clone());
            }
            plan_run.end_plan(Timestamp::now());
            let _ = recorded.send(Err(error));
            return;
        }
        // The caller may have disconnected.
        let _ = recorded.send(Ok(()));
        let outcomes = StepOutcomes::new();
        let perform = {
            let (operations, plan_run, outcomes) = (self.clone(), Arc::clone(&plan_run), outcomes.clone());
            move |at, step| {
                let target = targets.get(at).cloned().unwrap_or_default();
                operations.clone().perform_step(Arc::clone(&plan_run), at, step, target, outcomes.clone())
            }
        };
        run_plan(Arc::clone(&plan_run), options, perform, outcomes.settle(), self.shutdown.clone()).await;
        // A restart that failed or was cancelled leaves stopped what it did not come to start again.
        for (id, stop) in recovery::find_planned_stops(&plan_run.snapshot(), &self.overview()) {
            if let Ok(acting) = self.operations_in(&id.environment) {
                acting.add_planned_stop(id, stop).await;
            }
        }
    }

    /// Performs one step of a plan, and has `outcomes` bring its outcome into the overview.
    async fn perform_step(
        self,
        plan_run: Arc<PlanRun>,
        at: usize,
        step: Step,
        target: RequestTarget,
        outcomes: StepOutcomes,
    ) -> Result<String, StepFailure> {
        if let Err(error) = self.record_attempt(&plan_run).await {
            return Err(StepFailure { reason: error.message, unreachable: false });
        }
        if let Some(gate) = &step.gate {
            // Gates follow a batch, and see what its steps have done.
            outcomes.settle().await;
            return self.await_gate(&plan_run, at, &step.instance, gate).await;
        }
        let tell = |progress: ActionProgress| {
            let progress = ActionProgress { text: printable_lines(&progress.text), ..progress };
            plan_run.add_progress(at, Timestamp::now(), progress);
        };
        let failure = |error: OperationError| StepFailure { reason: error.message, unreachable: false };
        let acting = self.operations_in(&step.instance.environment).map_err(failure)?;
        acting.ensure_recorded().map_err(failure)?;
        let outcome = acting.perform_action(step.action, &step.instance, target, &plan_run, at, tell).await;
        // A restart stops nothing on purpose, and an instance that had ended by itself was stopped by nobody.
        let is_stopped = plan_run.begun().plan.kind == ActionKind::Stop
            && outcome
                .as_ref()
                .is_ok_and(|done| matches!(done.outcome, ActionOutcome::Stopped | ActionOutcome::Killed));
        if is_stopped {
            let PlanStart { id: plan, by, .. } = plan_run.begun();
            let stop = PlannedStop { plan: *plan, by: by.clone(), at: Timestamp::now() };
            // Before the end of the step, so that a later aggregator knows of both.
            acting.add_planned_stop(step.instance.clone(), stop).await;
        }
        outcomes.show(acting, step.instance).await;
        outcome.map(|done| done.to_string()).map_err(|error| StepFailure {
            unreachable: error.code == Code::Unavailable,
            reason: error.message,
        })
    }

    /// Performs the action of a plan's step on one instance and waits for its end.
    async fn perform_action(
        &self,
        kind: ActionKind,
        id: &InstanceId,
        target: RequestTarget,
        plan_run: &PlanRun,
        step: usize,
        tell: impl Fn(ActionProgress),
    ) -> Result<ActionResult, OperationError> {
        let inventory = self.inventory();
        let found = inventory.find_instance(id)?;
        let agent = agent_of(&inventory, &found)?;
        tracing::info!(instance = %id, ?kind, "asking the agent");
        let patience = ActionTimes::from(found.component).patience(kind);
        let action = AgentAction {
            kind,
            component: &found.component.name,
            target,
            by: &plan_run.begun().by,
            patience,
        };
        let outcome = agent.perform_action(action, || plan_run.may_still_begin(step), tell).await;
        match &outcome {
            Ok(done) => tracing::info!(instance = %id, ?kind, %done, "the agent answered"),
            Err(error) => tracing::warn!(instance = %id, ?kind, %error, "the agent did not do it"),
        }
        outcome
    }

    /// Records that a plan stopped an instance on purpose, and shows it.
    async fn add_planned_stop(&self, id: InstanceId, stop: PlannedStop) {
        self.store.record_planned_stop(id.clone(), Some(stop.clone()));
        // The state actor ends only at shutdown.
        let _ = self.inbox.send(StateMessage::AddPlannedStop(id, stop)).await;
    }

    /// Makes the agent of an instance scan now. The agent's stream sends the same report.
    async fn refresh_instance(&self, id: &InstanceId) {
        let inventory = self.inventory();
        // It may have been removed from the configuration meanwhile.
        let found = inventory.find_instance(id);
        let Ok(agent) = found.and_then(|found| agent_of(&inventory, &found)) else { return };
        let _ = self.refresh_host(agent).await;
    }

    /// Returns a plan that is under way or ended recently.
    ///
    /// # Errors
    /// Returns an error if there is no such plan.
    pub(crate) fn plan_run(&self, plan: u64) -> Result<Arc<PlanRun>, OperationError> {
        let found = self.live_plan(plan).or_else(|| self.plan_registry.find(plan));
        found.ok_or_else(|| unknown_plan(plan))
    }

    /// Returns a plan that is under way or that the record still has.
    ///
    /// # Errors
    /// Returns an error if there is no such plan, or if the record cannot be read.
    pub(crate) async fn find_plan(&self, plan: u64) -> Result<Arc<PlanRun>, OperationError> {
        if let Ok(found) = self.plan_run(plan) {
            return Ok(found);
        }
        let recorded = self.store.query_plan(plan).await;
        let recorded = recorded.map_err(|message| OperationError::new(Code::Unavailable, message))?;
        match recorded {
            Some(RecordedPlan { begun, states, ended_at: Some(end) }) => {
                // Nothing changes any more.
                let plan_run = PlanRun::new(begun, self.events.clone(), PlanChanges::default());
                plan_run.follow_record(&states, Some(end), end);
                Ok(Arc::new(plan_run))
            }
            _ => Err(unknown_plan(plan)),
        }
    }

    /// Returns the plans that are under way or ended recently, the newest first.
    pub(crate) fn plan_runs(&self) -> Vec<Arc<PlanRun>> {
        let mut all = self.plan_registry.all();
        if let Some(leads) = &self.leads {
            // Those that are carried out here are up to date, and may not be in the record yet.
            for (_, operations) in leads.all_running() {
                for live in operations.plan_registry.all() {
                    match all.iter_mut().find(|known| known.begun().id == live.begun().id) {
                        Some(known) => *known = live,
                        None => all.push(live),
                    }
                }
            }
            all.sort_by_key(|plan_run| std::cmp::Reverse(plan_run.begun().id));
        }
        all
    }

    /// Returns a receiver that is notified of every change of [`Operations::plan_runs`].
    pub(crate) fn watch_plans(&self) -> watch::Receiver<()> {
        self.plan_registry.changes().subscribe()
    }

    /// Cancels a plan: steps that have not begun are skipped, except those that start again what the plan has
    /// stopped. Returns the number of skipped steps.
    ///
    /// # Errors
    /// Returns an error if there is no such plan, if it has ended, or if no leader answers.
    pub(crate) async fn cancel_plan(&self, plan: u64, caller: ActingCaller) -> Result<usize, OperationError> {
        match self.leader_of_plan(plan, &caller).await? {
            EnvironmentLeader::Here(operations) => {
                let plan_run = operations.find_plan(plan).await?;
                // It may have steps in other environments, too, which this aggregator as a whole knows.
                let hosts = plan_run.begun().plan.steps.iter().map(|step| &step.instance.host);
                self.permit_hosts(&caller, "cancel", hosts)?;
                operations.cancel_plan_here(&plan_run, caller).await
            }
            EnvironmentLeader::There(route) => self.cancel_plan_at_leader(&route, plan, &caller.by).await,
        }
    }

    async fn cancel_plan_here(
        &self,
        plan_run: &PlanRun,
        caller: ActingCaller,
    ) -> Result<usize, OperationError> {
        self.leadership.acting_epoch()?;
        self.ensure_recorded()?;
        let plan = plan_run.begun().id;
        let skipped = plan_run.cancel().ok_or_else(|| {
            OperationError::new(
                Code::FailedPrecondition,
                format!("plan {plan} has ended; nothing is cancelled"),
            )
        })?;
        tracing::info!(plan, skipped, "plan cancelled");
        let text = format!("cancelled: {} will not begin", counted(skipped, "step"));
        let event = Event::new(Timestamp::now(), EventKind::Plan, text);
        self.events.publish(Event { plan: Some(plan), by: Some(caller.by), ..event });
        self.confirm_change().await?;
        Ok(skipped)
    }

    /// Adds the plans that an earlier aggregator left unfinished to the registry.
    pub(super) fn reopen_unfinished_plans(&self) -> Vec<Arc<PlanRun>> {
        let now = Timestamp::now();
        let reopened = self.store.unfinished_plans().into_iter().map(|plan| {
            let changes = self.plan_registry.changes().clone();
            let plan_run = recovery::reopen_plan(plan, self.events.clone(), changes, now);
            let plan_run = Arc::new(plan_run.carried_out_until(self.shutdown.clone()));
            self.plan_registry.add(Arc::clone(&plan_run));
            plan_run
        });
        reopened.collect()
    }

    /// Ends the plans that an earlier aggregator left unfinished, once every host of `whole_overview` has
    /// reported; then, at shutdown, waits for the plans under way.
    pub(super) async fn end_unfinished_plans(
        self,
        unfinished: Vec<Arc<PlanRun>>,
        whole_overview: watch::Receiver<Arc<Overview>>,
    ) {
        if !unfinished.is_empty()
            && let Some(overview) = self.shutdown.run_until_cancelled(ready_overview(whole_overview)).await
        {
            for plan_run in unfinished {
                for (id, stop) in recovery::close_plan(&plan_run, &overview, Timestamp::now()) {
                    // The stops of other environments are recorded by their own leaders.
                    if self.inventory().find_instance(&id).is_ok() {
                        self.add_planned_stop(id, stop).await;
                    }
                }
            }
        }
        self.shutdown.cancelled().await;
        self.plan_tasks.close();
        self.plan_tasks.wait().await;
    }
}

fn unknown_plan(plan: u64) -> OperationError {
    let message = format!("plan {plan} is not known; it may have ended long ago; see rta events");
    OperationError::new(Code::NotFound, message)
}
