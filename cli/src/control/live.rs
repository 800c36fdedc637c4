//! Live progress on a terminal: one line per step, redrawn as it changes.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rta_shared::format::counted;
use rta_shared::plan::StepState;
use rustix::termios::LocalModes;

use crate::keyboard::Held;
use crate::plan_progress::Track;
use crate::render::{Style, plan as text};
use crate::terminal;

/// Terminal lines left free for other output.
const SPARE: usize = 3;

/// Drawn progress lines. If the terminal has room for all steps, each has a line from the beginning.
/// Otherwise only steps in progress have one, and finished steps scroll away above.
pub(super) struct Live {
    style: Style,
    drawn: MultiProgress,
    /// Progress bar of each drawn step, by the step's position.
    bars: BTreeMap<usize, ProgressBar>,
    /// Line with the number of waiting steps, if those are not drawn.
    rest: Option<ProgressBar>,
    width: usize,
    paused: bool,
    /// Disables the echo of ^C, which would shift the lines.
    _unechoed: Option<Held>,
}

impl Live {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            drawn: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            bars: BTreeMap::new(),
            rest: None,
            width: 0,
            paused: false,
            // If this fails, a stray line may remain.
            _unechoed: Held::without(LocalModes::ECHOCTL).ok().flatten(),
        }
    }

    pub(super) fn begin(&mut self, track: &Track) {
        let (rows, _) = terminal::size();
        let fits = track.steps.len() + SPARE <= rows;
        self.width = text::width(&track.begun.plan);
        self.bars = (0..track.steps.len()).filter(|_| fits).map(|step| (step, self.bar())).collect();
        self.rest = (!fits).then(|| self.bar());
        self.draw(track, Instant::now());
    }

    fn bar(&self) -> ProgressBar {
        // A template with a single field is always valid; the default one would show an empty bar.
        let style =
            ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        self.drawn.add(ProgressBar::new(1).with_style(style))
    }

    /// Updates the line of a changed step.
    pub(super) fn change(&mut self, track: &Track, step: usize) {
        if self.rest.is_some() {
            self.change_few(track, step);
        }
        self.draw(track, Instant::now());
    }

    fn change_few(&mut self, track: &Track, step: usize) {
        let Some(standing) = track.steps.get(step) else { return };
        let has_bar = self.bars.contains_key(&step);
        if standing.state == StepState::UnderWay && !has_bar {
            let bar = self.bar();
            if let Some(rest) = &self.rest {
                self.drawn.remove(rest);
                self.rest = Some(self.bar());
            }
            self.bars.insert(step, bar);
        } else if standing.state.is_final() {
            if let Some(bar) = self.bars.remove(&step) {
                self.drawn.remove(&bar);
            }
            for line in self.lines(track, step, Instant::now()) {
                self.above(&line);
            }
        }
    }

    fn line(&self, track: &Track, step: usize, now: Instant) -> String {
        match (track.begun.plan.steps.get(step), track.steps.get(step)) {
            (Some(what), Some(standing)) => text::live(what, standing, self.width, now, self.style),
            _ => String::new(),
        }
    }

    /// Returns the line of a step and the additional lines below it, such as the last lines
    /// of a failed step's log.
    fn lines(&self, track: &Track, step: usize, now: Instant) -> Vec<String> {
        let beside = track.steps.get(step).map(text::beside).unwrap_or_default();
        std::iter::once(self.line(track, step, now)).chain(beside).collect()
    }

    /// Draws every line for the moment `now`.
    pub(super) fn draw(&self, track: &Track, now: Instant) {
        if self.paused {
            return;
        }
        for (step, bar) in &self.bars {
            bar.set_message(self.line(track, *step, now));
            bar.tick();
        }
        if let Some(rest) = &self.rest {
            rest.set_message(format!("○ {} waiting", counted(track.waiting, "step")));
            rest.tick();
        }
    }

    /// Prints a line above the live lines.
    pub(super) fn above(&self, line: &str) {
        // A lost terminal is detected by the write at the end.
        let _ = self.drawn.println(line);
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
        // As above.
        let _ = self.drawn.clear();
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    /// Removes the live lines, and returns the text that replaces them: the final state of each step.
    pub(super) fn leave(&mut self, track: &Track) -> String {
        let now = Instant::now();
        // As above.
        let _ = self.drawn.clear();
        self.paused = true;
        let mut stays = String::new();
        for step in 0..track.steps.len() {
            // If the steps did not fit, finished ones are already printed above.
            let is_told =
                self.rest.is_some() && track.steps.get(step).is_some_and(|step| step.state.is_final());
            if !is_told {
                stays.extend(self.lines(track, step, now).into_iter().map(|line| line + "\n"));
            }
        }
        stays
    }
}
