//! Tests of the whole record on real files. The tests run the thread's work themselves, at moments that they
//! choose.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::{ActionKind, Requester};
use rta_shared::plan::{Plan, Step};
use rta_shared::planned_maintenance::Recurrence;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::plans::plan_events::PlanEvents;

mod database;
mod every_backend;
mod noted;
mod postgres;
mod several_writers;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

struct TestStore {
    writer: StoreWriter,
    recovered: super::rows::RecoveredState,
    error: watch::Receiver<Option<String>>,
}

fn open(data: Option<&Path>) -> TestStore {
    let location = data.map_or(StoreLocation::Memory, |path| StoreLocation::Folder(path.to_owned()));
    open_at(location, 1000)
}

/// Opens a store that keeps one day.
fn open_at(location: StoreLocation, seconds: i64) -> TestStore {
    open_with(location, WriterScope::Whole, seconds)
}

/// Opens a store that keeps one day, as the writer of this scope.
fn open_with(location: StoreLocation, scope: WriterScope, seconds: i64) -> TestStore {
    let (reported, error) = watch::channel(None);
    let options = StoreOptions {
        location,
        retention: SignedDuration::from_hours(24),
        scope,
        ..StoreOptions::default()
    };
    let (writer, recovered) = StoreWriter::open(&options, reported, at(seconds));
    TestStore { writer, recovered, error }
}

impl TestStore {
    fn apply(&mut self, command: StoreCommand) {
        self.writer.apply_command(command);
    }

    /// Records an event with this text, and writes it.
    fn append(&mut self, seconds: i64, text: &str) {
        self.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(at(seconds), text.to_owned()))));
        self.writer.write_pending(at(seconds));
    }

    fn error(&self) -> Option<String> {
        self.error.borrow().clone()
    }

    fn texts(&mut self) -> Vec<String> {
        texts(self.writer.query_events(&EventQuery::default()).unwrap())
    }
}

fn texts(events: Vec<Event>) -> Vec<String> {
    events.into_iter().map(|event| event.text).collect()
}

fn health(seconds: i64, component: &str, to: &str) -> Event {
    Event {
        kind: EventKind::Health,
        environment: Some("DEV".into()),
        host: Some("H1".into()),
        component: Some(component.into()),
        to: Some(to.to_owned()),
        ..aggregator_event(at(seconds), format!("{component} is {to}"))
    }
}

fn file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("rta.db")
}

/// Names of the files that were moved aside.
fn files_aside(folder: &TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    // The presence of the write-ahead log's index depends on SQLite alone.
    names.retain(|name| name.contains(".corrupt-") && !name.ends_with("-shm"));
    names.sort();
    names
}

async fn begin_plan(record: &EventStore) -> Result<(), String> {
    let event = Arc::new(PlanEvents::new(begun(7)).begin_event());
    record.handle().record_plan_begin(&begun(7), &event).wait().await
}

#[tokio::test]
async fn whoever_begins_a_plan_is_told_that_it_is_not_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        StoreOptions { location: StoreLocation::Folder(folder.path().to_owned()), ..StoreOptions::default() };
    let record = EventStore::open(&options);
    record.handle().flush().await;
    // Makes every write fail.
    let other = Connection::open(file(&folder)).unwrap();
    other.execute_batch("DROP TABLE plans").unwrap();
    let why = begin_plan(&record).await.unwrap_err();
    assert!(why.contains("no such table"), "{why}");
    record.close().await;

    let nowhere =
        StoreOptions { location: StoreLocation::Folder("/proc/nowhere".into()), ..StoreOptions::default() };
    let record = EventStore::open(&nowhere);
    let why = begin_plan(&record).await.unwrap_err();
    assert!(why.starts_with("events are kept in memory only: "), "{why}");
    record.close().await;

    // A record in memory by choice is no error.
    let record = EventStore::in_memory();
    assert_eq!(begin_plan(&record).await, Ok(()));
    record.close().await;
}

fn begun(id: u64) -> PlanStart {
    let step = |component: &str, named| Step {
        instance: rta_shared::overview::InstanceId {
            environment: "DEV".into(),
            host: "h1".into(),
            component: component.into(),
        },
        action: ActionKind::Stop,
        named,
        after: vec![],
        why: String::new(),
        irreversible: String::new(),
        batch: 0,
        gate: None,
    };
    let steps = vec![step("detector", false), step("writer", false), step("kafka server", true)];
    let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
    PlanStart { id, plan: Plan { kind: ActionKind::Stop, steps }, at: at(1), by, unrecorded: None }
}

fn begin_command() -> StoreCommand {
    let event = Arc::new(PlanEvents::new(begun(7)).begin_event());
    StoreCommand::BeginPlan(Box::new(begun(7)), event, oneshot::channel().0)
}

/// Change of a step that was in this state before.
fn change(step: usize, before: (StepState, &str), state: StepState, text: &str) -> StoreCommand {
    let text = text.to_owned();
    let change = StepChange { step, at: at(2), state, progress: None, text };
    let event = PlanEvents::new(begun(7)).step_event(&(before.0, before.1.to_owned()), &change);
    StoreCommand::ChangeStep(7, Box::new(change), event.map(Arc::new))
}

fn maintenance() -> Maintenance {
    Maintenance {
        environment: "DEV".into(),
        host: "h1".into(),
        component: None,
        since: at(1),
        until: Some(at(9)),
        reason: "disks".to_owned(),
        by: Requester { user: "ann".to_owned(), address: String::new() },
    }
}

fn kafka() -> HostOrInstance {
    HostOrInstance { environment: "DEV".into(), host: "h1".into(), component: Some("kafka".into()) }
}

#[test]
fn what_is_no_database_is_kept_aside_and_a_new_one_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(file(&folder), "no database at all, but long enough to look like one".repeat(100)).unwrap();
    fs::write(folder.path().join("rta.db-wal"), "nor this").unwrap();
    let mut opened = open(Some(folder.path()));
    assert_eq!(opened.error(), None);
    opened.append(1001, "after");
    assert_eq!(
        files_aside(&folder),
        ["rta.db.corrupt-19700101T001640Z", "rta.db.corrupt-19700101T001640Z-wal"]
    );
    let texts = opened.texts();
    assert_eq!(texts[0], "after");
    assert!(texts[1].contains("could not be used: it is no database; it is kept as "), "{texts:?}");
    drop(opened);
    assert_eq!(open(Some(folder.path())).texts().len(), 2);
}

/// Overwrites the middle of the file, where its pages of events are.
fn corrupt_file(folder: &TempDir) {
    let mut content = fs::read(file(folder)).unwrap();
    let (middle, end) = (content.len() / 3, content.len());
    content[middle..end - 4096].fill(0x5a);
    fs::write(file(folder), content).unwrap();
}

fn open_filled(folder: &TempDir) -> TestStore {
    let mut opened = open(Some(folder.path()));
    for seconds in 0..3000 {
        opened.apply(StoreCommand::AppendEvent(Arc::new(health(seconds, "kafka", "down"))));
    }
    opened.apply(StoreCommand::SetMaintenance(vec![maintenance()]));
    opened.apply(begin_command());
    opened.writer.write_pending(at(3000));
    opened
}

#[test]
fn a_file_that_is_damaged_in_its_middle_is_found_out_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_filled(&folder));
    corrupt_file(&folder);
    let mut opened = open(Some(folder.path()));
    assert_eq!(opened.error(), None);
    assert_eq!(files_aside(&folder).iter().filter(|name| !name.ends_with("-wal")).count(), 1);
    opened.append(3001, "after");
    assert_eq!(opened.texts().len(), 2);
}

#[test]
fn a_file_that_is_damaged_meanwhile_is_replaced_and_what_must_not_be_lost_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open_filled(&folder);
    opened.writer.checkpoint();
    corrupt_file(&folder);
    // One of the next events reads a damaged page.
    for seconds in 3001..3100 {
        opened.append(seconds, "after");
        opened.writer.delete_batch(at(1_000_000 + seconds));
        let _ = opened.writer.query_events(&EventQuery::default());
    }
    assert_eq!(files_aside(&folder).len(), 1);
    opened.writer.write_pending(at(3100));
    opened.append(3101, "last");
    assert_eq!(opened.error(), None);
    assert_eq!(opened.texts()[0], "last");
    drop(opened);
    let recovered = open(Some(folder.path())).recovered;
    assert_eq!(recovered.maintenance, [maintenance()]);
    assert_eq!(recovered.unfinished.len(), 1);
    assert_eq!(recovered.known_values[&HostOrInstance { host: "H1".into(), ..kafka() }], "down");
}

#[test]
fn a_newer_or_foreign_database_is_refused_and_left_alone() {
    for (statements, expected) in [
        ("PRAGMA user_version = 99", "it is of version 99, and this rta-aggregator knows versions up to 9"),
        ("PRAGMA application_id = 7", "it is the database of another program"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        open(Some(folder.path())).append(1, "before");
        let database = Connection::open(file(&folder)).unwrap();
        database.execute_batch(statements).unwrap();
        drop(database);
        let before = fs::read(file(&folder)).unwrap();

        let mut opened = open(Some(folder.path()));
        let error = opened.error().unwrap();
        assert!(error.starts_with("events are kept in memory only: "), "{error}");
        assert!(error.contains(expected), "{error}");
        opened.append(2, "in memory");
        assert_eq!(opened.texts(), ["in memory"]);
        drop(opened);
        assert_eq!(fs::read(file(&folder)).unwrap(), before);
        assert!(files_aside(&folder).is_empty());
    }
}

#[test]
fn a_folder_that_cannot_be_had_is_told_and_events_are_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let mut opened = open(Some(&folder.path().join("file/data")));
    let error = opened.error().unwrap();
    assert!(
        error.starts_with("events are kept in memory only: ") && error.contains("Not a directory"),
        "{error}"
    );
    opened.append(1, "in memory");
    assert_eq!(opened.texts(), ["in memory"]);

    let held = open(Some(folder.path()));
    let error = open(Some(folder.path())).error().unwrap();
    assert!(error.contains("another rta-aggregator (pid ") && error.ends_with(") records there"), "{error}");
    drop(held);
    assert_eq!(open(Some(folder.path())).error(), None);
}

#[test]
fn a_full_disk_is_told_what_happens_meanwhile_is_kept_and_written_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(Some(folder.path()));
    opened.append(1, "before");
    opened.writer.limit_pages(1);
    // More events than are kept.
    opened.apply(StoreCommand::SetMaintenance(vec![maintenance()]));
    for number in 0..1500 {
        opened.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(
            at(100),
            format!("{number} {}", "x".repeat(100)),
        ))));
    }
    opened.writer.write_pending(at(34_200));
    let error = opened.error().unwrap();
    assert!(
        error.starts_with("events are not recorded since 09:30 UTC: ") && error.ends_with("the disk is full"),
        "{error}"
    );
    opened.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(at(34_300), "meanwhile".to_owned()))));
    opened.writer.write_pending(at(34_301));
    assert_eq!(opened.error(), Some(error));
    // Reads still work.
    let events =
        opened.writer.query_events(&EventQuery { limit: MAX_EVENTS, ..EventQuery::default() }).unwrap();
    assert_eq!((events.len(), events[0].id, events[0].text.as_str()), (1001, 0, "meanwhile"));
    assert_eq!(events[1000].text, "before");

    opened.writer.limit_pages(1_000_000);
    opened.writer.write_pending(at(34_560));
    assert_eq!(opened.error(), None);
    let events =
        opened.writer.query_events(&EventQuery { limit: MAX_EVENTS, ..EventQuery::default() }).unwrap();
    assert_eq!(events.len(), 1002);
    assert!(
        events[0].text.starts_with("events could not be recorded from 09:30:00 to 09:36:00 UTC: ")
            && events[0].text.ends_with("the disk is full; 501 events lost"),
        "{}",
        events[0].text
    );
    let counts = opened.writer.error_counters().counts();
    assert!(counts.write > 0 && counts.lost_events == 501, "{counts:?}");
    drop(opened);
    assert_eq!(open(Some(folder.path())).recovered.maintenance, [maintenance()]);
}

#[tokio::test]
async fn callers_never_wait_and_events_that_find_no_room_are_counted_while_states_are_kept() {
    let (reported, error) = watch::channel(None);
    let (commands, waiting) = channel();
    let (writer, recovered) = StoreWriter::open(&StoreOptions::default(), reported.clone(), START);
    let store = EventStoreHandle(Arc::new(HandleState {
        commands,
        feed: writer.feed.clone(),
        queued: writer.queued_counter(),
        error: reported,
        errors: writer.error_counters(),
        last_plan: AtomicU64::new(recovered.last_plan),
        reserved: AtomicU64::new(1000),
        samples_recorded: Arc::default(),
        shared_record: None,
        is_shared_writer: false,
        unfinished: vec![],
        maintenance: vec![],
        maintained_hosts: HashSet::new(),
        planned_maintenance: (vec![], 0),
        known_values: HashMap::new(),
        planned_stops: HashMap::new(),
        health_changes: HashMap::new(),
        earlier_runs: HashSet::new(),
        notifications: StoredNotifications::default(),
        incidents: StoredIncidents::default(),
    }));
    let event = |text: &str| aggregator_event(Timestamp::now(), text.to_owned());
    for _ in 0..QUEUE_CAPACITY {
        store.append_event(&Arc::new(event("x")));
    }
    assert_eq!(*error.borrow(), None);
    let health = Event {
        kind: EventKind::Health,
        environment: Some("E".into()),
        host: Some("h".into()),
        component: Some("app".into()),
        to: Some("down".to_owned()),
        ..event("app is down")
    };
    store.append_event(&Arc::new(health));
    store.append_event(&Arc::new(event("y")));
    let instance = InstanceId { environment: "E".into(), host: "h".into(), component: "app".into() };
    store.record_samples(Timestamp::now(), vec![(instance, TimelineState::Down)]);
    store.record_maintenance(vec![maintenance()]);
    assert!(error.borrow().as_ref().unwrap().starts_with("events are lost since "));
    assert!(store.query_events(EventQuery::default()).await.unwrap_err().contains("is busy"));
    let commands: Vec<StoreCommand> = waiting.try_iter().collect();
    let is_known =
        |command: &&StoreCommand| matches!(command, StoreCommand::SetKnown(known) if known[0].1 == "down");
    assert_eq!(commands.iter().filter(is_known).count(), 1);
    assert!(
        commands.iter().any(|command| matches!(command, StoreCommand::SetMaintenance(all) if all.len() == 1))
    );
    commands.into_iter().for_each(|command| store.0.commands.send(command).unwrap());

    let thread = std::thread::spawn(move || writer.run(&waiting));
    let events = loop {
        match store.query_events(EventQuery { limit: MAX_EVENTS, ..EventQuery::default() }).await {
            Ok(events) if events.len() == MAX_EVENTS => break texts(events),
            Ok(_) | Err(_) => tokio::task::yield_now().await,
        }
    };
    let lost = "2 events and 1 sample of the history could not be recorded: the database was too slow";
    assert!(events.contains(&lost.to_owned()));
    assert!(!events.contains(&"y".to_owned()));
    let lost = StoreErrorCounts { lost_events: 2, lost_samples: 1, ..StoreErrorCounts::default() };
    assert_eq!(store.error_counts(), lost);
    drop(store);
    thread.join().unwrap();
}

#[tokio::test]
async fn flush_reports_that_the_thread_has_ended() {
    let store = EventStore::in_memory();
    let handle = store.handle();
    assert!(handle.flush().await);
    store.close().await;
    assert!(!handle.flush().await);
}

#[test]
fn answer_is_bounded_with_pending_events_too() {
    let mut opened = open(None);
    let text = "x".repeat(1 << 20);
    let append = |opened: &mut TestStore, second, text: &str| {
        opened.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(at(second), text.to_owned()))));
    };
    let query = EventQuery { limit: MAX_EVENTS, ..EventQuery::default() };
    let times = |opened: &mut TestStore| -> Vec<Timestamp> {
        opened.writer.query_events(&query).unwrap().iter().map(|event| event.at).collect()
    };
    (1..=4).for_each(|second| append(&mut opened, second, &text));
    assert_eq!(times(&mut opened), [at(4), at(3)]);
    // One event is returned, however large, so that a caller can continue after it.
    append(&mut opened, 5, &text.repeat(4));
    assert_eq!(times(&mut opened), [at(5)]);
    opened.writer.write_pending(at(6));
    append(&mut opened, 7, &text.repeat(2));
    let written: usize =
        opened.writer.query_events(&query).unwrap().iter().map(|event| event.text.len()).sum();
    assert!(written < 3 << 20, "{written}");
}

/// Returns the events in the file itself, as the next aggregator finds them.
fn on_disk(folder: &Path) -> Vec<String> {
    texts(open(Some(folder)).writer.query_events(&EventQuery::default()).unwrap())
}

#[test]
fn deleted_or_replaced_data_folder_is_written_again_whole() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("the file alone", |data| fs::remove_file(data.join("rta.db")).unwrap()),
        ("all of its files", |data| {
            fs::read_dir(data).unwrap().for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
        }),
        ("the folder", |data| fs::remove_dir_all(data).unwrap()),
        ("another in its place", |data| {
            fs::rename(data, data.with_extension("old")).unwrap();
            fs::create_dir(data).unwrap();
            fs::write(data.join("rta.db"), "another").unwrap();
        }),
    ];
    for (what, harm) in harms {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        let mut opened = open(Some(&data));
        (0..33).for_each(|number| opened.append(number, &format!("event {number}")));
        harm(&data);
        // There is nothing to write; the loss is detected all the same.
        opened.writer.write_pending(at(40));
        assert_eq!(opened.error(), None, "{what}");
        opened.append(41, "one more");
        drop(opened);
        let found = on_disk(&data);
        assert_eq!(found.len(), 35, "{what}: {found:#?}");
        assert!(
            found.iter().any(|text| text.contains("was deleted or replaced while it was open")),
            "{what}"
        );
        let is_kept = fs::read_dir(&data)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("rta.db.foreign-"));
        assert_eq!(is_kept, what == "another in its place");
    }
}

#[test]
fn data_folder_that_cannot_be_made_again_is_reported_and_loses_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let mut opened = open(Some(&data));
    opened.append(1, "before");
    fs::remove_dir_all(&data).unwrap();
    fs::write(&data, "a file in its place").unwrap();
    opened.append(2, "meanwhile");
    let error = opened.error().unwrap();
    assert!(error.contains("was deleted or replaced and cannot be written again"), "{error}");
    assert!(opened.texts().contains(&"meanwhile".to_owned()));
    fs::remove_file(&data).unwrap();
    opened.append(3, "after");
    assert_eq!(opened.error(), None);
    drop(opened);
    let found = on_disk(&data);
    for text in ["before", "meanwhile", "after"] {
        assert!(found.contains(&text.to_owned()), "{found:#?}");
    }
}

#[test]
fn space_of_deleted_rows_is_returned_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(Some(folder.path()));
    for seconds in 0..900 {
        let text = format!("{seconds} {}", "x".repeat(4000));
        opened.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(at(seconds), text))));
    }
    opened.writer.write_pending(at(1000));
    opened.writer.checkpoint();
    let size = || fs::metadata(file(&folder)).unwrap().len();
    let before = size();
    // Texts are kept a week longer than the events.
    for batch in 0..4 {
        opened.writer.delete_batch(at(9 * 86_400 + batch));
    }
    opened.writer.checkpoint();
    assert!(before > 3_600_000 && size() < before / 10, "{before} {}", size());
}

/// Creates a file as version 3 of the schema left it, with an event and a sample.
fn write_version_3(folder: &TempDir) {
    let database = Connection::open(file(folder)).unwrap();
    for step in &crate::store::migrations::MIGRATIONS[..3] {
        database.execute_batch(step.sqlite).unwrap();
    }
    database
        .execute_batch(
            "PRAGMA application_id = 0x72746131; PRAGMA user_version = 3;
             INSERT INTO events VALUES (5, 1000000, 'health', 'DEV', 'dev', 'H1', 'h1', 'Kafka', 'kafka', 'up', 'down',
                 'Kafka on H1 is down', 'ann', '10.0.0.7', 7);
             INSERT INTO events (id, at, kind, text) VALUES (6, 2000000, 'aggregator', 'own');
             INSERT INTO places VALUES (3, 'dev', 'h1', 'kafka');
             INSERT INTO marks VALUES (4, 3, 1000000, 'down');",
        )
        .unwrap();
}

#[test]
fn file_of_an_earlier_version_is_migrated_with_all_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    write_version_3(&folder);
    let mut opened = open(Some(folder.path()));
    assert_eq!(opened.error(), None);
    let found = opened.writer.query_events(&EventQuery::default()).unwrap();
    let by = Some(Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() });
    let first = Event { id: 5, from: Some("up".to_owned()), plan: Some(7), by, ..health(1, "Kafka", "down") };
    let own = Event { id: 6, ..aggregator_event(at(2), "own".to_owned()) };
    assert_eq!(found, [own, Event { text: "Kafka on H1 is down".to_owned(), ..first }]);
    let instance = InstanceId { environment: "dev".into(), host: "h1".into(), component: "kafka".into() };
    let query = query::TimelineQuery { since: at(0), instance: None };
    let rows = opened.writer.query_timeline(&query).unwrap();
    assert_eq!(rows.samples[&instance][0].at, at(1));
    // Later rows refer to the same names and words.
    opened.apply(StoreCommand::AppendEvent(Arc::new(health(3, "Kafka", "up"))));
    opened.writer.write_pending(at(3));
    let query = EventQuery { component: Some("kafka".into()), ..EventQuery::default() };
    assert_eq!(opened.writer.query_events(&query).unwrap().len(), 2);
    assert_eq!(opened.recovered.health_changes[&instance].1, at(1));
}
