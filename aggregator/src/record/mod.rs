//! The record: what happened, kept in SQLite; and what has to outlive the aggregator: the plans under way, what is
//! in maintenance, how everything was known to be last.
//!
//! One thread owns the database. Whoever tells it something leaves that in a queue and goes on: a slow, full or
//! broken disk delays nobody, and is told in the overview.
//!
//! | module | holds |
//! |---|---|
//! | `schema` | the tables, their versions, and how a file is opened |
//! | `columns` | values as columns have them |
//! | `store` | what is written and read |
//! | `query` | which events are asked for |
//! | `plans` | what is recorded of plans and their steps |
//! | `marks` | how instances were shown, and when nobody noted it |
//! | `backlog` | what is to be written |
//! | `folder` | a folder for the database that is this aggregator's alone |
//! | `writer` | the thread |

mod backlog;
mod columns;
mod folder;
mod marks;
mod plans;
mod query;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rta_shared::event::{Event, EventKind};
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::{Health, InstanceId};
use rta_shared::plan::{PlanBegun, PlanEnd, StepChange, StepState};
use rta_shared::planned_stop::PlannedStop;
use tokio::sync::{oneshot, watch};

pub(crate) use marks::Noted;
pub(crate) use query::{MOST, Query};
use writer::{Order, Writer};

use crate::strip::Stretch;

/// How many events and questions may wait. One large outage makes some thousands of events at once; what finds no
/// room is lost, and counted. What is no event but a state always finds room: it is little, and operators make it.
const QUEUE: usize = 10_000;
/// How long an answer may take; a disk that hangs takes for ever.
const ANSWER: Duration = Duration::from_secs(5);
/// How many numbers of plans are reserved ahead, so that none is used twice if the aggregator is killed.
const RESERVED: u64 = 100;

/// Where and how long things are recorded.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// The folder of the database, which is made where it is missing; `None`: in memory, which is forgotten with
    /// the aggregator.
    pub data: Option<PathBuf>,
    /// How long events are kept.
    pub keep: SignedDuration,
}

impl Default for RecordOptions {
    /// In memory, for 90 days.
    fn default() -> Self {
        Self { data: None, keep: SignedDuration::from_hours(90 * 24) }
    }
}

/// An instance, or a whole host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) environment: Name,
    pub(crate) host: Name,
    /// `None`: the host.
    pub(crate) component: Option<Name>,
}

impl fmt::Display for Place {
    /// `kafka server on h1`, or `host h1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.component {
            Some(component) => write!(f, "{component} on {}", self.host),
            None => write!(f, "host {}", self.host),
        }
    }
}

/// A plan that an earlier aggregator began and did not end.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The plan.
    pub begun: PlanBegun,
    /// How each step stands, and what was said of it last.
    pub states: Vec<(StepState, String)>,
}

/// The record, open; whoever holds it closes it.
#[derive(Debug)]
pub struct Record {
    recorder: Recorder,
    used_by_another: Option<String>,
    /// `None` where it could not be begun.
    thread: Option<JoinHandle<()>>,
}

impl Record {
    /// Opens it. Where that is not possible, it is in memory, and the overview says why.
    pub fn open(options: &RecordOptions) -> Self {
        let (error, _) = watch::channel(None);
        let (sender, orders) = channel();
        let (writer, left) = Writer::open(options, error.clone(), Timestamp::now());
        let used_by_another = writer.used_by_another.clone();
        let recorder = Recorder(Arc::new(Shared {
            orders: sender,
            error,
            waiting: writer.waiting(),
            lost: writer.lost_before(),
            last_plan: AtomicU64::new(left.last_plan),
            reserved: AtomicU64::new(left.last_plan),
            marked: AtomicU64::new(0),
            unfinished: left.unfinished,
            maintenance: left.maintenance,
            maintained: left.maintained,
            known: left.known,
            stops: left.stops,
            changed: left.changed,
        }));
        recorder.reserve(left.last_plan);
        let end = ThreadEnd(recorder.0.error.clone());
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
            let _end = end;
            writer.run(&orders);
        });
        let thread = thread.map_err(|error| recorder.is_gone(&error.to_string())).ok();
        Self { recorder, used_by_another, thread }
    }

    /// One that is forgotten with the aggregator.
    pub fn in_memory() -> Self {
        Self::open(&RecordOptions::default())
    }

    /// Returns that another aggregator has the data folder, as a sentence with its process ID; `None` where none has. This
    /// one's record is in memory then.
    pub fn used_by_another(&self) -> Option<&str> {
        self.used_by_another.as_deref()
    }

    /// Where to leave what happened.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Records that the aggregator begins to work.
    pub(crate) fn note_beginning(&self) {
        let text = format!("rta-aggregator {} began", env!("CARGO_PKG_VERSION"));
        let event = own_event(Timestamp::now(), text);
        self.recorder.record(Event { to: Some("began".to_owned()), ..event });
    }

    /// Records that the aggregator ends, writes what has been left, and ends the thread.
    pub(crate) async fn close(self) {
        let event = own_event(Timestamp::now(), "rta-aggregator ended".to_owned());
        self.recorder.record(Event { to: Some("ended".to_owned()), ..event });
        let Some(thread) = self.thread else { return };
        let last_plan = self.recorder.0.last_plan.load(Ordering::Relaxed);
        let orders = self.recorder.0.orders.clone();
        let closing = tokio::task::spawn_blocking(move || {
            // It may have ended already.
            let _ = orders.send(Order::Close(last_plan));
            thread.join()
        });
        match tokio::time::timeout(ANSWER, closing).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => tracing::error!("the record's thread failed"),
            Err(_) => tracing::error!("the record could not be written to its end: its disk hangs"),
        }
    }
}

/// Where what happens is left to be recorded; clones share it. Every call returns at once.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    orders: Sender<Order>,
    /// How many events and questions wait.
    waiting: Arc<AtomicUsize>,
    /// Why nothing is recorded at the moment.
    error: watch::Sender<Option<String>>,
    /// How many events found no room.
    lost: Arc<AtomicU64>,
    last_plan: AtomicU64,
    /// No plan has had a number above this one, as far as the database knows.
    reserved: AtomicU64,
    /// How often something was marked.
    marked: AtomicU64,
    unfinished: Vec<Unfinished>,
    maintenance: Vec<Maintenance>,
    maintained: HashSet<Name>,
    known: HashMap<Place, String>,
    stops: HashMap<InstanceId, PlannedStop>,
    changed: HashMap<InstanceId, (Health, Timestamp)>,
}

impl Recorder {
    /// Something happened; its ID is given when it is written.
    pub fn record(&self, event: Event) {
        if self.is_room() {
            self.leave(Order::Event(Box::new(event)));
        } else {
            self.is_lost();
            // How it is now is known all the same.
            self.know(known_by(&event).into_iter().collect());
        }
    }

    /// A number that no plan had before, also none of an earlier aggregator whose record this one goes on with.
    pub fn next_plan_id(&self) -> u64 {
        let id = self.0.last_plan.fetch_add(1, Ordering::Relaxed) + 1;
        if id + RESERVED / 2 > self.0.reserved.load(Ordering::Relaxed) {
            self.reserve(id);
        }
        id
    }

    fn reserve(&self, from: u64) {
        let last = from + RESERVED;
        self.0.reserved.fetch_max(last, Ordering::Relaxed);
        self.leave(Order::Reserve(last));
    }

    /// Records that a plan begins, and returns when that is on disk. Without a data folder it is in memory.
    ///
    /// # Errors
    /// Why it is not on disk, as a sentence. It is recorded later if that becomes possible.
    pub(crate) async fn plan_begun(&self, begun: &PlanBegun) -> Result<(), String> {
        let (answer, written) = oneshot::channel();
        self.leave(Order::Begun(Box::new(begun.clone()), answer));
        match tokio::time::timeout(ANSWER, written).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("the record has ended; restart rta-aggregator".to_owned()),
            Err(_) => Err(format!("the disk did not answer within {} s", ANSWER.as_secs())),
        }
    }

    /// A step of it came to something.
    pub fn step_changed(&self, plan: u64, change: &StepChange) {
        self.leave(Order::Step(plan, Box::new(change.clone())));
    }

    /// It ended.
    pub fn plan_ended(&self, plan: u64, end: &PlanEnd) {
        self.leave(Order::Ended(plan, end.clone()));
    }

    /// The plans that an earlier aggregator began and did not end.
    pub fn unfinished(&self) -> Vec<Unfinished> {
        self.0.unfinished.clone()
    }

    /// What was in maintenance when an earlier aggregator ended.
    pub(crate) fn maintenance(&self) -> Vec<Maintenance> {
        self.0.maintenance.clone()
    }

    /// The hosts of which an earlier aggregator knew what of them was in maintenance.
    pub(crate) fn maintained(&self) -> HashSet<Name> {
        self.0.maintained.clone()
    }

    /// How everything was known to be when an earlier aggregator ended.
    pub(crate) fn known(&self) -> HashMap<Place, String> {
        self.0.known.clone()
    }

    /// What plans had stopped, and what had not run since, when an earlier aggregator ended.
    pub(crate) fn planned_stops(&self) -> HashMap<InstanceId, PlannedStop> {
        self.0.stops.clone()
    }

    /// A plan has stopped this instance; `None`: that does not hold any more.
    pub(crate) fn note_stop(&self, id: InstanceId, stop: Option<PlannedStop>) {
        self.leave(Order::Stopped(id, stop));
    }

    /// When an earlier aggregator saw the health of each instance change last, and to what.
    pub(crate) fn changed(&self) -> HashMap<InstanceId, (Health, Timestamp)> {
        self.0.changed.clone()
    }

    /// Exactly this is in maintenance from now on.
    pub(crate) fn maintain(&self, all: Vec<Maintenance>) {
        self.leave(Order::Maintain(all));
    }

    /// It is known how these are; that is no event.
    pub(crate) fn know(&self, known: Vec<(Place, String)>) {
        if !known.is_empty() {
            self.leave(Order::Know(known));
        }
    }

    /// From the moment `at` on these are shown so.
    pub(crate) fn mark(&self, at: Timestamp, shown: Vec<(InstanceId, Stretch)>) {
        if shown.is_empty() {
            return;
        }
        if self.is_room() {
            self.leave(Order::Mark(at, shown));
            self.0.marked.fetch_add(1, Ordering::Relaxed);
        } else {
            self.is_lost();
        }
    }

    /// A number that is another one when something was marked meanwhile.
    pub(crate) fn marked(&self) -> u64 {
        self.0.marked.load(Ordering::Relaxed)
    }

    /// Returns when everything left before is written or cannot be, which the overview tells; false when that took
    /// too long.
    pub(crate) async fn flush(&self) -> bool {
        let (done, written) = oneshot::channel();
        self.leave(Order::Flush(done));
        tokio::time::timeout(ANSWER, written).await.is_ok()
    }

    /// The events that are asked for, the newest first. Those that could not be written yet have the ID 0.
    ///
    /// # Errors
    /// A database that cannot be read, as a sentence.
    pub(crate) async fn events(&self, query: Query) -> Result<Vec<Event>, String> {
        self.ask("events", |answer| Order::Ask(Box::new(query), answer)).await
    }

    /// What was noted of an instance, or of all, that tells how it was from the moment `since` on.
    ///
    /// # Errors
    /// A database that cannot be read, as a sentence.
    pub(crate) async fn noted(
        &self,
        since: Timestamp,
        instance: Option<InstanceId>,
    ) -> Result<Noted, String> {
        let asked = Box::new(marks::Asked { since, instance });
        self.ask("times past", |answer| Order::AskNoted(asked, answer)).await
    }

    async fn ask<T>(
        &self,
        what: &str,
        order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        if !self.is_room() {
            return Err(format!("{what} cannot be read at the moment: the record is busy"));
        }
        self.leave(order(answer));
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(format!("{what} cannot be read: the record has ended")),
            Err(_) => {
                Err(format!("{what} could not be read within {} s: the disk is slow", ANSWER.as_secs()))
            }
        }
    }

    /// Why nothing is recorded at the moment, as a sentence; `None` where it is.
    pub fn error(&self) -> watch::Receiver<Option<String>> {
        self.0.error.subscribe()
    }

    fn leave(&self, order: Order) {
        if self.0.orders.send(order).is_err() {
            self.is_gone("its thread has ended");
        }
    }

    /// Takes room for one more event or question, where there is any.
    fn is_room(&self) -> bool {
        let more = |waiting: usize| (waiting < QUEUE).then_some(waiting + 1);
        self.0.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn is_lost(&self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
        self.0.error.send_if_modified(|error| {
            let is_new = error.is_none();
            if is_new {
                let since = Timestamp::now().strftime("%H:%M UTC");
                *error = Some(format!("events are lost since {since}: the disk is too slow"));
            }
            is_new
        });
    }

    fn is_gone(&self, why: &str) {
        self.0.error.send_if_modified(|error| {
            let is_new = error.is_none();
            error.get_or_insert_with(|| gone(why));
            is_new
        });
    }
}

/// That the record's thread is gone, as a sentence.
fn gone(why: &str) -> String {
    format!("events are not recorded: {why}; restart rta-aggregator")
}

/// Tells by its end that the thread of the record panicked: nothing is recorded any more then.
struct ThreadEnd(watch::Sender<Option<String>>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(Some(gone("its thread panicked")));
        }
    }
}

/// What is known of an instance or a host by what happened.
fn known_by(event: &Event) -> Option<(Place, String)> {
    let (EventKind::Health | EventKind::Host, Some(environment), Some(host), Some(value)) =
        (event.kind, &event.environment, &event.host, &event.to)
    else {
        return None;
    };
    let (environment, host, component) = (environment.clone(), host.clone(), event.component.clone());
    Some((Place { environment, host, component }, value.clone()))
}

/// An event of the record's own.
fn own_event(at: Timestamp, text: String) -> Event {
    Event {
        id: 0,
        at,
        kind: EventKind::Aggregator,
        environment: None,
        host: None,
        component: None,
        from: None,
        to: None,
        text,
        by: None,
        plan: None,
    }
}

#[cfg(test)]
impl Default for Recorder {
    /// One that records nothing.
    fn default() -> Self {
        let (orders, _) = channel();
        let (error, _) = watch::channel(None);
        Self(Arc::new(Shared {
            orders,
            error,
            waiting: Arc::default(),
            lost: Arc::default(),
            last_plan: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            marked: AtomicU64::new(0),
            unfinished: Vec::new(),
            maintenance: Vec::new(),
            maintained: HashSet::new(),
            known: HashMap::new(),
            stops: HashMap::new(),
            changed: HashMap::new(),
        }))
    }
}
