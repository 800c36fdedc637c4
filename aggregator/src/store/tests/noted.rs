//! Recorded timeline samples over restarts, full disks and damage.

use proptest::prelude::*;
use rta_shared::config::{Source, load_sources};
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::overview::InstanceId;

use super::database::{TestDatabase, on_every_backend};
use super::*;
use crate::events::EventBus;
use crate::inventory::Inventory;
use crate::state::actor::create_state_actor;
use crate::store::query::{TimelineQuery, TimelineRows};
use crate::timeline::{RecordingGap, Timeline, TimelineSample, TimelineState};

on_every_backend! {
    time_without_an_aggregator_is_not_recorded,
    old_samples_are_deleted_except_the_last_of_an_instance,
    samples_that_a_gap_ended_are_deleted_before_the_gap,
    timeline_of_all_is_that_of_each,
}

fn id(component: &str) -> InstanceId {
    InstanceId { environment: "DEV".into(), host: "H1".into(), component: component.into() }
}

fn sample(seconds: i64, component: &str, state: TimelineState) -> StoreCommand {
    StoreCommand::AddSamples(at(seconds), vec![(id(component), state)])
}

impl TestStore {
    fn sample(&mut self, seconds: i64, component: &str, state: TimelineState) {
        self.apply(sample(seconds, component, state));
        self.writer.write_pending(at(seconds));
    }

    fn rows(&mut self, since: i64, instance: Option<InstanceId>) -> TimelineRows {
        self.writer.query_timeline(&TimelineQuery { since: at(since), instance }).unwrap()
    }

    /// Returns the timeline of kafka, in seconds.
    fn strip(&mut self, from: i64, to: i64) -> Vec<String> {
        let rows = self.rows(from, None);
        let samples = rows.samples.get(&id("kafka")).cloned().unwrap_or_default();
        let strip = Timeline::from_samples(at(from), at(to), &samples, &rows.gaps);
        let seconds = |moment: Timestamp| moment.as_second();
        let shown_timeline = strip
            .spans
            .iter()
            .map(|span| format!("{}-{} {}", seconds(span.from), seconds(span.to), span.state.word()));
        shown_timeline.collect()
    }
}

fn time_without_an_aggregator_is_not_recorded(database: &TestDatabase) {
    let mut opened = database.open_at(100);
    opened.sample(100, "Kafka", TimelineState::Up);
    // The last write shows that the aggregator ran until then.
    opened.append(400, "something else");
    drop(opened);
    let mut opened = database.open_at(500);
    assert_eq!(opened.strip(50, 600), ["50-100 not recorded", "100-400 up", "400-600 not recorded"]);
    opened.sample(500, "kafka", TimelineState::Unknown);
    opened.sample(502, "kafka", TimelineState::Down);
    assert_eq!(opened.strip(450, 600), ["450-500 not recorded", "500-502 unknown", "502-600 down"]);
}

#[test]
fn what_cannot_be_written_is_told_all_the_same_and_what_is_lost_is_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open_at(StoreLocation::Folder(folder.path().to_owned()), 100);
    opened.sample(100, "kafka", TimelineState::Up);
    opened.writer.limit_pages(1);
    opened.sample(200, "kafka", TimelineState::Down);
    opened.append(201, &"x".repeat(5000));
    assert!(opened.error().is_some());
    opened.apply(sample(300, "kafka", TimelineState::Up));
    assert_eq!(opened.strip(150, 400), ["150-200 up", "200-300 down", "300-400 up"]);
    // One more than fit.
    for number in 0..50_001 {
        let state = if number % 2 == 0 { TimelineState::Down } else { TimelineState::Up };
        opened.apply(sample(301 + number / 1000, "kafka", state));
    }
    opened.writer.limit_pages(1_000_000);
    opened.writer.write_pending(at(400));
    assert_eq!(opened.error(), None);
    let shown_timeline = opened.strip(150, 400);
    assert_eq!(
        shown_timeline[..3],
        ["150-200 up", "200-300 down", "300-350 not recorded"],
        "{shown_timeline:?}"
    );
    assert_eq!(shown_timeline.last().map(String::as_str), Some("351-400 down"), "{shown_timeline:?}");
}

#[test]
fn a_record_that_is_begun_anew_begins_with_how_everything_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open_filled(&folder);
    opened.sample(3000, "kafka", TimelineState::Up);
    opened.writer.checkpoint();
    corrupt_file(&folder);
    for seconds in 3001..3100 {
        opened.append(seconds, "after");
        opened.writer.delete_batch(at(1_000_000 + seconds));
        let _ = opened.writer.query_events(&EventQuery::default());
    }
    opened.writer.write_pending(at(3100));
    assert_eq!(files_aside(&folder).len(), 1);
    let shown_timeline = opened.strip(2900, 3200);
    assert_eq!(shown_timeline.len(), 2, "{shown_timeline:?}");
    assert!(
        shown_timeline[0].ends_with("not recorded") && shown_timeline[1].ends_with("-3200 up"),
        "{shown_timeline:?}"
    );
}

fn old_samples_are_deleted_except_the_last_of_an_instance(database: &TestDatabase) {
    let mut opened = database.open();
    opened.apply(StoreCommand::AddSamples(
        at(0),
        vec![(id("gone"), TimelineState::Up), (id("kafka"), TimelineState::Down)],
    ));
    opened.apply(StoreCommand::AddSamples(at(1), vec![(id("gone"), TimelineState::NotRecorded)]));
    opened.sample(2, "kafka", TimelineState::Up);
    opened.sample(90_000, "kafka", TimelineState::Down);
    // One day is kept.
    assert!(!opened.writer.delete_batch(at(86_400 + 10)));
    let rows = opened.rows(0, None);
    let kafka = [
        TimelineSample { at: at(2), state: TimelineState::Up },
        TimelineSample { at: at(90_000), state: TimelineState::Down },
    ];
    assert_eq!(rows.samples, HashMap::from([(id("kafka"), kafka.to_vec())]));
    assert_eq!(opened.strip(50_000, 100_000), ["50000-90000 up", "90000-100000 down"]);
}

fn samples_that_a_gap_ended_are_deleted_before_the_gap(database: &TestDatabase) {
    database.open_at(100).sample(100, "kafka", TimelineState::Up);
    let mut opened = database.open_at(200);
    opened.writer.write_pending(at(200));
    assert_eq!(opened.rows(0, None).gaps, [RecordingGap { since: at(100), until: at(200) }]);
    opened.writer.delete_batch(at(1_000_000));
    assert_eq!(opened.rows(0, None), TimelineRows::default());
}

fn timeline_of_all_is_that_of_each(database: &TestDatabase) {
    let mut opened = database.open();
    for seconds in 0..40 {
        let state = if seconds % 3 == 0 { TimelineState::Down } else { TimelineState::Up };
        opened.sample(seconds, &format!("c{}", seconds % 4), state);
    }
    let all = opened.rows(20, None);
    assert_eq!(all.samples.len(), 4);
    for component in 0..4 {
        let instance = id(&format!("C{component}"));
        // The last sample before the moment, and five later ones.
        assert_eq!(all.samples[&instance].len(), 6);
        assert_eq!(opened.rows(20, Some(instance.clone())).samples[&instance], all.samples[&instance]);
    }
}

fn noting() -> impl Strategy<Value = (i64, usize, TimelineState)> {
    (0_i64..300, 0_usize..5, proptest::sample::select(TimelineState::ALL.to_vec()))
}

proptest! {
    #[test]
    fn the_answer_for_all_is_that_for_each(
        rows in proptest::collection::vec(noting(), 0..60),
        written in 0_usize..60,
        since in 0_i64..300,
    ) {
        let mut opened = open(None);
        for (number, (seconds, component, state)) in rows.iter().enumerate() {
            opened.apply(sample(*seconds, &format!("c{component}"), *state));
            if number < written {
                opened.writer.write_pending(at(1000));
            }
        }
        let all = opened.rows(since, None);
        for component in 0..5 {
            let instance = id(&format!("C{component}"));
            let own = opened.rows(since, Some(instance.clone()));
            prop_assert_eq!(own.samples.get(&instance), all.samples.get(&instance));
            // Samples that are left out do not change the timeline.
            let full = opened.rows(0, Some(instance.clone()));
            let strip = |rows: &TimelineRows| {
                let samples = rows.samples.get(&instance).cloned().unwrap_or_default();
                Timeline::from_samples(at(since), at(1000), &samples, &rows.gaps)
            };
            if rows.is_sorted_by_key(|(seconds, ..)| *seconds) {
                prop_assert_eq!(strip(&own), strip(&full));
            }
        }
    }
}

#[tokio::test]
async fn what_found_no_room_leaves_a_gap_after_which_everything_is_noted_again() {
    let text = r#"
        [[component]]
        name = "kafka"
        criteria = [{ regex = 'kafka' }]
        [[environment]]
        name = "DEV"
        host = [{ name = "H1", components = ["kafka"], agent = "http://127.0.0.1:1" }]
    "#;
    let source = Source { name: "x".to_owned(), text: text.to_owned() };
    let inventory = Inventory::new(load_sources(&[source]).unwrap(), &[], None).unwrap();
    let (shown_timeline, _) = watch::channel(None);
    let (commands, waiting) = channel();
    let (writer, _) = StoreWriter::open(&StoreOptions::default(), shown_timeline.clone(), Timestamp::now());
    let store = EventStoreHandle(Arc::new(HandleState {
        commands,
        feed: writer.feed.clone(),
        queued: writer.queued_counter(),
        error: shown_timeline,
        errors: writer.error_counters(),
        ..Arc::into_inner(EventStoreHandle::default().0).unwrap()
    }));
    let (inbox, _published, state_actor) = create_state_actor(
        Arc::clone(&inventory.platform),
        inventory.agent_ids().collect(),
        EventBus::new(store.clone()),
        ImpairmentList::default(),
        Heartbeat::default(),
    );
    let state_actor = tokio::spawn(state_actor);
    for _ in 0..QUEUE_CAPACITY {
        store.append_event(&Arc::new(aggregator_event(Timestamp::now(), "x".to_owned())));
    }
    let thread = std::thread::spawn(move || writer.run(&waiting));
    let rows = loop {
        let rows = store.query_timeline(START, None).await.unwrap_or_default();
        if rows.samples.get(&id("kafka")).is_some_and(|samples| samples.len() == 2) {
            break rows;
        }
        tokio::task::yield_now().await;
    };
    let ([gap], [first, again]) = (rows.gaps.as_slice(), rows.samples[&id("kafka")].as_slice()) else {
        panic!("{rows:?}");
    };
    assert!(first.at < gap.until && again.at >= gap.until, "{rows:?}");
    assert_eq!((first.state, again.state), (TimelineState::Unknown, TimelineState::Unknown));
    drop(inbox);
    state_actor.await.unwrap();
    drop(store);
    thread.join().unwrap();
}
