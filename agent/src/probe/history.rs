//! Derives the status of a probe from the results of its attempts. Pure; times are values.

use std::time::Duration;

use jiff::Timestamp;
use rta_shared::config::ProbeRule;
use rta_shared::probe::{ProbeReport, ProbeState};

/// Status of the probe of one run of a component.
#[derive(Clone, Debug)]
pub(super) struct ProbeHistory {
    report: ProbeReport,
    /// Number of consecutive failures that count.
    failures: u32,
    /// True if the report is of before the first attempt.
    is_carried: bool,
}

impl ProbeHistory {
    /// Creates the status before the first attempt.
    pub(super) fn new(at: Timestamp) -> Self {
        let report = ProbeReport { state: ProbeState::Pending, since: at, reason: String::new() };
        Self { report, failures: 0, is_carried: false }
    }

    /// Creates the status of a probe whose last result, of another rule or agent, stays until the first attempt
    /// has ended. That one decides: neither grace nor further failures are waited for.
    pub(super) fn carried(report: ProbeReport) -> Self {
        Self { report, failures: 0, is_carried: true }
    }

    /// Creates the status of a probe that the start of this run has already seen pass.
    pub(super) fn passed(at: Timestamp) -> Self {
        let report = ProbeReport { state: ProbeState::Passing, since: at, reason: String::new() };
        Self { report, failures: 0, is_carried: false }
    }

    pub(super) fn report(&self) -> &ProbeReport {
        &self.report
    }

    /// Returns true if no attempt has ended yet.
    pub(super) fn is_unanswered(&self) -> bool {
        self.is_carried || (self.report.is_pending() && self.report.reason.is_empty())
    }

    /// Processes the result of an attempt that began when the component had been running for `running`.
    /// Returns true if the report changed.
    pub(super) fn record(
        &mut self,
        rule: &ProbeRule,
        running: Duration,
        result: Result<(), String>,
        at: Timestamp,
    ) -> bool {
        match result {
            Err(reason) if std::mem::take(&mut self.is_carried) => {
                self.failures = rule.failures;
                self.fail(reason, at)
            }
            Ok(()) => {
                (self.failures, self.is_carried) = (0, false);
                self.enter(ProbeState::Passing, String::new(), at)
            }
            Err(reason) if running < rule.grace => self.record_uncounted(reason),
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                match self.failures >= rule.failures {
                    true => self.fail(reason, at),
                    false => self.record_uncounted(reason),
                }
            }
        }
    }

    /// Processes a failure that does not count yet: until the probe has passed once, its reason is shown as
    /// pending.
    pub(super) fn record_uncounted(&mut self, reason: String) -> bool {
        let changed = self.report.is_pending() && self.report.reason != reason;
        if changed {
            self.report.reason = reason;
        }
        changed
    }

    /// Fails the probe at once, whatever the results of its attempts.
    pub(super) fn fail(&mut self, reason: String, at: Timestamp) -> bool {
        self.enter(ProbeState::Failing, reason, at)
    }

    fn enter(&mut self, state: ProbeState, reason: String, at: Timestamp) -> bool {
        if self.report.state != state {
            self.report = ProbeReport { state, since: at, reason };
            return true;
        }
        // The time of the change stays; the reason is the newest one.
        let changed = self.report.reason != reason;
        self.report.reason = reason;
        changed
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::ProbeMethod;

    use super::*;

    fn rule(failures: u32, grace: u64) -> ProbeRule {
        ProbeRule {
            question: ProbeMethod::tcp("127.0.0.1:1"),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures,
            grace: Duration::from_secs(grace),
        }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    /// Processes one attempt per second, `+` passing and another letter failing for that reason. Returns the
    /// states: `p`ending, `+` or the reason, upper case if the report changed.
    fn trace(rule: &ProbeRule, attempts: &str) -> String {
        let mut fare = ProbeHistory::new(at(0));
        let mut trace = String::new();
        for (second, attempt) in (0..).zip(attempts.chars()) {
            let result = if attempt == '+' { Ok(()) } else { Err(attempt.to_string()) };
            let before = fare.report().clone();
            let changed = fare.record(rule, Duration::from_secs(second), result, at(second));
            let report = fare.report();
            assert_eq!(changed, before != *report, "{attempts} at {second}");
            let same_state = before.state == report.state;
            assert_eq!(report.since, if same_state { before.since } else { at(second) });
            let shown = match report.state {
                ProbeState::Pending => "p",
                ProbeState::Passing => "+",
                ProbeState::Failing => &report.reason,
            };
            match report.state {
                ProbeState::Passing => assert_eq!(report.reason, ""),
                ProbeState::Failing => assert_eq!(report.reason, attempt.to_string()),
                ProbeState::Pending => assert_eq!(report.reason, attempt.to_string(), "what is waited for"),
            }
            trace.push_str(&if changed { shown.to_uppercase() } else { shown.to_owned() });
        }
        trace
    }

    #[test]
    fn failures_count_after_the_grace_and_in_a_row() {
        let rows = [
            // Rule, attempts, states.
            (rule(3, 0), "xxxxx", "PpXxx"),
            (rule(1, 0), "x", "X"),
            (rule(3, 4), "xxxxxxxx", "PpppppXx"),
            // One pass resets the count, and ends the failure.
            (rule(3, 0), "xx+xx+xxx+", "Pp++++++X+"),
            (rule(2, 0), "+x+x+x", "++++++"),
            // A pass counts within the grace too; failures within it still do not.
            (rule(2, 5), "x+xxxxxx", "P+++++Xx"),
            // The newest reason is reported; the same one again is no change.
            (rule(2, 0), "xyyzz+", "PYyZz+"),
            (rule(1, 3), "xyyz", "PPpZ"),
        ];
        for (rule, attempts, expected) in rows {
            assert_eq!(trace(&rule, attempts), expected, "{attempts} with {rule:?}");
        }
    }

    #[test]
    fn first_attempt_decides_on_what_was_known_before() {
        let known = |state, reason: &str| ProbeReport { state, since: at(0), reason: reason.to_owned() };
        let (passing, failing) = (known(ProbeState::Passing, ""), known(ProbeState::Failing, "old"));
        let rule = rule(3, 60);
        for before in [passing.clone(), failing.clone()] {
            let mut history = ProbeHistory::carried(before.clone());
            assert!(history.is_unanswered() && *history.report() == before);
            history.record(&rule, Duration::from_secs(1), Err("new".to_owned()), at(1));
            let report = history.report();
            assert_eq!((report.state, report.reason.as_str()), (ProbeState::Failing, "new"));
            assert!(!history.is_unanswered());
            let mut history = ProbeHistory::carried(before);
            history.record(&rule, Duration::from_secs(1), Ok(()), at(1));
            assert_eq!(history.report().state, ProbeState::Passing);
            // From then on as always: within the grace nothing counts.
            history.record(&rule, Duration::from_secs(2), Err("new".to_owned()), at(2));
            assert_eq!(history.report().state, ProbeState::Passing);
        }
        // The time of the state stays.
        let mut history = ProbeHistory::carried(passing);
        assert!(!history.record(&rule, Duration::from_secs(9), Ok(()), at(9)));
        assert_eq!(history.report().since, at(0));
    }

    #[test]
    fn first_failure_after_the_grace_counts() {
        let rule = rule(1, 2);
        let mut fare = ProbeHistory::new(at(0));
        let failed = || Err("x".to_owned());
        fare.record(&rule, Duration::from_millis(1_999), failed(), at(2));
        assert_eq!(fare.report().state, ProbeState::Pending);
        assert!(fare.record(&rule, Duration::from_secs(2), failed(), at(2)));
        assert_eq!(fare.report().state, ProbeState::Failing);
    }
}
