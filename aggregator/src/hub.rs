//! State actor: the one owner of the state of all hosts. Receives agent updates, evaluates health, publishes
//! overviews.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::Requester;
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
use crate::changes::changes;
use crate::chronicle::{Chronicle, Note};
use crate::clock::Moment;
use crate::conclusion::conclude;
use crate::fleet::Fleet;
use crate::knowledge::{Knowledge, News};
use crate::maintenance::{AllMaintenance, Current, beginning, ending, is_configured, is_ended_by};
use crate::pending::Pending;
use crate::planned_stops::PlannedStops;
use crate::prerequisites::{AllPrerequisites, RemoteNeeds};
use crate::record::{Place, Recorder};
use crate::since::Since;
use crate::strip::shown::Shown;
use crate::usage_history::UsageHistory;

/// Maximum delay of an overview that changes scan times alone, so that a thousand heartbeats a second do not
/// make a thousand overviews.
const SCAN_TIMES: Duration = Duration::from_millis(500);
/// Interval of the actor's own heartbeat.
const BEAT: Duration = Duration::from_secs(1);
/// Capacity of the inbox. Senders wait while it is full.
const INBOX: usize = 1024;
/// Maximum number of messages that are handled before the next evaluation.
const BATCH: usize = 256;
/// Maximum pause between two overviews. A change is published at once, unless an overview was published just
/// before: then it waits as long as that one took to make. The steps of a large plan share overviews in this
/// way.
const LONGEST_REST: Duration = Duration::from_millis(50);
/// Maximum time between two checks for ended maintenance: clocks can be set.
const LOOK: Duration = Duration::from_secs(10);

/// Messages to the state actor.
#[derive(Debug)]
pub(crate) enum Message {
    /// Update from this agent.
    News(AgentId, News),
    /// Replaces the platform.
    Replace(Arc<Fleet>),
    /// Problems of a configuration that was refused, one a line.
    Refused(String),
    /// Replaces the impairments of one part of the aggregator.
    Impaired(ImpairedPart, Vec<Impairment>),
    /// Begins or ends maintenance. Answered with the affected maintenance when the overview shows it.
    Maintain(MaintenanceChange, oneshot::Sender<Vec<Maintenance>>),
    /// A plan stopped this instance on purpose. The update is the host's report after the stop; `None` if the
    /// agent did not send one.
    Stopped(InstanceId, PlannedStop, Option<(AgentId, News)>),
    /// Answered when the published overview contains everything sent before.
    Flush(oneshot::Sender<()>),
}

/// Change of maintenance.
#[derive(Debug)]
pub(crate) enum MaintenanceChange {
    /// Begins these.
    Begin(Vec<Maintenance>),
    /// Ends the maintenance of these places, on behalf of the requester.
    End(Vec<Place>, Requester),
}

/// Receivers of the published state.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) overview: watch::Receiver<Arc<Overview>>,
    pub(crate) maintenance: watch::Receiver<AllMaintenance>,
    pub(crate) prerequisites: watch::Receiver<AllPrerequisites>,
    pub(crate) usage: UsageHistory,
}

/// Sender of messages to the state actor.
pub(crate) type Inbox = mpsc::Sender<Message>;

/// Waits until the published overview contains everything sent before, or the state actor has ended.
pub(crate) async fn flush(inbox: &Inbox) {
    let (done, published) = oneshot::channel();
    if inbox.send(Message::Flush(done)).await.is_ok() {
        // On an error the actor has ended, and its last overview stays.
        let _ = published.await;
    }
}

/// Creates the state actor of `fleet`: its inbox, its published state, and the task to run. Events go to
/// `recorder`; its record also supplies the state that an earlier aggregator left. The overview includes
/// `own_impairments`; `heartbeat` shows that the actor works.
pub(crate) fn hub(
    fleet: Arc<Fleet>,
    recorder: Recorder,
    own_impairments: ImpairmentList,
    heartbeat: Heartbeat,
) -> (Inbox, Published, impl Future<Output = ()> + Send) {
    let (inbox, messages) = mpsc::channel(INBOX);
    let graph = DependencyGraph::new(&fleet.platform);
    let now = Moment::now();
    let mut hub = Hub {
        needs: RemoteNeeds::new(&fleet.platform, &graph),
        graph,
        knowledge: Knowledge::of(fleet.ids()),
        fleet,
        config_error: None,
        maintenance: Current::new(recorder.maintenance(), recorder.maintained()),
        told_maintenance: watch::Sender::default(),
        told_prerequisites: watch::Sender::default(),
        stops: PlannedStops::new(recorder.planned_stops()),
        since: Since::default(),
        chronicle: Chronicle::new(recorder.known()),
        shown: Shown::default(),
        usage: UsageHistory::default(),
        record_error: recorder.error(),
        record_error_since: None,
        impairments: HashMap::new(),
        own_impairments,
        heartbeat,
        read_clock: now,
        began: now.wall,
        recorder,
    };
    hub.since = Since::new(&hub.graph, &hub.recorder.changed());
    hub.forget_removed();
    hub.end_what_is_over(Timestamp::now());
    hub.tell_maintenance();
    let maintenance = hub.told_maintenance.subscribe();
    let first = hub.overview();
    hub.mark(&first);
    hub.tell_prerequisites(&first);
    let (publisher, overview) = watch::channel(Arc::new(first));
    let usage = hub.usage.clone();
    let prerequisites = hub.told_prerequisites.subscribe();
    (inbox, Published { overview, maintenance, prerequisites, usage }, hub.run(messages, publisher))
}

struct Hub {
    fleet: Arc<Fleet>,
    graph: DependencyGraph,
    knowledge: Knowledge,
    config_error: Option<String>,
    maintenance: Current,
    told_maintenance: watch::Sender<AllMaintenance>,
    /// Remote prerequisites that each agent needs to know.
    needs: RemoteNeeds,
    told_prerequisites: watch::Sender<AllPrerequisites>,
    stops: PlannedStops,
    since: Since,
    chronicle: Chronicle,
    shown: Shown,
    usage: UsageHistory,
    recorder: Recorder,
    record_error: watch::Receiver<Option<String>>,
    /// Start of the record's impairment.
    record_error_since: Option<Timestamp>,
    /// Impairments of the other parts.
    impairments: HashMap<ImpairedPart, Vec<Impairment>>,
    own_impairments: ImpairmentList,
    heartbeat: Heartbeat,
    /// Last reading of the clock.
    read_clock: Moment,
    /// Start of this aggregator, in the present setting of its clock.
    began: Timestamp,
}

impl Hub {
    fn overview(&mut self) -> Overview {
        let fleet = Arc::clone(&self.fleet);
        let platform = &fleet.platform;
        let now = self.follow_own_clock();
        let mut environments = conclude(platform, &self.graph, self.knowledge.hosts());
        self.maintenance.fill(&mut environments);
        let ended = self.stops.fill(&mut environments, self.read_clock.at, now);
        ended.into_iter().for_each(|id| self.recorder.note_stop(id, None));
        self.since.fill(&mut environments, now);
        let impairments = self.impairments(&environments, now);
        Overview {
            generated_at: now,
            environments,
            config_digest: platform.digest.clone(),
            config_error: self.config_error.clone(),
            impairments,
            aliases: ComponentAliases::list(platform),
        }
    }

    /// Reads the clock. If it was set since the last reading, shifts the stored times, so that ages stay the
    /// same.
    fn follow_own_clock(&mut self) -> Timestamp {
        let now = Moment::now();
        if let Some(step) = self.read_clock.step_until(now) {
            tracing::warn!(seconds = step.as_secs(), "this host's clock was set");
            self.knowledge.follow_step(step);
            self.since.follow_step(step, self.began);
            self.stops.follow_step(step, self.began);
            self.began = self.began.checked_add(step).unwrap_or(self.began);
        }
        self.read_clock = now;
        now.wall
    }

    /// Returns all impairments of the aggregator itself, the most severe first.
    fn impairments(&mut self, environments: &[EnvironmentOverview], now: Timestamp) -> Vec<Impairment> {
        let mut all: Vec<Impairment> = self.impairments.values().flatten().cloned().collect();
        all.extend(self.own_impairments.all());
        let record_error = self.record_error.borrow().clone();
        self.record_error_since = record_error.is_some().then(|| self.record_error_since.unwrap_or(now));
        all.extend(record_error.map(|message| Impairment {
            part: ImpairedPart::Store,
            message,
            since: self.record_error_since,
        }));
        if let Some(problems) = &self.config_error {
            let first = problems.lines().next().unwrap_or_default();
            let message = format!("the aggregator refused a new configuration: {first}");
            all.push(Impairment::new(ImpairedPart::Configuration, message));
        }
        all.extend(certificates::of_agents(environments, now));
        all.sort();
        all
    }

    fn replace(&mut self, fleet: Arc<Fleet>) {
        let graph = DependencyGraph::new(&fleet.platform);
        self.since = self.since.carried_over(&self.graph, &graph);
        self.needs = RemoteNeeds::new(&fleet.platform, &graph);
        self.graph = graph;
        self.knowledge = std::mem::take(&mut self.knowledge).carried_over(fleet.ids());
        self.fleet = fleet;
        self.config_error = None;
        self.maintenance.move_with(&self.fleet.platform);
        self.forget_removed();
    }

    /// Begins or ends maintenance. Returns the affected maintenance.
    fn maintain(&mut self, change: MaintenanceChange) -> Vec<Maintenance> {
        let mut is_settled = false;
        let changed = match change {
            MaintenanceChange::Begin(mut new) => {
                // The configuration may have changed since the request was made.
                new.retain(|one| is_configured(&self.fleet.platform, one));
                self.maintenance.begin(&new);
                new.iter().for_each(|one| self.recorder.record(beginning(one)));
                new
            }
            MaintenanceChange::End(places, by) => {
                let ended = self.maintenance.end(|one| places.iter().any(|place| is_ended_by(one, place)));
                let now = Timestamp::now();
                ended.iter().for_each(|one| self.recorder.record(ending(one, now, "", Some(&by))));
                is_settled = self.maintenance.settle(places.into_iter().map(|place| place.host));
                ended
            }
        };
        if is_settled || !changed.is_empty() {
            self.tell_maintenance();
        }
        changed
    }

    /// Ends maintenance whose time is over. Returns true if there was any.
    fn end_what_is_over(&mut self, now: Timestamp) -> bool {
        self.end_maintenance(now, "its time is over", |one| one.is_over(now))
    }

    /// Ends maintenance and planned stops of what was removed from the configuration: nobody could name it
    /// any more.
    fn forget_removed(&mut self) {
        let removed = self.stops.forget_removed(&self.graph);
        removed.into_iter().for_each(|id| self.recorder.note_stop(id, None));
        let fleet = Arc::clone(&self.fleet);
        let why = "it is not in the configuration any more";
        self.end_maintenance(Timestamp::now(), why, |one| !is_configured(&fleet.platform, one));
    }

    fn end_maintenance(&mut self, now: Timestamp, why: &str, is_it: impl Fn(&Maintenance) -> bool) -> bool {
        let ended = self.maintenance.end(is_it);
        ended.iter().for_each(|one| self.recorder.record(ending(one, now, why, None)));
        if !ended.is_empty() {
            self.tell_maintenance();
        }
        !ended.is_empty()
    }

    fn tell_maintenance(&self) {
        let known = self.maintenance.known();
        self.recorder.maintain(known.all().to_vec());
        self.told_maintenance.send_replace(Arc::new(known.clone()));
    }

    fn tell_prerequisites(&self, overview: &Overview) {
        let standing = self.needs.standing(overview);
        self.told_prerequisites.send_if_modified(|told| {
            let is_news = **told != standing;
            if is_news {
                *told = Arc::new(standing);
            }
            is_news
        });
    }

    /// Returns the time until the next check for ended maintenance, at most [`LOOK`].
    fn maintenance_holds(&self) -> Option<Duration> {
        let left = self.maintenance.next_end()?.duration_since(Timestamp::now());
        Some(Duration::try_from(left).unwrap_or_default().min(LOOK))
    }

    async fn run(mut self, mut messages: mpsc::Receiver<Message>, publisher: watch::Sender<Arc<Overview>>) {
        let mut scan_times = tokio::time::interval(SCAN_TIMES);
        scan_times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        let mut only_times_changed = false;
        let mut pending = Pending::default();
        let mut rest_until = Instant::now();
        let mut record_error = self.record_error.clone();
        let mut own_impairments = self.own_impairments.changes();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let holds = self.maintenance_holds();
            tokio::select! {
                taken = messages.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    for message in batch.drain(..) {
                        match message {
                            Message::News(agent, news) => {
                                pending.changed |= self.knowledge.learn(agent, news);
                                only_times_changed = true;
                            }
                            Message::Replace(fleet) => {
                                self.replace(fleet);
                                pending.changed = true;
                            }
                            Message::Refused(problems) => {
                                self.config_error = Some(problems);
                                pending.changed = true;
                            }
                            Message::Impaired(part, impairments) => {
                                let before = self.impairments.insert(part, impairments);
                                pending.changed |= before.as_ref() != self.impairments.get(&part);
                            }
                            Message::Maintain(change, done) => {
                                pending.maintained.push((done, self.maintain(change)));
                                pending.changed = true;
                            }
                            Message::Stopped(id, stop, news) => {
                                if let Some((agent, news)) = news {
                                    self.knowledge.learn(agent, news);
                                }
                                self.recorder.note_stop(id.clone(), Some(stop.clone()));
                                self.stops.note(id, stop);
                                pending.changed = true;
                            }
                            Message::Flush(done) => pending.flushed.push(done),
                        }
                    }
                    match pending.needs_overview(only_times_changed) {
                        true if Instant::now() < rest_until => {}
                        true => {
                            rest_until = self.publish_and_rest(&publisher);
                            only_times_changed = false;
                            pending.answer();
                        }
                        false => pending.answer(),
                    }
                }
                () = tokio::time::sleep_until(rest_until), if pending.needs_overview(only_times_changed) => {
                    rest_until = self.publish_and_rest(&publisher);
                    only_times_changed = false;
                    pending.answer();
                }
                Ok(()) = record_error.changed() => {
                    self.publish(&publisher);
                    if self.record_error.borrow().is_none() {
                        // Changes may have been lost meanwhile; the current states are valid from now on.
                        self.recorder.mark(Timestamp::now(), self.shown.all());
                    }
                }
                Ok(()) = own_impairments.changed() => self.publish(&publisher),
                _ = beat.tick() => {
                    self.heartbeat.beat();
                    // A reader measures ages from the time of the overview, so it must be recent.
                    if self.read_clock.at.elapsed() >= BEAT {
                        self.publish(&publisher);
                    }
                }
                () = tokio::time::sleep(holds.unwrap_or(LOOK)), if holds.is_some() => {
                    if self.end_what_is_over(Timestamp::now()) {
                        self.publish(&publisher);
                    }
                }
                _ = scan_times.tick(), if only_times_changed => {
                    rest_until = self.publish_and_rest(&publisher);
                    only_times_changed = false;
                    pending.answer();
                }
            }
        }
    }

    /// Publishes an overview. Returns the time until which the next one waits for further changes.
    fn publish_and_rest(&mut self, publisher: &watch::Sender<Arc<Overview>>) -> Instant {
        let began = Instant::now();
        self.publish(publisher);
        let ended = Instant::now();
        ended + (ended - began).min(LONGEST_REST)
    }

    fn publish(&mut self, publisher: &watch::Sender<Arc<Overview>>) {
        let overview = Arc::new(self.overview());
        let before = publisher.send_replace(Arc::clone(&overview));
        self.tell_prerequisites(&overview);
        let mut first = Vec::new();
        for change in changes(&before, &overview) {
            change.log();
            for note in self.chronicle.note(&change, overview.generated_at) {
                match note {
                    Note::Event(event) => self.recorder.record(*event),
                    Note::First(place, value) => first.push((place, value)),
                }
            }
        }
        self.recorder.know(first);
        self.mark(&overview);
        self.usage.note(&overview);
    }

    fn mark(&mut self, overview: &Overview) {
        self.recorder.mark(overview.generated_at, self.shown.note(overview));
    }
}
