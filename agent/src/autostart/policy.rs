//! When a component is started again. Pure: the time and what was seen are given.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::autostart::Autostart;
use rta_shared::config::{RestartRule, RestartWhen};
use tokio::time::Instant;

use crate::maintenance::Quiet;
use crate::state_folder::{Wish, Word};

/// So many starts within the configured time are flapping.
const FLAPPING: usize = 3;

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
    /// With exit status 0.
    pub(crate) is_well: bool,
    /// `with exit status 1`.
    pub(crate) how: String,
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
    /// `finished`: it ended well by itself then, as an earlier agent saw. `pending`: until then what an earlier
    /// agent launched may still come up.
    pub(crate) fn new(
        rule: RestartRule,
        is_declared: bool,
        word: Option<Word>,
        finished: Option<Timestamp>,
        pending: Option<Timestamp>,
    ) -> Self {
        let end = || Some(End { is_well: true, how: "with exit status 0".to_owned() });
        let last = finished.map(|at| Last { at, is_start: false, end: end() });
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
        }
    }

    /// Goes on by another rule.
    pub(crate) fn configure(&mut self, rule: RestartRule, is_declared: bool) {
        (self.rule, self.is_declared) = (rule, is_declared);
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
        // What is not running now has not ended by itself.
        self.ran = self.ran.map(|_| false);
        true
    }

    /// What is to be done now; `is_quiet`: it is in maintenance.
    pub(crate) fn observe(&mut self, now: Moment, seen: &Seen, is_quiet: bool) -> Verdict {
        self.forget_old(now.at);
        let end = match seen {
            Seen::Acting | Seen::Unclear => return Verdict::Nothing,
            Seen::Running => {
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
        self.due = None;
        self.starts.push_back(now.at);
        Verdict::Start
    }

    /// The start that [`Verdict::Start`] asked for was done: it ran, even if no report shows that.
    pub(crate) fn started(&mut self) {
        self.ran = Some(true);
    }

    /// The start that [`Verdict::Start`] asked for failed, for this reason.
    pub(crate) fn failed(&mut self, now: Moment, reason: String) {
        let end = Some(End { is_well: false, how: reason });
        self.last = Some(Last { at: now.wall, is_start: true, end });
    }

    /// The start that [`Verdict::Start`] asked for was not begun, since another action was under way.
    pub(crate) fn not_begun(&mut self) {
        self.starts.pop_back();
    }

    /// When it ended well, where it is not started again for that.
    pub(crate) fn finished(&self) -> Option<Timestamp> {
        let last = self.last.as_ref().filter(|last| last.end.as_ref().is_some_and(|end| end.is_well))?;
        (self.rule.when == RestartWhen::OnFailure && self.ran != Some(true)).then_some(last.at)
    }

    /// The report on it; `quiet`: the maintenance that it is in.
    pub(crate) fn report(&self, quiet: Option<&Quiet>) -> Autostart {
        let wanted = self.is_wanted() && self.finished().is_none();
        Autostart {
            wanted,
            why: self.why(quiet),
            restarts: u32::try_from(self.starts.len()).unwrap_or(u32::MAX),
            next_at: self.due.filter(|_| quiet.is_none()).map(|due| due.wall),
            given_up: self.given_up,
            flapping: self.starts.len() >= FLAPPING || (self.given_up && self.ran == Some(false)),
            last_end: self.last.as_ref().map(Last::sentence).unwrap_or_default(),
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
        let mut why = match &self.word {
            Some(word) if word.wish == Wish::Stopped => format!("{} stopped it", by(word)),
            _ if self.finished().is_some() => "it ended with exit status 0, which is no failure".to_owned(),
            Some(word) => format!("{} started it", by(word)),
            None if self.is_declared => "the configuration wants it running".to_owned(),
            None => "nobody has started it through rta".to_owned(),
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
        let doubled = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
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
