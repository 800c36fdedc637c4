//! Operations that the page and the gRPC service offer.

pub(crate) mod environment_leads;
pub(crate) mod event_watch;
mod gates;
pub(crate) mod history;
pub(crate) mod incidents;
pub(crate) mod instance_definition;
mod leader_calls;
mod leader_routes;
pub mod logs;
mod maintenance;
mod notifications;
pub(crate) mod planned_maintenance;
mod recording;
pub mod refresh;
mod shared_record;
mod timelines;
pub(crate) mod what_if;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::{ActionKind, ActionOutcome, ActionProgress, ActionResult};
use rta_shared::event::{Event, EventKind};
use rta_shared::explain::ExplainedPart;
use rta_shared::format::counted;
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::name::Name;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::plan::{ActionRequest, ExecutionOptions, Plan, PlanStart, Step, StepState};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::proto::v1::RequestTarget;
use rta_shared::reload::PlatformReload;
use rta_shared::sanitize::printable_lines;
use rta_shared::selector::{Purpose, Selector};
use rta_shared::timing::ActionTimes;
use rta_shared::tls::ClientTls;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;

use self::environment_leads::{EnvironmentLeader, EnvironmentLeads};
use self::recording::unrecorded_error;
use crate::agents::actions::AgentAction;
use crate::agents::client::AgentClient;
use crate::agents::stream::AgentNotices;
use crate::agents::tasks::AgentTasks;
use crate::audit::Refusal;
use crate::auth::ActingCaller;
use crate::config_manager::{
    ConfigManager, ConfigSource, ConfigUpdates, RELOAD_QUEUE, ReloadRequest, ReloadTriggers,
    environment_platform,
};
use crate::events::EventBus;
use crate::incidents::IncidentHandle;
use crate::inventory::{ConfiguredInstance, Inventory};
use crate::leadership::Leadership;
use crate::metrics::PlatformFigures;
use crate::notify::{NotifyHandle, NotifyOptions};
use crate::operation_error::OperationError;
use crate::pauses::PauseWatch;
use crate::plans::confirmation;
use crate::plans::executor::{StepFailure, run_plan};
use crate::plans::recovery;
use crate::plans::registry::PlanRegistry;
use crate::plans::request::plan_request;
use crate::plans::run::{PlanChanges, PlanRun};
use crate::plans::targets::request_targets;
use crate::relay::{HostFollower, RelayProgress};
use crate::state::actor::{PublishedState, StateInbox, StateMessage, create_state_actor, flush_state};
use crate::state::host_feed::HostStateFeed;
use crate::state::host_state::AgentUpdate;
use crate::state::maintenance::MaintenanceSnapshot;
use crate::state::planned_maintenance::PlannedMaintenances;
use crate::state::prerequisites::PrerequisitesByHost;
use crate::store::{EventStoreHandle, RecordedPlan};
use crate::timeline::cache::TimelineCache;
use crate::usage::{UsageHistory, UsageSample};

/// Maximum time that a plan waits for the first reports of hosts; longer than the time until they count as
/// unreachable.
const FIRST_REPORT_TIMEOUT: Duration = Duration::from_secs(6);

/// Configuration of the operations beside the platform's.
#[derive(Clone, Default)]
pub(crate) struct OperationOptions {
    /// Notifications; `None`: nobody is notified.
    pub(crate) notify: Option<NotifyOptions>,
    /// Role of the aggregator among several.
    pub(crate) leadership: Leadership,
    /// Environments that are led here and elsewhere, of one of several aggregators; `None`: these operations
    /// lead.
    pub(crate) leads: Option<EnvironmentLeads>,
    /// Whole platform, of which these operations lead a part; `None`: they lead all of it.
    pub(crate) whole: Option<WholePlatform>,
    /// Notifier of changes of the plans.
    pub(crate) plan_changes: PlanChanges,
    /// Times in which this aggregator did not run.
    pub(crate) pauses: PauseWatch,
}

/// View of the whole platform, for those who lead a part of it.
#[derive(Clone, Debug)]
pub(crate) struct WholePlatform {
    pub(crate) overview: watch::Receiver<Arc<Overview>>,
    /// Readiness of what instances need on other hosts.
    pub(crate) prerequisites: watch::Receiver<PrerequisitesByHost>,
}

/// Handle to the running aggregator; clones share it.
#[derive(Clone)]
pub struct Operations {
    inventory: watch::Receiver<Arc<Inventory>>,
    pub(crate) inbox: StateInbox,
    overview: watch::Receiver<Arc<Overview>>,
    prerequisites: watch::Receiver<PrerequisitesByHost>,
    pub(crate) maintenance: watch::Receiver<MaintenanceSnapshot>,
    pub(crate) planned_maintenance: watch::Receiver<PlannedMaintenances>,
    /// `None` if the configuration has no folder.
    reloads: Option<mpsc::Sender<Option<ReloadRequest>>>,
    pub(crate) events: EventBus,
    pub(crate) store: EventStoreHandle,
    pub(crate) notify: NotifyHandle,
    pub(crate) incidents: IncidentHandle,
    pub(crate) timeline_cache: Arc<TimelineCache>,
    pub(crate) usage_history: UsageHistory,
    /// Feed of the states of the hosts.
    pub(crate) hosts: HostStateFeed,
    /// How far the hosts are received that other operations follow.
    relay_progress: RelayProgress,
    plan_registry: Arc<PlanRegistry>,
    /// Role of this aggregator among several.
    pub(crate) leadership: Leadership,
    /// Environments that are led here and elsewhere; `None`: these operations lead.
    leads: Option<EnvironmentLeads>,
    /// Tasks of the plans under way.
    plan_tasks: TaskTracker,
    /// Tasks of the aggregator itself.
    tasks: OwnedTasks,
    shutdown: CancellationToken,
    /// Time at which the aggregator began.
    started_at: Timestamp,
}

/// Plan, and the request target of each step.
struct PreparedPlan {
    plan: Plan,
    targets: Vec<RequestTarget>,
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
    /// Creates the operations on the platform of `configuration`, and the task that follows its agents and
    /// executes plans until `shutdown`. Events go to `events`; the state actor has a heartbeat in `tasks`,
    /// and shows
    /// `impairments`.
    ///
    /// # Errors
    /// Returns an error if an agent's address is invalid, which a validated configuration excludes.
    pub(crate) fn start(
        configuration: ConfigSource,
        events: EventBus,
        client_tls: Option<&ClientTls>,
        options: OperationOptions,
        tasks: &OwnedTasks,
        impairments: &ImpairmentList,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let OperationOptions { notify, leadership, leads, whole, plan_changes, pauses } = options;
        let (platform, source, reloads) = match configuration {
            ConfigSource::Fixed(platform) => (platform, None, None),
            ConfigSource::Environment(source) => {
                let whole = Arc::clone(&source.inventory.borrow().platform);
                let platform = environment_platform(&whole, &source.environment);
                (platform, Some(ConfigUpdates::Environment(source)), None)
            }
            ConfigSource::Folder { platform, folder, reload_signal: asked } => {
                let (reloads, requests) = mpsc::channel(RELOAD_QUEUE);
                let triggers = ReloadTriggers { folder, reload_signal: asked, requests };
                (platform, Some(ConfigUpdates::Folder(triggers)), Some(reloads))
            }
        };
        // Before the first event that an incident may list.
        let incident_events = events.subscribe();
        let inventory = Arc::new(Inventory::new(platform, &[], client_tls)?.with_leadership(&leadership));
        let (inbox, published, state_actor) = create_state_actor(
            Arc::clone(&inventory.platform),
            inventory.agent_ids().collect(),
            events.clone(),
            impairments.clone(),
            tasks.heartbeat("the owner of the platform's state"),
        );
        let PublishedState { overview, maintenance, planned_maintenance, prerequisites, usage, host_changes } =
            published;
        let whole = whole.unwrap_or_else(|| WholePlatform {
            overview: overview.clone(),
            prerequisites: prerequisites.clone(),
        });
        // An instance may need one of another environment.
        let notices = AgentNotices {
            maintenance: maintenance.clone(),
            prerequisites: whole.prerequisites.clone(),
            pauses: pauses.clone(),
        };
        let (publisher, inventory) = watch::channel(inventory);
        let config_manager =
            ConfigManager { inventory: publisher, inbox: inbox.clone(), events: events.clone() };
        let relay_progress = RelayProgress::default();
        let host_follower = HostFollower::new(
            AgentTasks::new(inbox.clone(), notices),
            inbox.clone(),
            inventory.clone(),
            // Who leads follows the agents.
            leads.as_ref().map(EnvironmentLeads::watch_relay_sources),
            relay_progress.clone(),
            pauses,
        );
        let hosts = HostStateFeed::new(inbox.clone(), host_changes);
        let state_actor = shutdown.clone().run_until_cancelled_owned(state_actor);
        let config_manager = config_manager.run(source, shutdown.clone());
        let host_follower = host_follower.run(shutdown.clone());
        let notify = notify.map(|options| {
            NotifyHandle::start(options, overview.clone(), inventory.clone(), &events, tasks, impairments)
        });
        // The leader records them.
        let incidents = match leadership.is_follower() {
            true => IncidentHandle::follow_record(incident_events, tasks),
            false => IncidentHandle::start(overview.clone(), incident_events, events.store().clone(), tasks),
        };
        let operations = Self {
            incidents,
            notify: notify.unwrap_or_default(),
            inventory,
            inbox,
            overview,
            prerequisites,
            maintenance,
            planned_maintenance,
            reloads,
            store: events.store().clone(),
            events,
            timeline_cache: Arc::default(),
            usage_history: usage,
            hosts,
            relay_progress,
            plan_registry: Arc::new(PlanRegistry::with_changes(plan_changes)),
            leadership,
            leads,
            plan_tasks: TaskTracker::new(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            started_at: Timestamp::now(),
        };
        let unfinished = operations.reopen_unfinished_plans();
        let plans = operations.clone().end_unfinished_plans(unfinished, whole.overview);
        let followed = {
            let (operations, shutdown) = (operations.clone(), shutdown.clone());
            async move {
                if let Some(record) = operations.store.shared_record() {
                    shutdown.run_until_cancelled(operations.follow_record(record)).await;
                }
            }
        };
        let task = async move {
            tokio::join!(state_actor, config_manager, host_follower, plans, followed);
        };
        Ok((operations, task))
    }

    /// Adds the plans that an earlier aggregator left unfinished to the registry.
    fn reopen_unfinished_plans(&self) -> Vec<Arc<PlanRun>> {
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
    async fn end_unfinished_plans(
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
                        // The state actor ends only at shutdown.
                        let _ = self.inbox.send(StateMessage::AddPlannedStop(id, stop, None)).await;
                    }
                }
            }
        }
        self.shutdown.cancelled().await;
        self.plan_tasks.close();
        self.plan_tasks.wait().await;
    }

    /// Returns the token that is cancelled when the aggregator ends.
    pub(crate) fn shutdown_token(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Returns the platform and its agents; an operation uses the same ones from its beginning to its end.
    pub(crate) fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory.borrow())
    }

    /// Returns a receiver of the platform and its agents.
    pub(crate) fn watch_inventory(&self) -> watch::Receiver<Arc<Inventory>> {
        self.inventory.clone()
    }

    /// Returns the view of the platform, for those who lead a part of it.
    pub(crate) fn whole_platform(&self) -> WholePlatform {
        WholePlatform { overview: self.overview.clone(), prerequisites: self.prerequisites.clone() }
    }

    /// Returns the notifier of changes of the plans.
    pub(crate) fn plan_changes(&self) -> PlanChanges {
        self.plan_registry.changes().clone()
    }

    /// Returns the current overview.
    pub fn overview(&self) -> Arc<Overview> {
        Arc::clone(&self.overview.borrow())
    }

    /// Returns a receiver of overviews.
    pub fn watch_overview(&self) -> watch::Receiver<Arc<Overview>> {
        self.overview.clone()
    }

    /// Returns Ok if every task of the aggregator works, and every host has been heard of or is known not to
    /// answer.
    ///
    /// # Errors
    /// Returns why it is not ready, as a sentence.
    pub fn readiness(&self) -> Result<(), String> {
        self.tasks.health()?;
        match is_ready(&self.overview()) {
            true => Ok(()),
            false => Err("some hosts have not been heard of yet".to_owned()),
        }
    }

    /// Returns when every host has been heard of, or is known not to answer.
    async fn wait_until_ready(&self) {
        ready_overview(self.watch_overview()).await;
    }

    /// Makes an agent scan now. Returns true if it did.
    async fn refresh_host(&self, agent: &AgentClient) -> bool {
        let Some(update) = request_scan(agent).await else { return false };
        // The state actor ends only at shutdown.
        let _ = self.inbox.send(StateMessage::AgentUpdate(agent.id(), update)).await;
        true
    }

    /// Returns an overview that contains every update sent before.
    async fn flushed_overview(&self) -> Arc<Overview> {
        flush_state(&self.inbox).await;
        self.overview()
    }

    /// Returns the resource usage of an instance over the last hour, the oldest first.
    pub(crate) fn recent_usage(&self, id: &InstanceId) -> Vec<UsageSample> {
        self.usage_history.instance_samples(id, Timestamp::now())
    }

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
    async fn execute_plan(
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
        let perform = {
            let (operations, plan_run) = (self.clone(), Arc::clone(&plan_run));
            move |at, step| {
                let target = targets.get(at).cloned().unwrap_or_default();
                operations.clone().perform_step(Arc::clone(&plan_run), at, step, target)
            }
        };
        run_plan(Arc::clone(&plan_run), options, perform, self.shutdown.clone()).await;
        // A restart that failed or was cancelled leaves stopped what it did not come to start again.
        for (id, stop) in recovery::find_planned_stops(&plan_run.snapshot(), &self.overview()) {
            if let Ok(acting) = self.operations_in(&id.environment) {
                let _ = acting.inbox.send(StateMessage::AddPlannedStop(id, stop, None)).await;
            }
        }
    }

    /// Performs one step of a plan.
    async fn perform_step(
        self,
        plan_run: Arc<PlanRun>,
        at: usize,
        step: Step,
        target: RequestTarget,
    ) -> Result<String, StepFailure> {
        if let Err(error) = self.record_attempt(&plan_run).await {
            return Err(StepFailure { reason: error.message, unreachable: false });
        }
        if let Some(gate) = &step.gate {
            return self.await_gate(&plan_run, at, &step.instance, gate).await;
        }
        let tell = |progress: ActionProgress| {
            let progress = ActionProgress { text: printable_lines(&progress.text), ..progress };
            plan_run.add_progress(at, Timestamp::now(), progress);
        };
        let failure = |error: OperationError| StepFailure { reason: error.message, unreachable: false };
        let acting = self.operations_in(&step.instance.environment).map_err(failure)?;
        acting.ensure_recorded().map_err(failure)?;
        let outcome =
            acting.perform_action(step.action, &step.instance, target, plan_run.begun(), tell).await;
        outcome.map(|done| done.to_string()).map_err(|error| StepFailure {
            unreachable: error.code == Code::Unavailable,
            reason: error.message,
        })
    }

    /// Performs an action on one instance and waits for its end; the overview then shows the result.
    async fn perform_action(
        &self,
        kind: ActionKind,
        id: &InstanceId,
        target: RequestTarget,
        plan: &PlanStart,
        tell: impl Fn(ActionProgress),
    ) -> Result<ActionResult, OperationError> {
        let inventory = self.inventory();
        let found = inventory.find_instance(id)?;
        let agent = agent_of(&inventory, &found)?;
        tracing::info!(instance = %id, ?kind, "asking the agent");
        let patience = ActionTimes::from(found.component).patience(kind);
        let action = AgentAction { kind, component: &found.component.name, target, by: &plan.by, patience };
        let outcome = agent.perform_action(action, tell).await;
        match &outcome {
            Ok(done) => tracing::info!(instance = %id, ?kind, %done, "the agent answered"),
            Err(error) => tracing::warn!(instance = %id, ?kind, %error, "the agent did not do it"),
        }
        // A restart stops nothing on purpose, and an instance that had ended by itself was stopped by nobody.
        let is_stopped = plan.plan.kind == ActionKind::Stop
            && outcome
                .as_ref()
                .is_ok_and(|done| matches!(done.outcome, ActionOutcome::Stopped | ActionOutcome::Killed));
        match is_stopped {
            true => {
                let stop = PlannedStop { plan: plan.id, by: plan.by.clone(), at: Timestamp::now() };
                let update = request_scan(agent).await.map(|update| (agent.id(), update));
                // One message, so that the same overview shows both.
                let _ = self.inbox.send(StateMessage::AddPlannedStop(id.clone(), stop, update)).await;
            }
            false => {
                // The report that the plan asks for is sent by the stream, too.
                let _ = self.refresh_host(agent).await;
            }
        }
        self.flushed_overview().await;
        outcome
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

    /// Returns everything that metrics are made of.
    pub(crate) fn figures(&self) -> PlatformFigures {
        PlatformFigures {
            overview: self.overview(),
            event_counts: self.events.counts(),
            store_errors: self.store.error_counts(),
            channels: self.notify.channel_statuses(),
            running_plans: self.plan_runs().iter().filter(|plan_run| plan_run.is_under_way()).count(),
            started_at: self.started_at,
        }
    }

    /// Returns a receiver that is notified of every change of [`Operations::plan_runs`].
    pub(crate) fn watch_plans(&self) -> watch::Receiver<()> {
        self.plan_registry.changes().subscribe()
    }

    /// Returns Ok if the caller's scope includes all these hosts; otherwise the refusal of `what` is in the
    /// audit log.
    ///
    /// # Errors
    /// Returns `PERMISSION_DENIED` with the first host that it does not include.
    fn permit_hosts<'n>(
        &self,
        caller: &ActingCaller,
        what: &str,
        hosts: impl IntoIterator<Item = &'n Name>,
    ) -> Result<(), OperationError> {
        let permitted = caller.check_hosts(&self.inventory().platform, hosts);
        permitted.inspect_err(|error| self.record_refusal(caller, what, error))
    }

    /// Returns Ok if the caller may act everywhere, as `what` does; otherwise the refusal is in the audit
    /// log.
    ///
    /// # Errors
    /// Returns `PERMISSION_DENIED` if their scope excludes anything.
    fn permit_everywhere(&self, caller: &ActingCaller, what: &str) -> Result<(), OperationError> {
        caller.check_everywhere(what).inspect_err(|error| self.record_refusal(caller, what, error))
    }

    fn record_refusal(&self, caller: &ActingCaller, what: &str, error: &OperationError) {
        self.events.record_refusal(Refusal {
            who: Some(caller.by.user.clone()).filter(|user| !user.is_empty()),
            from: caller.by.address.clone(),
            target: what.to_owned(),
            reason: error.message.clone(),
        });
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

    /// Explains why an instance is or is not matched: returns the closest processes, the closest first.
    ///
    /// # Errors
    /// Returns an error if the selector does not select one instance, or the agent does not answer, or
    /// refuses.
    pub async fn explain_instance(
        &self,
        selector: &Selector,
    ) -> Result<(InstanceId, Vec<ExplainedPart>), OperationError> {
        let inventory = self.inventory();
        let found = inventory.resolve_instance(selector, Purpose::Reading)?;
        let agent = agent_of(&inventory, &found)?;
        Ok((found.id(), agent.explain_component(&found.component.name).await?))
    }

    /// Reloads the configuration, here and then on every host, and waits for the results. It continues if the
    /// caller disconnects.
    ///
    /// # Errors
    /// Returns an error if the configuration has no folder, or if this aggregator does not lead.
    pub(crate) async fn reload_config(&self, caller: ActingCaller) -> Result<PlatformReload, OperationError> {
        if self.leads.is_none() {
            self.leadership.acting_epoch()?;
        }
        self.permit_everywhere(&caller, "a reload of the configuration")?;
        let Some(reloads) = &self.reloads else {
            return Err(OperationError::new(
                Code::Unimplemented,
                "this aggregator has no configuration folder to reload: it runs the demo",
            ));
        };
        let ended = || OperationError::new(Code::Unavailable, "the aggregator is shutting down");
        let (sender, done) = oneshot::channel();
        reloads.send(Some(ReloadRequest { by: caller.by, done: sender })).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())
    }
}

fn unknown_plan(plan: u64) -> OperationError {
    let message = format!("plan {plan} is not known; it may have ended long ago; see rta events");
    OperationError::new(Code::NotFound, message)
}

/// Returns the agent of an instance's host.
pub(crate) fn agent_of<'f>(
    inventory: &'f Inventory,
    found: &ConfiguredInstance<'_>,
) -> Result<&'f AgentClient, OperationError> {
    inventory
        .agents
        .get(found.host_index)
        .ok_or_else(|| OperationError::new(Code::Internal, format!("host {} has no agent", found.host.name)))
}

/// Requests a scan of the host now; `None` if the agent does not answer.
async fn request_scan(agent: &AgentClient) -> Option<AgentUpdate> {
    match agent.request_report().await {
        Ok((report, receipt)) => Some(AgentUpdate::Scanned(report.into(), receipt)),
        // The agent's task detects a lost agent; this one may merely be busy.
        Err(reason) => {
            tracing::debug!(host = %agent.host(), reason, "no fresh scan");
            None
        }
    }
}

/// Returns the first overview in which every host has been heard of, or is known not to answer.
async fn ready_overview(mut overviews: watch::Receiver<Arc<Overview>>) -> Arc<Overview> {
    // The state actor ends only at shutdown; the last overview is all that there is then.
    let ready = overviews.wait_for(|overview| is_ready(overview)).await.map(|ready| Arc::clone(&ready));
    ready.unwrap_or_else(|_| Arc::clone(&overviews.borrow()))
}

fn is_ready(overview: &Overview) -> bool {
    let mut hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    hosts.all(|host| host.reachable || host.error.is_some())
}

#[cfg(test)]
impl Operations {
    /// Returns the tasks of the aggregator itself.
    pub(crate) fn tasks(&self) -> &OwnedTasks {
        &self.tasks
    }

    /// Creates operations that always show `overview`, without agents.
    pub(crate) fn showing(overview: Overview) -> Self {
        let (inbox, _) = mpsc::channel(1);
        let (_, overview) = watch::channel(Arc::new(overview));
        let (_, inventory) = watch::channel(Arc::default());
        Self {
            notify: NotifyHandle::default(),
            incidents: IncidentHandle::default(),
            inventory,
            overview,
            prerequisites: watch::Sender::default().subscribe(),
            maintenance: watch::Sender::default().subscribe(),
            planned_maintenance: watch::Sender::default().subscribe(),
            reloads: None,
            events: EventBus::default(),
            store: EventStoreHandle::default(),
            timeline_cache: Arc::default(),
            usage_history: UsageHistory::default(),
            hosts: HostStateFeed::new(inbox.clone(), watch::Sender::default().subscribe()),
            relay_progress: RelayProgress::default(),
            inbox,
            plan_registry: Arc::default(),
            leadership: Leadership::default(),
            leads: None,
            plan_tasks: TaskTracker::new(),
            tasks: OwnedTasks::new(CancellationToken::new()),
            shutdown: CancellationToken::new(),
            started_at: Timestamp::UNIX_EPOCH,
        }
    }
}
