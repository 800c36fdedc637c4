//! Thread that owns the database: writes commands, answers questions, applies retention, and continues when
//! nothing can be written.

mod opening;
mod questions;
mod restoring;
mod tidying;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rta_shared::event::Event;
use rta_shared::format::counted;
use rta_shared::maintenance::Maintenance;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{PlanEnd, PlanStart, StepChange};
use rta_shared::planned_stop::PlannedStop;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::backlog::Backlog;
use super::folder::{FileId, Folder};
use super::marks::{self, Asked, Noted};
use super::query::Query;
use super::schema::{self, why};
use super::{Place, own_event};
use crate::strip::{Gap, Stretch};

/// Maximum number of commands that are written at once.
const BATCH: usize = 2000;
/// Interval between retries after a failed write.
const AGAIN: Duration = Duration::from_secs(3);
/// Interval between two writes of the time of last activity, which shows afterwards until when a killed
/// aggregator ran.
const ALIVE: Duration = Duration::from_secs(60);

/// Commands to the thread.
#[derive(Debug)]
pub(super) enum Order {
    Event(Box<Event>),
    /// Answered when the plan is on disk, or with the reason why it is not.
    Begun(Box<PlanStart>, oneshot::Sender<Result<(), String>>),
    Step(u64, Box<StepChange>),
    Ended(u64, PlanEnd),
    Maintain(Vec<Maintenance>),
    Know(Vec<(Place, String)>),
    /// Planned stop of this instance; `None` removes it.
    Stopped(InstanceId, Option<PlannedStop>),
    /// Timeline states of these instances from this moment on.
    Mark(Timestamp, Vec<(InstanceId, Stretch)>),
    /// Reserves plan IDs up to this one.
    Reserve(u64),
    Ask(Box<Query>, oneshot::Sender<Result<Vec<Event>, String>>),
    AskNoted(Box<Asked>, oneshot::Sender<Result<Noted, String>>),
    /// Answered when everything before is written or has failed.
    Flush(oneshot::Sender<()>),
    /// Ends the thread; the number is the last plan ID in use.
    Close(u64),
}

/// Current write failure.
#[derive(Debug)]
struct Failure {
    since: Timestamp,
    why: String,
    again_at: Instant,
}

/// State of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None`: the database is in memory.
    folder: Option<Folder>,
    /// `None` after a failure: the file has to be opened again.
    database: Option<Connection>,
    /// Identity of the open database file.
    file: Option<FileId>,
    /// Sentence that names the other aggregator that has the folder.
    pub(super) used_by_another: Option<String>,
    /// Reason to move the file aside before it is opened again.
    damage: Option<String>,
    pub(super) backlog: Backlog,
    keep: SignedDuration,
    failure: Option<Failure>,
    /// Problem that lasts until the aggregator is restarted.
    for_good: Option<String>,
    told: watch::Sender<Option<String>>,
    /// Number of events, marks and questions in the queue.
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    /// Number of events taken since the last retention run.
    taken: usize,
    tidy_at: Instant,
    replaced_at: Option<Instant>,
    /// Time of the next write of the time of last activity.
    alive_at: Instant,
    /// Time of the last check for lost events.
    looked_at: Timestamp,
    /// Answers for the callers that wait until the beginning of a plan is on disk.
    intents: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Writer {
    /// Returns the counter of events, marks and questions in the queue.
    pub(super) fn waiting(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.waiting)
    }

    /// Returns the counter of events that were lost because the queue was full.
    pub(super) fn lost_before(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Runs until it receives `Close` or all senders are gone.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match orders.recv_timeout(self.idle()) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    self.write(Timestamp::now());
                    return;
                }
            };
            let mut waiting = Vec::new();
            let mut is_closed = false;
            for order in first.into_iter().chain(orders.try_iter()).take(BATCH) {
                if matches!(order, Order::Event(_) | Order::Mark(..) | Order::Ask(..) | Order::AskNoted(..)) {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                }
                match order {
                    Order::Close(last_plan) => {
                        self.backlog.reserve(last_plan);
                        is_closed = true;
                        break;
                    }
                    Order::Ask(..) | Order::AskNoted(..) | Order::Flush(_) => waiting.push(order),
                    order => self.take(order),
                }
            }
            // A plan waits for its intent to be on disk, so the write is tried at once.
            if is_closed || self.is_due() || !self.intents.is_empty() {
                self.write(Timestamp::now());
            }
            self.answer_intents();
            for order in waiting {
                // The receiver may be gone.
                match order {
                    Order::Ask(query, answer) => drop(answer.send(self.answer(&query))),
                    Order::AskNoted(asked, answer) => drop(answer.send(self.noted(&asked))),
                    Order::Flush(done) => drop(done.send(())),
                    _ => {}
                }
            }
            if is_closed {
                return;
            }
            self.tidy(Timestamp::now());
        }
    }

    /// Returns the time until there is something to do.
    fn idle(&self) -> Duration {
        let next = self.failure.as_ref().map_or(self.alive_at, |failure| failure.again_at);
        let next = next.min(self.tidy_at).saturating_duration_since(Instant::now());
        if self.folder.is_some() { next.min(restoring::LOOK) } else { next }
    }

    fn is_due(&self) -> bool {
        self.failure.as_ref().is_none_or(|failure| failure.again_at <= Instant::now())
    }

    pub(super) fn take(&mut self, order: Order) {
        match order {
            Order::Event(event) => {
                self.taken += 1;
                self.backlog.add(*event);
            }
            Order::Begun(begun, answer) => {
                self.backlog.begin(*begun);
                self.intents.push(answer);
            }
            Order::Step(plan, change) => self.backlog.change(plan, &change),
            Order::Ended(plan, end) => self.backlog.end(plan, end),
            Order::Maintain(all) => self.backlog.maintain(all),
            Order::Know(known) => {
                known.into_iter().for_each(|(place, value)| self.backlog.know(place, value));
            }
            Order::Stopped(id, stop) => self.backlog.note_stop(id, stop),
            Order::Reserve(last) => self.backlog.reserve(last),
            Order::Mark(at, shown) => self.backlog.marks.add(at, shown),
            Order::Ask(..) | Order::AskNoted(..) | Order::Flush(_) | Order::Close(_) => {}
        }
        if self.failure.is_some() {
            self.backlog.is_kept();
        }
    }

    /// Answers the callers that wait until the beginning of a plan is on disk.
    fn answer_intents(&mut self) {
        let failure = self.failure.as_ref().map(|failure| failure.why.clone());
        let outcome = failure.or_else(|| self.for_good.clone()).map_or(Ok(()), Err);
        for answer in self.intents.drain(..) {
            // The receiver may be gone.
            let _ = answer.send(outcome.clone());
        }
    }

    /// Writes everything pending, if that is possible.
    pub(super) fn write(&mut self, now: Timestamp) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let count = counted(usize::try_from(lost).unwrap_or(usize::MAX), "event");
            let text = format!("{count} could not be recorded: the disk was too slow");
            tracing::error!("{text}");
            self.backlog.add(own_event(now, text));
            self.backlog.marks.add_gap(Gap { since: self.looked_at.min(now), until: now });
        }
        self.looked_at = now;
        let is_alive_noted = self.alive_at > Instant::now();
        if self.backlog.is_empty() && self.failure.is_none() && is_alive_noted && self.is_in_place() {
            return;
        }
        match self.try_to_write(now) {
            Ok(()) => self.is_well_again(now),
            Err(why) => self.fail(why, now),
        }
        if lost > 0 {
            self.tell();
        }
    }

    fn try_to_write(&mut self, now: Timestamp) -> Result<(), String> {
        if self.database.is_none() {
            if self.folder.is_none() {
                return Err("there is no memory for it".to_owned());
            }
            self.open_file(false, now)?;
            self.backlog.everything_is_new(now);
        }
        if !self.is_in_place() {
            self.restore(now)?;
        }
        let Some(database) = &mut self.database else { return Err("it is not open".to_owned()) };
        let backlog = &self.backlog;
        // An intent must survive a loss of power before it is acted on; other writes may lose the last
        // moment.
        let synchronous = if self.intents.is_empty() { schema::NORMAL } else { schema::FULL };
        let write = |database: &mut Connection| -> rusqlite::Result<()> {
            schema::set_synchronous(database, synchronous)?;
            let transaction = database.transaction()?;
            backlog.write(&transaction)?;
            marks::put_alive(&transaction, now)?;
            transaction.commit()
        };
        match write(database) {
            Ok(()) => {
                self.backlog.is_written();
                self.alive_at = Instant::now() + ALIVE;
                Ok(())
            }
            Err(error) => {
                let told = self.sentence(&error);
                self.lay_down(&error);
                match self.damage.is_some() && self.may_replace() {
                    // A new database is created at once.
                    true => self.try_to_write(now),
                    false => Err(told),
                }
            }
        }
    }

    /// Closes the file after a failure, so that it is opened again, unless the disk is merely full. A
    /// database in memory stays open: it is the only copy.
    fn lay_down(&mut self, error: &rusqlite::Error) {
        let is_full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        if self.folder.is_some() && !is_full {
            self.database = None;
            self.damage = schema::is_damage(error).then(|| why(error));
        }
    }

    fn sentence(&self, error: &rusqlite::Error) -> String {
        match &self.folder {
            Some(folder) => format!("{}: {}", folder.database().display(), why(error)),
            None => why(error),
        }
    }

    fn fail(&mut self, why: String, now: Timestamp) {
        self.backlog.is_kept();
        let again_at = Instant::now() + AGAIN;
        match &mut self.failure {
            Some(failure) => {
                failure.why = why;
                failure.again_at = again_at;
            }
            None => {
                tracing::error!(why, "events cannot be recorded; monitoring goes on");
                self.failure = Some(Failure { since: now, why, again_at });
            }
        }
        self.tell();
    }

    fn is_well_again(&mut self, now: Timestamp) {
        let Some(Failure { since, why, .. }) = self.failure.take() else { return };
        let span = format!("{} to {}", since.strftime("%H:%M:%S"), now.strftime("%H:%M:%S UTC"));
        let what_is_lost = match self.backlog.take_lost() {
            0 => "none is lost".to_owned(),
            lost => format!("{} lost", counted(usize::try_from(lost).unwrap_or(usize::MAX), "event")),
        };
        let text = format!("events could not be recorded from {span}: {why}; {what_is_lost}");
        tracing::info!("{text}");
        self.backlog.add(own_event(now, text));
        self.tell();
        self.write(now);
    }

    /// Publishes the current problem for the overview.
    fn tell(&self) {
        let failure = self.failure.as_ref().map(|failure| {
            let since = failure.since.strftime("%H:%M UTC");
            format!("events are not recorded since {since}: {}", failure.why)
        });
        let wrong = failure.or_else(|| self.for_good.clone());
        self.told.send_if_modified(|told| {
            let is_news = *told != wrong;
            *told = wrong;
            is_news
        });
    }
}

#[cfg(test)]
impl Writer {
    /// Copies the write-ahead log into the file itself.
    pub(super) fn checkpoint(&self) {
        let database = self.database.as_ref().unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        // Pages in the cache would hide later changes of the file.
        database.execute_batch("PRAGMA shrink_memory").unwrap();
    }

    /// Limits the size of the database, to simulate a full disk.
    pub(super) fn limit_pages(&self, pages: u32) {
        let database = self.database.as_ref().unwrap();
        database.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }
}
