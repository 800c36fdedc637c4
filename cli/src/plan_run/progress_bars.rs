//! Live progress on a terminal: one line per step, redrawn as it changes.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rta_shared::format::counted;
use rta_shared::plan::StepState;
use rustix::termios::LocalModes;

use crate::keyboard::TerminalMode;
use crate::output::{OutputStyle, plan as text};
use crate::plan_progress::PlanProgress;
use crate::terminal;

/// Terminal lines left free for other output.
const SPARE_LINES: usize = 3;

/// Drawn progress lines. If the terminal has room for all steps, each has a line from the beginning.
/// Otherwise only steps in progress have one, and finished steps scroll away above.
pub(super) struct ProgressBars {
    style: OutputStyle,
    bars_on_screen: MultiProgress,
    /// Progress bar of each drawn step, by the step's position.
    bars: BTreeMap<usize, ProgressBar>,
    /// Line with the number of waiting steps, if those are not drawn.
    rest: Option<ProgressBar>,
    width: usize,
    paused: bool,
    /// Disables the echo of ^C, which would shift the lines.
    _no_echo: Option<TerminalMode>,
}

impl ProgressBars {
    pub(super) fn new(style: OutputStyle) -> Self {
        Self {
            style,
            bars_on_screen: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            bars: BTreeMap::new(),
            rest: None,
            width: 0,
            paused: false,
            // If this fails, a stray line may remain.
            _no_echo: TerminalMode::without(LocalModes::ECHOCTL).ok().flatten(),
        }
    }

    pub(super) fn start(&mut self, progress: &PlanProgress) {
        let (rows, _) = terminal::size();
        let fits = progress.steps.len() + SPARE_LINES <= rows;
        self.width = text::place_width(&progress.begun.plan);
        self.bars = (0..progress.steps.len()).filter(|_| fits).map(|step| (step, self.bar())).collect();
        self.rest = (!fits).then(|| self.bar());
        self.draw(progress, Instant::now());
    }

    fn bar(&self) -> ProgressBar {
        // A template with a single field is always valid; the default one would show an empty bar.
        let style =
            ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bars_on_screen.add(ProgressBar::new(1).with_style(style))
    }

    /// Updates the line of a changed step.
    pub(super) fn update_step(&mut self, progress: &PlanProgress, step: usize) {
        if self.rest.is_some() {
            self.update_few(progress, step);
        }
        self.draw(progress, Instant::now());
    }

    fn update_few(&mut self, progress: &PlanProgress, step: usize) {
        let Some(step_progress) = progress.steps.get(step) else { return };
        let has_bar = self.bars.contains_key(&step);
        if step_progress.state == StepState::UnderWay && !has_bar {
            let bar = self.bar();
            if let Some(rest) = &self.rest {
                self.bars_on_screen.remove(rest);
                self.rest = Some(self.bar());
            }
            self.bars.insert(step, bar);
        } else if step_progress.state.is_final() {
            if let Some(bar) = self.bars.remove(&step) {
                self.bars_on_screen.remove(&bar);
            }
            for line in self.lines(progress, step, Instant::now()) {
                self.print_above(&line);
            }
        }
    }

    fn line(&self, progress: &PlanProgress, step: usize, now: Instant) -> String {
        match (progress.begun.plan.steps.get(step), progress.steps.get(step)) {
            (Some(what), Some(step_progress)) => {
                text::live_line(what, step_progress, self.width, now, self.style)
            }
            _ => String::new(),
        }
    }

    /// Returns the line of a step and the additional lines below it, such as the last lines
    /// of a failed step's log.
    fn lines(&self, progress: &PlanProgress, step: usize, now: Instant) -> Vec<String> {
        let beside = progress.steps.get(step).map(text::detail_lines).unwrap_or_default();
        std::iter::once(self.line(progress, step, now)).chain(beside).collect()
    }

    /// Draws every line for the moment `now`.
    pub(super) fn draw(&self, progress: &PlanProgress, now: Instant) {
        if self.paused {
            return;
        }
        for (step, bar) in &self.bars {
            bar.set_message(self.line(progress, *step, now));
            bar.tick();
        }
        if let Some(rest) = &self.rest {
            rest.set_message(format!("○ {} waiting", counted(progress.waiting, "step")));
            rest.tick();
        }
    }

    /// Prints a line above the live lines.
    pub(super) fn print_above(&self, line: &str) {
        // A lost terminal is detected by the write at the end.
        let _ = self.bars_on_screen.println(line);
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
        // As above.
        let _ = self.bars_on_screen.clear();
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    /// Removes the live lines, and returns the text that replaces them: the final state of each step.
    pub(super) fn finish(&mut self, progress: &PlanProgress) -> String {
        let now = Instant::now();
        // As above.
        let _ = self.bars_on_screen.clear();
        self.paused = true;
        let mut stays = String::new();
        for step in 0..progress.steps.len() {
            // If the steps did not fit, finished ones are already printed above.
            let is_told =
                self.rest.is_some() && progress.steps.get(step).is_some_and(|step| step.state.is_final());
            if !is_told {
                stays.extend(self.lines(progress, step, now).into_iter().map(|line| line + "\n"));
            }
        }
        stays
    }
}
