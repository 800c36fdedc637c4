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

mod noted;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

struct Opened {
    writer: Writer,
    left: super::store::Left,
    error: watch::Receiver<Option<String>>,
}

fn open(data: Option<&Path>) -> Opened {
    let (told, error) = watch::channel(None);
    let keep = SignedDuration::from_hours(24);
    let options = RecordOptions { data: data.map(Path::to_owned), keep };
    let (writer, left) = Writer::open(&options, told, at(1000));
    Opened { writer, left, error }
}

impl Opened {
    fn tell(&mut self, order: Order) {
        self.writer.take(order);
    }

    /// Records an event with this text, and writes it.
    fn record(&mut self, seconds: i64, text: &str) {
        self.tell(Order::Event(Box::new(own_event(at(seconds), text.to_owned()))));
        self.writer.write(at(seconds));
    }

    fn error(&self) -> Option<String> {
        self.error.borrow().clone()
    }

    fn texts(&mut self) -> Vec<String> {
        texts(self.writer.answer(&Query::default()).unwrap())
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
        ..own_event(at(seconds), format!("{component} is {to}"))
    }
}

fn file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("rta.db")
}

/// Names of the files that were moved aside.
fn aside(folder: &TempDir) -> Vec<String> {
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
    opened.tell(Order::Event(Box::new(event.clone())));
    opened.record(2, "later");
    drop(opened);

    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let mut opened = open(Some(&data));
    assert_eq!(opened.error(), None);
    let events = opened.writer.answer(&Query::default()).unwrap();
    assert_eq!(events[1], Event { id: 1, ..event });
    assert_eq!(events[1].component.as_ref().unwrap().as_str(), "Kafka  Server");
    assert_eq!(texts(events), ["later", "Kafka  Server is down"]);
}

#[tokio::test]
async fn a_plan_is_on_disk_before_whoever_began_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecordOptions { data: Some(folder.path().to_owned()), ..RecordOptions::default() };
    let record = Record::open(&options);
    assert_eq!(record.recorder().plan_begun(&begun(7)).await, Ok(()));
    // Nothing is closed yet, and another connection sees the plan.
    let plans = Connection::open(file(&folder)).unwrap();
    let user: String = plans.query_row("SELECT user FROM plans WHERE id = 7", [], |row| row.get(0)).unwrap();
    assert_eq!(user, begun(7).by.user);
    record.close().await;
}

#[tokio::test]
async fn whoever_begins_a_plan_is_told_that_it_is_not_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecordOptions { data: Some(folder.path().to_owned()), ..RecordOptions::default() };
    let record = Record::open(&options);
    record.recorder().flush().await;
    // Makes every write fail.
    let other = Connection::open(file(&folder)).unwrap();
    other.execute_batch("DROP TABLE plans").unwrap();
    let why = record.recorder().plan_begun(&begun(7)).await.unwrap_err();
    assert!(why.contains("no such table"), "{why}");
    record.close().await;

    let nowhere = RecordOptions { data: Some("/proc/nowhere".into()), ..RecordOptions::default() };
    let record = Record::open(&nowhere);
    let why = record.recorder().plan_begun(&begun(7)).await.unwrap_err();
    assert!(why.starts_with("events are kept in memory only: "), "{why}");
    record.close().await;

    // A record in memory by choice is no error.
    let record = Record::in_memory();
    assert_eq!(record.recorder().plan_begun(&begun(7)).await, Ok(()));
    record.close().await;
}

#[test]
fn queries_narrow_and_page() {
    let mut opened = open(None);
    for (seconds, component) in [(1, "kafka"), (2, "spark"), (3, "kafka"), (4, "kafka")] {
        opened.tell(Order::Event(Box::new(health(seconds, component, "down"))));
    }
    opened.record(5, "own");
    let mut ask = |query: Query| -> Vec<u64> {
        opened.writer.answer(&query).unwrap().iter().map(|event| event.id).collect()
    };
    let all = Query::default;
    assert_eq!(ask(all()), [5, 4, 3, 2, 1]);
    assert_eq!(ask(Query { component: Some("KAFKA".into()), ..all() }), [4, 3, 1]);
    assert_eq!(ask(Query { host: Some("h1".into()), before: Some(4), limit: 2, ..all() }), [3, 2]);
    assert_eq!(ask(Query { environment: Some("other".into()), ..all() }), [] as [u64; 0]);
    assert_eq!(ask(Query { since: Some(at(3)), ..all() }), [5, 4, 3]);
    assert_eq!(ask(Query { since: Some(at(6)), ..all() }), [] as [u64; 0]);
    assert_eq!(ask(Query { kinds: vec![EventKind::Aggregator, EventKind::Plan], ..all() }), [5]);
}

#[test]
fn an_answer_stays_below_what_a_message_may_hold() {
    let mut opened = open(None);
    for _ in 0..1500 {
        opened.tell(Order::Event(Box::new(own_event(START, "x".repeat(1 << 16)))));
    }
    opened.writer.write(START);
    let events = opened.writer.answer(&Query { limit: MOST, ..Query::default() }).unwrap();
    let size: usize = events.iter().map(|event| event.text.len()).sum();
    assert!((1..1500).contains(&events.len()) && size < 4 << 20, "{} events, {size}", events.len());
    assert!(events[0].text.ends_with("x ..."));
}

#[test]
fn the_database_itself_refuses_to_change_events() {
    let folder = tempfile::tempdir().unwrap();
    open(Some(folder.path())).record(1, "so it was");
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
        opened.tell(Order::Event(Box::new(own_event(at(seconds), "old".to_owned()))));
    }
    opened.record(90_000, "new");
    // One day is kept: at 88,500 s, everything before 2,100 s is too old.
    let now = at(86_400 + 2100);
    assert!(opened.writer.forget(now));
    assert!(opened.writer.forget(now));
    assert!(!opened.writer.forget(now));
    let events = opened.writer.answer(&Query { limit: MOST, ..Query::default() }).unwrap();
    assert_eq!((events.len(), events.last().unwrap().at), (401, at(2100)));
    // IDs continue.
    while opened.writer.forget(at(1_000_000)) {}
    opened.record(1_000_001, "next");
    assert_eq!(opened.writer.answer(&Query::default()).unwrap()[0].id, 2502);
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

fn change(step: usize, state: StepState, text: &str) -> Order {
    let text = text.to_owned();
    Order::Step(7, Box::new(StepChange { step, at: at(2), state, progress: None, text }))
}

#[test]
fn a_plan_that_was_cut_short_is_found_with_how_far_each_step_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(Some(folder.path()));
    opened.tell(Order::Begun(Box::new(begun(7)), oneshot::channel().0));
    opened.tell(change(0, StepState::UnderWay, ""));
    opened.tell(change(0, StepState::UnderWay, "SIGTERM was sent"));
    opened.tell(change(0, StepState::Done, "stopped in 1.0 s"));
    opened.writer.write(at(2));
    opened.tell(change(1, StepState::UnderWay, ""));
    opened.writer.write(at(3));
    drop(opened);

    let mut opened = open(Some(folder.path()));
    let found = &opened.left.unfinished[0];
    assert_eq!((opened.left.unfinished.len(), &found.begun), (1, &begun(7)));
    let waiting = || (StepState::Waiting, String::new());
    assert_eq!(
        found.states,
        [(StepState::Done, "stopped in 1.0 s".to_owned()), (StepState::UnderWay, String::new()), waiting()]
    );
    assert!(opened.left.last_plan >= 7);
    opened.tell(change(1, StepState::Interrupted, "it is being looked at"));
    opened.tell(change(1, StepState::Interrupted, "it is stopped now"));
    let end = PlanEnd { at: at(4), done: 1, failed: 0, skipped: 1, interrupted: 1, cancelled: false };
    opened.tell(Order::Ended(7, end));
    opened.writer.write(at(4));
    let told: Vec<String> = opened
        .writer
        .answer(&Query::default())
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
    assert!(open(Some(folder.path())).left.unfinished.is_empty());
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

fn kafka() -> Place {
    Place { environment: "DEV".into(), host: "h1".into(), component: Some("kafka".into()) }
}

#[test]
fn maintenance_and_what_was_known_outlive_the_aggregator() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(Some(folder.path()));
    opened.tell(Order::Maintain(vec![maintenance()]));
    let host = Place { component: None, ..kafka() };
    opened.tell(Order::Know(vec![(kafka(), "up".to_owned()), (host.clone(), "reachable".to_owned())]));
    opened.tell(Order::Event(Box::new(health(2, "Kafka", "down"))));
    opened.writer.write(at(3));
    drop(opened);
    let left = open(Some(folder.path())).left;
    assert_eq!(left.maintenance, [maintenance()]);
    let expected = HashMap::from([(kafka(), "down".to_owned()), (host, "reachable".to_owned())]);
    assert_eq!(left.known, expected);
}

#[tokio::test]
async fn no_plan_ever_has_the_number_of_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = RecordOptions { data: Some(folder.path().to_owned()), ..RecordOptions::default() };
    let record = Record::open(&options);
    let recorder = record.recorder();
    let ids: Vec<u64> = (0..300).map(|_| recorder.next_plan_id()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    record.close().await;
    let record = Record::open(&options);
    // IDs are assigned without a gap; none of these was written as a plan.
    assert_eq!(record.recorder().next_plan_id(), 301);
    record.recorder().flush().await;
    let Record { recorder, thread, .. } = record;
    // Simulates a kill: the thread receives no `Close`.
    drop(recorder);
    thread.unwrap().join().unwrap();
    assert!(Record::open(&options).recorder().next_plan_id() > 301);
}

#[test]
fn what_is_no_database_is_kept_aside_and_a_new_one_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(file(&folder), "no database at all, but long enough to look like one".repeat(100)).unwrap();
    fs::write(folder.path().join("rta.db-wal"), "nor this").unwrap();
    let mut opened = open(Some(folder.path()));
    assert_eq!(opened.error(), None);
    opened.record(1001, "after");
    assert_eq!(aside(&folder), ["rta.db.corrupt-19700101T001640Z", "rta.db.corrupt-19700101T001640Z-wal"]);
    let texts = opened.texts();
    assert_eq!(texts[0], "after");
    assert!(texts[1].contains("could not be used: it is no database; it is kept as "), "{texts:?}");
    drop(opened);
    assert_eq!(open(Some(folder.path())).texts().len(), 2);
}

/// Overwrites the middle of the file, where its pages of events are.
fn damage(folder: &TempDir) {
    let mut content = fs::read(file(folder)).unwrap();
    let (middle, end) = (content.len() / 3, content.len());
    content[middle..end - 4096].fill(0x5a);
    fs::write(file(folder), content).unwrap();
}

fn filled(folder: &TempDir) -> Opened {
    let mut opened = open(Some(folder.path()));
    for seconds in 0..3000 {
        opened.tell(Order::Event(Box::new(health(seconds, "kafka", "down"))));
    }
    opened.tell(Order::Maintain(vec![maintenance()]));
    opened.tell(Order::Begun(Box::new(begun(7)), oneshot::channel().0));
    opened.writer.write(at(3000));
    opened
}

#[test]
fn a_file_that_is_damaged_in_its_middle_is_found_out_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(&folder));
    damage(&folder);
    let mut opened = open(Some(folder.path()));
    assert_eq!((opened.error(), aside(&folder).len()), (None, 1));
    opened.record(3001, "after");
    assert_eq!(opened.texts().len(), 2);
}

#[test]
fn a_file_that_is_damaged_meanwhile_is_replaced_and_what_must_not_be_lost_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = filled(&folder);
    opened.writer.checkpoint();
    damage(&folder);
    // One of the next events reads a damaged page.
    for seconds in 3001..3100 {
        opened.record(seconds, "after");
        opened.writer.forget(at(1_000_000 + seconds));
        let _ = opened.writer.answer(&Query::default());
    }
    assert_eq!(aside(&folder).len(), 1);
    opened.writer.write(at(3100));
    opened.record(3101, "last");
    assert_eq!(opened.error(), None);
    assert_eq!(opened.texts()[0], "last");
    drop(opened);
    let left = open(Some(folder.path())).left;
    assert_eq!(left.maintenance, [maintenance()]);
    assert_eq!(left.unfinished.len(), 1);
    assert_eq!(left.known[&Place { host: "H1".into(), ..kafka() }], "down");
}

#[test]
fn a_newer_or_foreign_database_is_refused_and_left_alone() {
    for (statements, expected) in [
        ("PRAGMA user_version = 99", "it is of version 99, and this rta-aggregator knows versions up to 3"),
        ("PRAGMA application_id = 7", "it is the database of another program"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        open(Some(folder.path())).record(1, "before");
        let database = Connection::open(file(&folder)).unwrap();
        database.execute_batch(statements).unwrap();
        drop(database);
        let before = fs::read(file(&folder)).unwrap();

        let mut opened = open(Some(folder.path()));
        let error = opened.error().unwrap();
        assert!(error.starts_with("events are kept in memory only: "), "{error}");
        assert!(error.contains(expected), "{error}");
        opened.record(2, "in memory");
        assert_eq!(opened.texts(), ["in memory"]);
        drop(opened);
        assert_eq!(fs::read(file(&folder)).unwrap(), before);
        assert!(aside(&folder).is_empty());
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
    opened.record(1, "in memory");
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
    opened.record(1, "before");
    opened.writer.limit_pages(1);
    // More events than are kept.
    opened.tell(Order::Maintain(vec![maintenance()]));
    for number in 0..1500 {
        opened.tell(Order::Event(Box::new(own_event(at(100), format!("{number} {}", "x".repeat(100))))));
    }
    opened.writer.write(at(34_200));
    let error = opened.error().unwrap();
    assert!(
        error.starts_with("events are not recorded since 09:30 UTC: ") && error.ends_with("the disk is full"),
        "{error}"
    );
    opened.tell(Order::Event(Box::new(own_event(at(34_300), "meanwhile".to_owned()))));
    opened.writer.write(at(34_301));
    assert_eq!(opened.error(), Some(error));
    // Reads still work.
    let events = opened.writer.answer(&Query { limit: MOST, ..Query::default() }).unwrap();
    assert_eq!((events.len(), events[0].id, events[0].text.as_str()), (1001, 0, "meanwhile"));
    assert_eq!(events[1000].text, "before");

    opened.writer.limit_pages(1_000_000);
    opened.writer.write(at(34_560));
    assert_eq!(opened.error(), None);
    let events = opened.writer.answer(&Query { limit: MOST, ..Query::default() }).unwrap();
    assert_eq!(events.len(), 1002);
    assert!(
        events[0].text.starts_with("events could not be recorded from 09:30:00 to 09:36:00 UTC: ")
            && events[0].text.ends_with("the disk is full; 501 events lost"),
        "{}",
        events[0].text
    );
    drop(opened);
    assert_eq!(open(Some(folder.path())).left.maintenance, [maintenance()]);
}

#[tokio::test]
async fn callers_never_wait_and_events_that_find_no_room_are_counted_while_states_are_kept() {
    let (told, error) = watch::channel(None);
    let (orders, waiting) = channel();
    let (writer, left) = Writer::open(&RecordOptions::default(), told.clone(), START);
    let recorder = Recorder(Arc::new(Shared {
        orders,
        waiting: writer.waiting(),
        error: told,
        lost: writer.lost_before(),
        last_plan: AtomicU64::new(left.last_plan),
        reserved: AtomicU64::new(1000),
        marked: AtomicU64::new(0),
        unfinished: vec![],
        maintenance: vec![],
        maintained: HashSet::new(),
        known: HashMap::new(),
        stops: HashMap::new(),
        changed: HashMap::new(),
    }));
    let event = |text: &str| own_event(Timestamp::now(), text.to_owned());
    for _ in 0..QUEUE {
        recorder.record(event("x"));
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
    recorder.record(health);
    recorder.record(event("y"));
    recorder.maintain(vec![maintenance()]);
    assert!(error.borrow().as_ref().unwrap().starts_with("events are lost since "));
    assert!(recorder.events(Query::default()).await.unwrap_err().contains("is busy"));
    let orders: Vec<Order> = waiting.try_iter().collect();
    let is_known = |order: &&Order| matches!(order, Order::Know(known) if known[0].1 == "down");
    assert_eq!(orders.iter().filter(is_known).count(), 1);
    assert!(orders.iter().any(|order| matches!(order, Order::Maintain(all) if all.len() == 1)));
    orders.into_iter().for_each(|order| recorder.0.orders.send(order).unwrap());

    let thread = std::thread::spawn(move || writer.run(&waiting));
    let events = loop {
        match recorder.events(Query { limit: MOST, ..Query::default() }).await {
            Ok(events) if events.len() == MOST => break texts(events),
            Ok(_) | Err(_) => tokio::task::yield_now().await,
        }
    };
    assert!(events.contains(&"2 events could not be recorded: the disk was too slow".to_owned()));
    assert!(!events.contains(&"y".to_owned()));
    drop(recorder);
    thread.join().unwrap();
}

/// Returns the events in the file itself, as the next aggregator finds them.
fn on_disk(folder: &Path) -> Vec<String> {
    texts(open(Some(folder)).writer.answer(&Query::default()).unwrap())
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
        (0..33).for_each(|number| opened.record(number, &format!("event {number}")));
        harm(&data);
        // There is nothing to write; the loss is detected all the same.
        opened.writer.write(at(40));
        assert_eq!(opened.error(), None, "{what}");
        opened.record(41, "one more");
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
    opened.record(1, "before");
    fs::remove_dir_all(&data).unwrap();
    fs::write(&data, "a file in its place").unwrap();
    opened.record(2, "meanwhile");
    let error = opened.error().unwrap();
    assert!(error.contains("was deleted or replaced and cannot be written again"), "{error}");
    assert!(opened.texts().contains(&"meanwhile".to_owned()));
    fs::remove_file(&data).unwrap();
    opened.record(3, "after");
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
