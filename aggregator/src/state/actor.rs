//! State actor: the one owner of the state of all hosts. Receives agent updates, evaluates health, publishes
//! overviews.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::Platform;
use rta_shared::impairment::{ImpairedPart, Impairment, ImpairmentList};
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::maintenance::Maintenance;
use rta_shared::overview::{ComponentAliases, InstanceId, LeaderOverview, Overview};
use rta_shared::planned_maintenance::{PlannedMaintenance, UpcomingMaintenance};
use rta_shared::planned_stop::PlannedStop;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::agent_id::AgentId;
use crate::certificates;
use crate::clock::ClockPair;
use crate::events::EventBus;
use crate::state::evaluate::platform_view::ViewChanges;
use crate::state::evaluation_input::EvaluationInput;
use crate::state::host_state::{AgentUpdate, HostChanges};
use crate::state::maintenance::{
    ActiveMaintenance, MaintenanceSnapshot, begin_event, end_event, is_configured, is_ended_by,
};
use crate::state::pending_replies::PendingReplies;
use crate::state::planned_maintenance::{PlannedMaintenances, cancelled_event, planned_event, upcoming};
use crate::state::planned_stops::PlannedStops;
use crate::state::platform_state::PlatformState;
use crate::state::prerequisites::PrerequisitesByHost;
use crate::state::transitions::{StateChange, TransitionTracker, Transitions};
use crate::store::{EventStoreHandle, HostOrInstance, SharedRecord};
use crate::usage::UsageHistory;

/// Minimum time between two overviews with new times and usage. A thousand heartbeats a second do not make a thousand
/// overviews, and an overview with a change does not wait for the times of all hosts.
const TIMES_INTERVAL: Duration = Duration::from_millis(500);
/// Interval of the actor's own heartbeat.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Capacity of the inbox. Senders wait while it is full.
const INBOX_CAPACITY: usize = 1024;
/// Maximum number of messages that are handled before the next evaluation.
const MAX_BATCH: usize = 256;
/// Minimum time between two overviews. A change is published at once, unless an overview was published just
/// before: many changes at once, such as the steps of a large plan, share overviews in this way.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum pause after an overview. It lasts as long as that one took to make, so that half of the time is
/// left for the messages.
const MAX_PAUSE: Duration = Duration::from_millis(50);
/// Maximum time between two checks for ended maintenance: clocks can be set.
const MAINTENANCE_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Messages to the state actor.
#[derive(Debug)]
pub(crate) enum StateMessage {
    /// Update from this agent.
    AgentUpdate(AgentId, AgentUpdate),
    /// Updates of several agents, as the leader of their environment passes them on.
    RelayedUpdates(Vec<(AgentId, Vec<AgentUpdate>)>),
    /// Answered with the changes of the hosts' states since this version.
    CollectHostChanges(u64, oneshot::Sender<HostChanges>),
    /// Replaces the platform; with the agents of its hosts, in their order.
    ReplacePlatform(Arc<Platform>, Vec<AgentId>),
    /// Problems of a configuration that was refused, one a line.
    ConfigRefused(String),
    /// Replaces the impairments of one part of the aggregator.
    ReplaceImpairments(ImpairedPart, Vec<Impairment>),
    /// Replaces the aggregators that lead, of several.
    ReplaceLeaders(Vec<LeaderOverview>),
    /// Begins or ends maintenance. Answered with the affected maintenance when the overview shows it.
    ChangeMaintenance(MaintenanceChange, oneshot::Sender<Vec<Maintenance>>),
    /// Adds or cancels planned maintenance. Answered with it; `None` if nothing planned has the ID.
    ChangePlannedMaintenance(PlannedMaintenanceChange, oneshot::Sender<Option<UpcomingMaintenance>>),
    /// A plan stopped this instance on purpose, which is recorded. The report that shows it may come later.
    AddPlannedStop(InstanceId, PlannedStop),
    /// Replaces the maintenance and the planned stops by those of the leader's record.
    FollowRecord(Arc<SharedRecord>),
    /// Answered with a copy of what an evaluation needs.
    CopyInput(oneshot::Sender<EvaluationInput>),
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

/// Change of planned maintenance.
#[derive(Debug)]
pub(crate) enum PlannedMaintenanceChange {
    /// Adds this, under a new ID.
    Add(Box<PlannedMaintenance>),
    /// Cancels that with this ID, on behalf of the requester.
    Cancel(u64, Requester),
}

/// Receivers of the published state.
#[derive(Clone, Debug)]
pub(crate) struct PublishedState {
    pub(crate) overview: watch::Receiver<Arc<Overview>>,
    pub(crate) maintenance: watch::Receiver<MaintenanceSnapshot>,
    pub(crate) planned_maintenance: watch::Receiver<PlannedMaintenances>,
    pub(crate) prerequisites: watch::Receiver<PrerequisitesByHost>,
    pub(crate) usage: UsageHistory,
    /// Notified when the hosts' states may have changed in more than times and usage.
    pub(crate) host_changes: watch::Receiver<()>,
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

/// Creates the state actor of `platform`, whose hosts have these `agents`: its inbox, its published state,
/// and the task to run. Events go to `events`, whose store also supplies the state that an earlier aggregator
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
    let now = ClockPair::now();
    let state = PlatformState::new(
        platform,
        agents,
        ActiveMaintenance::new(store.maintenance(), store.maintained_hosts()),
        PlannedStops::new(store.planned_stops()),
        TransitionTracker::new(store.known_values(), store.health_changes())
            .with_earlier_runs(store.earlier_runs()),
    );
    let mut planned = PlannedMaintenances::new(store.planned_maintenance());
    if store.is_shared_writer() {
        // What names no environment may be of another one.
        planned.adopt_plans(state.platform());
    }
    let mut state_actor = StateActor {
        aliases: ComponentAliases::list(state.platform()),
        state,
        config_error: None,
        leaders: Vec::new(),
        maintenance_sender: watch::Sender::default(),
        planned,
        next_begin: None,
        planned_problem: None,
        planned_sender: watch::Sender::default(),
        prerequisite_sender: watch::Sender::default(),
        host_change_sender: watch::Sender::default(),
        usage_history: UsageHistory::default(),
        store_error: store.watch_error(),
        store_error_since: None,
        impairments: HashMap::new(),
        own_impairments,
        heartbeat,
        times_due: Instant::now(),
        last_clock: now,
        started_at: now.wall,
        events,
        store,
    };
    state_actor.drop_removed();
    state_actor.end_expired_maintenance(Timestamp::now());
    state_actor.publish_maintenance();
    state_actor.begin_planned_maintenance(Timestamp::now());
    state_actor.publish_planned_maintenance();
    let maintenance = state_actor.maintenance_sender.subscribe();
    let planned_maintenance = state_actor.planned_sender.subscribe();
    let (first, changes) = state_actor.build_overview(true);
    let generated_at = first.generated_at;
    let (publisher, overview) = watch::channel(Arc::new(first));
    state_actor.publish_changes(changes, generated_at);
    let usage = state_actor.usage_history.clone();
    let prerequisites = state_actor.prerequisite_sender.subscribe();
    let host_changes = state_actor.host_change_sender.subscribe();
    (
        inbox,
        PublishedState { overview, maintenance, planned_maintenance, prerequisites, usage, host_changes },
        state_actor.run(messages, publisher),
    )
}

struct StateActor {
    state: PlatformState,
    aliases: Vec<ComponentAliases>,
    config_error: Option<String>,
    /// Aggregator that leads, of several.
    leaders: Vec<LeaderOverview>,
    maintenance_sender: watch::Sender<MaintenanceSnapshot>,
    planned: PlannedMaintenances,
    /// Begin of the next planned window.
    next_begin: Option<Timestamp>,
    /// Sentence about planned maintenance that cannot begin.
    planned_problem: Option<String>,
    planned_sender: watch::Sender<PlannedMaintenances>,
    prerequisite_sender: watch::Sender<PrerequisitesByHost>,
    /// Notified when the hosts' states may have changed in more than times and usage.
    host_change_sender: watch::Sender<()>,
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
    /// Time from which an overview has new times and usage again.
    times_due: Instant,
    /// Last reading of the clock.
    last_clock: ClockPair,
    /// Start of this aggregator, in the present setting of its clock.
    started_at: Timestamp,
}

impl StateActor {
    /// Returns the overview, and its differences from the one before. Without `with_times` hosts of which nothing but
    /// times and usage has changed stay as they were.
    fn build_overview(&mut self, with_times: bool) -> (Overview, ViewChanges) {
        let now = self.check_clock();
        let changes = self.state.update(self.last_clock, with_times);
        let overview = Overview {
            generated_at: now,
            environments: self.state.view().environments().to_vec(),
            config_digest: self.state.platform().digest.clone(),
            config_error: self.config_error.clone(),
            impairments: self.collect_impairments(now),
            aliases: self.aliases.clone(),
            leaders: self.leaders.clone(),
        };
        (overview, changes)
    }

    /// Reads the clock. If it was set since the last reading, shifts the stored times, so that ages stay the
    /// same.
    fn check_clock(&mut self) -> Timestamp {
        let now = ClockPair::now();
        if let Some(step) = self.last_clock.step_until(now) {
            tracing::warn!(seconds = step.as_secs(), "this host's clock was set");
            self.state.shift_clock(step, self.started_at);
            self.started_at = self.started_at.checked_add(step).unwrap_or(self.started_at);
        }
        self.last_clock = now;
        now.wall
    }

    /// Returns all impairments of the aggregator itself, the most severe first.
    fn collect_impairments(&mut self, now: Timestamp) -> Vec<Impairment> {
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
        let problem = self.planned_problem.clone();
        all.extend(problem.map(|message| Impairment::new(ImpairedPart::Maintenance, message)));
        all.extend(certificates::agent_impairment(self.state.view().certificate_ends(), now));
        all.sort();
        all
    }

    fn replace_platform(&mut self, platform: Arc<Platform>, agents: Vec<AgentId>) {
        self.usage_history.follow_platform(&platform);
        self.aliases = ComponentAliases::list(&platform);
        self.state.replace_platform(platform, agents);
        self.config_error = None;
        self.drop_removed();
        self.publish_planned_maintenance();
    }

    /// Begins or ends maintenance. Returns the affected maintenance.
    fn change_maintenance(&mut self, change: MaintenanceChange) -> Vec<Maintenance> {
        let mut is_settled = false;
        let changed = match change {
            MaintenanceChange::Begin(mut new) => {
                // The configuration may have changed since the request was made.
                new.retain(|one| is_configured(self.state.platform(), one));
                self.state.begin_maintenance(&new);
                new.iter().for_each(|one| self.events.publish(begin_event(one)));
                new
            }
            MaintenanceChange::End(places, by) => {
                let ended =
                    self.state.end_maintenance(|one| places.iter().any(|place| is_ended_by(one, place)));
                let now = Timestamp::now();
                ended.iter().for_each(|one| self.events.publish(end_event(one, now, "", Some(&by))));
                is_settled = self.state.mark_maintenance_known(places.into_iter().map(|place| place.host));
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
        let removed = self.state.drop_removed_stops();
        removed.into_iter().for_each(|id| self.store.record_planned_stop(id, None));
        let platform = Arc::clone(self.state.platform());
        let why = "it is not in the configuration any more";
        self.end_maintenance(Timestamp::now(), why, |one| !is_configured(&platform, one));
    }

    fn end_maintenance(&mut self, now: Timestamp, why: &str, is_it: impl Fn(&Maintenance) -> bool) -> bool {
        let ended = self.state.end_maintenance(is_it);
        ended.iter().for_each(|one| self.events.publish(end_event(one, now, why, None)));
        if !ended.is_empty() {
            self.publish_maintenance();
        }
        !ended.is_empty()
    }

    fn publish_maintenance(&self) {
        let known = self.state.maintenance().known();
        self.store.record_maintenance(known.all().to_vec());
        self.maintenance_sender.send_replace(Arc::new(known.clone()));
    }

    /// Adds or cancels planned maintenance. Returns it.
    fn change_planned_maintenance(
        &mut self,
        change: PlannedMaintenanceChange,
    ) -> Option<UpcomingMaintenance> {
        let now = Timestamp::now();
        let changed = match change {
            PlannedMaintenanceChange::Add(planned) => {
                let added = upcoming(&self.planned.add(*planned), self.state.platform(), now);
                self.events.publish(planned_event(&added.planned, added.next.first().copied()));
                added
            }
            PlannedMaintenanceChange::Cancel(id, by) => {
                let cancelled = self.planned.cancel(id)?;
                self.events.publish(cancelled_event(&cancelled, now, by));
                upcoming(&cancelled, self.state.platform(), now)
            }
        };
        self.publish_planned_maintenance();
        Some(changed)
    }

    /// Begins planned maintenance whose time has come, if this aggregator does not follow another one.
    /// Returns true if there was any.
    fn begin_planned_maintenance(&mut self, now: Timestamp) -> bool {
        if self.store.is_shared_record() {
            return false;
        }
        let platform = Arc::clone(self.state.platform());
        let due = self.planned.take_due(&platform, self.state.maintenance().known().all(), now);
        due.events.into_iter().for_each(|event| self.events.publish(event));
        if !due.begin.is_empty() {
            self.state.begin_maintenance(&due.begin);
            due.begin.iter().for_each(|one| self.events.publish(begin_event(one)));
            // Recorded before the plan: if only the first is on disk, the window is found to have begun.
            self.publish_maintenance();
        }
        if due.is_changed {
            self.publish_planned_maintenance();
        }
        self.next_begin = self.planned.next_begin(now);
        due.is_changed
    }

    fn publish_planned_maintenance(&mut self) {
        let now = Timestamp::now();
        // The leader begins it, and the record shows that.
        let is_begun_here = !self.store.is_shared_record();
        self.next_begin = is_begun_here.then(|| self.planned.next_begin(now)).flatten();
        self.planned_problem = self.planned.problem(self.state.platform(), now);
        self.store.record_planned_maintenance(self.planned.all().to_vec(), self.planned.last_id());
        self.planned_sender.send_replace(self.planned.clone());
    }

    /// Returns the time until the next check for maintenance to begin or end, at most
    /// [`MAINTENANCE_CHECK_INTERVAL`]; `None` if there is none.
    fn next_maintenance_check(&self) -> Option<Duration> {
        let next = self.state.maintenance().next_end().into_iter().chain(self.next_begin).min()?;
        let left = next.duration_since(Timestamp::now());
        Some(Duration::try_from(left).unwrap_or_default().min(MAINTENANCE_CHECK_INTERVAL))
    }

    async fn run(
        mut self,
        mut messages: mpsc::Receiver<StateMessage>,
        publisher: watch::Sender<Arc<Overview>>,
    ) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
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
                    let now = std::time::Instant::now();
                    for message in batch.drain(..) {
                        match message {
                            StateMessage::AgentUpdate(agent, update) => {
                                pending.changed |= self.state.apply_update(agent, update, now);
                                pending.times_changed = true;
                            }
                            StateMessage::RelayedUpdates(hosts) => {
                                for (agent, updates) in hosts {
                                    pending.changed |= self.state.apply_relayed_updates(agent, updates);
                                }
                                pending.times_changed = true;
                            }
                            StateMessage::CollectHostChanges(since, reply) => {
                                // The caller may have gone.
                                let _ = reply.send(self.state.host_changes_since(since));
                            }
                            StateMessage::ReplacePlatform(platform, agents) => {
                                self.replace_platform(platform, agents);
                                pending.changed = true;
                            }
                            StateMessage::ConfigRefused(problems) => {
                                self.config_error = Some(problems);
                                pending.changed = true;
                            }
                            StateMessage::ReplaceLeaders(leaders) => {
                                self.leaders = leaders;
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
                            StateMessage::ChangePlannedMaintenance(change, done) => {
                                // The caller may have gone.
                                let _ = done.send(self.change_planned_maintenance(change));
                                pending.changed = true;
                            }
                            StateMessage::AddPlannedStop(id, stop) => {
                                self.state.add_planned_stop(id, stop, ClockPair::now());
                                pending.changed = true;
                            }
                            StateMessage::FollowRecord(record) => {
                                let SharedRecord { maintenance, planned_maintenance, planned_stops, .. } =
                                    record.as_ref();
                                self.state.follow_record(maintenance, planned_stops, now);
                                self.planned = PlannedMaintenances::new((planned_maintenance.clone(), 0));
                                self.publish_planned_maintenance();
                                self.publish_maintenance();
                                pending.changed = true;
                            }
                            StateMessage::CopyInput(reply) => {
                                // The caller may have gone.
                                let _ = reply.send(self.state.copy_input());
                            }
                            StateMessage::Flush(done) => pending.flush_replies.push(done),
                        }
                    }
                    if pending.changed {
                        self.host_change_sender.send_replace(());
                    }
                    match pending.needs_overview() {
                        true if Instant::now() < rest_until => {}
                        true => rest_until = self.publish_and_pause(&publisher, &mut pending),
                        false => pending.send_flush_replies(),
                    }
                }
                () = tokio::time::sleep_until(rest_until), if pending.needs_overview() => {
                    rest_until = self.publish_and_pause(&publisher, &mut pending);
                }
                Ok(()) = record_error.changed() => {
                    rest_until = self.publish_and_pause(&publisher, &mut pending);
                    if self.store_error.borrow().is_none() {
                        // Changes may have been lost meanwhile; the current states are valid from now on.
                        self.store.record_samples(Timestamp::now(), self.state.timeline_states());
                    }
                }
                Ok(()) = own_impairments.changed() => {
                    rest_until = self.publish_and_pause(&publisher, &mut pending);
                }
                _ = beat.tick() => {
                    self.heartbeat.beat();
                    // A reader measures ages from the time of the overview, so it must be recent.
                    if self.last_clock.at.elapsed() >= HEARTBEAT_INTERVAL {
                        rest_until = self.publish_and_pause(&publisher, &mut pending);
                    }
                }
                () = tokio::time::sleep(holds.unwrap_or(MAINTENANCE_CHECK_INTERVAL)), if holds.is_some() => {
                    let now = Timestamp::now();
                    let is_ended = self.end_expired_maintenance(now);
                    if self.begin_planned_maintenance(now) || is_ended {
                        rest_until = self.publish_and_pause(&publisher, &mut pending);
                    }
                }
                () = tokio::time::sleep_until(self.times_due), if pending.times_changed => {
                    rest_until = self.publish_and_pause(&publisher, &mut pending);
                }
            }
        }
    }

    /// Publishes an overview and answers those who wait for it. Returns the time until which the next one
    /// waits for further changes.
    fn publish_and_pause(
        &mut self,
        publisher: &watch::Sender<Arc<Overview>>,
        pending: &mut PendingReplies,
    ) -> Instant {
        let began = Instant::now();
        // Who waits for the overview wants to see the times, too.
        let with_times = !pending.flush_replies.is_empty() || began >= self.times_due;
        if with_times {
            self.times_due = began + TIMES_INTERVAL;
        }
        let (overview, changes) = self.build_overview(with_times);
        let generated_at = overview.generated_at;
        publisher.send_replace(Arc::new(overview));
        self.publish_changes(changes, generated_at);
        pending.send_replies(with_times);
        let ended = Instant::now();
        (began + PUBLISH_INTERVAL).max(ended + (ended - began).min(MAX_PAUSE))
    }

    /// Publishes, logs and records the changes of an overview that was made at this time.
    fn publish_changes(&mut self, changes: ViewChanges, at: Timestamp) {
        let prerequisites = self.state.take_prerequisite_changes();
        self.prerequisite_sender.send_if_modified(|known| prerequisites.apply_to(known));
        let hosts = changes.hosts.iter().map(|host| self.state.view().host(*host));
        self.usage_history.record_usage(hosts, at);
        let ViewChanges { ended_stops, transitions, .. } = changes;
        ended_stops.into_iter().for_each(|id| self.store.record_planned_stop(id, None));
        let Transitions { changes, events, first_values, samples } = transitions;
        // The operations of the whole log them, too.
        if !self.store.is_shared_writer() {
            changes.iter().for_each(StateChange::log);
        }
        events.into_iter().for_each(|event| self.events.publish(event));
        self.store.record_known_values(first_values);
        self.store.record_samples(at, samples);
    }
}
