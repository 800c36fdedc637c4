//! Tests of the policy with a simulated clock.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use rta_shared::action::Requester;
use rta_shared::config::{RestartRule, RestartWhen, SuccessExitStatus};
use tokio::time::Instant;

use super::policy::{ObservedState, RestartDecision, RestartPolicy, RunEnd, TimePoint};
use super::unmet_prerequisite::UnmetPrerequisite;
use crate::desired_state::{DesiredState, OperatorDecision};
use crate::maintenance::MaintenanceWindow;

/// Clock that a test advances.
#[derive(Clone, Copy)]
struct TestClock(TimePoint);

impl TestClock {
    fn new() -> Self {
        Self(TimePoint { at: Instant::now(), wall: Timestamp::UNIX_EPOCH })
    }

    fn at(self, seconds: u64) -> TimePoint {
        self.0.after(Duration::from_secs(seconds))
    }
}

fn rule(when: RestartWhen) -> RestartRule {
    RestartRule {
        when,
        backoff: Duration::from_secs(1),
        longest: Duration::from_secs(5),
        limit: 4,
        within: Duration::from_secs(600),
        success: SuccessExitStatus::default(),
    }
}

fn word(desired: DesiredState) -> OperatorDecision {
    let by = Requester { user: "ann".into(), address: String::new() };
    OperatorDecision { desired, by, at: Timestamp::UNIX_EPOCH }
}

/// Returns the policy of a running component that an operator started, and that no earlier agent had seen.
fn running(when: RestartWhen, clock: TestClock) -> RestartPolicy {
    let mut keeper = RestartPolicy::new(rule(when), false, Some(word(DesiredState::Running)), None, None);
    assert_eq!(keeper.observe(clock.at(0), &ObservedState::Running, false), RestartDecision::Nothing);
    keeper
}

fn ended(code: i32) -> ObservedState {
    ObservedState::Stopped(Some(RunEnd { is_well: code == 0, how: format!("with exit status {code}") }))
}

const GONE: ObservedState = ObservedState::Stopped(None);

fn wait(clock: TestClock, seconds: u64) -> RestartDecision {
    RestartDecision::Wait(clock.at(seconds).at)
}

#[test]
fn ended_component_is_restarted_after_its_backoff() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    assert_eq!(keeper.observe(clock.at(10), &ended(0), false), wait(clock, 11));
    let report = keeper.report(None);
    assert_eq!((report.wanted, report.next_at), (true, Some(clock.at(11).wall)));
    assert_eq!(report.why, "ann started it");
    assert_eq!(report.last_end, "it ended with exit status 0 at 00:00:10 UTC");
    assert_eq!(keeper.observe(clock.at(11), &ended(0), false), RestartDecision::Start);
    assert_eq!(keeper.observe(clock.at(12), &ObservedState::Acting, false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(13), &ObservedState::Running, false), RestartDecision::Nothing);
    let report = keeper.report(None);
    assert_eq!((report.restarts, report.next_at, report.flapping), (1, None, false));
}

#[test]
fn total_of_restarts_counts_each_start_that_was_made_and_never_decreases() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    let total = |keeper: &RestartPolicy| keeper.report(None).restarts_total;
    keeper.observe(clock.at(10), &ended(0), false);
    assert_eq!(keeper.observe(clock.at(11), &ended(0), false), RestartDecision::Start);
    keeper.record_not_begun();
    assert_eq!(total(&keeper), 0);
    keeper.record_failed(clock.at(12), "no such file".to_owned());
    keeper.record_started();
    assert_eq!(total(&keeper), 2);
    keeper.observe(clock.at(100_000), &ObservedState::Running, false);
    assert_eq!((keeper.report(None).restarts, total(&keeper)), (0, 2));
}

#[test]
fn delay_doubles_up_to_the_maximum_until_it_is_given_up() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    let mut now = 10;
    for delay in [1, 2, 4, 5] {
        assert_eq!(keeper.observe(clock.at(now), &GONE, false), wait(clock, now + delay));
        now += delay;
        assert_eq!(keeper.observe(clock.at(now), &GONE, false), RestartDecision::Start);
        keeper.record_failed(clock.at(now), "the command ended".to_owned());
    }
    assert_eq!(keeper.observe(clock.at(now + 1), &GONE, false), RestartDecision::GivenUp);
    let report = keeper.report(None);
    assert!(report.given_up && report.flapping && report.next_at.is_none());
    assert_eq!(report.last_end, "its start failed at 00:00:22 UTC: the command ended");
    // It stays given up even when the starts are long past.
    assert_eq!(keeper.observe(clock.at(100_000), &GONE, false), RestartDecision::GivenUp);

    // Only an operator's start resets the policy.
    let again = OperatorDecision { at: clock.at(5).wall, ..word(DesiredState::Running) };
    keeper.record_decision(Some(&again));
    assert!(!keeper.report(None).given_up);
    assert_eq!(keeper.observe(clock.at(100_001), &ObservedState::Running, false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(100_010), &GONE, false), wait(clock, 100_011));
}

#[test]
fn three_restarts_are_flapping_until_they_expire() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    for round in 1..=3 {
        let RestartDecision::Wait(_) = keeper.observe(clock.at(round * 10), &GONE, false) else {
            panic!("no wait")
        };
        assert_eq!(keeper.observe(clock.at(round * 10 + 8), &GONE, false), RestartDecision::Start);
        keeper.observe(clock.at(round * 10 + 9), &ObservedState::Running, false);
        assert_eq!(keeper.report(None).flapping, round == 3);
    }
    keeper.observe(clock.at(617), &ObservedState::Running, false);
    assert!(keeper.report(None).flapping);
    keeper.observe(clock.at(618), &ObservedState::Running, false);
    assert_eq!((keeper.report(None).flapping, keeper.report(None).restarts), (false, 2));
}

#[test]
fn clean_end_is_no_failure_and_unknown_end_is() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::OnFailure, clock);
    assert_eq!(keeper.observe(clock.at(10), &ended(0), false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(1000), &ended(0), false), RestartDecision::Nothing);
    assert_eq!(keeper.clean_end(), Some((clock.at(10).wall, "with exit status 0")));
    let report = keeper.report(None);
    assert_eq!((report.wanted, &*report.why), (false, "it ended with exit status 0, which is no failure"));

    for seen in [GONE, ended(1)] {
        let mut keeper = running(RestartWhen::OnFailure, clock);
        assert_eq!(keeper.observe(clock.at(10), &seen, false), wait(clock, 11));
        assert_eq!(keeper.clean_end(), None);
    }
}

#[test]
fn late_exit_status_counts() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::OnFailure, clock);
    assert_eq!(keeper.observe(clock.at(10), &GONE, false), wait(clock, 11));
    assert_eq!(keeper.observe(clock.at(11), &ended(0), false), RestartDecision::Nothing);
    assert_eq!(keeper.report(None).next_at, None);
}

#[test]
fn clean_end_is_kept_for_the_next_agent() {
    let clock = TestClock::new();
    let by = Some(word(DesiredState::Running));
    let finished = Some((Timestamp::UNIX_EPOCH, "with exit status 143".to_owned()));
    let mut keeper =
        RestartPolicy::new(rule(RestartWhen::OnFailure), true, by.clone(), finished.clone(), None);
    assert_eq!(keeper.observe(clock.at(0), &GONE, false), RestartDecision::Nothing);
    assert_eq!(keeper.report(None).why, "it ended with exit status 143, which is no failure");
    // When the component runs again, the clean end no longer counts.
    keeper.observe(clock.at(1), &ObservedState::Running, false);
    assert_eq!(keeper.clean_end(), None);
    assert_eq!(keeper.observe(clock.at(2), &GONE, false), wait(clock, 3));
    let mut always = RestartPolicy::new(rule(RestartWhen::Always), true, by, finished, None);
    assert_eq!(always.observe(clock.at(0), &GONE, false), RestartDecision::Start);
}

#[test]
fn new_agent_starts_wanted_components_at_once() {
    let clock = TestClock::new();
    let fresh = |declared, desired: Option<DesiredState>| {
        RestartPolicy::new(rule(RestartWhen::Always), declared, desired.map(word), None, None).observe(
            clock.at(0),
            &GONE,
            false,
        )
    };
    assert_eq!(fresh(true, None), RestartDecision::Start);
    assert_eq!(fresh(false, Some(DesiredState::Running)), RestartDecision::Start);
    assert_eq!(fresh(false, None), RestartDecision::Nothing);
    assert_eq!(fresh(false, Some(DesiredState::Stopped)), RestartDecision::Nothing);
    // An operator's stop overrides the configuration.
    assert_eq!(fresh(true, Some(DesiredState::Stopped)), RestartDecision::Nothing);
}

#[test]
fn operator_stop_prevents_restart() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    keeper.record_decision(Some(&word(DesiredState::Stopped)));
    assert_eq!(keeper.observe(clock.at(1), &ObservedState::Running, false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(2), &ObservedState::Acting, false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(3), &ended(143), false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(1000), &ended(143), false), RestartDecision::Nothing);
    let report = keeper.report(None);
    assert_eq!((report.wanted, &*report.why), (false, "ann stopped it"));
}

#[test]
fn foreign_start_sets_no_desired_state() {
    let clock = TestClock::new();
    let mut keeper = RestartPolicy::new(rule(RestartWhen::Always), false, None, None, None);
    keeper.observe(clock.at(0), &ObservedState::Running, false);
    assert_eq!(keeper.observe(clock.at(1), &GONE, false), RestartDecision::Nothing);
    assert_eq!(keeper.report(None).why, "nobody has started it through rta");
}

#[test]
fn unknown_state_defers_due_start() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    assert_eq!(keeper.observe(clock.at(1), &ObservedState::Unclear, false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(10), &GONE, false), wait(clock, 11));
    assert_eq!(keeper.observe(clock.at(20), &ObservedState::Unclear, false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(21), &GONE, false), RestartDecision::Start);
}

#[test]
fn failed_operator_start_is_retried_after_a_delay() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    assert_eq!(keeper.observe(clock.at(10), &GONE, false), wait(clock, 11));
    let again = OperatorDecision { at: clock.at(10).wall, ..word(DesiredState::Running) };
    keeper.record_decision(Some(&again));
    assert_eq!(keeper.observe(clock.at(10), &ObservedState::Acting, false), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(30), &GONE, false), wait(clock, 31));
}

#[test]
fn run_too_short_to_be_seen_has_an_end() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::OnFailure, clock);
    let again = OperatorDecision { at: clock.at(10).wall, ..word(DesiredState::Running) };
    assert!(keeper.record_decision(Some(&again)));
    assert!(!keeper.record_decision(Some(&again)));
    keeper.observe(clock.at(10), &ObservedState::Acting, false);
    assert_eq!(keeper.observe(clock.at(11), &ended(0), false), RestartDecision::Nothing);
    assert_eq!(keeper.clean_end(), Some((clock.at(11).wall, "with exit status 0")));

    // The component was restarted by the agent after a clean end.
    let mut keeper = running(RestartWhen::OnFailure, clock);
    keeper.observe(clock.at(10), &ended(1), false);
    assert_eq!(keeper.observe(clock.at(11), &ended(1), false), RestartDecision::Start);
    keeper.record_started();
    assert_eq!(keeper.observe(clock.at(12), &ended(0), false), RestartDecision::Nothing);
    assert_eq!(keeper.clean_end(), Some((clock.at(12).wall, "with exit status 0")));
}

#[test]
fn start_that_was_not_begun_does_not_count() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    keeper.observe(clock.at(10), &GONE, false);
    assert_eq!(keeper.observe(clock.at(11), &GONE, false), RestartDecision::Start);
    keeper.record_not_begun();
    assert_eq!(keeper.report(None).restarts, 0);
}

#[test]
fn start_that_found_the_component_running_is_no_restart() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    keeper.observe(clock.at(10), &GONE, false);
    assert_eq!(keeper.observe(clock.at(11), &GONE, false), RestartDecision::Start);
    keeper.record_already_running();
    let report = keeper.report(None);
    assert_eq!((report.restarts, report.restarts_total), (0, 0));
}

#[test]
fn maintenance_defers_wanted_starts() {
    let clock = TestClock::new();
    let quiet = MaintenanceWindow { component: None, until: Some("2026-11-24T12:00:00Z".parse().unwrap()) };
    let mut keeper = running(RestartWhen::Always, clock);
    assert_eq!(keeper.observe(clock.at(10), &GONE, true), RestartDecision::Nothing);
    assert_eq!(keeper.observe(clock.at(1000), &GONE, true), RestartDecision::Nothing);
    let report = keeper.report(Some(&quiet));
    assert_eq!(report.why, "ann started it; in maintenance nothing is started, until 2026-11-24 12:00 UTC");
    assert_eq!((report.next_at, report.restarts), (None, 0));
    assert_eq!(keeper.observe(clock.at(1001), &GONE, false), wait(clock, 1002));
    assert_eq!(keeper.observe(clock.at(1002), &GONE, false), RestartDecision::Start);
}

fn any_seen() -> impl Strategy<Value = ObservedState> {
    prop_oneof![
        Just(ObservedState::Running),
        Just(GONE),
        (0..2).prop_map(ended),
        Just(ObservedState::Acting),
        Just(ObservedState::Unclear),
    ]
}

proptest! {
    /// For any observations, the starts within the rule's time stay within the limit, none follows an
    /// operator's stop, and each follows a certain "stopped".
    #[test]
    fn starts_are_limited_and_respect_decisions(
        steps in prop::collection::vec((0_u64..40, any_seen(), any::<bool>(), 0_u8..20), 1..200),
    ) {
        let clock = TestClock::new();
        let mut keeper = running(RestartWhen::Always, clock);
        let mut desired = DesiredState::Running;
        let mut now = 0;
        let mut starts: Vec<u64> = Vec::new();
        for (number, (later, seen, quiet, said)) in steps.into_iter().enumerate() {
            now += later;
            if said < 2 {
                desired = if said == 0 { DesiredState::Running } else { DesiredState::Stopped };
                let at = clock.at(number as u64).wall;
                keeper.record_decision(Some(&OperatorDecision { at, ..word(desired) }));
                starts.clear();
            }
            if keeper.observe(clock.at(now), &seen, quiet) == RestartDecision::Start {
                prop_assert!(matches!(seen, ObservedState::Stopped(_)) && !quiet && desired == DesiredState::Running);
                starts.push(now);
                let lately = starts.iter().filter(|start| **start + 600 > now).count();
                prop_assert!(lately <= 4, "{starts:?}");
            }
        }
    }
}

#[test]
fn launch_of_an_earlier_agent_gets_its_time() {
    let start = TimePoint::now();
    let pending = start.after(Duration::from_secs(60)).wall;
    let word = Some(word(DesiredState::Running));
    let mut keeper = RestartPolicy::new(rule(RestartWhen::Always), false, word.clone(), None, Some(pending));
    let stopped = ObservedState::Stopped(None);
    assert!(matches!(keeper.observe(start, &stopped, false), RestartDecision::Wait(_)));
    assert!(matches!(
        keeper.observe(start.after(Duration::from_secs(59)), &stopped, false),
        RestartDecision::Wait(_)
    ));
    let mut came_up = keeper.clone();
    assert_eq!(
        came_up.observe(start.after(Duration::from_secs(59)), &ObservedState::Running, false),
        RestartDecision::Nothing
    );
    assert_eq!(keeper.observe(start.after(Duration::from_secs(61)), &stopped, false), RestartDecision::Start);

    let mut late =
        RestartPolicy::new(rule(RestartWhen::Always), false, word, None, Some(Timestamp::UNIX_EPOCH));
    assert_eq!(late.observe(start, &stopped, false), RestartDecision::Start);
}

fn certain(what: &str) -> Option<UnmetPrerequisite> {
    Some(UnmetPrerequisite { what: what.to_owned(), is_certain: true })
}

fn not_known(what: &str) -> Option<UnmetPrerequisite> {
    Some(UnmetPrerequisite { what: what.to_owned(), is_certain: false })
}

#[test]
fn start_waits_for_its_prerequisite() {
    let clock = TestClock::new();
    let mut keeper = RestartPolicy::new(rule(RestartWhen::Always), true, None, None, None);
    for second in [0, 1, 3_000, 100_000] {
        keeper.set_unmet(clock.at(second).at, certain("kafka on k1"));
        assert_eq!(keeper.observe(clock.at(second), &GONE, false), RestartDecision::Nothing);
        let report = keeper.report(None);
        assert_eq!((&*report.waiting_for, report.restarts, report.next_at), ("kafka on k1", 0, None));
    }
    keeper.set_unmet(clock.at(100_001).at, None);
    assert_eq!(keeper.observe(clock.at(100_001), &GONE, false), RestartDecision::Start);
    assert_eq!((keeper.report(None).waiting_for, keeper.report(None).restarts), (String::new(), 1));
    // A running component is left alone, and waits for nothing.
    keeper.set_unmet(clock.at(100_010).at, certain("kafka on k1"));
    assert_eq!(keeper.observe(clock.at(100_010), &ObservedState::Running, false), RestartDecision::Nothing);
    assert_eq!(keeper.report(None).waiting_for, "");
}

#[test]
fn end_while_a_prerequisite_is_down_does_not_count() {
    let clock = TestClock::new();
    let mut keeper = running(RestartWhen::Always, clock);
    assert_eq!(keeper.observe(clock.at(10), &GONE, false), wait(clock, 11));
    let mut now = 11;
    // Ten times, more than the limit allows, the prerequisite comes and goes, and the component ends with it
    // or cannot start.
    for round in 0..10 {
        keeper.set_unmet(clock.at(now).at, None);
        assert_eq!(keeper.observe(clock.at(now), &GONE, false), RestartDecision::Start);
        keeper.set_unmet(clock.at(now + 1).at, certain("kafka"));
        match round % 2 {
            0 => keeper.record_failed(clock.at(now + 1), "the command ended".to_owned()),
            _ => assert_eq!(
                keeper.observe(clock.at(now + 1), &ObservedState::Running, false),
                RestartDecision::Nothing
            ),
        }
        assert_eq!(keeper.observe(clock.at(now + 2), &ended(1), false), wait(clock, now + 4));
        assert_eq!(keeper.observe(clock.at(now + 9), &ended(1), false), RestartDecision::Nothing);
        let report = keeper.report(None);
        assert_eq!((report.given_up, report.flapping, report.restarts), (false, false, 0));
        now += 10;
    }
}

#[test]
fn unknown_prerequisite_is_ignored_after_a_minute_without_counting() {
    let clock = TestClock::new();
    let mut keeper = RestartPolicy::new(rule(RestartWhen::Always), true, None, None, None);
    keeper.set_unmet(clock.at(0).at, not_known("kafka on k1"));
    assert_eq!(keeper.observe(clock.at(0), &GONE, false), wait(clock, 60));
    assert_eq!(keeper.report(None).waiting_for, "kafka on k1");
    let mut now = 60;
    for _ in 0..20 {
        keeper.set_unmet(clock.at(now).at, not_known("kafka on k1"));
        assert_eq!(keeper.observe(clock.at(now), &GONE, false), RestartDecision::Start);
        keeper.record_failed(clock.at(now), "the command ended".to_owned());
        // The longest delay of the rule.
        let RestartDecision::Wait(due) = keeper.observe(clock.at(now), &GONE, false) else {
            panic!("no wait")
        };
        assert!(due <= clock.at(now + 5).at);
        now += 5;
    }
    let report = keeper.report(None);
    assert_eq!((report.given_up, report.flapping, report.restarts), (false, false, 0));
    // Once the prerequisite is known to be up, the component's ends count again.
    for restarts in 1..=4 {
        keeper.set_unmet(clock.at(now).at, None);
        assert_eq!(keeper.observe(clock.at(now), &GONE, false), RestartDecision::Start);
        keeper.record_failed(clock.at(now), "the command ended".to_owned());
        assert_eq!(keeper.report(None).restarts, restarts);
        keeper.observe(clock.at(now), &GONE, false);
        now += 5;
    }
    assert_eq!(keeper.observe(clock.at(now), &GONE, false), RestartDecision::GivenUp);
}
