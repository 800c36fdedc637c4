//! Decides when a started component is stable: the same process has matched for the settle time, and then the
//! probe has passed. Pure: takes observations and the time.

use std::time::{Duration, Instant};

use rta_shared::action::ActionPhase;
use rta_shared::config::{ProbeRule, StartRule};
use rta_shared::process::ProcessId;

use super::component_view::format_pids;
use super::error::{ActionError, ActionErrorKind};
use super::progress::ProgressReport;
use crate::probe::format_question;

/// Interval between two checks of the processes.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Wait until a component is stable.
#[derive(Debug)]
pub(super) struct StableWait {
    timeout: Duration,
    settle: Duration,
    probe: Option<ProbeRule>,
    /// Time limit for the criteria to match, and for the probe to pass.
    deadline: Instant,
    settled_at: Instant,
    /// Processes that matched at the last check.
    matched: Vec<ProcessId>,
    /// Processes that have matched at every check since the settle time began.
    settling: Vec<ProcessId>,
    /// Time of the last check at which no process was missing.
    whole_at: Option<Instant>,
    /// True if no process was missing at the last check.
    is_whole: bool,
    is_probing: bool,
    /// Last reported failure of the probe.
    reported: String,
}

/// Check of a component's processes.
#[derive(Clone, Debug)]
pub(super) struct StableCheck {
    pub(super) processes: Vec<ProcessId>,
    /// True if no process is missing.
    pub(super) is_whole: bool,
    /// Last answer of the probe; `None` before the first.
    pub(super) probe: Option<Result<(), String>>,
}

/// Result of a check.
#[derive(Debug, PartialEq)]
pub(super) enum StableVerdict {
    /// No process matches. Carries those that matched at the last check.
    NoMatch(Vec<ProcessId>),
    /// Some processes are missing, or the settle time or the probe is not over.
    Pending,
    /// The settle time begins: the component matches for the first time, or one process handed over to
    /// another.
    Matched,
    /// The settle time is over, so that the probe begins.
    ProbeDue,
    /// The probe did not pass in time.
    ProbeFailed(ActionError),
    Stable,
}

/// Time limit that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StableLimit {
    /// The criteria do not match in time.
    Match,
    /// The processes replace each other, so that none settles.
    Settle,
}

impl StableWait {
    /// Creates the wait for a component whose criteria must match within `left` from `now` on.
    pub(super) fn new(rule: &StartRule, probe: Option<ProbeRule>, now: Instant, left: Duration) -> Self {
        let deadline = now + left;
        Self {
            timeout: rule.timeout,
            settle: rule.settle,
            probe,
            deadline,
            settled_at: deadline,
            matched: Vec::new(),
            settling: Vec::new(),
            whole_at: None,
            is_whole: false,
            is_probing: false,
            reported: String::new(),
        }
    }

    /// Returns true if a process matched at the last check.
    pub(super) fn has_match(&self) -> bool {
        !self.matched.is_empty()
    }

    /// Takes a check made at `now`; returns its result, with a report on the probe if there is news.
    pub(super) fn check(
        &mut self,
        now: Instant,
        check: StableCheck,
    ) -> (StableVerdict, Option<ProgressReport>) {
        let StableCheck { processes, is_whole, probe } = check;
        self.settling.retain(|id| processes.contains(id));
        let before = std::mem::replace(&mut self.matched, processes);
        let was_whole = std::mem::replace(&mut self.is_whole, is_whole);
        if self.matched.is_empty() {
            return (StableVerdict::NoMatch(before), None);
        }
        if !is_whole {
            return (StableVerdict::Pending, None);
        }
        self.whole_at = Some(now);
        if !was_whole || self.settling.is_empty() {
            self.settling.clone_from(&self.matched);
            self.settled_at = now + self.settle;
            // A probe that runs was for another run of the component.
            self.is_probing = false;
            return (StableVerdict::Matched, None);
        }
        match now >= self.settled_at {
            true => self.check_probe(now, probe),
            false => (StableVerdict::Pending, None),
        }
    }

    fn check_probe(
        &mut self,
        now: Instant,
        answer: Option<Result<(), String>>,
    ) -> (StableVerdict, Option<ProgressReport>) {
        let Some(rule) = &self.probe else { return (StableVerdict::Stable, None) };
        if !self.is_probing {
            self.is_probing = true;
            let text = format!("asking its probe: {}", format_question(&rule.question));
            return (StableVerdict::ProbeDue, Some(self.probe_report(text)));
        }
        let reason = match answer {
            None => return (StableVerdict::Pending, None),
            Some(Ok(())) => return (StableVerdict::Stable, None),
            Some(Err(reason)) => reason,
        };
        let report = (self.reported != reason)
            .then(|| self.probe_report(format!("its probe does not pass yet: {reason}")));
        if now < self.deadline {
            self.reported = reason;
            return (StableVerdict::Pending, report);
        }
        let (seconds, who) = (self.timeout.as_secs(), format_pids(&self.pids()));
        let reason =
            format!("its probe did not pass within {seconds} s: {reason}; it is left running ({who})");
        (StableVerdict::ProbeFailed(ActionError::new(ActionErrorKind::TimedOut, reason)), report)
    }

    /// Returns the time limit that is over at `now`, after the check of that moment.
    pub(super) fn exceeded_limit(&self, now: Instant) -> Option<StableLimit> {
        let is_late = now >= self.deadline + self.settle + CHECK_INTERVAL;
        // A process that was replaced may be missing for a moment.
        let is_replacing = self.whole_at.is_some_and(|at| now.saturating_duration_since(at) < self.settle);
        if now >= self.deadline && !self.is_whole && (is_late || !is_replacing) {
            return Some(StableLimit::Match);
        }
        (is_late && self.settled_at > now).then_some(StableLimit::Settle)
    }

    /// Returns the processes that matched at the last check.
    pub(super) fn matched(&self) -> &[ProcessId] {
        &self.matched
    }

    /// Returns the PIDs of the processes that matched at the last check.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.matched.iter().map(|id| id.pid).collect()
    }

    fn probe_report(&self, text: String) -> ProgressReport {
        ProgressReport { phase: ActionPhase::Probing, text, pids: self.pids() }
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{ProbeMethod, StartEngine};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rule() -> StartRule {
        StartRule {
            engine: StartEngine::Systemd("x.service".to_owned()),
            timeout: 3 * SECOND,
            settle: SECOND,
        }
    }

    fn probe() -> ProbeRule {
        let url = "http://ann:secret@127.0.0.1:1/up".parse().unwrap();
        let question = ProbeMethod::http(url);
        ProbeRule { question, interval: SECOND, timeout: SECOND, failures: 1, grace: Duration::ZERO }
    }

    fn id(pid: u32) -> ProcessId {
        ProcessId { pid, start_ticks: 1 }
    }

    /// Takes the check of `pids` at so many milliseconds; returns the verdict and the report's text.
    fn check(
        wait: &mut StableWait,
        began: Instant,
        at: u64,
        pids: &[u32],
        probe: Option<Result<(), String>>,
    ) -> (StableVerdict, String) {
        let processes: Vec<ProcessId> = pids.iter().copied().map(id).collect();
        // Two processes make the component whole.
        let is_whole = pids.len() >= 2;
        let now = began + Duration::from_millis(at);
        let (verdict, report) = wait.check(now, StableCheck { processes, is_whole, probe });
        (verdict, report.map(|report| report.text).unwrap_or_default())
    }

    #[test]
    fn component_is_stable_after_the_same_process_matched_for_the_settle_time() {
        let began = Instant::now();
        let mut wait = StableWait::new(&rule(), None, began, rule().timeout);
        let rows: [(u64, &[u32], StableVerdict); 9] = [
            (0, &[], StableVerdict::NoMatch(vec![])),
            (100, &[7], StableVerdict::Pending),
            (200, &[7, 8], StableVerdict::Matched),
            (1100, &[7, 8], StableVerdict::Pending),
            // All processes are others: the settle time begins again.
            (1200, &[9, 10], StableVerdict::Matched),
            (1300, &[], StableVerdict::NoMatch(vec![id(9), id(10)])),
            (1400, &[9, 10], StableVerdict::Matched),
            (2300, &[9, 11], StableVerdict::Pending),
            (2400, &[9, 11], StableVerdict::Stable),
        ];
        for (at, pids, expected) in rows {
            assert_eq!(check(&mut wait, began, at, pids, None).0, expected, "{at}");
            assert_eq!(wait.exceeded_limit(began + Duration::from_millis(at)), None);
        }
    }

    #[test]
    fn processes_that_replace_each_other_in_turn_are_not_stable() {
        let began = Instant::now();
        let mut wait = StableWait::new(&rule(), None, began, rule().timeout);
        // Each check shares a process with the one before, and none lasts for two.
        for step in 0..30 {
            let verdict = check(&mut wait, began, u64::from(step) * 100, &[step, step + 1], None).0;
            assert_ne!(verdict, StableVerdict::Stable, "{step}");
        }
        for step in 30..40 {
            check(&mut wait, began, step * 100, &[30, 31], None);
        }
        assert_eq!(check(&mut wait, began, 4000, &[30, 31], None).0, StableVerdict::Stable);
    }

    #[test]
    fn component_that_was_whole_may_miss_a_process_for_a_moment_at_the_deadline() {
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut wait = StableWait::new(&rule(), None, began, rule().timeout);
        check(&mut wait, began, 2500, &[7, 8], None);
        check(&mut wait, began, 3000, &[7], None);
        assert_eq!(wait.exceeded_limit(at(3000)), None);
        check(&mut wait, began, 3500, &[7], None);
        assert_eq!(wait.exceeded_limit(at(3500)), Some(StableLimit::Match));
    }

    #[test]
    fn probe_begins_after_the_settle_time_and_must_pass_in_time() {
        let began = Instant::now();
        let failing = || Some(Err("HTTP 500".to_owned()));
        let mut wait = StableWait::new(&rule(), Some(probe()), began, rule().timeout);
        let failed = ActionError::new(
            ActionErrorKind::TimedOut,
            "its probe did not pass within 3 s: HTTP 500; it is left running (pids 7, 8)",
        );
        let rows = [
            (0, None, StableVerdict::Matched, ""),
            // The password of the address is not shown.
            (1000, None, StableVerdict::ProbeDue, "asking its probe: GET http://127.0.0.1:1/up"),
            (1100, None, StableVerdict::Pending, ""),
            (1200, failing(), StableVerdict::Pending, "its probe does not pass yet: HTTP 500"),
            // The same failure is reported once.
            (2900, failing(), StableVerdict::Pending, ""),
            (3000, failing(), StableVerdict::ProbeFailed(failed), ""),
            (3100, Some(Ok(())), StableVerdict::Stable, ""),
        ];
        for (at, answer, expected, text) in rows {
            let answered = check(&mut wait, began, at, &[7, 8], answer);
            assert_eq!(answered, (expected, text.to_owned()), "{at}");
        }
        // Another run of the component is probed again.
        assert_eq!(check(&mut wait, began, 3200, &[9, 10], Some(Ok(()))).0, StableVerdict::Matched);
        assert_eq!(check(&mut wait, began, 4200, &[9, 10], Some(Ok(()))).0, StableVerdict::ProbeDue);
    }

    #[test]
    fn limits_end_the_wait() {
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut wait = StableWait::new(&rule(), None, began, rule().timeout);
        check(&mut wait, began, 2900, &[7], None);
        assert_eq!(wait.exceeded_limit(at(2900)), None);
        assert_eq!(wait.exceeded_limit(at(3000)), Some(StableLimit::Match));
        // Its processes replace each other.
        for step in 0..=41_u32 {
            check(&mut wait, began, u64::from(step) * 100, &[2 * step, 2 * step + 1], None);
            let expected = (step == 41).then_some(StableLimit::Settle);
            assert_eq!(wait.exceeded_limit(at(u64::from(step) * 100)), expected, "{step}");
        }
    }
}
