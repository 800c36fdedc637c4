//! Tests of several writers of one database, and of the leases that divide it.

use std::time::Duration;

use rta_tests::PostgresServer;

use super::*;
use crate::store::postgres::PostgresLocation;

fn location(url: &str) -> StoreLocation {
    StoreLocation::Postgres(PostgresLocation::parse(url).unwrap())
}

/// Length of the leases of tests.
const LENGTH: Duration = Duration::from_secs(3600);

fn holders() -> [LeaseHolder; 2] {
    ["a", "b"].map(|address| LeaseHolder::this_process(address.to_owned(), String::new()))
}

/// Database of the server that all tests share, with a session for leases.
struct SharedDatabase {
    server: &'static PostgresServer,
    url: String,
    place: PostgresLocation,
    holders: [LeaseHolder; 2],
    session: LeaseSession,
}

impl SharedDatabase {
    /// Creates an empty database; `None` without PostgreSQL.
    fn new() -> Option<Self> {
        let server = PostgresServer::shared()?;
        let url = server.create_database();
        let place = PostgresLocation::parse(&url).unwrap();
        let holders = holders();
        let session = LeaseSession::connect(&place, &holders[0]).unwrap();
        Some(Self { server, url, place, holders, session })
    }
}

#[test]
fn lease_is_held_by_one_and_its_epoch_increases() {
    let Some(server) = PostgresServer::shared() else { return };
    let location = PostgresLocation::parse(&server.create_database()).unwrap();
    let holders = holders();
    let [mut a, mut b] = holders.each_ref().map(|holder| LeaseSession::connect(&location, holder).unwrap());
    let [first, second] = &holders;
    let (itg, dev) = (Name::from("ITG"), Name::from("DEV"));
    assert_eq!(a.read(), Ok(LeaseTable::default()));
    assert_eq!(a.acquire(first, &itg, 0, LENGTH), Ok(Some(1)));
    assert_eq!(b.acquire(second, &Name::from("itg"), 0, LENGTH), Ok(None));
    assert_eq!(b.acquire(second, &dev, 0, LENGTH), Ok(Some(1)));
    // The release of an earlier epoch changes nothing.
    a.release(first, &itg, 9).unwrap();
    assert_eq!(b.acquire(second, &itg, 0, LENGTH), Ok(None));
    a.release(first, &itg, 1).unwrap();
    assert_eq!(b.acquire(second, &itg, 0, LENGTH), Ok(Some(2)));
    let environments = [itg.clone(), dev.clone()];
    a.renew(first, &environments, LENGTH).unwrap();
    b.renew(second, &environments, LENGTH).unwrap();
    let LeaseTable { leases, candidates } = a.read().unwrap();
    let led: Vec<(&Name, &LeaseHolder, u64)> =
        leases.iter().map(|lease| (&lease.environment, &lease.leader.holder, lease.leader.epoch)).collect();
    assert!(
        led.len() == 2 && led.contains(&(&itg, second, 2)) && led.contains(&(&dev, second, 1)),
        "{led:?}"
    );
    assert_eq!(candidates.len(), 2);
    assert!(candidates.iter().all(|candidate| candidate.environments == environments));
    b.leave(second).unwrap();
    assert_eq!((a.read().unwrap().leases.len(), a.read().unwrap().candidates.len()), (0, 1));
    assert_eq!(a.acquire(first, &itg, 9, LENGTH), Ok(Some(9)));
    a.release(first, &itg, 9).unwrap();
    assert_eq!(b.acquire(second, &itg, 4, LENGTH), Ok(Some(10)));
}

#[test]
fn environment_is_taken_after_the_lease_of_all_environments_has_expired_with_a_higher_epoch() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.create_database();
    let location = PostgresLocation::parse(&url).unwrap();
    let [first, _] = holders();
    let mut session = LeaseSession::connect(&location, &first).unwrap();
    server.run_sql(
        &url,
        "INSERT INTO rta_leases VALUES ('*', 'an earlier version', 'a', 7, 0, now() + interval '1 hour', '')",
    );
    assert_eq!(session.acquire(&first, &Name::from("ITG"), 0, LENGTH), Ok(None));
    server.run_sql(&url, "UPDATE rta_leases SET expires_at = now()");
    assert_eq!(session.acquire(&first, &Name::from("ITG"), 0, LENGTH), Ok(Some(8)));
}

/// Takes the lease of an environment, and returns the scope of its writer.
fn lead(session: &mut LeaseSession, holder: &LeaseHolder, environment: &str) -> WriterScope {
    let environment = Name::from(environment);
    let epoch = session.acquire(holder, &environment, 0, LENGTH).unwrap().unwrap();
    WriterScope::Environment(HeldLease { environment, holder: holder.name.clone(), epoch })
}

#[test]
fn earlier_leader_writes_nothing_after_the_next_one_has_opened_the_record() {
    let Some(SharedDatabase { server, url, holders, mut session, .. }) = SharedDatabase::new() else {
        return;
    };
    let scope = lead(&mut session, &holders[0], "ITG");
    let mut first = open_with(location(&url), scope, 100);
    first.append(101, "before");
    server.run_sql(&url, "UPDATE rta_leases SET expires_at = now()");
    let scope = lead(&mut session, &holders[1], "ITG");
    let mut second = open_with(location(&url), scope, 200);
    assert_eq!((second.error(), &second.writer.used_by_another), (None, &None));
    // It does not know yet that another one leads.
    for seconds in 201..204 {
        first.append(seconds, "after");
    }
    let error = first.error().unwrap();
    assert!(error.contains("another rta-aggregator leads ITG"), "{error}");
    second.append(205, "by the second");
    let texts = second.texts();
    assert!(second.error().is_none() && !texts.contains(&"after".to_owned()), "{texts:?}");
    for text in ["before", "by the second"] {
        assert_eq!(texts.iter().filter(|found| *found == text).count(), 1, "{texts:?}");
    }
}

#[test]
fn leaders_of_two_environments_write_one_record_in_order() {
    let Some(SharedDatabase { server, url, place, holders, mut session }) = SharedDatabase::new() else {
        return;
    };
    let scopes = [lead(&mut session, &holders[0], "ITG"), lead(&mut session, &holders[1], "DEV")];
    let reader = EventStore::follow(place);
    // It has read the empty record only when there is one.
    drop(open_with(location(&url), WriterScope::Unled, 100));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut shown = runtime.block_on(async {
        while reader.handle().watch_error().borrow().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        reader.handle().feed().subscribe()
    });
    let writers = scopes.into_iter().enumerate().map(|(number, scope)| {
        let options = StoreOptions {
            location: location(&url),
            scope,
            reader: Some(reader.handle()),
            ..Default::default()
        };
        std::thread::spawn(move || {
            let record = EventStore::open(&options);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for event in 0..200_i64 {
                    let id = InstanceId {
                        environment: Name::from(["ITG", "DEV"][number]),
                        host: Name::from(format!("h{number}")),
                        component: Name::from(format!("c{}", event % 7)),
                    };
                    let text = format!("{number} {event}");
                    let event = Event {
                        environment: Some(id.environment.clone()),
                        host: Some(id.host.clone()),
                        component: Some(id.component.clone()),
                        to: Some("down".to_owned()),
                        ..Event::new(Timestamp::now(), EventKind::Health, text)
                    };
                    record.handle().feed().announce(event, |event| record.handle().append_event(event));
                    record.handle().record_samples(Timestamp::now(), vec![(id, TimelineState::Up)]);
                    record.handle().flush().await;
                }
                assert!(record.handle().reserve_plan_id().await.is_ok());
                assert_eq!(*record.handle().watch_error().borrow(), None);
                record.close().await;
            });
        })
    });
    writers.collect::<Vec<_>>().into_iter().for_each(|writer| writer.join().unwrap());
    // Everything that was written was shown, each once and in the order of the IDs.
    let (mut last, mut texts) = (0, Vec::new());
    runtime.block_on(async {
        while texts.len() < 400 {
            let next = tokio::time::timeout(Duration::from_secs(30), shown.next()).await.unwrap();
            let Some(LiveEvent::Event(event)) = next else { panic!("{next:?}") };
            assert!(event.id > last, "{} after {last}", event.id);
            last = event.id;
            texts.push(event.text.clone());
        }
    });
    for number in 0..2 {
        let own: Vec<&String> = texts.iter().filter(|text| text.starts_with(&format!("{number} "))).collect();
        let expected: Vec<String> = (0..200).map(|event| format!("{number} {event}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
    let places =
        server.run_sql(&url, "SELECT count(*), count(DISTINCT (environment, host, component)) FROM places");
    assert_eq!(places, "14|14");
    let plans = server.run_sql(&url, "SELECT value FROM numbers WHERE name = 'plan'");
    assert_eq!(plans, "2");
    runtime.block_on(reader.close());
}

#[test]
fn next_leader_keeps_the_spelling_of_names() {
    let Some(SharedDatabase { server, url, holders, mut session, .. }) = SharedDatabase::new() else {
        return;
    };
    let mut first = open_with(location(&url), lead(&mut session, &holders[0], "ITG"), 100);
    let down = Event {
        environment: Some("ITG".into()),
        host: Some("H1".into()),
        component: Some("App".into()),
        to: Some("down".to_owned()),
        ..Event::new(at(101), EventKind::Health, "App is down".to_owned())
    };
    first.apply(StoreCommand::AppendEvent(Arc::new(down)));
    first.writer.write_pending(at(101));
    server.run_sql(&url, "UPDATE rta_leases SET expires_at = now()");
    let mut second = open_with(location(&url), lead(&mut session, &holders[1], "ITG"), 200);
    second.writer.write_pending(at(201));
    assert_eq!((first.error(), second.error()), (None, None));
    let samples = server.run_sql(&url, "SELECT count(*) FROM marks");
    assert_ne!(samples, "0", "the time until it took over is not recorded");
    let names = server.run_sql(&url, "SELECT string_agg(name, ' ' ORDER BY name COLLATE \"C\") FROM names");
    assert_eq!(names, "App H1 ITG");
}

#[test]
fn reload_before_the_first_read_is_known() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.create_database();
    let place = PostgresLocation::parse(&url).unwrap();
    let [holder, _] = holders();
    drop(LeaseSession::connect(&place, &holder).unwrap());
    let mut unled = open_with(location(&url), WriterScope::Unled, 100);
    let reload = |to: &str| {
        let event = Event::new(at(101), EventKind::Config, "a new configuration was taken".to_owned());
        Arc::new(Event { to: Some(to.to_owned()), ..event })
    };
    unled.apply(StoreCommand::AppendEvent(reload("abc")));
    unled.apply(StoreCommand::AppendEvent(reload("def")));
    unled.append(102, "later");
    let reader = EventStore::follow(place);
    let shared = reader.handle().shared_record().unwrap().borrow().clone();
    assert_eq!(shared.last_reload, Some(RecordedReload { event: 2, outcome: "def".to_owned() }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(reader.close());
}

#[test]
fn state_of_an_environment_is_kept_apart_from_that_of_the_others() {
    let Some(SharedDatabase { server, url, holders, mut session, .. }) = SharedDatabase::new() else {
        return;
    };
    let scopes = [lead(&mut session, &holders[0], "ITG"), lead(&mut session, &holders[1], "DEV")];
    let in_environment = |environment: &str| Maintenance { environment: environment.into(), ..maintenance() };
    let mut stores = scopes.each_ref().map(|scope| open_with(location(&url), scope.clone(), 100));
    for (store, environment) in stores.iter_mut().zip(["ITG", "DEV"]) {
        store.apply(StoreCommand::SetMaintenance(vec![in_environment(environment)]));
        let change = NotificationChange { state: Some(format!("[{environment}]")), ..Default::default() };
        store.apply(StoreCommand::ChangeNotifications(Box::new(change), None));
        store.writer.write_pending(at(101));
        assert_eq!(store.error(), None);
    }
    drop(stores);
    for (scope, environment) in scopes.into_iter().zip(["ITG", "DEV"]) {
        let mut store = open_with(location(&url), scope, 200);
        assert_eq!(store.recovered.maintenance, [in_environment(environment)]);
        assert_eq!(store.recovered.notifications.state, Some(format!("[{environment}]")));
        assert!(store.recovered.last_active.is_some());
        if environment == "ITG" {
            store.apply(StoreCommand::SetMaintenance(Vec::new()));
            store.writer.write_pending(at(201));
        }
    }
    let left = server.run_sql(&url, "SELECT environment FROM maintenance");
    assert_eq!(left, "DEV");
    // A single aggregator has all of it.
    assert_eq!(open_at(location(&url), 300).recovered.maintenance, [in_environment("DEV")]);
}
