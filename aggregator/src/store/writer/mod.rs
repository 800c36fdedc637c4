//! Thread that owns the database: writes commands, answers questions, applies retention, and continues when
//! nothing can be written.

mod open;
mod queries;
mod requests;
mod retention;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rta_shared::event::Event;
use rta_shared::format::counted;
use rta_shared::incident::IncidentDetails;
use rta_shared::maintenance::Maintenance;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{PlanEnd, PlanStart, StepChange};
use rta_shared::planned_maintenance::PlannedMaintenance;
use rta_shared::planned_stop::PlannedStop;
use tokio::sync::{oneshot, watch};

use super::incidents::IncidentChange;
use super::query::{EventQuery, IncidentQuery, TimelineQuery, TimelineRows};
use super::{
    EventFeed, EventStoreHandle, HostOrInstance, KeyedRequest, NotificationChange, RequestAnswer,
    RequestRecord, aggregator_event,
};
use crate::store::backend::{Backend, Durability, OpenFailure};
use crate::store::error_counters::StoreErrorCounters;
use crate::store::pending_writes::PendingWrites;
use crate::store::rows::plans::RecordedPlan;
use crate::store::rows::{RowCache, StoredNumber, reserve_number, write_number};
use crate::store::scope::WriterScope;
use crate::store::sql::{SqlSession, StoreError};
use crate::timeline::{RecordingGap, TimelineState};

/// Maximum number of commands that are written at once.
const MAX_BATCH: usize = 2000;
/// Interval between two writes of the time of last activity, which shows afterwards until when a killed
/// aggregator ran.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(60);

/// Event IDs that are reserved ahead, so that none is used twice if the aggregator is killed: more than the
/// queue and one batch hold.
const RESERVED_EVENT_IDS: u64 = 50_000;

/// Commands to the thread.
#[derive(Debug)]
pub(crate) enum StoreCommand {
    AppendEvent(Arc<Event>),
    /// Plan with its event. Answered when both are on disk, or with the reason why they are not.
    BeginPlan(Box<PlanStart>, Arc<Event>, oneshot::Sender<Result<(), String>>),
    ChangeStep(u64, Box<StepChange>, Option<Arc<Event>>),
    EndPlan(u64, PlanEnd, Arc<Event>),
    /// Change of the notifications. Answered, if that is wanted, when it is on disk, or with the reason why
    /// it is not.
    ChangeNotifications(Box<NotificationChange>, Option<oneshot::Sender<Result<(), String>>>),
    ChangeIncidents(Box<IncidentChange>),
    SetMaintenance(Vec<Maintenance>),
    /// Planned maintenance, and the highest ID in use.
    SetPlannedMaintenance(Vec<PlannedMaintenance>, u64),
    SetKnown(Vec<(HostOrInstance, String)>),
    /// Planned stop of this instance; `None` removes it.
    SetPlannedStop(InstanceId, Option<PlannedStop>),
    /// Timeline states of these instances from this moment on.
    AddSamples(Timestamp, Vec<(InstanceId, TimelineState)>),
    /// Reserves plan IDs up to this one.
    ReservePlanIds(u64),
    /// Reserves the next number of this kind, for one of several writers.
    ReserveNumber(ReservedNumber, oneshot::Sender<Result<u64, String>>),
    QueryEvents(Box<EventQuery>, oneshot::Sender<Result<Vec<Event>, String>>),
    QueryIncidents(Box<IncidentQuery>, oneshot::Sender<Result<Vec<IncidentDetails>, String>>),
    QueryTimeline(Box<TimelineQuery>, oneshot::Sender<Result<TimelineRows, String>>),
    /// Plan with this ID.
    QueryPlan(u64, oneshot::Sender<Result<Option<RecordedPlan>, String>>),
    /// Request with a key. Answered with what is known of it, when it is on disk.
    BeginRequest(Box<KeyedRequest>, oneshot::Sender<Result<RequestRecord, String>>),
    /// Answer to the request with this key; without one the key is free again.
    EndRequest(String, Option<Box<RequestAnswer>>, oneshot::Sender<Result<(), String>>),
    /// Answered when everything before is written or has failed.
    Flush(oneshot::Sender<()>),
    /// Ends the thread; the number is the last plan ID in use.
    Close(u64),
}

/// Kind of the numbers that several writers reserve one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReservedNumber {
    Plan,
    PlannedMaintenance,
    Incident,
}

impl ReservedNumber {
    /// Reserves the next one.
    fn reserve(self, session: &mut dyn SqlSession) -> Result<u64, StoreError> {
        let (number, table) = match self {
            Self::Plan => (StoredNumber::Plan, "plans"),
            Self::PlannedMaintenance => (StoredNumber::PlannedMaintenance, "planned_maintenance"),
            Self::Incident => (StoredNumber::Incident, "incidents"),
        };
        reserve_number(session, number, table)
    }
}

/// Current write failure.
#[derive(Debug)]
struct WriteFailure {
    since: Timestamp,
    reason: String,
    retry_at: Instant,
    /// Number of attempts that failed.
    attempts: usize,
}

/// State of the thread.
#[derive(Debug)]
pub(crate) struct StoreWriter {
    backend: Box<dyn Backend>,
    /// Part of the database that this writer records.
    scope: WriterScope,
    /// Handle of the reader that reads on after each write; `None`: there is none.
    reader: Option<EventStoreHandle>,
    cache: RowCache,
    /// True after a failed transaction, until the cache is read again.
    is_cache_stale: bool,
    /// Sentence that names the other aggregator that has the folder.
    pub(crate) used_by_another: Option<String>,
    pub(crate) pending: PendingWrites,
    /// Numbers and broadcasts the events that the thread itself makes.
    pub(crate) feed: EventFeed,
    retention: SignedDuration,
    failure: Option<WriteFailure>,
    /// Problem that lasts until the aggregator is restarted.
    pub(in crate::store) permanent_error: Option<String>,
    error_sender: watch::Sender<Option<String>>,
    /// Number of events, samples and questions in the queue.
    queued: Arc<AtomicUsize>,
    errors: Arc<StoreErrorCounters>,
    /// Number of events taken since the last retention run.
    events_since_retention: usize,
    retention_at: Instant,
    /// Time of the next write of the time of last activity.
    activity_at: Instant,
    /// Time of the last check for lost events.
    lost_checked_at: Timestamp,
    /// Answers for the callers that wait until a plan or notifications are on disk.
    durable_replies: Vec<oneshot::Sender<Result<(), String>>>,
}

impl StoreWriter {
    /// Returns the counter of events, samples and questions in the queue.
    pub(crate) fn queued_counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.queued)
    }

    /// Returns the counters of failures and losses.
    pub(crate) fn error_counters(&self) -> Arc<StoreErrorCounters> {
        Arc::clone(&self.errors)
    }

    /// Runs until it receives `Close` or all senders are gone.
    pub(crate) fn run(mut self, commands: &Receiver<StoreCommand>) {
        loop {
            let first = match commands.recv_timeout(self.until_next_work()) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    self.write_pending(Timestamp::now());
                    return;
                }
            };
            let mut waiting = Vec::new();
            let mut is_closed = false;
            for command in first.into_iter().chain(commands.try_iter()).take(MAX_BATCH) {
                if matches!(
                    command,
                    StoreCommand::AppendEvent(_)
                        | StoreCommand::AddSamples(..)
                        | StoreCommand::QueryEvents(..)
                        | StoreCommand::QueryIncidents(..)
                        | StoreCommand::QueryTimeline(..)
                        | StoreCommand::QueryPlan(..)
                        | StoreCommand::BeginRequest(..)
                        | StoreCommand::EndRequest(..)
                ) {
                    self.queued.fetch_sub(1, Ordering::Relaxed);
                }
                match command {
                    StoreCommand::Close(last_plan) => {
                        if !self.scope.is_shared() {
                            self.pending.reserve_plan_ids(last_plan);
                            self.pending.reserve_event_ids(self.feed.last_id());
                        }
                        is_closed = true;
                        break;
                    }
                    StoreCommand::QueryEvents(..)
                    | StoreCommand::QueryIncidents(..)
                    | StoreCommand::QueryTimeline(..)
                    | StoreCommand::QueryPlan(..)
                    | StoreCommand::BeginRequest(..)
                    | StoreCommand::EndRequest(..)
                    | StoreCommand::ReserveNumber(..)
                    | StoreCommand::Flush(_) => waiting.push(command),
                    command => self.apply_command(command),
                }
            }
            if !is_closed {
                self.reserve_event_ids();
            }
            // A plan waits for its intent to be on disk, so the write is tried at once.
            if is_closed || self.is_due() || !self.durable_replies.is_empty() {
                self.write_pending(Timestamp::now());
            }
            self.answer_durable_writes();
            for command in waiting {
                // The receiver may be gone.
                match command {
                    StoreCommand::QueryEvents(query, answer) => drop(answer.send(self.query_events(&query))),
                    StoreCommand::QueryIncidents(query, answer) => {
                        drop(answer.send(self.query_incidents(&query)))
                    }
                    StoreCommand::QueryTimeline(query, answer) => {
                        drop(answer.send(self.query_timeline(&query)))
                    }
                    StoreCommand::QueryPlan(id, answer) => drop(answer.send(self.query_plan(id))),
                    StoreCommand::BeginRequest(new, answer) => {
                        drop(answer.send(self.begin_request(&new, Timestamp::now())))
                    }
                    StoreCommand::EndRequest(key, given, answer) => {
                        drop(answer.send(self.end_request(&key, given.as_deref(), Timestamp::now())))
                    }
                    StoreCommand::ReserveNumber(number, answer) => {
                        drop(answer.send(self.reserve_number(number)));
                    }
                    StoreCommand::Flush(done) => drop(done.send(())),
                    _ => {}
                }
            }
            if is_closed {
                return;
            }
            self.apply_retention(Timestamp::now());
        }
    }

    /// Returns the time until there is something to do.
    fn until_next_work(&self) -> Duration {
        let next = self.failure.as_ref().map_or(self.activity_at, |failure| failure.retry_at);
        let next = next.min(self.retention_at).saturating_duration_since(Instant::now());
        self.backend.check_interval().map_or(next, |interval| next.min(interval))
    }

    fn is_due(&self) -> bool {
        self.failure.as_ref().is_none_or(|failure| failure.retry_at <= Instant::now())
    }

    pub(crate) fn apply_command(&mut self, command: StoreCommand) {
        match command {
            StoreCommand::AppendEvent(event) => {
                self.events_since_retention += 1;
                self.pending.add_event(event);
            }
            StoreCommand::BeginPlan(begun, event, answer) => {
                self.pending.begin_plan(*begun);
                self.pending.add_event(event);
                self.durable_replies.push(answer);
            }
            StoreCommand::ChangeStep(plan, change, event) => {
                self.pending.change_step(plan, &change);
                event.into_iter().for_each(|event| self.pending.add_event(event));
            }
            StoreCommand::EndPlan(plan, end, event) => {
                self.pending.end_plan(plan, end);
                self.pending.add_event(event);
            }
            StoreCommand::ChangeNotifications(change, answer) => {
                self.pending.notifications.apply(*change);
                self.durable_replies.extend(answer);
            }
            StoreCommand::ChangeIncidents(change) => self.pending.incidents.apply(*change),
            StoreCommand::SetMaintenance(all) => self.pending.set_maintenance(all),
            StoreCommand::SetPlannedMaintenance(all, last_id) => {
                self.pending.set_planned_maintenance(all, last_id);
            }
            StoreCommand::SetKnown(known) => {
                known.into_iter().for_each(|(place, value)| self.pending.set_known(place, value));
            }
            StoreCommand::SetPlannedStop(id, stop) => self.pending.set_planned_stop(id, stop),
            StoreCommand::ReservePlanIds(last) => self.pending.reserve_plan_ids(last),
            StoreCommand::AddSamples(at, shown) => self.pending.samples.add(at, shown),
            StoreCommand::QueryEvents(..)
            | StoreCommand::QueryIncidents(..)
            | StoreCommand::QueryTimeline(..)
            | StoreCommand::QueryPlan(..)
            | StoreCommand::BeginRequest(..)
            | StoreCommand::EndRequest(..)
            | StoreCommand::ReserveNumber(..)
            | StoreCommand::Flush(_)
            | StoreCommand::Close(_) => {}
        }
        if self.failure.is_some() {
            self.pending.drop_excess();
        }
    }

    /// Records an event about the aggregator itself.
    pub(crate) fn add_own_event(&mut self, now: Timestamp, text: String) {
        let event = self.feed.announce(aggregator_event(now, text), Arc::clone);
        self.pending.add_event(event);
    }

    /// Reserves more event IDs if most of the reserved ones are in use.
    fn reserve_event_ids(&mut self) {
        // Several writers number events when they write them.
        if self.scope.is_shared() {
            return;
        }
        let last_id = self.feed.last_id();
        if last_id + RESERVED_EVENT_IDS / 2 > self.pending.reserved_event_id() {
            self.pending.reserve_event_ids(last_id + RESERVED_EVENT_IDS);
        }
    }

    /// Answers the callers that wait until a plan or notifications are on disk.
    fn answer_durable_writes(&mut self) {
        let failure = self.failure.as_ref().map(|failure| failure.reason.clone());
        let outcome = failure.or_else(|| self.permanent_error.clone()).map_or(Ok(()), Err);
        for answer in self.durable_replies.drain(..) {
            // The receiver may be gone.
            let _ = answer.send(outcome.clone());
        }
    }

    /// Writes everything pending, if that is possible.
    pub(crate) fn write_pending(&mut self, now: Timestamp) {
        let lost = self.errors.take_losses().describe();
        if let Some(lost) = &lost {
            let text = format!("{lost} could not be recorded: the database was too slow");
            tracing::error!("{text}");
            self.add_own_event(now, text);
            self.pending.samples.add_gap(RecordingGap { since: self.lost_checked_at.min(now), until: now });
        }
        self.lost_checked_at = now;
        let is_alive_noted = self.activity_at > Instant::now();
        if self.pending.is_empty() && self.failure.is_none() && is_alive_noted && self.backend.is_in_place() {
            return;
        }
        match self.try_write(now) {
            Ok(()) => self.clear_failure(now),
            Err(why) => {
                self.errors.count_write();
                self.note_failure(why, now);
            }
        }
        if lost.is_some() {
            self.publish_error();
        }
    }

    fn try_write(&mut self, now: Timestamp) -> Result<(), String> {
        if self.backend.session().is_none() {
            let opened = self.backend.open(now);
            self.record_notes(now);
            opened.map_err(OpenFailure::reason)?;
            self.read_cache()?;
            self.pending.mark_all_dirty(now);
        }
        if !self.backend.is_in_place() {
            let restored = self.backend.restore(now);
            self.record_notes(now);
            restored?;
            self.is_cache_stale = true;
        }
        if self.is_cache_stale {
            self.read_cache()?;
        }
        // An intent must survive a loss of power before it is acted on; other writes may lose the last
        // moment.
        let durability = if self.durable_replies.is_empty() { Durability::Normal } else { Durability::Full };
        match self.write_transaction(durability, now) {
            Ok(last_event) => {
                // Higher than those in use only if the database assigned it.
                self.feed.continue_after(last_event);
                if self.scope.is_shared() {
                    self.pending.numbered_events().into_iter().for_each(|event| self.feed.repeat(event));
                    self.reader.iter().for_each(EventStoreHandle::read_on);
                }
                self.pending.clear_written();
                self.activity_at = Instant::now() + ACTIVITY_INTERVAL;
                Ok(())
            }
            Err(error) => {
                let reported = self.backend.describe_failure(&error);
                self.backend.close_after(&error);
                match self.backend.replaces_database() {
                    // A new database is created at once.
                    true => self.try_write(now),
                    false => Err(reported),
                }
            }
        }
    }

    /// Writes everything pending in one transaction. Returns the highest ID of the events.
    fn write_transaction(&mut self, durability: Durability, now: Timestamp) -> Result<u64, StoreError> {
        self.backend.set_durability(durability)?;
        let (pending, cache, scope) = (&mut self.pending, &mut self.cache, &self.scope);
        let Some(session) = self.backend.session() else {
            return Err(StoreError::other("it is not open"));
        };
        if scope.is_shared() {
            for id in pending.incidents.unnumbered() {
                pending.incidents.set_number(id, ReservedNumber::Incident.reserve(session)?);
            }
        }
        let mut ids = Vec::new();
        let written = session.in_transaction(|session| {
            if scope.is_shared() {
                let turn = scope.take_turn(session)?;
                cache.catch_up(session, turn)?;
            }
            pending.write_all(session, cache, &mut ids)?;
            if scope.is_shared() && !ids.is_empty() {
                let last = i64::try_from(cache.last_event).unwrap_or(i64::MAX);
                write_number(session, StoredNumber::Event, last)?;
            }
            scope.write_activity(session, now.as_microsecond())?;
            write_number(session, StoredNumber::LastActive, now.as_microsecond())
        });
        if scope.is_shared() {
            pending.set_event_ids(&ids);
        }
        // What a failed transaction added is not in the database.
        self.is_cache_stale = written.is_err();
        written.map(|()| ids.into_iter().max().unwrap_or(0))
    }

    fn reserve_number(&mut self, number: ReservedNumber) -> Result<u64, String> {
        let Some(session) = self.backend.session() else {
            let why = self.failure.as_ref().map(|failure| failure.reason.clone());
            return Err(why.unwrap_or_else(|| "the database is not open".to_owned()));
        };
        number.reserve(session).map_err(|error| self.note_read_failure(&error, Timestamp::now()))
    }

    /// Reads what the writer remembers of the open database.
    fn read_cache(&mut self) -> Result<(), String> {
        let is_in_memory = self.backend.is_in_memory();
        let Some(session) = self.backend.session() else { return Err("it is not open".to_owned()) };
        match RowCache::read(session, is_in_memory) {
            Ok(read) => {
                self.cache = read;
                self.is_cache_stale = false;
                Ok(())
            }
            Err(error) => {
                let reported = self.backend.describe_failure(&error);
                self.backend.close_after(&error);
                Err(reported)
            }
        }
    }

    /// Records the events about the database itself.
    fn record_notes(&mut self, now: Timestamp) {
        for note in self.backend.take_notes() {
            self.add_own_event(now, note);
        }
    }

    fn note_failure(&mut self, why: String, now: Timestamp) {
        self.pending.drop_excess();
        let failures = self.failure.as_ref().map_or(0, |failure| failure.attempts);
        let again_at = Instant::now() + self.backend.retry_interval(failures);
        match &mut self.failure {
            Some(failure) => {
                failure.reason = why;
                failure.retry_at = again_at;
                failure.attempts += 1;
            }
            None => {
                tracing::error!(why, "events cannot be recorded; monitoring goes on");
                self.failure =
                    Some(WriteFailure { since: now, reason: why, retry_at: again_at, attempts: 1 });
            }
        }
        self.publish_error();
    }

    fn clear_failure(&mut self, now: Timestamp) {
        let Some(WriteFailure { since, reason: why, .. }) = self.failure.take() else { return };
        let span = format!("{} to {}", since.strftime("%H:%M:%S"), now.strftime("%H:%M:%S UTC"));
        let lost = self.pending.take_lost();
        self.errors.count_reported_events(lost);
        let what_is_lost = match lost {
            0 => "none is lost".to_owned(),
            lost => format!("{} lost", counted(usize::try_from(lost).unwrap_or(usize::MAX), "event")),
        };
        let text = format!("events could not be recorded from {span}: {why}; {what_is_lost}");
        tracing::info!("{text}");
        self.add_own_event(now, text);
        self.publish_error();
        self.write_pending(now);
    }

    /// Publishes the current problem for the overview.
    fn publish_error(&self) {
        let failure = self.failure.as_ref().map(|failure| {
            let since = failure.since.strftime("%H:%M UTC");
            format!("events are not recorded since {since}: {}", failure.reason)
        });
        let wrong = failure.or_else(|| self.permanent_error.clone());
        self.error_sender.send_if_modified(|reported| {
            let is_news = *reported != wrong;
            *reported = wrong;
            is_news
        });
    }
}

#[cfg(test)]
impl StoreWriter {
    /// Runs statements on the open database.
    pub(crate) fn run_sql(&mut self, sql: &str) {
        self.backend.session().unwrap().execute_batch(sql).unwrap();
    }

    /// Copies the write-ahead log into the file itself.
    pub(crate) fn checkpoint(&mut self) {
        // Pages in the cache would hide later changes of the file.
        self.run_sql("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA shrink_memory");
    }

    /// Limits the size of the database, to simulate a full disk.
    pub(crate) fn limit_pages(&mut self, pages: u32) {
        // Free pages would be room.
        let session = self.backend.session().unwrap();
        session.query("PRAGMA incremental_vacuum", &[], &mut |_| Ok(true)).unwrap();
        self.run_sql(&format!("PRAGMA max_page_count = {pages}"));
    }
}
