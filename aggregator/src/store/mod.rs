//! Event store: events in a database, and the state that must survive a restart of the aggregator: unfinished
//! plans, active and planned maintenance, planned stops and the last known value of every instance and host.
//!
//! One thread owns the database. Callers put commands into a queue and return at once, so that a slow, full
//! or broken disk, or a server that is lost, delays nobody. The overview shows a failure of the store.
//!
//! | module | holds |
//! |---|---|
//! | `backend` | the seam between the thread and a database |
//! | `sqlite` | the backend SQLite |
//! | `postgres` | the backend PostgreSQL |
//! | `location` | the location of a database, as an operator writes it |
//! | `copy` | copying a whole database into an empty one |
//! | `migrations` | the tables, and their versions |
//! | `sql` | values, rows and the session that runs a statement |
//! | `rows` | reads and writes of rows |
//! | `query` | queries for events and timelines |
//! | `error_counters` | numbers of failures, and of events and samples that are lost because the queue is
//! full |
//! | `event_counts` | the number of events of each kind |
//! | `event_feed` | the sequence numbers of events, and their live feed |
//! | `incidents` | pending and recovered incidents |
//! | `notifications` | the state of the notifier, and its undelivered messages |
//! | `request_keys` | keys of the requests of the HTTP API, with their answers |
//! | `samples` | pending samples and recording gaps of the timelines |
//! | `pending_writes` | the pending writes |
//! | `writer` | the thread |
//! | `reader` | the thread that reads the record of all aggregators over one database |
//! | `scope` | the part of a database that one of several writers records |

mod backend;
mod copy;
mod error_counters;
mod event_counts;
mod event_feed;
mod incidents;
mod location;
mod migrations;
mod notifications;
mod pending_writes;
mod postgres;
mod query;
mod reader;
mod request_keys;
mod rows;
mod samples;
mod scope;
mod sql;
mod sqlite;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rta_shared::event::{Event, EventKind};
use rta_shared::incident::IncidentDetails;
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::{Health, InstanceId};
use rta_shared::plan::{PlanEnd, PlanStart, StepChange, StepState};
use rta_shared::planned_maintenance::PlannedMaintenance;
use rta_shared::planned_stop::PlannedStop;
use tokio::sync::{oneshot, watch};

pub use copy::{CopiedTable, copy_store};
pub(crate) use error_counters::{StoreErrorCounters, StoreErrorCounts};
pub(crate) use event_feed::{EventFeed, EventSubscription, LiveEvent};
use incidents::FIRST_UNNUMBERED;
pub(crate) use incidents::IncidentChange;
pub use location::StoreLocation;
pub(crate) use notifications::{NotificationChange, OutboxRow, StoredNotifications};
#[cfg(test)]
pub(crate) use postgres::lease::LeaseCandidate;
pub(crate) use postgres::lease::{CurrentLease, Leader, LeaseHolder, LeaseSession, LeaseTable};
pub(crate) use postgres::shared_sessions::{SessionTable, SharedSession};
pub use postgres::{PostgresLocation, hide_password};
pub(crate) use query::{EventQuery, IncidentQuery, MAX_EVENTS, StoredIncidents, TimelineRows};
use reader::RecordReader;
pub(crate) use request_keys::{KeyedRequest, RequestAnswer, RequestRecord};
pub(crate) use rows::plans::RecordedPlan;
pub use scope::{HeldLease, WriterScope};
pub(crate) use sql::StoreError;
use writer::{ReservedNumber, StoreCommand, StoreWriter};

use crate::timeline::TimelineState;

/// Capacity of the queue for events, samples and questions. One large outage makes some thousands of events
/// at once; beyond the capacity events are lost, and counted. State (plans, maintenance, known values) is
/// never rejected: it is small, and made by operators.
const QUEUE_CAPACITY: usize = 10_000;
/// Time limit for an answer of the thread: a disk or server that hangs never answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Plan IDs that are reserved ahead, so that none is used twice if the aggregator is killed.
const RESERVED_IDS: u64 = 100;

/// Location and retention time of the event store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Location of the database.
    pub location: StoreLocation,
    /// Retention time of events.
    pub retention: SignedDuration,
    /// Part of the database that is recorded.
    pub scope: WriterScope,
    /// Record that shows what is written, of several aggregators over one database.
    pub reader: Option<EventStoreHandle>,
}

impl Default for StoreOptions {
    /// Keeps events in memory, for 90 days.
    fn default() -> Self {
        Self {
            location: StoreLocation::Memory,
            retention: SignedDuration::from_hours(90 * 24),
            scope: WriterScope::Whole,
            reader: None,
        }
    }
}

/// Instance, or whole host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HostOrInstance {
    pub(crate) environment: Name,
    pub(crate) host: Name,
    /// `None`: the host.
    pub(crate) component: Option<Name>,
}

impl HostOrInstance {
    /// Returns the instance; `None`: it is a host.
    fn instance(&self) -> Option<InstanceId> {
        let component = self.component.clone()?;
        Some(InstanceId { environment: self.environment.clone(), host: self.host.clone(), component })
    }
}

impl fmt::Display for HostOrInstance {
    /// Formats as `kafka server on h1` or `host h1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.component {
            Some(component) => write!(f, "{component} on {}", self.host),
            None => write!(f, "host {}", self.host),
        }
    }
}

/// Plan that an earlier aggregator began and did not end.
#[derive(Clone, Debug)]
pub struct UnfinishedPlan {
    /// The plan.
    pub begun: PlanStart,
    /// State and last text of each step.
    pub states: Vec<(StepState, String)>,
}

/// What an aggregator that follows shows of the leader's record, beside events and timelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SharedRecord {
    /// Active maintenance.
    pub(crate) maintenance: Vec<Maintenance>,
    /// Planned maintenance, which the leader begins.
    pub(crate) planned_maintenance: Vec<PlannedMaintenance>,
    /// Instances that plans have stopped and that have not run since.
    pub(crate) planned_stops: HashMap<InstanceId, PlannedStop>,
    /// Plans under way and the last ones, by their IDs.
    pub(crate) plans: Vec<Arc<RecordedPlan>>,
    /// Last reload of the configuration.
    pub(crate) last_reload: Option<RecordedReload>,
}

/// Reload of the configuration by one of several aggregators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedReload {
    /// ID of its event.
    pub(crate) event: u64,
    /// Digest of the configuration that was taken, or `refused`.
    pub(crate) outcome: String,
}

/// Open record with its thread. Its owner closes it.
#[derive(Debug)]
pub struct EventStore {
    handle: EventStoreHandle,
    used_by_another: Option<String>,
    is_at_its_location: bool,
    /// `None` if the thread could not be started.
    thread: Option<JoinHandle<()>>,
}

impl EventStore {
    /// Opens the event store. Falls back to a database in memory if that fails; the overview shows the
    /// reason.
    pub fn open(options: &StoreOptions) -> Self {
        let (error, _) = watch::channel(None);
        let (sender, commands) = channel();
        let (writer, mut recovered) = StoreWriter::open(options, error.clone(), Timestamp::now());
        let is_shared = options.scope.is_shared();
        if is_shared {
            recovered.incidents.last_id = FIRST_UNNUMBERED;
        }
        let used_by_another = writer.used_by_another.clone();
        let is_at_its_location = writer.permanent_error.is_none();
        let store = EventStoreHandle(Arc::new(HandleState {
            commands: sender,
            feed: writer.feed.clone(),
            error,
            queued: writer.queued_counter(),
            errors: writer.error_counters(),
            last_plan: AtomicU64::new(recovered.last_plan),
            reserved: AtomicU64::new(recovered.last_plan),
            samples_recorded: Arc::default(),
            shared_record: None,
            is_shared_writer: is_shared,
            unfinished: recovered.unfinished,
            maintenance: recovered.maintenance,
            maintained_hosts: recovered.maintained_hosts,
            planned_maintenance: (recovered.planned_maintenance, recovered.last_planned_maintenance),
            known_values: recovered.known_values,
            planned_stops: recovered.planned_stops,
            health_changes: recovered.health_changes,
            earlier_runs: recovered.earlier_runs,
            notifications: recovered.notifications,
            incidents: recovered.incidents,
        }));
        if !is_shared {
            store.reserve_plan_ids(recovered.last_plan);
        }
        let end = ThreadEndGuard(store.0.error.clone());
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
            let _end = end;
            writer.run(&commands);
        });
        let thread = thread.map_err(|error| store.report_thread_end(&error.to_string())).ok();
        Self { handle: store, used_by_another, is_at_its_location, thread }
    }

    /// Opens the record of another aggregator, which leads. Nothing is recorded through it. If the database
    /// does not answer, the overview shows that until it does.
    pub fn follow(location: PostgresLocation) -> Self {
        let (error, _) = watch::channel(None);
        let (publisher, shared_record) = watch::channel(Arc::default());
        let (sender, commands) = channel();
        let (reader, recovered) =
            RecordReader::open(location, EventFeed::of_record(), publisher, error.clone());
        let handle = EventStoreHandle(Arc::new(HandleState {
            commands: sender,
            feed: reader.feed().clone(),
            error,
            queued: Arc::clone(&reader.queued),
            errors: Arc::clone(&reader.errors),
            last_plan: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            samples_recorded: Arc::clone(&reader.change_count),
            shared_record: Some(shared_record),
            is_shared_writer: false,
            // The leader goes on with its plans.
            unfinished: Vec::new(),
            maintenance: recovered.maintenance,
            maintained_hosts: recovered.maintained_hosts,
            known_values: recovered.known_values,
            planned_stops: recovered.planned_stops,
            health_changes: recovered.health_changes,
            earlier_runs: recovered.earlier_runs,
            planned_maintenance: (recovered.planned_maintenance, recovered.last_planned_maintenance),
            incidents: StoredIncidents::default(),
            notifications: StoredNotifications::default(),
        }));
        let end = ThreadEndGuard(handle.0.error.clone());
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
            let _end = end;
            reader.run(&commands);
        });
        let thread = thread.map_err(|error| handle.report_thread_end(&error.to_string())).ok();
        Self { handle, used_by_another: None, is_at_its_location: true, thread }
    }

    /// Opens a record in memory, which is lost when the aggregator ends.
    pub fn in_memory() -> Self {
        Self::open(&StoreOptions::default())
    }

    /// Returns a sentence with the other aggregator's process ID if another aggregator has the data folder.
    /// This aggregator's record is in memory then.
    pub fn used_by_another(&self) -> Option<&str> {
        self.used_by_another.as_deref()
    }

    /// Returns true unless the database could not be opened, so that the record is in memory.
    pub fn is_at_its_location(&self) -> bool {
        self.is_at_its_location
    }

    /// Returns a handle to record events with.
    pub fn handle(&self) -> EventStoreHandle {
        self.handle.clone()
    }

    /// Writes everything pending, and ends the thread.
    pub(crate) async fn close(self) {
        let Some(thread) = self.thread else { return };
        let last_plan = self.handle.0.last_plan.load(Ordering::Relaxed);
        let commands = self.handle.0.commands.clone();
        let closing = tokio::task::spawn_blocking(move || {
            // The thread may have ended already.
            let _ = commands.send(StoreCommand::Close(last_plan));
            thread.join()
        });
        match tokio::time::timeout(ANSWER_TIMEOUT, closing).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => tracing::error!("the record's thread failed"),
            Err(_) => tracing::error!("the record could not be written to its end: its database hangs"),
        }
    }
}

/// Handle to record events and state with; clones share one queue. The calls that are not `async` return at
/// once.
#[derive(Clone, Debug)]
pub struct EventStoreHandle(Arc<HandleState>);

#[derive(Debug)]
struct HandleState {
    commands: Sender<StoreCommand>,
    feed: EventFeed,
    /// Number of events, samples and questions in the queue.
    queued: Arc<AtomicUsize>,
    /// Reason why nothing is recorded at the moment.
    error: watch::Sender<Option<String>>,
    errors: Arc<StoreErrorCounters>,
    last_plan: AtomicU64,
    /// Highest plan ID that the database has reserved.
    reserved: AtomicU64,
    /// Number of calls of [`EventStoreHandle::record_samples`] that were queued.
    samples_recorded: Arc<AtomicU64>,
    /// Record of the leader; `None`: this aggregator records.
    shared_record: Option<watch::Receiver<Arc<SharedRecord>>>,
    /// True for one of several writers.
    is_shared_writer: bool,
    unfinished: Vec<UnfinishedPlan>,
    maintenance: Vec<Maintenance>,
    maintained_hosts: HashSet<Name>,
    planned_maintenance: (Vec<PlannedMaintenance>, u64),
    known_values: HashMap<HostOrInstance, String>,
    planned_stops: HashMap<InstanceId, PlannedStop>,
    health_changes: HashMap<InstanceId, (Health, Timestamp)>,
    earlier_runs: HashSet<InstanceId>,
    notifications: StoredNotifications,
    incidents: StoredIncidents,
}

impl EventStoreHandle {
    /// Returns the feed that assigns the sequence numbers of this store's events.
    pub(crate) fn feed(&self) -> &EventFeed {
        &self.0.feed
    }

    /// Returns the record of the leader, if this aggregator follows.
    pub(crate) fn shared_record(&self) -> Option<watch::Receiver<Arc<SharedRecord>>> {
        self.0.shared_record.clone()
    }

    /// Returns true if this is the record of another aggregator, which leads.
    pub(crate) fn is_shared_record(&self) -> bool {
        self.0.shared_record.is_some()
    }

    /// Records an event under the ID that it has; the database assigns another one if that is 0 or taken.
    pub(crate) fn append_event(&self, event: &Arc<Event>) {
        if self.reserve_slot() {
            self.send_command(StoreCommand::AppendEvent(Arc::clone(event)));
        } else {
            self.0.errors.count_event();
            self.report_loss();
            // The known value is kept even if the event is lost.
            self.record_known_values(known_value_of(event).into_iter().collect());
        }
    }

    /// Returns true if this is one of several writers of a database.
    pub(crate) fn is_shared_writer(&self) -> bool {
        self.0.is_shared_writer
    }

    /// Returns a plan ID that was never used before, not even by another aggregator with the same database.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database has to reserve it, and does not.
    pub(crate) async fn reserve_plan_id(&self) -> Result<u64, String> {
        match self.0.is_shared_writer {
            true => self.reserve_number(ReservedNumber::Plan).await,
            false => Ok(self.next_plan_id()),
        }
    }

    /// Returns an ID of planned maintenance that was never used before; 0 unless several aggregators write,
    /// when the owner of the planned maintenance assigns it.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database has to reserve it, and does not.
    pub(crate) async fn reserve_planned_maintenance_id(&self) -> Result<u64, String> {
        match self.0.is_shared_writer {
            true => self.reserve_number(ReservedNumber::PlannedMaintenance).await,
            false => Ok(0),
        }
    }

    async fn reserve_number(&self, number: ReservedNumber) -> Result<u64, String> {
        let (answer, answered) = oneshot::channel();
        self.send_command(StoreCommand::ReserveNumber(number, answer));
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(reserved)) => reserved,
            Ok(Err(_)) => Err("the record has ended".to_owned()),
            Err(_) => Err(no_answer_in_time()),
        }
    }

    /// Has the thread read what was written since, of a record that is only read.
    pub(crate) fn read_on(&self) {
        let (done, _) = oneshot::channel();
        self.send_command(StoreCommand::Flush(done));
    }

    /// Returns a plan ID that was never used before, not even by an earlier aggregator with the same
    /// database.
    pub fn next_plan_id(&self) -> u64 {
        let id = self.0.last_plan.fetch_add(1, Ordering::Relaxed) + 1;
        if id + RESERVED_IDS / 2 > self.0.reserved.load(Ordering::Relaxed) {
            self.reserve_plan_ids(id);
        }
        id
    }

    fn reserve_plan_ids(&self, from: u64) {
        let last = from + RESERVED_IDS;
        self.0.reserved.fetch_max(last, Ordering::Relaxed);
        self.send_command(StoreCommand::ReservePlanIds(last));
    }

    /// Records the beginning of a plan and its event, in one transaction. The answer arrives when they are on
    /// disk (in memory without a data folder).
    pub(crate) fn record_plan_begin(&self, begun: &PlanStart, event: &Arc<Event>) -> DurableWrite {
        let (answer, written) = oneshot::channel();
        self.send_command(StoreCommand::BeginPlan(Box::new(begun.clone()), Arc::clone(event), answer));
        DurableWrite(written)
    }

    /// Records a change of a step's state, and its event if it makes one.
    pub(crate) fn record_step(&self, plan: u64, change: &StepChange, event: Option<&Arc<Event>>) {
        self.send_command(StoreCommand::ChangeStep(plan, Box::new(change.clone()), event.map(Arc::clone)));
    }

    /// Records the end of a plan and its event.
    pub(crate) fn record_plan_end(&self, plan: u64, end: &PlanEnd, event: &Arc<Event>) {
        self.send_command(StoreCommand::EndPlan(plan, end.clone(), Arc::clone(event)));
    }

    /// Returns the plans that an earlier aggregator began and did not end.
    pub fn unfinished_plans(&self) -> Vec<UnfinishedPlan> {
        self.0.unfinished.clone()
    }

    /// Returns the maintenance that was active when an earlier aggregator ended.
    pub(crate) fn maintenance(&self) -> Vec<Maintenance> {
        self.0.maintenance.clone()
    }

    /// Returns the hosts whose maintenance an earlier aggregator recorded.
    pub(crate) fn maintained_hosts(&self) -> HashSet<Name> {
        self.0.maintained_hosts.clone()
    }

    /// Returns the maintenance that was planned when an earlier aggregator ended, and the highest ID in use.
    pub(crate) fn planned_maintenance(&self) -> (Vec<PlannedMaintenance>, u64) {
        self.0.planned_maintenance.clone()
    }

    /// Returns the last known value of every instance and host when an earlier aggregator ended.
    pub(crate) fn known_values(&self) -> HashMap<HostOrInstance, String> {
        self.0.known_values.clone()
    }

    /// Returns the instances that plans had stopped and that had not run since when an earlier aggregator
    /// ended.
    pub(crate) fn planned_stops(&self) -> HashMap<InstanceId, PlannedStop> {
        self.0.planned_stops.clone()
    }

    /// Records that a plan stopped this instance; `None` removes the planned stop.
    pub(crate) fn record_planned_stop(&self, id: InstanceId, stop: Option<PlannedStop>) {
        self.send_command(StoreCommand::SetPlannedStop(id, stop));
    }

    /// Returns the last health change of each instance that an earlier aggregator recorded.
    pub(crate) fn health_changes(&self) -> HashMap<InstanceId, (Health, Timestamp)> {
        self.0.health_changes.clone()
    }

    /// Returns the instances that an earlier aggregator saw run.
    pub(crate) fn earlier_runs(&self) -> HashSet<InstanceId> {
        self.0.earlier_runs.clone()
    }

    /// Returns the state and the undelivered messages of the notifier of an earlier aggregator.
    pub(crate) fn notifications(&self) -> StoredNotifications {
        self.0.notifications.clone()
    }

    /// Records a change of the notifications, in one transaction, and returns when it is on disk.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if it is not on disk. It is recorded later if that becomes possible.
    pub(crate) async fn record_notifications(&self, change: NotificationChange) -> Result<(), String> {
        let (answer, written) = oneshot::channel();
        self.send_command(StoreCommand::ChangeNotifications(Box::new(change), Some(answer)));
        DurableWrite(written).wait().await
    }

    /// Records a change of the notifications soon. The last ones may be lost if the aggregator is killed.
    pub(crate) fn update_notifications(&self, change: NotificationChange) {
        self.send_command(StoreCommand::ChangeNotifications(Box::new(change), None));
    }

    /// Returns the incidents that an earlier aggregator left open or closed recently.
    pub(crate) fn stored_incidents(&self) -> StoredIncidents {
        self.0.incidents.clone()
    }

    /// Records a change of the incidents soon. The last ones may be lost if the aggregator is killed.
    pub(crate) fn record_incidents(&self, change: IncidentChange) {
        self.send_command(StoreCommand::ChangeIncidents(Box::new(change)));
    }

    /// Returns the matching incidents, the newest first, each with its newest events.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database cannot be read in time.
    pub(crate) async fn query_incidents(&self, query: IncidentQuery) -> Result<Vec<IncidentDetails>, String> {
        self.query_thread("incidents", |answer| StoreCommand::QueryIncidents(Box::new(query), answer)).await
    }

    /// Replaces the recorded maintenance by `all`.
    pub(crate) fn record_maintenance(&self, all: Vec<Maintenance>) {
        self.send_command(StoreCommand::SetMaintenance(all));
    }

    /// Replaces the recorded planned maintenance by `all`; `last_id` is the highest ID in use.
    pub(crate) fn record_planned_maintenance(&self, all: Vec<PlannedMaintenance>, last_id: u64) {
        self.send_command(StoreCommand::SetPlannedMaintenance(all, last_id));
    }

    /// Records known values without an event.
    pub(crate) fn record_known_values(&self, known: Vec<(HostOrInstance, String)>) {
        if !known.is_empty() {
            self.send_command(StoreCommand::SetKnown(known));
        }
    }

    /// Records the timeline states that these instances have from `at` on.
    pub(crate) fn record_samples(&self, at: Timestamp, shown: Vec<(InstanceId, TimelineState)>) {
        if shown.is_empty() {
            return;
        }
        if self.reserve_slot() {
            self.send_command(StoreCommand::AddSamples(at, shown));
            self.0.samples_recorded.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.errors.count_samples();
            self.report_loss();
        }
    }

    /// Returns a counter that grows with every recorded sample, to detect new ones.
    pub(crate) fn sample_count(&self) -> u64 {
        self.0.samples_recorded.load(Ordering::Relaxed)
    }

    /// Waits until everything queued before is written or has failed (the overview shows the failure).
    /// Returns false if the time limit was exceeded or the thread has ended.
    pub(crate) async fn flush(&self) -> bool {
        let (done, written) = oneshot::channel();
        self.send_command(StoreCommand::Flush(done));
        matches!(tokio::time::timeout(ANSWER_TIMEOUT, written).await, Ok(Ok(())))
    }

    /// Returns the matching events, the newest first, with those that could not be written yet.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database cannot be read in time.
    pub(crate) async fn query_events(&self, query: EventQuery) -> Result<Vec<Event>, String> {
        self.query_thread("events", |answer| StoreCommand::QueryEvents(Box::new(query), answer)).await
    }

    /// Loads the timeline samples needed to reconstruct the state since `since`, of one instance or (`None`)
    /// of all.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database cannot be read in time.
    pub(crate) async fn query_timeline(
        &self,
        since: Timestamp,
        instance: Option<InstanceId>,
    ) -> Result<TimelineRows, String> {
        let query = Box::new(query::TimelineQuery { since, instance });
        self.query_thread("times past", |answer| StoreCommand::QueryTimeline(query, answer)).await
    }

    /// Returns the plan with this ID; `None`: the record does not have it, or not any more.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database cannot be read in time.
    pub(crate) async fn query_plan(&self, id: u64) -> Result<Option<RecordedPlan>, String> {
        self.query_thread("plans", |answer| StoreCommand::QueryPlan(id, answer)).await
    }

    /// Records a request with a key, if the key is new, and returns what is known of it, when it is on disk.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database does not do it in time.
    pub(crate) async fn begin_request(&self, new: KeyedRequest) -> Result<RequestRecord, String> {
        self.query_thread("keys", |answer| StoreCommand::BeginRequest(Box::new(new), answer)).await
    }

    /// Records the answer to a request that [`Self::begin_request`] recorded; without one its key is free
    /// again.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if the database does not do it in time.
    pub(crate) async fn end_request(&self, key: String, given: Option<RequestAnswer>) -> Result<(), String> {
        self.query_thread("keys", |answer| StoreCommand::EndRequest(key, given.map(Box::new), answer)).await
    }

    async fn query_thread<T>(
        &self,
        what: &str,
        command: impl FnOnce(oneshot::Sender<Result<T, String>>) -> StoreCommand,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        if !self.reserve_slot() {
            return Err(format!("{what} cannot be read at the moment: the record is busy"));
        }
        self.send_command(command(answer));
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(format!("{what} cannot be read: the record has ended")),
            Err(_) => Err(format!(
                "{what} could not be read within {} s: the database is slow",
                ANSWER_TIMEOUT.as_secs()
            )),
        }
    }

    /// Returns the number of failures since the aggregator began.
    pub(crate) fn error_counts(&self) -> StoreErrorCounts {
        self.0.errors.counts()
    }

    /// Returns the reason why nothing is recorded at the moment, as a sentence; `None` while recording works.
    pub fn watch_error(&self) -> watch::Receiver<Option<String>> {
        self.0.error.subscribe()
    }

    fn send_command(&self, command: StoreCommand) {
        if self.0.commands.send(command).is_err() {
            self.report_thread_end("its thread has ended");
        }
    }

    /// Reserves a slot in the queue for one more event, sample or question. Returns false if the queue is
    /// full.
    fn reserve_slot(&self) -> bool {
        let more = |waiting: usize| (waiting < QUEUE_CAPACITY).then_some(waiting + 1);
        self.0.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn report_loss(&self) {
        self.0.error.send_if_modified(|error| {
            let is_new = error.is_none();
            if is_new {
                let since = Timestamp::now().strftime("%H:%M UTC");
                *error = Some(format!("events are lost since {since}: the database is too slow"));
            }
            is_new
        });
    }

    fn report_thread_end(&self, why: &str) {
        self.0.error.send_if_modified(|error| {
            let is_new = error.is_none();
            error.get_or_insert_with(|| thread_end_message(why));
            is_new
        });
    }
}

/// Pending answer to a write that must survive a loss of power: the beginning of a plan, notifications.
#[derive(Debug)]
pub(crate) struct DurableWrite(oneshot::Receiver<Result<(), String>>);

impl DurableWrite {
    /// Waits until it is on disk.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if it is not. It is recorded later if that becomes possible.
    pub(crate) async fn wait(self) -> Result<(), String> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.0).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("the record has ended; restart rta-aggregator".to_owned()),
            Err(_) => Err(no_answer_in_time()),
        }
    }
}

/// Returns the sentence for a database that hangs.
pub(crate) fn no_answer_in_time() -> String {
    format!("the database did not answer within {} s", ANSWER_TIMEOUT.as_secs())
}

/// Returns the sentence for a thread that has ended.
fn thread_end_message(why: &str) -> String {
    format!("events are not recorded: {why}; restart rta-aggregator")
}

/// Guard on the stack of the event store's thread; reports a panic of that thread when it is dropped.
struct ThreadEndGuard(watch::Sender<Option<String>>);

impl Drop for ThreadEndGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(Some(thread_end_message("its thread panicked")));
        }
    }
}

/// Returns the known value of an instance or a host that follows from an event.
fn known_value_of(event: &Event) -> Option<(HostOrInstance, String)> {
    let (EventKind::Health | EventKind::Host, Some(environment), Some(host), Some(value)) =
        (event.kind, &event.environment, &event.host, &event.to)
    else {
        return None;
    };
    let (environment, host, component) = (environment.clone(), host.clone(), event.component.clone());
    Some((HostOrInstance { environment, host, component }, value.clone()))
}

/// Creates an event about the aggregator itself.
fn aggregator_event(at: Timestamp, text: String) -> Event {
    Event::new(at, EventKind::Aggregator, text)
}

#[cfg(test)]
impl EventStore {
    /// Ends the thread as a kill of the aggregator would: without its last command. The caller must have
    /// dropped all other handles.
    pub(crate) fn abandon(self) {
        let Self { handle, thread, .. } = self;
        drop(handle);
        thread.unwrap().join().unwrap();
    }
}

#[cfg(test)]
impl Default for EventStoreHandle {
    /// Creates a handle that records nothing.
    fn default() -> Self {
        let (commands, _) = channel();
        let (error, _) = watch::channel(None);
        Self(Arc::new(HandleState {
            commands,
            feed: EventFeed::default(),
            error,
            queued: Arc::default(),
            errors: Arc::default(),
            last_plan: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            samples_recorded: Arc::default(),
            shared_record: None,
            is_shared_writer: false,
            unfinished: Vec::new(),
            maintenance: Vec::new(),
            maintained_hosts: HashSet::new(),
            planned_maintenance: (Vec::new(), 0),
            known_values: HashMap::new(),
            planned_stops: HashMap::new(),
            health_changes: HashMap::new(),
            earlier_runs: HashSet::new(),
            notifications: StoredNotifications::default(),
            incidents: StoredIncidents::default(),
        }))
    }
}
