//! Thread that reads the record of all aggregators, of which each writes that of the environments that it
//! leads.
//!
//! It asks for the number of the last transaction, which each transaction writes, some times a second and
//! whenever this aggregator has written itself, and reads on when that has changed. `LISTEN` would save these
//! queries, of one row by its key, and need a connection that nothing between here and the server may share,
//! and a notification in each of the leaders' transactions.
//!
//! All that it reads at once is of one moment, and its session cannot write. Keys of requests, which every
//! aggregator writes, have a session of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::incident::IncidentDetails;
use tokio::sync::watch;

use super::postgres::record_session::{RecordSession, RecordStamp};
use super::postgres::request_session::RequestSession;
use super::query::{EventQuery, IncidentQuery, MAX_EVENTS, TimelineQuery, TimelineRows};
use super::request_keys::{begin_request, end_request};
use super::rows::dictionary::Dictionary;
use super::rows::plans::{RecordedPlan, read_plan, read_recent_plans};
use super::rows::{RecoveredState, events, incidents, read_recovered_state, samples, state};
use super::sql::{SqlSession, StoreError};
use super::writer::StoreCommand;
use super::{EventFeed, PostgresLocation, RecordedReload, SharedRecord, StoreErrorCounters};

/// Interval between two checks for a change: with the leader's own delay, people see a change within a
/// second.
const POLL_INTERVAL: Duration = Duration::from_millis(300);
/// Time until the next attempt after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Number of plans that are read; older ones are read only if they have not ended.
const MAX_PLANS: usize = 50;
/// Answer to what only the leader may record.
const READ_ONLY: &str = "this aggregator follows, and records nothing";

/// State of the thread.
#[derive(Debug)]
pub(super) struct RecordReader {
    location: PostgresLocation,
    /// `None`: the connection has to be made.
    session: Option<RecordSession>,
    /// Session that writes keys of requests; `None`: the connection has to be made.
    request_session: Option<RequestSession>,
    dictionary: Dictionary,
    /// Broadcasts the events that are read.
    feed: EventFeed,
    /// Moment of the record that was read last; `None`: none was.
    stamp: Option<RecordStamp>,
    plans: BTreeMap<u64, Arc<RecordedPlan>>,
    shared: watch::Sender<Arc<SharedRecord>>,
    error_sender: watch::Sender<Option<String>>,
    failing_since: Option<Timestamp>,
    retry_at: Instant,
    /// Number of queries in the queue.
    pub(super) queued: Arc<AtomicUsize>,
    /// Counts failed reads.
    pub(super) errors: Arc<StoreErrorCounters>,
    /// Grows with each change of the record.
    pub(super) change_count: Arc<AtomicU64>,
}

impl RecordReader {
    /// Reads the record at this location, if it answers. Returns the reader and the state that was read.
    pub(super) fn open(
        location: PostgresLocation,
        feed: EventFeed,
        shared: watch::Sender<Arc<SharedRecord>>,
        error_sender: watch::Sender<Option<String>>,
    ) -> (Self, RecoveredState) {
        let mut reader = Self {
            location,
            session: None,
            request_session: None,
            dictionary: Dictionary::default(),
            feed,
            stamp: None,
            plans: BTreeMap::new(),
            shared,
            error_sender,
            failing_since: None,
            retry_at: Instant::now(),
            queued: Arc::default(),
            errors: Arc::default(),
            change_count: Arc::default(),
        };
        reader.poll();
        let recovered = match &mut reader.session {
            Some(session) => read_recovered_state(session.session(), Timestamp::now(), None),
            None => Ok(RecoveredState::default()),
        };
        let recovered = recovered.unwrap_or_else(|error| {
            reader.note_failure(&error);
            RecoveredState::default()
        });
        (reader, recovered)
    }

    /// Returns the feed of the events that are read.
    pub(super) fn feed(&self) -> &EventFeed {
        &self.feed
    }

    /// Runs until it receives `Close` or all senders are gone.
    pub(super) fn run(mut self, commands: &Receiver<StoreCommand>) {
        let mut poll_at = Instant::now() + POLL_INTERVAL;
        loop {
            match commands.recv_timeout(poll_at.saturating_duration_since(Instant::now())) {
                Ok(StoreCommand::Close(_)) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(command) => self.answer(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if poll_at <= Instant::now() {
                self.poll();
                poll_at = Instant::now() + POLL_INTERVAL;
            }
        }
    }

    /// Answers queries; whatever else is recorded by the leader.
    fn answer(&mut self, command: StoreCommand) {
        match command {
            StoreCommand::QueryEvents(query, answer) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                // The receiver may be gone, here and below.
                drop(answer.send(self.query_events(&query)));
            }
            StoreCommand::QueryIncidents(query, answer) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                drop(answer.send(self.query_incidents(&query)));
            }
            StoreCommand::QueryTimeline(query, answer) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                drop(answer.send(self.query_timeline(&query)));
            }
            StoreCommand::QueryPlan(id, answer) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                drop(answer.send(self.query("plans", |session, _| read_plan(session, id))));
            }
            StoreCommand::BeginRequest(new, answer) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                let now = Timestamp::now();
                drop(answer.send(self.write_key(|session| begin_request(session, &new, now))));
            }
            StoreCommand::EndRequest(key, given, answer) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                drop(answer.send(self.write_key(|session| end_request(session, &key, given.as_deref()))));
            }
            StoreCommand::AppendEvent(_) | StoreCommand::AddSamples(..) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
            }
            StoreCommand::BeginPlan(.., answer) => drop(answer.send(Err(READ_ONLY.to_owned()))),
            StoreCommand::ChangeNotifications(_, answer) => {
                answer.into_iter().for_each(|answer| drop(answer.send(Err(READ_ONLY.to_owned()))));
            }
            StoreCommand::ReserveNumber(_, answer) => drop(answer.send(Err(READ_ONLY.to_owned()))),
            StoreCommand::Flush(done) => {
                self.poll();
                let _ = done.send(());
            }
            StoreCommand::ChangeStep(..)
            | StoreCommand::EndPlan(..)
            | StoreCommand::SetMaintenance(_)
            | StoreCommand::SetPlannedMaintenance(..)
            | StoreCommand::ChangeIncidents(_)
            | StoreCommand::SetKnown(_)
            | StoreCommand::SetPlannedStop(..)
            | StoreCommand::ReservePlanIds(_)
            | StoreCommand::Close(_) => {}
        }
    }

    fn query_events(&mut self, query: &EventQuery) -> Result<Vec<Event>, String> {
        self.query("events", |session, dictionary| {
            // A query knows only names and words that were read.
            dictionary.read_new(session)?;
            events::read_events(session, dictionary, query, 0)
        })
    }

    fn query_incidents(&mut self, query: &IncidentQuery) -> Result<Vec<IncidentDetails>, String> {
        self.query("incidents", |session, dictionary| {
            dictionary.read_new(session)?;
            let found = incidents::read_incidents(session, query)?;
            query.add_events(found, |query| events::read_events(session, dictionary, query, 0))
        })
    }

    fn query_timeline(&mut self, query: &TimelineQuery) -> Result<TimelineRows, String> {
        self.query("times past", |session, dictionary| {
            dictionary.read_new(session)?;
            samples::read_timeline(session, dictionary, query)
        })
    }

    /// Writes keys of requests, which every aggregator does.
    fn write_key<T>(
        &mut self,
        write: impl FnOnce(&mut dyn SqlSession) -> Result<T, StoreError>,
    ) -> Result<T, String> {
        let opened = match self.request_session.take() {
            Some(session) => Ok(session),
            None => RequestSession::connect(&self.location),
        };
        let written = opened.and_then(|mut opened| {
            let written = opened.session().in_transaction(|session| write(session))?;
            self.request_session = Some(opened);
            Ok(written)
        });
        written.map_err(|error| {
            self.errors.count_write();
            format!("keys cannot be recorded: {}: {error}", self.location)
        })
    }

    fn query<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&mut dyn SqlSession, &mut Dictionary) -> Result<T, StoreError>,
    ) -> Result<T, String> {
        if self.session.is_none() {
            self.poll();
        }
        let Some(session) = &mut self.session else {
            let why = self.error_sender.borrow().clone().unwrap_or_else(|| "it is not open".to_owned());
            return Err(format!("{what} cannot be read: {why}"));
        };
        let dictionary = &mut self.dictionary;
        let read = session.session().in_transaction(|session| read(session, dictionary));
        read.map_err(|error| {
            let why = format!("{what} cannot be read: {}: {error}", self.location);
            self.note_failure(&error);
            why
        })
    }

    /// Reads what has changed since the last time.
    fn poll(&mut self) {
        if self.session.is_none() && self.retry_at > Instant::now() {
            return;
        }
        match self.read_changes() {
            Ok(()) => {
                if self.failing_since.take().is_some() {
                    tracing::info!("the record of the leader is read again");
                    self.error_sender.send_replace(None);
                }
            }
            Err(error) => self.note_failure(&error),
        }
    }

    fn read_changes(&mut self) -> Result<(), StoreError> {
        let session = match &mut self.session {
            Some(session) => session,
            None => self.session.insert(RecordSession::connect(&self.location)?),
        };
        let stamp = session.read_stamp()?;
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        let (dictionary, feed, plans) = (&mut self.dictionary, &self.feed, &self.plans);
        let is_first = self.stamp.is_none();
        // A new leader may give the number of a deleted place to another one.
        let is_same_leader = self.stamp.is_some_and(|before| before.epoch == stamp.epoch);
        let (new_events, read) = session.session().in_transaction(|session| {
            match is_same_leader {
                true => dictionary.read_new(session)?,
                false => *dictionary = Dictionary::read(session, false)?,
            }
            let new_events = match is_first {
                true => {
                    feed.continue_after(events::read_last_id(session)?);
                    Vec::new()
                }
                false => read_events_after(session, dictionary, feed.last_id())?,
            };
            let plans = read_recent_plans(session, plans, MAX_PLANS)?;
            let read = SharedRecord {
                maintenance: state::read_maintenance(session)?,
                planned_maintenance: state::read_planned_maintenance(session)?,
                planned_stops: state::read_planned_stops(session)?,
                plans: plans.values().cloned().collect(),
                last_reload: read_last_reload(session, dictionary)?,
            };
            Ok((new_events, (plans, read)))
        })?;
        let (plans, read) = read;
        self.plans = plans;
        // What a change of the leader's transaction was about is seen with its events.
        self.shared.send_if_modified(|shared| {
            let is_changed = **shared != read;
            if is_changed {
                *shared = Arc::new(read);
            }
            is_changed
        });
        new_events.into_iter().for_each(|event| self.feed.repeat(Arc::new(event)));
        self.change_count.fetch_add(1, Ordering::Relaxed);
        self.stamp = Some(stamp);
        Ok(())
    }

    /// Gives the connection up, and reports the failure.
    fn note_failure(&mut self, error: &StoreError) {
        self.errors.count_read();
        self.session = None;
        self.retry_at = Instant::now() + RETRY_INTERVAL;
        let now = Timestamp::now();
        let since = *self.failing_since.get_or_insert(now);
        let sentence = format!(
            "the record of the leader is not read since {}: {}: {error}; events, plans and maintenance after that are not \
             shown here",
            since.strftime("%H:%M UTC"),
            self.location
        );
        self.error_sender.send_if_modified(|reported| {
            let is_news = reported.as_ref() != Some(&sentence);
            if reported.is_none() {
                tracing::error!(%error, "the record of the leader cannot be read; monitoring goes on");
            }
            *reported = Some(sentence);
            is_news
        });
    }
}

/// Returns the last reload of the configuration. It may precede the first read: an aggregator that could not
/// read the record then follows it all the same.
fn read_last_reload(
    session: &mut dyn SqlSession,
    dictionary: &Dictionary,
) -> Result<Option<RecordedReload>, StoreError> {
    let query = EventQuery { kinds: vec![EventKind::Config], limit: 1, ..EventQuery::default() };
    let last = events::read_events(session, dictionary, &query, 0)?.pop();
    Ok(last.and_then(|event| Some(RecordedReload { event: event.id, outcome: event.to? })))
}

/// Returns the events after an ID, the oldest first; the newest [`MAX_EVENTS`] if they are more.
fn read_events_after(
    session: &mut dyn SqlSession,
    dictionary: &Dictionary,
    after: u64,
) -> Result<Vec<Event>, StoreError> {
    let mut found: Vec<Event> = Vec::new();
    loop {
        // One answer has a limited size.
        let before = found.last().map(|event| event.id);
        let query = EventQuery { after: Some(after), before, limit: MAX_EVENTS, ..EventQuery::default() };
        let older = events::read_events(session, dictionary, &query, 0)?;
        if older.is_empty() || found.len() >= MAX_EVENTS {
            break;
        }
        found.extend(older);
    }
    found.reverse();
    Ok(found)
}
