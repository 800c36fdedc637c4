//! Tests that run on every backend: SQLite, and PostgreSQL if it is installed.

use std::sync::Arc;

use super::database::{TestDatabase, on_every_backend};
use rta_shared::incident::{Incident, IncidentKind};
use rta_shared::root_cause::CauseId;

use super::*;

on_every_backend! {
    events_come_back_newest_first_over_a_restart,
    plan_is_on_disk_before_its_beginning_is_confirmed,
    queries_narrow_and_page,
    answer_stays_below_the_size_of_a_message,
    database_itself_refuses_to_change_events,
    old_rows_are_deleted_in_batches_and_ids_continue,
    unfinished_plan_is_found_with_the_state_of_each_step,
    maintenance_and_known_values_outlive_the_aggregator,
    planned_maintenance_outlives_the_aggregator,
    plan_ids_are_never_used_twice,
    repeated_event_is_written_once_and_a_different_one_under_a_new_id,
    texts_and_names_are_stored_once,
    second_aggregator_learns_who_has_the_store,
    zero_byte_and_long_text_are_recorded,
    incidents_come_back_with_their_events_and_are_found,
    incidents_are_deleted_with_their_events_and_numbers_continue,
    keys_of_requests_outlive_the_aggregator,
    runs_of_instances_outlive_the_aggregator,
    event_has_the_number_of_its_incident,
}

fn events_come_back_newest_first_over_a_restart(database: &TestDatabase) {
    let mut opened = database.open();
    let event = Event {
        by: Some(Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() }),
        from: Some("up".to_owned()),
        plan: Some(7),
        ..health(1, "Kafka  Server", "down")
    };
    opened.apply(StoreCommand::AppendEvent(Arc::new(event.clone())));
    opened.append(2, "later");
    drop(opened);

    let mut opened = database.open();
    assert_eq!(opened.error(), None);
    let events = opened.writer.query_events(&EventQuery::default()).unwrap();
    assert_eq!(events[1], Event { id: 1, ..event });
    assert_eq!(events[1].component.as_ref().unwrap().as_str(), "Kafka  Server");
    assert_eq!(texts(events), ["later", "Kafka  Server is down"]);
}

fn plan_is_on_disk_before_its_beginning_is_confirmed(database: &TestDatabase) {
    let record = EventStore::open(&database.options());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(begin_plan(&record)), Ok(()));
    // Nothing is closed yet, and another connection sees the plan.
    let user =
        database.connect().query_first("SELECT \"user\" FROM plans WHERE id = 7", &[], |row| row.text(0));
    assert_eq!(user, Ok(Some(begun(7).by.user)));
    runtime.block_on(record.close());
}

fn queries_narrow_and_page(database: &TestDatabase) {
    let mut opened = database.open();
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

fn answer_stays_below_the_size_of_a_message(database: &TestDatabase) {
    let mut opened = database.open();
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

fn database_itself_refuses_to_change_events(database: &TestDatabase) {
    let mut opened = database.open();
    opened.append(1, "so it was");
    let mut other = database.connect();
    for forgery in [
        "UPDATE events SET plan = 7",
        "UPDATE texts SET text = 'otherwise'",
        "DELETE FROM events",
        "DELETE FROM texts",
        "INSERT INTO events (id, at, kind, place, text) VALUES (1, 1, 1, 0, 1)",
    ] {
        let refused = other.execute(forgery, &[]).unwrap_err().to_string();
        assert!(refused.contains("an event is ") || refused.contains("duplicate key"), "{refused}");
    }
    assert_eq!(opened.texts(), ["so it was"]);
}

fn old_rows_are_deleted_in_batches_and_ids_continue(database: &TestDatabase) {
    let mut opened = database.open();
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

fn unfinished_plan_is_found_with_the_state_of_each_step(database: &TestDatabase) {
    let mut opened = database.open();
    opened.apply(begin_command());
    opened.apply(change(0, (StepState::Waiting, ""), StepState::UnderWay, ""));
    opened.apply(change(0, (StepState::UnderWay, ""), StepState::UnderWay, "SIGTERM was sent"));
    opened.apply(change(0, (StepState::UnderWay, ""), StepState::Done, "stopped in 1.0 s"));
    opened.writer.write_pending(at(2));
    opened.apply(change(1, (StepState::Waiting, ""), StepState::UnderWay, ""));
    opened.writer.write_pending(at(3));
    drop(opened);

    let mut opened = database.open();
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
    let found_names: Vec<String> = opened
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
        found_names,
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
    let mut opened = database.open();
    assert!(opened.recovered.unfinished.is_empty());
    let recorded = opened.writer.query_plan(7).unwrap().unwrap();
    assert_eq!((&recorded.begun, recorded.ended_at), (&begun(7), Some(at(4))));
    assert_eq!(recorded.states[0], (StepState::Done, "stopped in 1.0 s".to_owned()));
    assert_eq!(opened.writer.query_plan(8), Ok(None));
    while opened.writer.delete_batch(at(1_000_000)) {}
    assert_eq!(opened.writer.query_plan(7), Ok(None), "it is kept as long as events");
}

fn maintenance_and_known_values_outlive_the_aggregator(database: &TestDatabase) {
    let mut opened = database.open();
    opened.apply(StoreCommand::SetMaintenance(vec![maintenance()]));
    let host = HostOrInstance { component: None, ..kafka() };
    opened.apply(StoreCommand::SetKnown(vec![
        (kafka(), "up".to_owned()),
        (host.clone(), "reachable".to_owned()),
    ]));
    opened.apply(StoreCommand::AppendEvent(Arc::new(health(2, "Kafka", "down"))));
    opened.writer.write_pending(at(3));
    drop(opened);
    let recovered = database.open().recovered;
    assert_eq!(recovered.maintenance, [maintenance()]);
    let expected = HashMap::from([(kafka(), "down".to_owned()), (host, "reachable".to_owned())]);
    assert_eq!(recovered.known_values, expected);
}

fn planned_maintenance_outlives_the_aggregator(database: &TestDatabase) {
    let planned = |id: u64, rule: &str| PlannedMaintenance {
        id,
        environment: "DEV".to_owned(),
        host: "h1".to_owned(),
        component: String::new(),
        all: false,
        recurrence: Recurrence::parse_every(rule).unwrap(),
        length_seconds: 7200,
        time_zone: "Europe/Berlin".to_owned(),
        reason: "disks".to_owned(),
        by: Requester { user: "ann".to_owned(), address: String::new() },
        created_at: at(1),
        handled: at(2),
    };
    let mut opened = database.open();
    assert_eq!(opened.recovered.last_planned_maintenance, 0);
    let all = vec![planned(2, "sat 02:00"), planned(5, "last sun 03:30")];
    opened.apply(StoreCommand::SetPlannedMaintenance(all, 5));
    opened.apply(StoreCommand::SetPlannedMaintenance(vec![planned(2, "sat 02:00")], 5));
    opened.writer.write_pending(at(3));
    drop(opened);
    let recovered = database.open().recovered;
    assert_eq!(recovered.planned_maintenance, [planned(2, "sat 02:00")]);
    // The ID of what was cancelled is not used again.
    assert_eq!(recovered.last_planned_maintenance, 5);
}

fn plan_ids_are_never_used_twice(database: &TestDatabase) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let record = EventStore::open(&database.options());
    let store = record.handle();
    let ids: Vec<u64> = (0..300).map(|_| store.next_plan_id()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    drop(store);
    runtime.block_on(record.close());
    let record = EventStore::open(&database.options());
    // IDs are assigned without a gap; none of these was written as a plan.
    assert_eq!(record.handle().next_plan_id(), 301);
    assert!(runtime.block_on(record.handle().flush()));
    record.abandon();
    assert!(EventStore::open(&database.options()).handle().next_plan_id() > 301);
}

/// Whether a transaction was committed is not known if the connection is lost meanwhile.
fn repeated_event_is_written_once_and_a_different_one_under_a_new_id(database: &TestDatabase) {
    let mut opened = database.open();
    let event = |id, text: &str| Arc::new(Event { id, ..aggregator_event(at(1), text.to_owned()) });
    for event in [event(7, "first"), event(8, "second"), event(7, "first"), event(7, "another")] {
        opened.apply(StoreCommand::AppendEvent(event));
        opened.writer.write_pending(at(1));
    }
    let found = opened.writer.query_events(&EventQuery::default()).unwrap();
    let found: Vec<(u64, &str)> = found.iter().map(|event| (event.id, event.text.as_str())).collect();
    assert_eq!(found, [(9, "another"), (8, "second"), (7, "first")]);
}

fn texts_and_names_are_stored_once(database: &TestDatabase) {
    let mut opened = database.open();
    for seconds in 0..10 {
        opened.apply(StoreCommand::AppendEvent(Arc::new(health(seconds, "kafka", "down"))));
    }
    opened.writer.write_pending(at(10));
    // Another spelling is the same name, and is shown from now on.
    opened.apply(StoreCommand::AppendEvent(Arc::new(health(11, "Kafka", "down"))));
    opened.writer.write_pending(at(11));
    let mut other = database.connect();
    let mut count = |table: &str| {
        other
            .query_first(&format!("SELECT count(*) FROM {table}"), &[], |row| row.integer(0))
            .unwrap()
            .unwrap()
    };
    assert_eq!([count("events"), count("texts"), count("names")], [11, 2, 3]);
    let shown = opened.writer.query_events(&EventQuery::default()).unwrap();
    assert!(shown.iter().all(|event| event.component.as_ref().unwrap().as_str() == "Kafka"));
    // A text is used again for a week at most, and is deleted after the events that refer to it.
    let later = 8 * 86_400;
    opened.apply(StoreCommand::AppendEvent(Arc::new(health(later, "kafka", "down"))));
    opened.writer.write_pending(at(later));
    assert_eq!(count("texts"), 3);
    while opened.writer.delete_batch(at(later + 86_400)) {}
    assert_eq!([count("events"), count("texts")], [1, 1]);
    assert_eq!(opened.texts(), ["kafka is down"]);
}

fn second_aggregator_learns_who_has_the_store(database: &TestDatabase) {
    let first = database.open();
    let second = database.open();
    let used = second.writer.used_by_another.clone().unwrap();
    let holder = format!("pid {}) records there", std::process::id());
    assert!(used.contains("another rta-aggregator (") && used.ends_with(&holder), "{used}");
    assert_eq!(first.writer.used_by_another, None);
    drop(first);
    assert_eq!(database.open().error(), None);
}

fn zero_byte_and_long_text_are_recorded(database: &TestDatabase) {
    let mut opened = database.open();
    opened.append(1, &format!("before\0after {}", "x".repeat(10_000)));
    assert_eq!(opened.error(), None);
    let texts = opened.texts();
    assert!(texts[0].starts_with("before") && texts[0].contains("after x"), "{texts:?}");
}

pub(super) fn incident(id: u64, begin: i64, end: Option<i64>) -> Incident {
    Incident {
        id,
        kind: IncidentKind::Failure,
        text: format!("incident {id}"),
        began_as: None,
        begun_at: at(begin),
        ended_at: end.map(at),
        end_note: None,
        begins: 1,
        causes: vec![CauseId { environment: "DEV".into(), host: "h1".into(), component: None }],
        affected: 0,
        affected_instances: vec![],
        plans: vec![],
        persons: vec!["Ann".to_owned()],
        notifications: 0,
    }
}

fn record_incidents(opened: &mut TestStore, incidents: Vec<Incident>, events: Vec<(u64, u64)>) {
    opened.apply(StoreCommand::ChangeIncidents(Box::new(IncidentChange { incidents, events })));
}

fn incidents_come_back_with_their_events_and_are_found(database: &TestDatabase) {
    let mut opened = database.open();
    assert_eq!(opened.recovered.incidents.last_id, 0);
    for seconds in 1..=3 {
        let by = Some(Requester { user: "ann".to_owned(), address: String::new() });
        let event = Event { by, plan: Some(7), ..health(seconds, "kafka", "down") };
        opened.apply(StoreCommand::AppendEvent(Arc::new(event)));
    }
    opened.append(4, "own");
    record_incidents(
        &mut opened,
        vec![incident(1, 1, None), incident(2, 2, None)],
        vec![(1, 1), (1, 2), (2, 3)],
    );
    let other = Incident { persons: vec!["bob".to_owned()], ..incident(2, 2, Some(900)) };
    // What is not written yet is found as what is.
    for is_written in [false, true] {
        if is_written {
            opened.writer.write_pending(at(1000));
            record_incidents(&mut opened, vec![other.clone()], vec![]);
            opened.writer.write_pending(at(1000));
        }
        let mut ask = |query: IncidentQuery| -> Vec<u64> {
            let query = IncidentQuery { limit: 10, ..query };
            let found = opened.writer.query_incidents(&query).unwrap();
            found.iter().map(|details| details.incident.id).collect()
        };
        let all = IncidentQuery::default;
        assert_eq!(ask(all()), [2, 1]);
        assert_eq!(ask(IncidentQuery { before: Some(2), ..all() }), [1]);
        assert_eq!(ask(IncidentQuery { id: Some(2), ..all() }), [2]);
        assert_eq!(
            ask(IncidentQuery { is_open: true, ..all() }),
            if is_written { vec![1] } else { vec![2, 1] }
        );
        assert_eq!(ask(IncidentQuery { environment: Some("dev".into()), ..all() }), [2, 1]);
        assert_eq!(ask(IncidentQuery { environment: Some("ITG".into()), ..all() }), [] as [u64; 0]);
        assert_eq!(ask(IncidentQuery { person: Some("ANN".to_owned()), ..all() })[0], 2);
        assert_eq!(
            ask(IncidentQuery { person: Some("bob".to_owned()), ..all() }).len(),
            usize::from(is_written)
        );
        let since = IncidentQuery { since: Some(at(950)), ..all() };
        assert_eq!(ask(since), if is_written { vec![1] } else { vec![2, 1] });
    }
    let query = IncidentQuery { id: Some(1), limit: 1, events: 1, ..IncidentQuery::default() };
    let found = opened.writer.query_incidents(&query).unwrap().remove(0);
    assert_eq!((found.events.len(), found.events[0].id, found.is_truncated), (1, 2, true));
    let mut ask = |query: EventQuery| -> Vec<u64> {
        opened.writer.query_events(&query).unwrap().iter().map(|event| event.id).collect()
    };
    assert_eq!(ask(EventQuery { incident: Some(1), ..EventQuery::default() }), [2, 1]);
    assert_eq!(ask(EventQuery { plan: Some(7), ..EventQuery::default() }), [3, 2, 1]);
    assert_eq!(ask(EventQuery { person: Some("ann".to_owned()), ..EventQuery::default() }), [3, 2, 1]);
    assert_eq!(ask(EventQuery { person: Some("eve".to_owned()), ..EventQuery::default() }), [] as [u64; 0]);
    drop(opened);

    let opened = database.open();
    assert_eq!(opened.recovered.incidents.incidents, [incident(1, 1, None), other]);
    assert_eq!(opened.recovered.incidents.last_id, 2);
}

fn incidents_are_deleted_with_their_events_and_numbers_continue(database: &TestDatabase) {
    let mut opened = database.open();
    opened.append(1, "of the first");
    opened.append(2, "of the second");
    let incidents = vec![incident(1, 1, Some(2)), incident(2, 2, None), incident(3, 3, Some(4))];
    record_incidents(&mut opened, incidents, vec![(1, 1), (2, 2)]);
    opened.writer.write_pending(at(5));
    opened.append(90_000, "new");
    // One day is kept.
    while opened.writer.delete_batch(at(88_500)) {}
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        database.connect().query_first(&sql, &[], |row| row.number(0)).unwrap().unwrap()
    };
    assert_eq!((count("incidents"), count("incident_keys"), count("incident_events")), (1, 2, 0));
    drop(opened);
    assert_eq!(database.open().recovered.incidents.last_id, 3);
}

fn keys_of_requests_outlive_the_aggregator(database: &TestDatabase) {
    let request =
        |key: &str, request: &str| KeyedRequest { key: key.to_owned(), request: request.to_owned() };
    let answer = RequestAnswer {
        status: 201,
        headers: "{\"location\":\"/api/v1/plans/7\"}".to_owned(),
        body: "{\"id\":7}".to_owned(),
    };
    let mut opened = database.open();
    let mut begin = |key: &str| opened.writer.begin_request(&request(key, "stop"), at(1));
    assert_eq!((begin("answered"), begin("open")), (Ok(RequestRecord::New), Ok(RequestRecord::New)));
    assert_eq!(begin("refused"), Ok(RequestRecord::New));
    assert_eq!(opened.writer.end_request("answered", Some(&answer), at(2)), Ok(()));
    assert_eq!(opened.writer.end_request("refused", None, at(2)), Ok(()));
    drop(opened);

    let mut opened = database.open();
    let mut begin = |key: &str, of: &str| opened.writer.begin_request(&request(key, of), at(3));
    assert_eq!(begin("answered", "stop"), Ok(RequestRecord::Answered(answer)));
    assert_eq!(begin("answered", "start"), Ok(RequestRecord::OtherRequest));
    assert_eq!(begin("open", "stop"), Ok(RequestRecord::Unanswered(at(1))));
    assert_eq!(begin("refused", "stop"), Ok(RequestRecord::New));
}

fn runs_of_instances_outlive_the_aggregator(database: &TestDatabase) {
    let id = |component: &str| InstanceId {
        environment: "E".into(),
        host: "h1".into(),
        component: component.into(),
    };
    let mut opened = database.open();
    assert!(opened.recovered.earlier_runs.is_empty());
    let sample = |component: &str, state| (id(component), state);
    let first = vec![
        sample("never", TimelineState::Down),
        sample("ran", TimelineState::Up),
        sample("partly", TimelineState::Degraded),
        sample("unknown", TimelineState::Unknown),
    ];
    opened.apply(StoreCommand::AddSamples(at(1), first));
    opened.apply(StoreCommand::AddSamples(at(2), vec![sample("ran", TimelineState::Down)]));
    opened.writer.write_pending(at(3));
    drop(opened);
    assert_eq!(database.open().recovered.earlier_runs, HashSet::from([id("ran"), id("partly")]));
}

fn event_has_the_number_of_its_incident(database: &TestDatabase) {
    let mut opened = database.open();
    opened.append(1, "apart");
    opened.append(2, "of an incident");
    let all = EventQuery::default();
    let numbers = |opened: &mut TestStore| -> Vec<Option<u64>> {
        opened.writer.query_events(&all).unwrap().iter().map(|event| event.incident).collect()
    };
    assert_eq!(numbers(&mut opened), [None, None]);
    let change = IncidentChange { incidents: vec![], events: vec![(7, 2)] };
    opened.writer.apply_command(StoreCommand::ChangeIncidents(Box::new(change)));
    assert_eq!(numbers(&mut opened), [Some(7), None], "before it is written");
    opened.writer.write_pending(at(3));
    assert_eq!(numbers(&mut opened), [Some(7), None]);
}
