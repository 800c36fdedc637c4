//! Tests of timelines made of samples and gaps.

use proptest::prelude::*;

use super::*;

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

/// Returns the timeline of the hour from minute 100 to minute 160.
fn described(samples: &[(i64, TimelineState)], gaps: &[(i64, i64)]) -> Vec<String> {
    let samples: Vec<TimelineSample> =
        samples.iter().map(|(minutes, state)| TimelineSample { at: at(*minutes), state: *state }).collect();
    let gaps: Vec<RecordingGap> =
        gaps.iter().map(|(since, until)| RecordingGap { since: at(*since), until: at(*until) }).collect();
    let timeline = Timeline::from_samples(at(100), at(160), &samples, &gaps);
    let minutes = |moment: Timestamp| moment.as_second() / 60;
    timeline
        .spans
        .iter()
        .map(|span| format!("{}-{} {}", minutes(span.from), minutes(span.to), span.state.word()))
        .collect()
}

#[test]
fn a_strip_tells_what_was_noted_and_no_more() {
    use TimelineState::{Degraded, Down, Maintenance, NotRecorded, Unknown, Up};
    type Case<'c> = (&'c str, &'c [(i64, TimelineState)], &'c [(i64, i64)], &'c [&'c str]);
    let cases: [Case<'_>; 17] = [
        ("nothing was ever noted", &[], &[], &["100-160 not recorded"]),
        ("as it was before the time asked for", &[(3, Down), (7, Up)], &[], &["100-160 up"]),
        ("it began midway", &[(120, Up)], &[], &["100-120 not recorded", "120-160 up"]),
        (
            "it changed",
            &[(90, Up), (110, Down), (112, Degraded)],
            &[],
            &["100-110 up", "110-112 down", "112-160 degraded"],
        ),
        (
            "no aggregator ran for a while, and the next one had to hear of it first",
            &[(90, Up), (130, Unknown), (131, Up)],
            &[(120, 130)],
            &["100-120 up", "120-130 not recorded", "130-131 unknown", "131-160 up"],
        ),
        (
            "after a gap nothing holds until it is noted again",
            &[(90, Up), (140, Up)],
            &[(120, 130)],
            &["100-120 up", "120-140 not recorded", "140-160 up"],
        ),
        ("it was never noted again", &[(90, Up)], &[(120, 130)], &["100-120 up", "120-160 not recorded"]),
        ("the gap was before the time asked for", &[(10, Up)], &[(20, 30)], &["100-160 not recorded"]),
        (
            "what was noted within a gap is one piece of what was, and tells nothing",
            &[(90, Up), (125, Down)],
            &[(120, 130)],
            &["100-120 up", "120-160 not recorded"],
        ),
        (
            "what is noted as a gap ends holds, also where another one follows",
            &[(90, Up), (130, Down)],
            &[(150, 170), (120, 130)],
            &["100-120 up", "120-130 not recorded", "130-150 down", "150-160 not recorded"],
        ),
        ("a gap without length is none", &[(90, Up)], &[(120, 120)], &["100-160 up"]),
        (
            "its host was unknown, and then it was as before",
            &[(90, Up), (110, Unknown), (120, Up)],
            &[],
            &["100-110 up", "110-120 unknown", "120-160 up"],
        ),
        (
            "maintenance within an outage",
            &[(90, Down), (110, Maintenance), (120, Down), (130, Up)],
            &[],
            &["100-110 down", "110-120 maintenance", "120-130 down", "130-160 up"],
        ),
        ("of two at one moment the later counts", &[(90, Up), (110, Down), (110, Up)], &[], &["100-160 up"]),
        (
            "it was taken out of the configuration and put back",
            &[(90, Up), (110, NotRecorded), (140, Up)],
            &[],
            &["100-110 up", "110-140 not recorded", "140-160 up"],
        ),
        (
            "the clock was set back: a time that occurred twice is not recorded",
            &[(90, Up), (130, Down), (120, Up), (150, Down)],
            &[],
            &["100-120 up", "120-130 not recorded", "130-150 up", "150-160 down"],
        ),
        (
            "the clock was ahead: a change that is to come has been already",
            &[(90, Up), (170, Down)],
            &[],
            &["100-160 not recorded"],
        ),
    ];
    for (what, samples, gaps, expected) in cases {
        assert_eq!(described(samples, gaps), expected, "{what}");
    }
}

#[test]
fn uptime_is_the_share_of_what_is_known_and_was_not_agreed() {
    use TimelineState::{Degraded, Down, Maintenance, Unknown, Up};
    let uptime = |samples: &[(i64, TimelineState)]| {
        let samples: Vec<TimelineSample> = samples
            .iter()
            .map(|(minutes, state)| TimelineSample { at: at(*minutes), state: *state })
            .collect();
        Timeline::from_samples(at(0), at(100), &samples, &[]).uptime()
    };
    for (samples, expected) in [
        (&[][..], None),
        (&[(0, Unknown), (50, Maintenance)], None),
        (&[(0, Up)], Some(100.0)),
        (&[(0, Down)], Some(0.0)),
        (&[(0, Up), (50, Degraded)], Some(100.0)),
        (&[(0, Up), (75, Down)], Some(75.0)),
        // Ten minutes each of up and down; the rest is excluded.
        (&[(20, Up), (30, Down), (40, Unknown), (60, Maintenance)], Some(50.0)),
    ] {
        assert_eq!(uptime(samples), expected, "{samples:?}");
    }
}

fn state() -> impl Strategy<Value = TimelineState> {
    proptest::sample::select(TimelineState::ALL.to_vec())
}

proptest! {
    #[test]
    fn every_moment_has_one_state(
        samples in proptest::collection::vec((0_i64..200, state()), 0..20),
        gaps in proptest::collection::vec((0_i64..200, 0_i64..40), 0..5),
        start in 0_i64..200,
        length in 1_i64..100,
        is_ordered: bool,
    ) {
        let mut samples: Vec<TimelineSample> = samples.iter().map(|(minutes, state)| TimelineSample { at: at(*minutes), state: *state }).collect();
        if is_ordered {
            samples.sort_by_key(|sample| sample.at);
        }
        let gaps: Vec<RecordingGap> =
            gaps.iter().map(|(since, length)| RecordingGap { since: at(*since), until: at(since + length) }).collect();
        let (from, to) = (at(start), at(start + length));
        let timeline = Timeline::from_samples(from, to, &samples, &gaps);
        prop_assert_eq!(timeline.spans.first().map(|span| span.from), Some(from));
        prop_assert_eq!(timeline.spans.last().map(|span| span.to), Some(to));
        for span in &timeline.spans {
            prop_assert!(span.from < span.to);
        }
        for pair in timeline.spans.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
            prop_assert_ne!(pair[0].state, pair[1].state);
        }
        let all = TimelineState::ALL.into_iter().map(|state| timeline.total_time(state));
        prop_assert_eq!(all.fold(SignedDuration::ZERO, |sum, one| sum + one), to.duration_since(from));
        // A gap has no state.
        for gap in gaps.iter().filter(|gap| gap.until > gap.since) {
            for span in timeline.spans.iter().filter(|span| span.state != TimelineState::NotRecorded) {
                prop_assert!(span.to <= gap.since || span.from >= gap.until);
            }
        }
        if let Some(uptime) = timeline.uptime() {
            prop_assert!((0.0..=100.0).contains(&uptime));
        }
    }
}
