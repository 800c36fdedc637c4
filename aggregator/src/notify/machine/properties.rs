//! Properties of the rules, over random outages: whatever happens, each begin has one end, and there are
//! never more messages than the limit.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::tests::{cause, config};
use super::*;

/// Root cause at one moment of a random course.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Down { affected: usize, is_severe: bool },
    Quiet,
    Absent,
    Undecided,
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        4 => (0usize..300, any::<bool>()).prop_map(|(affected, is_severe)| Seen::Down { affected, is_severe }),
        1 => Just(Seen::Quiet),
        4 => Just(Seen::Absent),
        1 => Just(Seen::Undecided),
    ]
}

/// Seconds until the next moment, and what is seen of two root causes then.
fn course(quiet: bool, undecided: bool) -> impl Strategy<Value = Vec<(i64, [Seen; 2])>> {
    let is_wanted = move |seen: &Seen| match seen {
        Seen::Quiet => quiet,
        Seen::Undecided => undecided,
        Seen::Down { .. } | Seen::Absent => true,
    };
    let seen = move || seen().prop_filter("not in this course", is_wanted);
    prop::collection::vec((prop_oneof![0i64..5, 0i64..100, 0i64..2000], [seen(), seen()]), 1..80)
}

fn snapshot(seen: [Seen; 2]) -> CauseSnapshot {
    let mut snapshot = CauseSnapshot::default();
    for (seen, name) in seen.into_iter().zip(["kafka", "zoo"]) {
        let mut cause = cause(name);
        match seen {
            Seen::Down { affected, is_severe } => {
                cause.affected.count = affected;
                cause.severity = if is_severe { Severity::Critical } else { Severity::Warning };
            }
            Seen::Quiet => cause.quiet = Some(Quiet::Maintenance(String::new())),
            Seen::Absent => continue,
            Seen::Undecided => {
                snapshot.outcomes.insert(cause.id, CauseOutcome::Undecided);
                continue;
            }
        }
        snapshot.causes.insert(cause.id.clone(), cause);
    }
    snapshot
}

fn settings() -> impl Strategy<Value = NotifyConfig> {
    let seconds = || prop_oneof![Just(0), Just(5), Just(30)];
    (seconds(), seconds(), 2u32..6, prop_oneof![Just(0), Just(60), Just(3600)]).prop_map(
        |(begin, end, begins, repeat)| {
            config(&format!(
                "for = \"{begin}s\"\nend_delay = \"{end}s\"\nrepeat = \"{repeat}s\"\n\
                 flapping = {{ begins = {begins}, within = \"10m\" }}\n\
                 [[route]]\nchannels = [\"ops\"]\n[[route]]\nchannels = [\"boss\"]\nseverity = [\"critical\"]\n"
            ))
        },
    )
}

/// Runs a course, and then lets everything be well for a long time. Returns all messages.
fn run(
    config: &NotifyConfig,
    course: &[(i64, [Seen; 2])],
    is_restarted: bool,
) -> (Vec<Outgoing>, NotifyState) {
    let mut state = NotifyState::default();
    let mut now = Timestamp::UNIX_EPOCH;
    let mut messages = Vec::new();
    let calm = [(700, [Seen::Absent; 2]); 4];
    for (seconds, seen) in course.iter().chain(&calm) {
        now += SignedDuration::from_secs(*seconds);
        messages.extend(state.advance(config, &snapshot(*seen), now));
        if is_restarted {
            state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        }
    }
    (messages, state)
}

/// Returns the messages of each root cause to each channel.
fn by_receiver(messages: Vec<Outgoing>) -> BTreeMap<(String, Option<String>), Vec<Message>> {
    let mut all: BTreeMap<_, Vec<Message>> = BTreeMap::new();
    for Outgoing { channel, message } in messages {
        all.entry((channel, message.cause.component.clone())).or_default().push(message);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_begin_has_one_end(config in settings(), course in course(true, true)) {
        let (messages, state) = run(&config, &course, false);
        prop_assert_eq!(state, NotifyState::default());
        for (receiver, messages) in by_receiver(messages) {
            let mut incident = None;
            for message in messages {
                match message.kind {
                    MessageKind::End => {
                        prop_assert_eq!(incident.take(), Some(message.incident), "{:?}", receiver);
                    }
                    MessageKind::Begin => {
                        prop_assert_eq!(incident.replace(message.incident), None, "{:?}", receiver);
                    }
                    MessageKind::Flapping if incident.is_none() => incident = Some(message.incident),
                    _ => prop_assert_eq!(incident.as_ref(), Some(&message.incident), "{:?}", receiver),
                }
            }
            prop_assert_eq!(incident, None, "{:?}", receiver);
        }
    }

    #[test]
    fn flapping_is_limited(config in settings(), course in course(false, true)) {
        let (messages, _) = run(&config, &course, false);
        for (receiver, messages) in by_receiver(messages) {
            let is_repeated = !config.repeat.is_zero();
            let limited: Vec<&Message> = messages
                .iter()
                .filter(|message| match message.kind {
                    MessageKind::Begin | MessageKind::End => true,
                    MessageKind::Flapping => !is_repeated,
                    _ => false,
                })
                .collect();
            for (at, message) in limited.iter().enumerate() {
                let later = &limited[at..];
                let near = later.iter().filter(|other| other.at.duration_since(message.at).as_secs() < 600);
                prop_assert!(near.count() <= MAX_MESSAGES, "{:?} {:?}", receiver, limited);
            }
            let updates: Vec<&Message> =
                messages.iter().filter(|message| message.kind == MessageKind::Update).collect();
            let are_apart = updates.windows(2).all(|pair| {
                let seconds = pair[1].at.duration_since(pair[0].at).as_secs();
                seconds >= 600 || pair[0].incident != pair[1].incident
            });
            prop_assert!(are_apart, "{:?} {:?}", receiver, updates);
        }
    }

    #[test]
    fn nothing_is_sent_of_what_is_in_maintenance(config in settings(), course in course(true, true)) {
        let mut state = NotifyState::default();
        let mut now = Timestamp::UNIX_EPOCH;
        for (seconds, seen) in course {
            now += SignedDuration::from_secs(seconds);
            for Outgoing { message, .. } in state.advance(&config, &snapshot(seen), now) {
                let at = usize::from(message.cause.component.as_deref() == Some("zoo"));
                match seen[at] {
                    Seen::Quiet => prop_assert_eq!(message.end_reason, Some(EndReason::Maintenance)),
                    Seen::Undecided => prop_assert!(false, "{:?}", message),
                    Seen::Absent => prop_assert_eq!(message.kind, MessageKind::End),
                    Seen::Down { .. } => prop_assert!(message.kind != MessageKind::End),
                }
            }
        }
    }

    #[test]
    fn restart_changes_nothing(config in settings(), course in course(true, true)) {
        prop_assert_eq!(run(&config, &course, true), run(&config, &course, false));
    }

    #[test]
    fn message_is_due_when_it_is_said_to_be(config in settings(), course in course(true, false)) {
        let mut state = NotifyState::default();
        let mut now = Timestamp::UNIX_EPOCH;
        for (seconds, seen) in course {
            let next = now + SignedDuration::from_secs(seconds);
            // What happens in between happens at the times that were announced.
            let mut early = state.clone();
            let due = state.next_due(&config, now);
            let before = next - SignedDuration::from_secs(1);
            if before > now && due.is_none_or(|due| due > before) {
                let last = snapshot_of(&early);
                prop_assert_eq!(early.advance(&config, &last, before), vec![]);
            }
            now = next;
            state.advance(&config, &snapshot(seen), now);
        }
    }
}

/// Returns the snapshot that a state saw last.
fn snapshot_of(state: &NotifyState) -> CauseSnapshot {
    let mut snapshot = CauseSnapshot::default();
    for tracked in &state.tracked {
        if tracked.presence == Presence::Present {
            snapshot.causes.insert(tracked.cause.id.clone(), tracked.cause.clone());
        }
    }
    snapshot
}
