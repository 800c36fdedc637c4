//! When a component is started again. Pure: the time and what was seen are given.

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

/// So many starts within the configured time are flapping.
const FLAPPING: usize = 3;
/// For so long is waited for what is needed and of which nothing is known; then it is tried whether it is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A moment on both clocks: the one that never steps, and the one that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) wall: Timestamp,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), wall: Timestamp::now() }
    }

    /// That moment, or this one where it has passed.
    pub(crate) fn until(self, wall: Timestamp) -> Self {
        self.after(Duration::try_from(wall.duration_since(self.wall)).unwrap_or_default())
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { at: self.at + wait, wall: self.wall.checked_add(wait).unwrap_or(Timestamp::MAX) }
    }
}

/// How a component ended, as far as the agent can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// It is no failure, by the component's rule.
    pub(crate) is_well: bool,
    /// `with exit status 1`.
    pub(crate) how: String,
}

impl End {
    /// Returns the end by `status`; `success` says which ends are no failures.
    pub(crate) fn new(status: ExitStatus, success: &SuccessExitStatus) -> Self {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit status {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => format!("with {status}"),
        };
        Self { is_well: success.is_clean(status), how }
    }
}

/// What a report shows of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It runs.
    Running,
    /// It does not, and its last run since the last start ended so; `None`: not known, or not yet.
    Stopped(Option<End>),
    /// An action on it is under way.
    Acting,
    /// Whether it runs is not known, or only some of it does: never a reason to act.
    Unclear,
    /// Its process still exists and only stopped matching: it has not ended.
    Unmatched,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Nothing,
    /// It is due then.
    Wait(Instant),
    /// Start it now. This counts as an attempt.
    Start,
    /// Nothing any more, until an operator starts it.
    GivenUp,
}

/// Keeps one component running.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    rule: RestartRule,
    /// The configuration wants it running.
    is_declared: bool,
    word: Option<Word>,
    /// Whether it ran when that was last known; `None`: it was never known.
    ran: Option<bool>,
    /// When it was started again, within the rule's time.
    starts: VecDeque<Instant>,
    due: Option<Moment>,
    given_up: bool,
    last: Option<Last>,
    /// Until then what an earlier agent launched may still come up.
    pending: Option<Timestamp>,
    /// What it needs and is not known to be up.
    unmet: Option<Unmet>,
    /// Since when nothing is known of that.
    unknown_since: Option<Instant>,
    /// How often it was started in vain, or ended, while what it needs was not known to be up. That is no failure
    /// of its own, and makes only the waits longer.
    in_vain: u32,
    /// The last start counts against the limit.
    is_counted: bool,
}

/// How it ended last, or failed to start.
#[derive(Clone, Debug)]
struct Last {
    at: Timestamp,
    /// It did not run: its start failed.
    is_start: bool,
    /// `None`: not known.
    end: Option<End>,
}

impl Keeper {
    /// `finished`: it ended well by itself then and so, as an earlier agent saw. `pending`: until then what an earlier
    /// agent launched may still come up.
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

    /// Goes on by another rule.
    pub(crate) fn configure(&mut self, rule: RestartRule, is_declared: bool) {
        (self.rule, self.is_declared) = (rule, is_declared);
    }

    /// The rule that it goes by.
    pub(crate) fn rule(&self) -> &RestartRule {
        &self.rule
    }

    /// Takes note of what it needs and is not known to be up at the moment `now`.
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

    /// Takes note of an operator's last word: a new one, for which this is true, makes a new beginning.
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
        // What is not running now has not ended by itself.
        self.ran = self.ran.map(|_| false);
        true
    }

    /// What is to be done now; `is_quiet`: it is in maintenance.
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
        // The exit status may come after the process is gone.
        match (&mut self.last, end) {
            (Some(last), Some(end)) if last.end.is_none() => last.end = Some(end.clone()),
            // It ran too shortly to be seen running after an operator's start.
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
            // It ended while no agent was there: long enough ago. What an earlier agent launched may still come up.
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
            // It is due when that is up.
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

    /// Does not count the last start where what it needs is not known to be up: that explains its end.
    fn excuse(&mut self) {
        if self.is_counted && self.unmet.is_some() {
            self.is_counted = false;
            self.starts.pop_back();
            self.in_vain = self.in_vain.saturating_add(1);
        }
    }

    /// The start that [`Verdict::Start`] asked for was done: it ran, even if no report shows that.
    pub(crate) fn started(&mut self) {
        self.ran = Some(true);
    }

    /// The start that [`Verdict::Start`] asked for failed, for this reason.
    pub(crate) fn failed(&mut self, now: Moment, reason: String) {
        let end = Some(End { is_well: false, how: reason });
        self.last = Some(Last { at: now.wall, is_start: true, end });
        self.excuse();
    }

    /// The start that [`Verdict::Start`] asked for was not begun, since another action was under way.
    pub(crate) fn not_begun(&mut self) {
        match std::mem::take(&mut self.is_counted) {
            true => drop(self.starts.pop_back()),
            false => self.in_vain = self.in_vain.saturating_sub(1),
        }
    }

    /// When and how it ended well, where it is not started again for that.
    pub(crate) fn finished(&self) -> Option<(Timestamp, &str)> {
        let last = self.last.as_ref()?;
        let end = last.end.as_ref().filter(|end| end.is_well)?;
        (self.rule.when == RestartWhen::OnFailure && self.ran != Some(true)).then_some((last.at, &end.how))
    }

    /// The report on it; `quiet`: the maintenance that it is in.
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

    /// Whether it is to run.
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

    /// How long after its end it is started again.
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
    /// `it ended with exit status 1 at 09:30:00 UTC`.
    fn sentence(&self) -> String {
        let at = self.at.strftime("%H:%M:%S UTC");
        match (&self.end, self.is_start) {
            (Some(end), true) => format!("its start failed at {at}: {}", end.how),
            (Some(end), false) => format!("it ended {} at {at}", end.how),
            (None, _) => format!("it ended at {at}, it is not known how"),
        }
    }
}
