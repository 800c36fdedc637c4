//! The thread that owns the database: writes what it is told, answers what it is asked, forgets what is old, and
//! goes on when nothing can be written.

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
use rta_shared::maintenance::Maintenance;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{PlanBegun, PlanEnd, StepChange};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::text::counted;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::backlog::Backlog;
use super::folder::{FileId, Folder};
use super::marks::{self, Asked, Noted};
use super::query::Query;
use super::schema::{self, why};
use super::{Place, own_event};
use crate::strip::{Gap, Stretch};

/// How much is written at once.
const BATCH: usize = 2000;
/// How soon it is tried again to write what could not be written.
const AGAIN: Duration = Duration::from_secs(3);
/// How often it is noted that the aggregator runs, so that it is known afterwards until when one that was killed did.
const ALIVE: Duration = Duration::from_secs(60);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    Event(Box<Event>),
    /// Answered when it is on disk, or why it is not.
    Begun(Box<PlanBegun>, oneshot::Sender<Result<(), String>>),
    Step(u64, Box<StepChange>),
    Ended(u64, PlanEnd),
    Maintain(Vec<Maintenance>),
    Know(Vec<(Place, String)>),
    /// A plan has stopped this instance; `None`: that does not hold any more.
    Stopped(InstanceId, Option<PlannedStop>),
    /// From this moment on these are shown so.
    Mark(Timestamp, Vec<(InstanceId, Stretch)>),
    /// No plan has a greater number.
    Reserve(u64),
    Ask(Box<Query>, oneshot::Sender<Result<Vec<Event>, String>>),
    AskNoted(Box<Asked>, oneshot::Sender<Result<Noted, String>>),
    /// Answered when all before is written, or cannot be.
    Flush(oneshot::Sender<()>),
    /// Ends the thread; no plan has had a greater number.
    Close(u64),
}

/// Since when, and why, nothing can be written.
#[derive(Debug)]
struct Failure {
    since: Timestamp,
    why: String,
    again_at: Instant,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None`: the database is in memory.
    folder: Option<Folder>,
    /// `None` after a failure: it has to be opened again.
    database: Option<Connection>,
    /// The file of the database that is open.
    file: Option<FileId>,
    /// That another aggregator has the folder, as a sentence.
    pub(super) used_by_another: Option<String>,
    /// Why the file has to be moved aside before it is opened again.
    damage: Option<String>,
    pub(super) backlog: Backlog,
    keep: SignedDuration,
    failure: Option<Failure>,
    /// What is wrong until the aggregator is restarted.
    for_good: Option<String>,
    told: watch::Sender<Option<String>>,
    /// How many events and questions wait.
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    /// How many events were taken in since what is old was forgotten.
    taken: usize,
    tidy_at: Instant,
    replaced_at: Option<Instant>,
    /// When it is to be noted again that the aggregator runs.
    alive_at: Instant,
    /// When it was last looked whether events found no room.
    looked_at: Timestamp,
    /// Whoever waits until the beginning of a plan is on disk.
    intents: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Writer {
    /// Where it is counted how many events and questions wait.
    pub(super) fn waiting(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.waiting)
    }

    /// Where it is counted how many events found no room in the queue.
    pub(super) fn lost_before(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Works until it is told to close, or nobody can tell it anything any more.
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
            // Somebody waits to act: whether it can be written is tried at once.
            if is_closed || self.is_due() || !self.intents.is_empty() {
                self.write(Timestamp::now());
            }
            self.answer_intents();
            for order in waiting {
                // Whoever asked may have gone.
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

    /// How long there is nothing to do.
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

    /// Tells those who wait until a plan's beginning is on disk whether it is.
    fn answer_intents(&mut self) {
        let failure = self.failure.as_ref().map(|failure| failure.why.clone());
        let outcome = failure.or_else(|| self.for_good.clone()).map_or(Ok(()), Err);
        for answer in self.intents.drain(..) {
            // Whoever asked may have gone.
            let _ = answer.send(outcome.clone());
        }
    }

    /// Writes what is to be written, if that is possible.
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
        // What is acted upon next survives the loss of power; the rest may lose the last moment.
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
                    // A new one is begun at once.
                    true => self.try_to_write(now),
                    false => Err(told),
                }
            }
        }
    }

    /// After a failure the file is opened again, unless the disk is merely full. What is in memory is all there is.
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

    /// Tells the overview what is wrong.
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
    /// Everything is in the file itself.
    pub(super) fn checkpoint(&self) {
        let database = self.database.as_ref().unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        // What it remembers of the file would hide what becomes of that.
        database.execute_batch("PRAGMA shrink_memory").unwrap();
    }

    /// The disk has so many pages.
    pub(super) fn limit_pages(&self, pages: u32) {
        let database = self.database.as_ref().unwrap();
        database.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }
}
