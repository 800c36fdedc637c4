//! Recorded timeline samples over restarts, full disks and damage.

use proptest::prelude::*;
use rta_shared::config::{Source, load_sources};
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::overview::InstanceId;

use super::super::marks::{Asked, Noted};
use super::*;
use crate::fleet::Fleet;
use crate::hub::hub;
use crate::strip::{Gap, Mark, Stretch, Strip};

fn id(component: &str) -> InstanceId {
    InstanceId { environment: "DEV".into(), host: "H1".into(), component: component.into() }
}

fn mark(seconds: i64, component: &str, state: Stretch) -> Order {
    Order::Mark(at(seconds), vec![(id(component), state)])
}

impl Opened {
    fn mark(&mut self, seconds: i64, component: &str, state: Stretch) {
        self.tell(mark(seconds, component, state));
        self.writer.write(at(seconds));
    }

    fn noted(&mut self, since: i64, instance: Option<InstanceId>) -> Noted {
        self.writer.noted(&Asked { since: at(since), instance }).unwrap()
    }

    /// Returns the timeline of kafka, in seconds.
    fn strip(&mut self, from: i64, to: i64) -> Vec<String> {
        let noted = self.noted(from, None);
        let marks = noted.marks.get(&id("kafka")).cloned().unwrap_or_default();
        let strip = Strip::from_marks(at(from), at(to), &marks, &noted.gaps);
        let seconds = |moment: Timestamp| moment.as_second();
        let told = strip
            .spans
            .iter()
            .map(|span| format!("{}-{} {}", seconds(span.from), seconds(span.to), span.state.word()));
        told.collect()
    }
}

fn open_at(folder: &TempDir, seconds: i64) -> Opened {
    let (told, error) = watch::channel(None);
    let options =
        RecordOptions { data: Some(folder.path().to_owned()), keep: SignedDuration::from_hours(24) };
    let (writer, left) = Writer::open(&options, told, at(seconds));
    Opened { writer, left, error }
}

#[test]
fn a_time_without_an_aggregator_is_not_recorded_however_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open_at(&folder, 100);
    opened.mark(100, "Kafka", Stretch::Up);
    // The last write shows that the aggregator ran until then.
    opened.record(400, "something else");
    drop(opened);
    let mut opened = open_at(&folder, 500);
    assert_eq!(opened.strip(50, 600), ["50-100 not recorded", "100-400 up", "400-600 not recorded"]);
    opened.mark(500, "kafka", Stretch::Unknown);
    opened.mark(502, "kafka", Stretch::Down);
    assert_eq!(opened.strip(450, 600), ["450-500 not recorded", "500-502 unknown", "502-600 down"]);
}

#[test]
fn what_cannot_be_written_is_told_all_the_same_and_what_is_lost_is_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open_at(&folder, 100);
    opened.mark(100, "kafka", Stretch::Up);
    opened.writer.limit_pages(1);
    opened.mark(200, "kafka", Stretch::Down);
    opened.record(201, &"x".repeat(5000));
    assert!(opened.error().is_some());
    opened.tell(mark(300, "kafka", Stretch::Up));
    assert_eq!(opened.strip(150, 400), ["150-200 up", "200-300 down", "300-400 up"]);
    // One more than fit.
    for number in 0..50_001 {
        let state = if number % 2 == 0 { Stretch::Down } else { Stretch::Up };
        opened.tell(mark(301 + number / 1000, "kafka", state));
    }
    opened.writer.limit_pages(1_000_000);
    opened.writer.write(at(400));
    assert_eq!(opened.error(), None);
    let told = opened.strip(150, 400);
    assert_eq!(told[..3], ["150-200 up", "200-300 down", "300-350 not recorded"], "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("351-400 down"), "{told:?}");
}

#[test]
fn a_record_that_is_begun_anew_begins_with_how_everything_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = filled(&folder);
    opened.mark(3000, "kafka", Stretch::Up);
    opened.writer.checkpoint();
    damage(&folder);
    for seconds in 3001..3100 {
        opened.record(seconds, "after");
        opened.writer.forget(at(1_000_000 + seconds));
        let _ = opened.writer.answer(&Query::default());
    }
    opened.writer.write(at(3100));
    assert_eq!(aside(&folder).len(), 1);
    let told = opened.strip(2900, 3200);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("not recorded") && told[1].ends_with("-3200 up"), "{told:?}");
}

#[test]
fn what_is_old_goes_but_for_what_tells_how_it_was() {
    let mut opened = open(None);
    opened.tell(Order::Mark(at(0), vec![(id("gone"), Stretch::Up), (id("kafka"), Stretch::Down)]));
    opened.tell(Order::Mark(at(1), vec![(id("gone"), Stretch::NotRecorded)]));
    opened.mark(2, "kafka", Stretch::Up);
    opened.mark(90_000, "kafka", Stretch::Down);
    // One day is kept.
    assert!(!opened.writer.forget(at(86_400 + 10)));
    let noted = opened.noted(0, None);
    let kafka = [Mark { at: at(2), state: Stretch::Up }, Mark { at: at(90_000), state: Stretch::Down }];
    assert_eq!(noted.marks, HashMap::from([(id("kafka"), kafka.to_vec())]));
    assert_eq!(opened.strip(50_000, 100_000), ["50000-90000 up", "90000-100000 down"]);
}

#[test]
fn what_a_gap_ended_goes_before_the_gap() {
    let folder = tempfile::tempdir().unwrap();
    open_at(&folder, 100).mark(100, "kafka", Stretch::Up);
    let mut opened = open_at(&folder, 200);
    opened.writer.write(at(200));
    assert_eq!(opened.noted(0, None).gaps, [Gap { since: at(100), until: at(200) }]);
    opened.writer.forget(at(1_000_000));
    assert_eq!(opened.noted(0, None), Noted::default());
}

fn noting() -> impl Strategy<Value = (i64, usize, Stretch)> {
    (0_i64..300, 0_usize..5, proptest::sample::select(Stretch::ALL.to_vec()))
}

proptest! {
    #[test]
    fn the_answer_for_all_is_that_for_each(
        noted in proptest::collection::vec(noting(), 0..60),
        written in 0_usize..60,
        since in 0_i64..300,
    ) {
        let mut opened = open(None);
        for (number, (seconds, component, state)) in noted.iter().enumerate() {
            opened.tell(mark(*seconds, &format!("c{component}"), *state));
            if number < written {
                opened.writer.write(at(1000));
            }
        }
        let all = opened.noted(since, None);
        for component in 0..5 {
            let instance = id(&format!("C{component}"));
            let own = opened.noted(since, Some(instance.clone()));
            prop_assert_eq!(own.marks.get(&instance), all.marks.get(&instance));
            // Marks that are left out do not change the timeline.
            let full = opened.noted(0, Some(instance.clone()));
            let strip = |noted: &Noted| {
                let marks = noted.marks.get(&instance).cloned().unwrap_or_default();
                Strip::from_marks(at(since), at(1000), &marks, &noted.gaps)
            };
            if noted.is_sorted_by_key(|(seconds, ..)| *seconds) {
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
    let fleet = Fleet::new(load_sources(&[source]).unwrap(), &[], None).unwrap();
    let (told, _) = watch::channel(None);
    let (orders, waiting) = channel();
    let (writer, _) = Writer::open(&RecordOptions::default(), told.clone(), Timestamp::now());
    let recorder = Recorder(Arc::new(Shared {
        orders,
        waiting: writer.waiting(),
        error: told,
        lost: writer.lost_before(),
        ..Arc::into_inner(Recorder::default().0).unwrap()
    }));
    let (inbox, _published, hub) =
        hub(Arc::new(fleet), recorder.clone(), ImpairmentList::default(), Heartbeat::default());
    let hub = tokio::spawn(hub);
    for _ in 0..QUEUE {
        recorder.record(own_event(Timestamp::now(), "x".to_owned()));
    }
    let thread = std::thread::spawn(move || writer.run(&waiting));
    let noted = loop {
        let noted = recorder.noted(START, None).await.unwrap_or_default();
        if noted.marks.get(&id("kafka")).is_some_and(|marks| marks.len() == 2) {
            break noted;
        }
        tokio::task::yield_now().await;
    };
    let ([gap], [first, again]) = (noted.gaps.as_slice(), noted.marks[&id("kafka")].as_slice()) else {
        panic!("{noted:?}");
    };
    assert!(first.at < gap.until && again.at >= gap.until, "{noted:?}");
    assert_eq!((first.state, again.state), (Stretch::Unknown, Stretch::Unknown));
    drop(inbox);
    hub.await.unwrap();
    drop(recorder);
    thread.join().unwrap();
}
