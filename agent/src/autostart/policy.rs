//! Decides when a component is restarted. Pure: the time and the observations are arguments.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::autostart::Autostart;
use rta_shared::config::{RestartRule, RestartWhen, SuccessExitStatus};
use tokio::time::Instant;

use super::unmet::Unmet;
use crate::maintenance::Quiet;
use crate::state_folder::{Wish, Word};

/// Restarts within the configured time from which on a component counts as flapping.
const FLAPPING: usize = 3;
/// Time limit for waiting on a dependency of unknown state; after it the start is attempted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Point in time on the monotonic and on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) wall: Timestamp,
}

impl Moment {
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
pub(crate) struct End {
    /// True if the component's rule does not count this end as a failure.
    pub(crate) is_well: bool,
    /// Cause of the end, such as `with exit status 1`.
    pub(crate) how: String,
}

impl End {
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
pub(crate) enum Seen {
    /// The component runs.
    Running,
    /// The component does not run. Carries the end of its last run since the last start; `None`: not known,
    /// or not yet.
    Stopped(Option<End>),
    /// An action on the component is running.
    Acting,
    /// The state is unknown, or only a part of the component runs. Never a reason to act.
    Unclear,
    /// Its process still exists and only stopped matching: it has not ended.
    Unmatched,
}

/// Decision of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
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
pub(crate) struct Keeper {
    rule: RestartRule,
    /// True if the configuration declares the component as running.
    is_declared: bool,
    word: Option<Word>,
    /// Last known running state; `None`: never known.
    ran: Option<bool>,
    /// Times of the restarts within the rule's time window.
    starts: VecDeque<Instant>,
    due: Option<Moment>,
    given_up: bool,
    last: Option<Last>,
    /// Deadline for a launch of an earlier agent to become the component.
    pending: Option<Timestamp>,
    /// Dependency that is not known to be up.
    unmet: Option<Unmet>,
    /// Time since which the state of that dependency is unknown.
    unknown_since: Option<Instant>,
    /// Number of starts that failed or ended while a dependency was not known to be up. They do not count as
    /// failures of the component and only lengthen the delay.
    in_vain: u32,
    /// True if the last start counts against the limit.
    is_counted: bool,
}

/// Last end of the component, or its last failed start.
#[derive(Clone, Debug)]
struct Last {
    at: Timestamp,
    /// True if the start failed, so that the component never ran.
    is_start: bool,
    /// `None`: not known.
    end: Option<End>,
}

impl Keeper {
    /// Creates the policy. `finished`: time and cause of a clean end that an earlier agent has seen;
    /// `pending`: deadline for a launch of an earlier agent to become the component.
    pub(crate) fn new(
        rule: RestartRule,
        is_declared: bool,
        word: Option<Word>,
        finished: Option<(Timestamp, String)>,
        pending: Option<Timestamp>,
    ) -> Self {
        let end = |how| Some(End { is_well: true, how });
        let last = finished.map(|(at, how)| Last { at, is_start: false, end: end(how) });
        Self {
            rule,
            is_declared,
            word,
            ran: None,
            starts: VecDeque::new(),
            due: None,
            given_up: false,
            last,
            pending,
            unmet: None,
            unknown_since: None,
            in_vain: 0,
            is_counted: false,
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
    pub(crate) fn needs(&mut self, now: Instant, unmet: Option<Unmet>) {
        self.unknown_since = match &unmet {
            Some(unmet) if !unmet.is_certain => Some(self.unknown_since.unwrap_or(now)),
            Some(_) | None => None,
        };
        if unmet.is_none() {
            self.in_vain = 0;
        }
        self.unmet = unmet;
    }

    /// Records an operator's last decision. Returns true if it is a new one, which resets the policy.
    pub(crate) fn hear(&mut self, word: Option<&Word>) -> bool {
        if self.word.as_ref() == word {
            return false;
        }
        self.word = word.cloned();
        self.starts.clear();
        self.due = None;
        self.given_up = false;
        self.last = None;
        self.in_vain = 0;
        // A component that does not run now has not ended by itself.
        self.ran = self.ran.map(|_| false);
        true
    }

    /// Returns the decision for an observation; `is_quiet`: the component is in maintenance.
    pub(crate) fn observe(&mut self, now: Moment, seen: &Seen, is_quiet: bool) -> Verdict {
        self.forget_old(now.at);
        let end = match seen {
            Seen::Acting | Seen::Unclear => return Verdict::Nothing,
            Seen::Running | Seen::Unmatched => {
                self.ran = Some(true);
                self.due = None;
                return Verdict::Nothing;
            }
            Seen::Stopped(end) => end,
        };
        let is_first = self.ran.is_none();
        if self.ran == Some(true) {
            self.last = Some(Last { at: now.wall, is_start: false, end: None });
            self.due = None;
            self.excuse();
        }
        self.ran = Some(false);
        // The exit status may arrive after the process is gone.
        match (&mut self.last, end) {
            (Some(last), Some(end)) if last.end.is_none() => last.end = Some(end.clone()),
            // After an operator's start the component ran too briefly to be seen running.
            (None, Some(end)) => {
                self.last = Some(Last { at: now.wall, is_start: false, end: Some(end.clone()) });
            }
            _ => {}
        }
        if !self.is_wanted() || self.finished().is_some() {
            self.due = None;
            return Verdict::Nothing;
        }
        if is_quiet {
            return Verdict::Nothing;
        }
        if self.given_up {
            return Verdict::GivenUp;
        }
        let due = match self.due {
            Some(due) => due,
            None if self.starts.len() >= usize::try_from(self.rule.limit).unwrap_or(usize::MAX) => {
                self.given_up = true;
                return Verdict::GivenUp;
            }
            // The component ended while no agent ran, so the delay has passed. A launch of an earlier agent
            // may still become the component.
            None if is_first => self.pending.map_or(now, |until| now.until(until)),
            None => now.after(self.delay()),
        };
        self.due = Some(due);
        if now.at < due.at {
            return Verdict::Wait(due.at);
        }
        match (&self.unmet, self.unknown_since) {
            (None, _) => {
                self.is_counted = true;
                self.starts.push_back(now.at);
            }
            // The start is due as soon as the dependency is up.
            (Some(_), None) => return Verdict::Nothing,
            (Some(_), Some(since)) if now.at < since + PATIENCE => return Verdict::Wait(since + PATIENCE),
            (Some(_), Some(_)) => {
                self.is_counted = false;
                self.in_vain = self.in_vain.saturating_add(1);
            }
        }
        self.due = None;
        Verdict::Start
    }

    /// Uncounts the last start if a dependency is not known to be up, since that explains the end.
    fn excuse(&mut self) {
        if self.is_counted && self.unmet.is_some() {
            self.is_counted = false;
            self.starts.pop_back();
            self.in_vain = self.in_vain.saturating_add(1);
        }
    }

    /// Records that the start requested by [`Verdict::Start`] succeeded: the component ran, even if no report
    /// shows that.
    pub(crate) fn started(&mut self) {
        self.ran = Some(true);
    }

    /// Records that the start requested by [`Verdict::Start`] failed, with the reason.
    pub(crate) fn failed(&mut self, now: Moment, reason: String) {
        let end = Some(End { is_well: false, how: reason });
        self.last = Some(Last { at: now.wall, is_start: true, end });
        self.excuse();
    }

    /// Records that the start requested by [`Verdict::Start`] was not begun, since another action was
    /// running.
    pub(crate) fn not_begun(&mut self) {
        match std::mem::take(&mut self.is_counted) {
            true => drop(self.starts.pop_back()),
            false => self.in_vain = self.in_vain.saturating_sub(1),
        }
    }

    /// Returns time and cause of a clean end if the rule does not restart the component after it.
    pub(crate) fn finished(&self) -> Option<(Timestamp, &str)> {
        let last = self.last.as_ref()?;
        let end = last.end.as_ref().filter(|end| end.is_well)?;
        (self.rule.when == RestartWhen::OnFailure && self.ran != Some(true)).then_some((last.at, &end.how))
    }

    /// Returns the restart status for the report; `quiet`: the current maintenance.
    pub(crate) fn report(&self, quiet: Option<&Quiet>) -> Autostart {
        let wanted = self.is_wanted() && self.finished().is_none();
        let is_waiting = wanted && quiet.is_none() && !self.given_up && self.ran == Some(false);
        let waiting_for = self.unmet.as_ref().filter(|_| is_waiting).map(|unmet| unmet.what.clone());
        let is_blocked = self.unmet.as_ref().is_some_and(|unmet| unmet.is_certain);
        Autostart {
            wanted,
            why: self.why(quiet),
            restarts: u32::try_from(self.starts.len()).unwrap_or(u32::MAX),
            next_at: self.due.filter(|_| quiet.is_none() && !is_blocked).map(|due| due.wall),
            given_up: self.given_up,
            flapping: self.starts.len() >= FLAPPING || (self.given_up && self.ran == Some(false)),
            last_end: self.last.as_ref().map(Last::sentence).unwrap_or_default(),
            waiting_for: waiting_for.unwrap_or_default(),
        }
    }

    /// Returns true if the component is supposed to run.
    fn is_wanted(&self) -> bool {
        match self.word.as_ref().map(|word| word.wish) {
            _ if self.rule.when == RestartWhen::Never => false,
            Some(Wish::Running) => true,
            Some(Wish::Stopped) => false,
            None => self.is_declared,
        }
    }

    fn why(&self, quiet: Option<&Quiet>) -> String {
        let by = |word: &Word| match word.by.user.as_str() {
            "" => "an operator".to_owned(),
            _ => word.by.to_string(),
        };
        let mut why = match (&self.word, self.finished()) {
            (Some(word), _) if word.wish == Wish::Stopped => format!("{} stopped it", by(word)),
            (_, Some((_, how))) => format!("it ended {how}, which is no failure"),
            (Some(word), None) => format!("{} started it", by(word)),
            (None, None) if self.is_declared => "the configuration wants it running".to_owned(),
            (None, None) => "nobody has started it through rta".to_owned(),
        };
        if let (Some(quiet), true) = (quiet, self.is_wanted()) {
            why.push_str("; in maintenance nothing is started");
            if let Some(until) = quiet.until {
                why.push_str(&until.strftime(", until %Y-%m-%d %H:%M UTC").to_string());
            }
        }
        why
    }

    /// Returns the delay between the end of the component and its restart.
    fn delay(&self) -> Duration {
        let starts = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        let doubled = starts.saturating_add(self.in_vain);
        self.rule.backoff.saturating_mul(2_u32.saturating_pow(doubled)).min(self.rule.longest)
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |start: &Instant| now.saturating_duration_since(*start) >= self.rule.within;
        while self.starts.front().is_some_and(is_old) {
            self.starts.pop_front();
        }
    }
}

impl Last {
    /// Returns a sentence such as `it ended with exit status 1 at 09:30:00 UTC`.
    fn sentence(&self) -> String {
        let at = self.at.strftime("%H:%M:%S UTC");
        match (&self.end, self.is_start) {
            (Some(end), true) => format!("its start failed at {at}: {}", end.how),
            (Some(end), false) => format!("it ended {} at {at}", end.how),
            (None, _) => format!("it ended at {at}, it is not known how"),
        }
    }
}
