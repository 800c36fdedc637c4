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
pub(crate) mod plans;
mod recording;
pub mod refresh;
mod shared_record;
mod timelines;
pub(crate) mod what_if;

use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::explain::ExplainedPart;
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::name::Name;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::reload::PlatformReload;
use rta_shared::selector::{Purpose, Selector};
use rta_shared::tls::ClientTls;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;

use self::environment_leads::EnvironmentLeads;
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
use crate::plans::registry::PlanRegistry;
use crate::plans::run::PlanChanges;
use crate::relay::{HostFollower, RelayProgress};
use crate::state::actor::{PublishedState, StateInbox, StateMessage, create_state_actor, flush_state};
use crate::state::host_feed::HostStateFeed;
use crate::state::host_state::AgentUpdate;
use crate::state::maintenance::MaintenanceSnapshot;
use crate::state::planned_maintenance::PlannedMaintenances;
use crate::state::prerequisites::PrerequisitesByHost;
use crate::store::EventStoreHandle;
use crate::timeline::cache::TimelineCache;
use crate::usage::{UsageHistory, UsageSample};

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
