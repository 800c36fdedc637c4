//! Decides when a component is restarted. Pure: the time and the observations are arguments.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::autostart::Autostart;
use rta_shared::config::{RestartRule, RestartWhen, SuccessExitStatus};
use tokio::time::Instant;

use super::unmet_prerequisite::UnmetPrerequisite;
use crate::desired_state::{DesiredState, OperatorDecision};
use crate::maintenance::MaintenanceWindow;

/// Restarts within the configured time from which on a component counts as flapping.
const FLAPPING_RESTARTS: usize = 3;
/// Time limit for waiting on a dependency of unknown state; after it the start is attempted.
const UNKNOWN_DEPENDENCY_WAIT: Duration = Duration::from_secs(60);

/// Point in time on the monotonic and on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimePoint {
    pub(crate) at: Instant,
    pub(crate) wall: Timestamp,
}

impl TimePoint {
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), wall: Timestamp::now() }
    }

    /// Returns the moment at `wall`, or this moment if `wall` has passed.
    pub(crate) fn until(self, wall: Timestamp) -> Self {
        self.after(Duration::try_from(wall.duration_since(self.wall)).unwrap_or_default())
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { at: self.at + wait, wall: self.wall.checked_add(wait).unwrap_or(Timestamp::MAX) }
    }
}

/// End of a component's run, as far as the agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunEnd {
    /// True if the component's rule does not count this end as a failure.
    pub(crate) is_well: bool,
    /// Cause of the end, such as `with exit status 1`.
    pub(crate) how: String,
}

impl RunEnd {
    /// Creates the end for `status`; `success` defines which exit statuses are no failures.
    pub(crate) fn new(status: ExitStatus, success: &SuccessExitStatus) -> Self {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit status {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => format!("with {status}"),
        };
        Self { is_well: success.is_clean(status), how }
    }
}

/// Observation of a component in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObservedState {
    /// The component runs.
    Running,
    /// The component does not run. Carries the end of its last run since the last start; `None`: not known,
    /// or not yet.
    Stopped(Option<RunEnd>),
    /// An action on the component is running.
    Acting,
    /// The state is unknown, or only a part of the component runs. Never a reason to act.
    Unclear,
    /// Its process still exists and only stopped matching: it has not ended.
    Unmatched,
}

/// Decision of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartDecision {
    /// No action.
    Nothing,
    /// Check again at this time.
    Wait(Instant),
    /// Start now. Counts as an attempt.
    Start,
    /// No further attempt until an operator starts the component.
    GivenUp,
}

/// Restart policy of one component, with its state.
#[derive(Clone, Debug)]
pub(crate) struct RestartPolicy {
    rule: RestartRule,
    /// True if the configuration declares the component as running.
    is_declared: bool,
    decision: Option<OperatorDecision>,
    /// Last known running state; `None`: never known.
    was_running: Option<bool>,
    /// Times of the restarts within the rule's time window.
    starts: VecDeque<Instant>,
    next_start: Option<TimePoint>,
    given_up: bool,
    last_end: Option<LastEnd>,
    /// Deadline for a launch of an earlier agent to become the component.
    pending: Option<Timestamp>,
    /// Dependency that is not known to be up.
    unmet: Option<UnmetPrerequisite>,
    /// Time since which the state of that dependency is unknown.
    unknown_since: Option<Instant>,
    /// Number of starts that failed or ended while a dependency was not known to be up. They do not count as
    /// failures of the component and only lengthen the delay.
    uncounted_starts: u32,
    /// True if the last start counts against the limit.
    is_counted: bool,
    /// Number of starts that were made, whatever became of them.
    starts_total: u64,
}

/// Last end of the component, or its last failed start.
#[derive(Clone, Debug)]
struct LastEnd {
    at: Timestamp,
    /// True if the start failed, so that the component never ran.
    is_start: bool,
    /// `None`: not known.
    end: Option<RunEnd>,
}

impl RestartPolicy {
    /// Creates the policy. `finished`: time and cause of a clean end that an earlier agent has seen;
    /// `pending`: deadline for a launch of an earlier agent to become the component.
    pub(crate) fn new(
        rule: RestartRule,
        is_declared: bool,
        word: Option<OperatorDecision>,
        finished: Option<(Timestamp, String)>,
        pending: Option<Timestamp>,
    ) -> Self {
        let end = |how| Some(RunEnd { is_well: true, how });
        let last = finished.map(|(at, how)| LastEnd { at, is_start: false, end: end(how) });
        Self {
            rule,
            is_declared,
            decision: word,
            was_running: None,
            starts: VecDeque::new(),
            next_start: None,
            given_up: false,
            last_end: last,
            pending,
            unmet: None,
            unknown_since: None,
            uncounted_starts: 0,
            is_counted: false,
            starts_total: 0,
        }
    }

    /// Replaces the rule.
    pub(crate) fn configure(&mut self, rule: RestartRule, is_declared: bool) {
        (self.rule, self.is_declared) = (rule, is_declared);
    }

    /// Returns the rule in use.
    pub(crate) fn rule(&self) -> &RestartRule {
        &self.rule
    }

    /// Records the dependency that is not known to be up at `now`.
    pub(crate) fn set_unmet(&mut self, now: Instant, unmet: Option<UnmetPrerequisite>) {
        self.unknown_since = match &unmet {
            Some(unmet) if !unmet.is_certain => Some(self.unknown_since.unwrap_or(now)),
            Some(_) | None => None,
        };
        if unmet.is_none() {
            self.uncounted_starts = 0;
        }
        self.unmet = unmet;
    }

    /// Records an operator's last decision. Returns true if it is a new one, which resets the policy.
    pub(crate) fn record_decision(&mut self, word: Option<&OperatorDecision>) -> bool {
        if self.decision.as_ref() == word {
            return false;
        }
        self.decision = word.cloned();
        self.starts.clear();
        self.next_start = None;
        self.given_up = false;
        self.last_end = None;
        self.uncounted_starts = 0;
        // A component that does not run now has not ended by itself.
        self.was_running = self.was_running.map(|_| false);
        true
    }

    /// Returns the decision for an observation; `is_quiet`: the component is in maintenance.
    pub(crate) fn observe(
        &mut self,
        now: TimePoint,
        seen: &ObservedState,
        is_quiet: bool,
    ) -> RestartDecision {
        self.drop_old_starts(now.at);
        let end = match seen {
            ObservedState::Acting | ObservedState::Unclear => return RestartDecision::Nothing,
            ObservedState::Running | ObservedState::Unmatched => {
                self.was_running = Some(true);
                self.next_start = None;
                return RestartDecision::Nothing;
            }
            ObservedState::Stopped(end) => end,
        };
        let is_first = self.was_running.is_none();
        if self.was_running == Some(true) {
            self.last_end = Some(LastEnd { at: now.wall, is_start: false, end: None });
            self.next_start = None;
            self.uncount_start();
        }
        self.was_running = Some(false);
        // The exit status may arrive after the process is gone.
        match (&mut self.last_end, end) {
            (Some(last), Some(end)) if last.end.is_none() => last.end = Some(end.clone()),
            // After an operator's start the component ran too briefly to be seen running.
            (None, Some(end)) => {
                self.last_end = Some(LastEnd { at: now.wall, is_start: false, end: Some(end.clone()) });
            }
            _ => {}
        }
        if !self.is_wanted() || self.clean_end().is_some() {
            self.next_start = None;
            return RestartDecision::Nothing;
        }
        if is_quiet {
            return RestartDecision::Nothing;
        }
        if self.given_up {
            return RestartDecision::GivenUp;
        }
        let due = match self.next_start {
            Some(due) => due,
            None if self.starts.len() >= usize::try_from(self.rule.limit).unwrap_or(usize::MAX) => {
                self.given_up = true;
                return RestartDecision::GivenUp;
            }
            // The component ended while no agent ran, so the delay has passed. A launch of an earlier agent
            // may still become the component.
            None if is_first => self.pending.map_or(now, |until| now.until(until)),
            None => now.after(self.restart_delay()),
        };
        self.next_start = Some(due);
        if now.at < due.at {
            return RestartDecision::Wait(due.at);
        }
        match (&self.unmet, self.unknown_since) {
            (None, _) => {
                self.is_counted = true;
                self.starts.push_back(now.at);
            }
            // The start is due as soon as the dependency is up.
            (Some(_), None) => return RestartDecision::Nothing,
            (Some(_), Some(since)) if now.at < since + UNKNOWN_DEPENDENCY_WAIT => {
                return RestartDecision::Wait(since + UNKNOWN_DEPENDENCY_WAIT);
            }
            (Some(_), Some(_)) => {
                self.is_counted = false;
                self.uncounted_starts = self.uncounted_starts.saturating_add(1);
            }
        }
        self.next_start = None;
        RestartDecision::Start
    }

    /// Uncounts the last start if a dependency is not known to be up, since that explains the end.
    fn uncount_start(&mut self) {
        if self.is_counted && self.unmet.is_some() {
            self.is_counted = false;
            self.starts.pop_back();
            self.uncounted_starts = self.uncounted_starts.saturating_add(1);
        }
    }

    /// Records that the start requested by [`RestartDecision::Start`] succeeded: the component ran, even if
    /// no report shows that.
    pub(crate) fn record_started(&mut self) {
        self.was_running = Some(true);
        self.starts_total += 1;
    }

    /// Records that the start requested by [`RestartDecision::Start`] failed, with the reason.
    pub(crate) fn record_failed(&mut self, now: TimePoint, reason: String) {
        let end = Some(RunEnd { is_well: false, how: reason });
        self.last_end = Some(LastEnd { at: now.wall, is_start: true, end });
        self.starts_total += 1;
        self.uncount_start();
    }

    /// Records that the start requested by [`RestartDecision::Start`] was not begun, since another action was
    /// running.
    pub(crate) fn record_not_begun(&mut self) {
        match std::mem::take(&mut self.is_counted) {
            true => drop(self.starts.pop_back()),
            false => self.uncounted_starts = self.uncounted_starts.saturating_sub(1),
        }
    }

    /// Records that the start requested by [`RestartDecision::Start`] found the component running: it is no restart.
    pub(crate) fn record_already_running(&mut self) {
        self.record_not_begun();
        self.was_running = Some(true);
    }

    /// Returns time and cause of a clean end if the rule does not restart the component after it.
    pub(crate) fn clean_end(&self) -> Option<(Timestamp, &str)> {
        let last = self.last_end.as_ref()?;
        let end = last.end.as_ref().filter(|end| end.is_well)?;
        (self.rule.when == RestartWhen::OnFailure && self.was_running != Some(true))
            .then_some((last.at, &end.how))
    }

    /// Returns the restart status for the report; `window`: the current maintenance.
    pub(crate) fn report(&self, window: Option<&MaintenanceWindow>) -> Autostart {
        let wanted = self.is_wanted() && self.clean_end().is_none();
        let is_waiting = wanted && window.is_none() && !self.given_up && self.was_running == Some(false);
        let waiting_for = self.unmet.as_ref().filter(|_| is_waiting).map(|unmet| unmet.what.clone());
        let is_blocked = self.unmet.as_ref().is_some_and(|unmet| unmet.is_certain);
        Autostart {
            wanted,
            why: self.explain(window),
            restarts: u32::try_from(self.starts.len()).unwrap_or(u32::MAX),
            restarts_total: self.starts_total,
            next_at: self.next_start.filter(|_| window.is_none() && !is_blocked).map(|due| due.wall),
            given_up: self.given_up,
            flapping: self.starts.len() >= FLAPPING_RESTARTS
                || (self.given_up && self.was_running == Some(false)),
            last_end: self.last_end.as_ref().map(LastEnd::describe).unwrap_or_default(),
            waiting_for: waiting_for.unwrap_or_default(),
        }
    }

    /// Returns true if the component is supposed to run.
    fn is_wanted(&self) -> bool {
        match self.decision.as_ref().map(|word| word.desired) {
            _ if self.rule.when == RestartWhen::Never => false,
            Some(DesiredState::Running) => true,
            Some(DesiredState::Stopped) => false,
            None => self.is_declared,
        }
    }

    fn explain(&self, window: Option<&MaintenanceWindow>) -> String {
        let by = |word: &OperatorDecision| match word.by.user.as_str() {
            "" => "an operator".to_owned(),
            _ => word.by.to_string(),
        };
        let mut why = match (&self.decision, self.clean_end()) {
            (Some(word), _) if word.desired == DesiredState::Stopped => format!("{} stopped it", by(word)),
            (_, Some((_, how))) => format!("it ended {how}, which is no failure"),
            (Some(word), None) => format!("{} started it", by(word)),
            (None, None) if self.is_declared => "the configuration wants it running".to_owned(),
            (None, None) => "nobody has started it through rta".to_owned(),
        };
        if let (Some(window), true) = (window, self.is_wanted()) {
            why.push_str("; in maintenance nothing is started");
            if let Some(until) = window.until {
                why.push_str(&until.strftime(", until %Y-%m-%d %H:%M UTC").to_string());
            }
        }
        why
    }

    /// Returns the delay between the end of the component and its restart.
    fn restart_delay(&self) -> Duration {
        let starts = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        let doubled = starts.saturating_add(self.uncounted_starts);
        self.rule.backoff.saturating_mul(2_u32.saturating_pow(doubled)).min(self.rule.longest)
    }

    fn drop_old_starts(&mut self, now: Instant) {
        let is_old = |start: &Instant| now.saturating_duration_since(*start) >= self.rule.within;
        while self.starts.front().is_some_and(is_old) {
            self.starts.pop_front();
        }
    }
}

impl LastEnd {
    /// Returns a sentence such as `it ended with exit status 1 at 09:30:00 UTC`.
    fn describe(&self) -> String {
        let at = self.at.strftime("%H:%M:%S UTC");
        match (&self.end, self.is_start) {
            (Some(end), true) => format!("its start failed at {at}: {}", end.how),
            (Some(end), false) => format!("it ended {} at {at}", end.how),
            (None, _) => format!("it ended at {at}, it is not known how"),
        }
    }
}
