//! State actor: the one owner of the state of all hosts. Receives agent updates, evaluates health, publishes
//! overviews.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::impairment::{ImpairedPart, Impairment, ImpairmentList};
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::maintenance::Maintenance;
use rta_shared::overview::{ComponentAliases, EnvironmentOverview, InstanceId, Overview};
use rta_shared::planned_stop::PlannedStop;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::agent_id::AgentId;
use crate::certificates;
use crate::clock::ClockPair;
use crate::events::EventBus;
use crate::state::evaluate::evaluate_platform;
use crate::state::host_state::{AgentUpdate, HostStates};
use crate::state::maintenance::{
    ActiveMaintenance, MaintenanceSnapshot, begin_event, end_event, is_configured, is_ended_by,
};
use crate::state::pending_replies::PendingReplies;
use crate::state::planned_stops::PlannedStops;
use crate::state::prerequisites::{PrerequisitesByHost, RemotePrerequisiteIndex};
use crate::state::transitions::{StateChange, TransitionTracker, Transitions};
use crate::store::{EventStoreHandle, HostOrInstance};
use crate::usage::UsageHistory;

/// Maximum delay of an overview that changes scan times alone, so that a thousand heartbeats a second do not
/// make a thousand overviews.
const SCAN_TIME_INTERVAL: Duration = Duration::from_millis(500);
/// Interval of the actor's own heartbeat.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Capacity of the inbox. Senders wait while it is full.
const INBOX_CAPACITY: usize = 1024;
/// Maximum number of messages that are handled before the next evaluation.
const MAX_BATCH: usize = 256;
/// Maximum pause between two overviews. A change is published at once, unless an overview was published just
/// before: then it waits as long as that one took to make. The steps of a large plan share overviews in this
/// way.
const MAX_PAUSE: Duration = Duration::from_millis(50);
/// Maximum time between two checks for ended maintenance: clocks can be set.
const MAINTENANCE_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Messages to the state actor.
#[derive(Debug)]
pub(crate) enum StateMessage {
    /// Update from this agent.
    AgentUpdate(AgentId, AgentUpdate),
    /// Replaces the platform; with the agents of its hosts, in their order.
    ReplacePlatform(Arc<Platform>, Vec<AgentId>),
    /// Problems of a configuration that was refused, one a line.
    ConfigRefused(String),
    /// Replaces the impairments of one part of the aggregator.
    ReplaceImpairments(ImpairedPart, Vec<Impairment>),
    /// Begins or ends maintenance. Answered with the affected maintenance when the overview shows it.
    ChangeMaintenance(MaintenanceChange, oneshot::Sender<Vec<Maintenance>>),
    /// A plan stopped this instance on purpose. The update is the host's report after the stop; `None` if the
    /// agent did not send one.
    AddPlannedStop(InstanceId, PlannedStop, Option<(AgentId, AgentUpdate)>),
    /// Answered when the published overview contains everything sent before.
    Flush(oneshot::Sender<()>),
}

/// Change of maintenance.
#[derive(Debug)]
pub(crate) enum MaintenanceChange {
    /// Begins these.
    Begin(Vec<Maintenance>),
    /// Ends the maintenance of these places, on behalf of the requester.
    End(Vec<HostOrInstance>, Requester),
}

/// Receivers of the published state.
#[derive(Clone, Debug)]
pub(crate) struct PublishedState {
    pub(crate) overview: watch::Receiver<Arc<Overview>>,
    pub(crate) maintenance: watch::Receiver<MaintenanceSnapshot>,
    pub(crate) prerequisites: watch::Receiver<PrerequisitesByHost>,
    pub(crate) usage: UsageHistory,
}

/// Sender of messages to the state actor.
pub(crate) type StateInbox = mpsc::Sender<StateMessage>;

/// Waits until the published overview contains everything sent before, or the state actor has ended.
pub(crate) async fn flush_state(inbox: &StateInbox) {
    let (done, published) = oneshot::channel();
    if inbox.send(StateMessage::Flush(done)).await.is_ok() {
        // On an error the actor has ended, and its last overview stays.
        let _ = published.await;
    }
}

/// Creates the state actor of `platform`, whose hosts have these `agents`: its inbox, its published state, and
/// the task to run. Events go to `events`, whose store also supplies the state that an earlier aggregator
/// left. The overview includes `own_impairments`; `heartbeat` shows that the actor works.
pub(crate) fn create_state_actor(
    platform: Arc<Platform>,
    agents: Vec<AgentId>,
    events: EventBus,
    own_impairments: ImpairmentList,
    heartbeat: Heartbeat,
) -> (StateInbox, PublishedState, impl Future<Output = ()> + Send) {
    let (inbox, messages) = mpsc::channel(INBOX_CAPACITY);
    let store = events.store().clone();
    let graph = DependencyGraph::new(&platform);
    let now = ClockPair::now();
    let mut state_actor = StateActor {
        remote_prerequisites: RemotePrerequisiteIndex::new(&platform, &graph),
        graph,
        host_states: HostStates::for_agents(agents.into_iter()),
        platform,
        config_error: None,
        maintenance: ActiveMaintenance::new(store.maintenance(), store.maintained_hosts()),
        maintenance_sender: watch::Sender::default(),
        prerequisite_sender: watch::Sender::default(),
        planned_stops: PlannedStops::new(store.planned_stops()),
        transitions: TransitionTracker::new(store.known_values(), store.health_changes()),
        usage_history: UsageHistory::default(),
        store_error: store.watch_error(),
        store_error_since: None,
        impairments: HashMap::new(),
        own_impairments,
        heartbeat,
        last_clock: now,
        started_at: now.wall,
        events,
        store,
    };
    state_actor.drop_removed();
    state_actor.end_expired_maintenance(Timestamp::now());
    state_actor.publish_maintenance();
    let maintenance = state_actor.maintenance_sender.subscribe();
    let (first, transitions) = state_actor.build_overview();
    state_actor.publish_transitions(transitions, first.generated_at);
    state_actor.publish_prerequisites(&first);
    let (publisher, overview) = watch::channel(Arc::new(first));
    let usage = state_actor.usage_history.clone();
    let prerequisites = state_actor.prerequisite_sender.subscribe();
    (
        inbox,
        PublishedState { overview, maintenance, prerequisites, usage },
        state_actor.run(messages, publisher),
    )
}

struct StateActor {
    platform: Arc<Platform>,
    graph: DependencyGraph,
    host_states: HostStates,
    config_error: Option<String>,
    maintenance: ActiveMaintenance,
    maintenance_sender: watch::Sender<MaintenanceSnapshot>,
    /// Remote prerequisites that each agent needs to know.
    remote_prerequisites: RemotePrerequisiteIndex,
    prerequisite_sender: watch::Sender<PrerequisitesByHost>,
    planned_stops: PlannedStops,
    transitions: TransitionTracker,
    usage_history: UsageHistory,
    events: EventBus,
    store: EventStoreHandle,
    store_error: watch::Receiver<Option<String>>,
    /// Start of the event store's impairment.
    store_error_since: Option<Timestamp>,
    /// Impairments of the other parts.
    impairments: HashMap<ImpairedPart, Vec<Impairment>>,
    own_impairments: ImpairmentList,
    heartbeat: Heartbeat,
    /// Last reading of the clock.
    last_clock: ClockPair,
    /// Start of this aggregator, in the present setting of its clock.
    started_at: Timestamp,
}

impl StateActor {
    /// Returns the overview, and its differences from the one before.
    fn build_overview(&mut self) -> (Overview, Transitions) {
        let platform = Arc::clone(&self.platform);
        let now = self.check_clock();
        let mut environments = evaluate_platform(&platform, &self.graph, self.host_states.hosts());
        self.maintenance.apply_to(&mut environments);
        let ended = self.planned_stops.apply_to(&mut environments, self.last_clock.at, now);
        ended.into_iter().for_each(|id| self.store.record_planned_stop(id, None));
        let transitions = self.transitions.track(&mut environments, &platform.digest, now);
        let impairments = self.collect_impairments(&environments, now);
        let overview = Overview {
            generated_at: now,
            environments,
            config_digest: platform.digest.clone(),
            config_error: self.config_error.clone(),
            impairments,
            aliases: ComponentAliases::list(&platform),
        };
        (overview, transitions)
    }

    /// Reads the clock. If it was set since the last reading, shifts the stored times, so that ages stay the
    /// same.
    fn check_clock(&mut self) -> Timestamp {
        let now = ClockPair::now();
        if let Some(step) = self.last_clock.step_until(now) {
            tracing::warn!(seconds = step.as_secs(), "this host's clock was set");
            self.host_states.shift_clock(step);
            self.transitions.shift_clock(step, self.started_at);
            self.planned_stops.shift_clock(step, self.started_at);
            self.started_at = self.started_at.checked_add(step).unwrap_or(self.started_at);
        }
        self.last_clock = now;
        now.wall
    }

    /// Returns all impairments of the aggregator itself, the most severe first.
    fn collect_impairments(
        &mut self,
        environments: &[EnvironmentOverview],
        now: Timestamp,
    ) -> Vec<Impairment> {
        let mut all: Vec<Impairment> = self.impairments.values().flatten().cloned().collect();
        all.extend(self.own_impairments.all());
        let record_error = self.store_error.borrow().clone();
        self.store_error_since = record_error.is_some().then(|| self.store_error_since.unwrap_or(now));
        all.extend(record_error.map(|message| Impairment {
            part: ImpairedPart::Store,
            message,
            since: self.store_error_since,
        }));
        if let Some(problems) = &self.config_error {
            let first = problems.lines().next().unwrap_or_default();
            let message = format!("the aggregator refused a new configuration: {first}");
            all.push(Impairment::new(ImpairedPart::Configuration, message));
        }
        all.extend(certificates::agent_impairment(environments, now));
        all.sort();
        all
    }

    fn replace_platform(&mut self, platform: Arc<Platform>, agents: Vec<AgentId>) {
        let graph = DependencyGraph::new(&platform);
        self.remote_prerequisites = RemotePrerequisiteIndex::new(&platform, &graph);
        self.graph = graph;
        self.host_states = std::mem::take(&mut self.host_states).with_agents(agents.into_iter());
        self.platform = platform;
        self.config_error = None;
        self.maintenance.follow_platform(&self.platform);
        self.drop_removed();
    }

    /// Begins or ends maintenance. Returns the affected maintenance.
    fn change_maintenance(&mut self, change: MaintenanceChange) -> Vec<Maintenance> {
        let mut is_settled = false;
        let changed = match change {
            MaintenanceChange::Begin(mut new) => {
                // The configuration may have changed since the request was made.
                new.retain(|one| is_configured(&self.platform, one));
                self.maintenance.begin(&new);
                new.iter().for_each(|one| self.events.publish(begin_event(one)));
                new
            }
            MaintenanceChange::End(places, by) => {
                let ended = self.maintenance.end(|one| places.iter().any(|place| is_ended_by(one, place)));
                let now = Timestamp::now();
                ended.iter().for_each(|one| self.events.publish(end_event(one, now, "", Some(&by))));
                is_settled = self.maintenance.mark_known(places.into_iter().map(|place| place.host));
                ended
            }
        };
        if is_settled || !changed.is_empty() {
            self.publish_maintenance();
        }
        changed
    }

    /// Ends maintenance whose time is over. Returns true if there was any.
    fn end_expired_maintenance(&mut self, now: Timestamp) -> bool {
        self.end_maintenance(now, "its time is over", |one| one.is_over(now))
    }

    /// Ends maintenance and planned stops of what was removed from the configuration: nobody could name it
    /// any more.
    fn drop_removed(&mut self) {
        let removed = self.planned_stops.drop_removed(&self.graph);
        removed.into_iter().for_each(|id| self.store.record_planned_stop(id, None));
        let platform = Arc::clone(&self.platform);
        let why = "it is not in the configuration any more";
        self.end_maintenance(Timestamp::now(), why, |one| !is_configured(&platform, one));
    }

    fn end_maintenance(&mut self, now: Timestamp, why: &str, is_it: impl Fn(&Maintenance) -> bool) -> bool {
        let ended = self.maintenance.end(is_it);
        ended.iter().for_each(|one| self.events.publish(end_event(one, now, why, None)));
        if !ended.is_empty() {
            self.publish_maintenance();
        }
        !ended.is_empty()
    }

    fn publish_maintenance(&self) {
        let known = self.maintenance.known();
        self.store.record_maintenance(known.all().to_vec());
        self.maintenance_sender.send_replace(Arc::new(known.clone()));
    }

    fn publish_prerequisites(&self, overview: &Overview) {
        let standing = self.remote_prerequisites.readiness(overview);
        self.prerequisite_sender.send_if_modified(|told| {
            let is_news = **told != standing;
            if is_news {
                *told = Arc::new(standing);
            }
            is_news
        });
    }

    /// Returns the time until the next check for ended maintenance, at most [`MAINTENANCE_CHECK_INTERVAL`].
    fn next_maintenance_check(&self) -> Option<Duration> {
        let left = self.maintenance.next_end()?.duration_since(Timestamp::now());
        Some(Duration::try_from(left).unwrap_or_default().min(MAINTENANCE_CHECK_INTERVAL))
    }

    async fn run(
        mut self,
        mut messages: mpsc::Receiver<StateMessage>,
        publisher: watch::Sender<Arc<Overview>>,
    ) {
        let mut scan_times = tokio::time::interval(SCAN_TIME_INTERVAL);
        scan_times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut only_times_changed = false;
        let mut pending = PendingReplies::default();
        let mut rest_until = Instant::now();
        let mut record_error = self.store_error.clone();
        let mut own_impairments = self.own_impairments.changes();
        let mut beat = tokio::time::interval(HEARTBEAT_INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let holds = self.next_maintenance_check();
            tokio::select! {
                taken = messages.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    for message in batch.drain(..) {
                        match message {
                            StateMessage::AgentUpdate(agent, update) => {
                                pending.changed |= self.host_states.apply_update(agent, update);
                                only_times_changed = true;
                            }
                            StateMessage::ReplacePlatform(platform, agents) => {
                                self.replace_platform(platform, agents);
                                pending.changed = true;
                            }
                            StateMessage::ConfigRefused(problems) => {
                                self.config_error = Some(problems);
                                pending.changed = true;
                            }
                            StateMessage::ReplaceImpairments(part, impairments) => {
                                let before = self.impairments.insert(part, impairments);
                                pending.changed |= before.as_ref() != self.impairments.get(&part);
                            }
                            StateMessage::ChangeMaintenance(change, done) => {
                                pending.maintenance_replies.push((done, self.change_maintenance(change)));
                                pending.changed = true;
                            }
                            StateMessage::AddPlannedStop(id, stop, update) => {
                                if let Some((agent, update)) = update {
                                    self.host_states.apply_update(agent, update);
                                }
                                self.store.record_planned_stop(id.clone(), Some(stop.clone()));
                                self.planned_stops.add(id, stop);
                                pending.changed = true;
                            }
                            StateMessage::Flush(done) => pending.flush_replies.push(done),
                        }
                    }
                    match pending.needs_overview(only_times_changed) {
                        true if Instant::now() < rest_until => {}
                        true => {
                            rest_until = self.publish_and_pause(&publisher);
                            only_times_changed = false;
                            pending.send_replies();
                        }
                        false => pending.send_replies(),
                    }
                }
                () = tokio::time::sleep_until(rest_until), if pending.needs_overview(only_times_changed) => {
                    rest_until = self.publish_and_pause(&publisher);
                    only_times_changed = false;
                    pending.send_replies();
                }
                Ok(()) = record_error.changed() => {
                    self.publish(&publisher);
                    if self.store_error.borrow().is_none() {
                        // Changes may have been lost meanwhile; the current states are valid from now on.
                        self.store.record_samples(Timestamp::now(), self.transitions.timeline_states());
                    }
                }
                Ok(()) = own_impairments.changed() => self.publish(&publisher),
                _ = beat.tick() => {
                    self.heartbeat.beat();
                    // A reader measures ages from the time of the overview, so it must be recent.
                    if self.last_clock.at.elapsed() >= HEARTBEAT_INTERVAL {
                        self.publish(&publisher);
                    }
                }
                () = tokio::time::sleep(holds.unwrap_or(MAINTENANCE_CHECK_INTERVAL)), if holds.is_some() => {
                    if self.end_expired_maintenance(Timestamp::now()) {
                        self.publish(&publisher);
                    }
                }
                _ = scan_times.tick(), if only_times_changed => {
                    rest_until = self.publish_and_pause(&publisher);
                    only_times_changed = false;
                    pending.send_replies();
                }
            }
        }
    }

    /// Publishes an overview. Returns the time until which the next one waits for further changes.
    fn publish_and_pause(&mut self, publisher: &watch::Sender<Arc<Overview>>) -> Instant {
        let began = Instant::now();
        self.publish(publisher);
        let ended = Instant::now();
        ended + (ended - began).min(MAX_PAUSE)
    }

    fn publish(&mut self, publisher: &watch::Sender<Arc<Overview>>) {
        let (overview, transitions) = self.build_overview();
        let overview = Arc::new(overview);
        publisher.send_replace(Arc::clone(&overview));
        self.publish_prerequisites(&overview);
        self.publish_transitions(transitions, overview.generated_at);
        self.usage_history.record_usage(&overview);
    }

    /// Logs and records the differences of an overview that was made at this time.
    fn publish_transitions(&self, transitions: Transitions, at: Timestamp) {
        let Transitions { changes, events, first_values, samples } = transitions;
        changes.iter().for_each(StateChange::log);
        events.into_iter().for_each(|event| self.events.publish(event));
        self.store.record_known_values(first_values);
        self.store.record_samples(at, samples);
    }
}
