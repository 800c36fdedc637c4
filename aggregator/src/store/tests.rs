//! Tests of the whole record on real files. The tests run the thread's work themselves, at moments that they
//! choose.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::{ActionKind, Requester};
use rta_shared::plan::{Plan, Step};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::plans::plan_events::PlanEvents;

mod noted;

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
    let (told, error) = watch::channel(None);
    let keep = SignedDuration::from_hours(24);
    let options = StoreOptions { data: data.map(Path::to_owned), retention: keep };
    let (writer, recovered) = StoreWriter::open(&options, told, at(1000));
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

#[test]
fn events_come_back_newest_first_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("deep/below");
    let mut opened = open(Some(&data));
    let event = Event {
        by: Some(Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() }),
        from: Some("up".to_owned()),
        plan: Some(7),
        ..health(1, "Kafka  Server", "down")
    };
    opened.apply(StoreCommand::AppendEvent(Arc::new(event.clone())));
    opened.append(2, "later");
    drop(opened);

    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let mut opened = open(Some(&data));
    assert_eq!(opened.error(), None);
    let events = opened.writer.query_events(&EventQuery::default()).unwrap();
    assert_eq!(events[1], Event { id: 1, ..event });
    assert_eq!(events[1].component.as_ref().unwrap().as_str(), "Kafka  Server");
    assert_eq!(texts(events), ["later", "Kafka  Server is down"]);
}

async fn begin_plan(record: &EventStore) -> Result<(), String> {
    let event = Arc::new(PlanEvents::new(begun(7)).begin_event());
    record.handle().record_plan_begin(&begun(7), &event).wait().await
}

#[tokio::test]
async fn a_plan_is_on_disk_before_whoever_began_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { data: Some(folder.path().to_owned()), ..StoreOptions::default() };
    let record = EventStore::open(&options);
    assert_eq!(begin_plan(&record).await, Ok(()));
    // Nothing is closed yet, and another connection sees the plan.
    let plans = Connection::open(file(&folder)).unwrap();
    let user: String = plans.query_row("SELECT user FROM plans WHERE id = 7", [], |row| row.get(0)).unwrap();
    assert_eq!(user, begun(7).by.user);
    record.close().await;
}

#[tokio::test]
async fn whoever_begins_a_plan_is_told_that_it_is_not_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { data: Some(folder.path().to_owned()), ..StoreOptions::default() };
    let record = EventStore::open(&options);
    record.handle().flush().await;
    // Makes every write fail.
    let other = Connection::open(file(&folder)).unwrap();
    other.execute_batch("DROP TABLE plans").unwrap();
    let why = begin_plan(&record).await.unwrap_err();
    assert!(why.contains("no such table"), "{why}");
    record.close().await;

    let nowhere = StoreOptions { data: Some("/proc/nowhere".into()), ..StoreOptions::default() };
    let record = EventStore::open(&nowhere);
    let why = begin_plan(&record).await.unwrap_err();
    assert!(why.starts_with("events are kept in memory only: "), "{why}");
    record.close().await;

    // A record in memory by choice is no error.
    let record = EventStore::in_memory();
    assert_eq!(begin_plan(&record).await, Ok(()));
    record.close().await;
}

#[test]
fn queries_narrow_and_page() {
    let mut opened = open(None);
    for (seconds, component) in [(1, "kafka"), (2, "spark"), (3, "kafka"), (4, "kafka")] {
        opened.apply(StoreCommand::AppendEvent(Arc::new(health(seconds, component, "down"))));
    }
    opened.append(5, "own");
    let mut ask = |query: EventQuery| -> Vec<u64> {
        opened.writer.query_events(&query).unwrap().iter().map(|event| event.id).collect()
    };
    let all = EventQuery::default;
    assert_eq!(ask(all()), [5, 4, 3, 2, 1]);
    assert_eq!(ask(EventQuery { component: Some("KAFKA".into()), ..all() }), [4, 3, 1]);
    assert_eq!(ask(EventQuery { host: Some("h1".into()), before: Some(4), limit: 2, ..all() }), [3, 2]);
    assert_eq!(ask(EventQuery { environment: Some("other".into()), ..all() }), [] as [u64; 0]);
    assert_eq!(ask(EventQuery { since: Some(at(3)), ..all() }), [5, 4, 3]);
    assert_eq!(ask(EventQuery { since: Some(at(6)), ..all() }), [] as [u64; 0]);
    assert_eq!(ask(EventQuery { kinds: vec![EventKind::Aggregator, EventKind::Plan], ..all() }), [5]);
}

#[test]
fn an_answer_stays_below_what_a_message_may_hold() {
    let mut opened = open(None);
    for _ in 0..1500 {
        opened.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(START, "x".repeat(1 << 16)))));
    }
    opened.writer.write_pending(START);
    let events =
        opened.writer.query_events(&EventQuery { limit: MAX_EVENTS, ..EventQuery::default() }).unwrap();
    let size: usize = events.iter().map(|event| event.text.len()).sum();
    assert!((1..1500).contains(&events.len()) && size < 4 << 20, "{} events, {size}", events.len());
    assert!(events[0].text.ends_with("x ..."));
}

#[test]
fn the_database_itself_refuses_to_change_events() {
    let folder = tempfile::tempdir().unwrap();
    open(Some(folder.path())).append(1, "so it was");
    let database = Connection::open(file(&folder)).unwrap();
    for forgery in [
        "UPDATE events SET text = 'otherwise'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events (id, at, kind, text) VALUES (1, 1, 'aggregator', 'otherwise')",
    ] {
        let refused = database.execute(forgery, []).unwrap_err().to_string();
        assert!(refused.contains("an event is "), "{refused}");
    }
    let text: String = database.query_row("SELECT text FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(text, "so it was");
}

#[test]
fn what_is_older_than_it_is_kept_is_forgotten_piece_by_piece_and_the_rest_is_not() {
    let mut opened = open(None);
    for seconds in 0..2500 {
        opened.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(at(seconds), "old".to_owned()))));
    }
    opened.append(90_000, "new");
    // One day is kept: at 88,500 s, everything before 2,100 s is too old.
    let now = at(86_400 + 2100);
    assert!(opened.writer.delete_batch(now));
    assert!(opened.writer.delete_batch(now));
    assert!(!opened.writer.delete_batch(now));
    let events =
        opened.writer.query_events(&EventQuery { limit: MAX_EVENTS, ..EventQuery::default() }).unwrap();
    assert_eq!((events.len(), events.last().unwrap().at), (401, at(2100)));
    // IDs continue.
    while opened.writer.delete_batch(at(1_000_000)) {}
    opened.append(1_000_001, "next");
    assert_eq!(opened.writer.query_events(&EventQuery::default()).unwrap()[0].id, 2502);
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

#[test]
fn a_plan_that_was_cut_short_is_found_with_how_far_each_step_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(Some(folder.path()));
    opened.apply(begin_command());
    opened.apply(change(0, (StepState::Waiting, ""), StepState::UnderWay, ""));
    opened.apply(change(0, (StepState::UnderWay, ""), StepState::UnderWay, "SIGTERM was sent"));
    opened.apply(change(0, (StepState::UnderWay, ""), StepState::Done, "stopped in 1.0 s"));
    opened.writer.write_pending(at(2));
    opened.apply(change(1, (StepState::Waiting, ""), StepState::UnderWay, ""));
    opened.writer.write_pending(at(3));
    drop(opened);

    let mut opened = open(Some(folder.path()));
    let found = &opened.recovered.unfinished[0];
    assert_eq!((opened.recovered.unfinished.len(), &found.begun), (1, &begun(7)));
    let waiting = || (StepState::Waiting, String::new());
    assert_eq!(
        found.states,
        [(StepState::Done, "stopped in 1.0 s".to_owned()), (StepState::UnderWay, String::new()), waiting()]
    );
    assert!(opened.recovered.last_plan >= 7);
    opened.apply(change(1, (StepState::UnderWay, ""), StepState::Interrupted, "it is being looked at"));
    opened.apply(change(
        1,
        (StepState::Interrupted, "it is being looked at"),
        StepState::Interrupted,
        "it is stopped now",
    ));
    let end = PlanEnd { at: at(4), done: 1, failed: 0, skipped: 1, interrupted: 1, cancelled: false };
    opened.apply(StoreCommand::EndPlan(7, end.clone(), Arc::new(PlanEvents::new(begun(7)).end_event(&end))));
    opened.writer.write_pending(at(4));
    let told: Vec<String> = opened
        .writer
        .query_events(&EventQuery::default())
        .unwrap()
        .into_iter()
        .rev()
        .map(|event| {
            let component = event.component.map(|name| name.to_string()).unwrap_or_default();
            let by = event.by.unwrap().user;
            format!("{by} {component} {}: {}", event.to.unwrap(), event.text)
        })
        .collect();
    assert_eq!(
        told,
        [
            "ann kafka server under way: stop of kafka server on h1: 3 steps",
            "ann detector under way: stop of detector on h1: under way",
            "ann detector done: stop of detector on h1: done: stopped in 1.0 s",
            "ann writer under way: stop of writer on h1: under way",
            "ann writer interrupted: stop of writer on h1: interrupted: it is being looked at",
            "ann writer interrupted: stop of writer on h1: interrupted: it is stopped now",
            "ann kafka server interrupted: stop of kafka server on h1: 1 step done, 1 skipped, 1 interrupted",
        ]
    );
    drop(opened);
    assert!(open(Some(folder.path())).recovered.unfinished.is_empty());
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
fn maintenance_and_what_was_known_outlive_the_aggregator() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(Some(folder.path()));
    opened.apply(StoreCommand::SetMaintenance(vec![maintenance()]));
    let host = HostOrInstance { component: None, ..kafka() };
    opened.apply(StoreCommand::SetKnown(vec![
        (kafka(), "up".to_owned()),
        (host.clone(), "reachable".to_owned()),
    ]));
    opened.apply(StoreCommand::AppendEvent(Arc::new(health(2, "Kafka", "down"))));
    opened.writer.write_pending(at(3));
    drop(opened);
    let recovered = open(Some(folder.path())).recovered;
    assert_eq!(recovered.maintenance, [maintenance()]);
    let expected = HashMap::from([(kafka(), "down".to_owned()), (host, "reachable".to_owned())]);
    assert_eq!(recovered.known_values, expected);
}

#[tokio::test]
async fn no_plan_ever_has_the_number_of_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { data: Some(folder.path().to_owned()), ..StoreOptions::default() };
    let record = EventStore::open(&options);
    let store = record.handle();
    let ids: Vec<u64> = (0..300).map(|_| store.next_plan_id()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    record.close().await;
    let record = EventStore::open(&options);
    // IDs are assigned without a gap; none of these was written as a plan.
    assert_eq!(record.handle().next_plan_id(), 301);
    record.handle().flush().await;
    record.abandon();
    assert!(EventStore::open(&options).handle().next_plan_id() > 301);
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
    assert_eq!((opened.error(), files_aside(&folder).len()), (None, 1));
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
        ("PRAGMA user_version = 99", "it is of version 99, and this rta-aggregator knows versions up to 3"),
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
    drop(opened);
    assert_eq!(open(Some(folder.path())).recovered.maintenance, [maintenance()]);
}

#[tokio::test]
async fn callers_never_wait_and_events_that_find_no_room_are_counted_while_states_are_kept() {
    let (told, error) = watch::channel(None);
    let (commands, waiting) = channel();
    let (writer, recovered) = StoreWriter::open(&StoreOptions::default(), told.clone(), START);
    let store = EventStoreHandle(Arc::new(HandleState {
        commands,
        feed: writer.feed.clone(),
        queued: writer.queued_counter(),
        error: told,
        lost: writer.lost_counter(),
        last_plan: AtomicU64::new(recovered.last_plan),
        reserved: AtomicU64::new(1000),
        samples_recorded: AtomicU64::new(0),
        unfinished: vec![],
        maintenance: vec![],
        maintained_hosts: HashSet::new(),
        known_values: HashMap::new(),
        planned_stops: HashMap::new(),
        health_changes: HashMap::new(),
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
    assert!(events.contains(&"2 events could not be recorded: the disk was too slow".to_owned()));
    assert!(!events.contains(&"y".to_owned()));
    drop(store);
    thread.join().unwrap();
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
fn second_aggregator_learns_who_has_the_folder() {
    let data = tempfile::tempdir().unwrap();
    let first = open(Some(data.path()));
    let second = open(Some(data.path()));
    let used = second.writer.used_by_another.clone().unwrap();
    let holder = format!("another rta-aggregator (pid {}) records there", std::process::id());
    assert!(used.ends_with(&holder), "{used}");
    assert_eq!(first.writer.used_by_another, None);
}
