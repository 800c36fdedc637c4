//! Output of a plan's progress: live, as plain lines, or as JSON.

use std::io::Write;
use std::time::Instant;

use rta_shared::format::counted;
use rta_shared::plan::{PlanEnd, PlanEvent};

use super::progress_bars::ProgressBars;
use crate::exit::{CommandFailure, FAILED};
use crate::output::{OutputStyle, plan as text};
use crate::plan_progress::PlanProgress;

/// Output of a plan's progress and its format.
pub(super) struct PlanOutput<'o> {
    out: &'o mut (dyn Write + Send),
    format: OutputFormat,
}

enum OutputFormat {
    /// Plain lines, one per change.
    Plain,
    /// JSON objects, one per line.
    Json,
    /// Live lines, one per step, redrawn as the steps change.
    Live(ProgressBars),
}

impl<'o> PlanOutput<'o> {
    pub(super) fn plain(out: &'o mut (dyn Write + Send)) -> Self {
        Self { out, format: OutputFormat::Plain }
    }

    pub(super) fn json(out: &'o mut (dyn Write + Send)) -> Self {
        Self { out, format: OutputFormat::Json }
    }

    pub(super) fn live(out: &'o mut (dyn Write + Send), style: OutputStyle) -> Self {
        Self { out, format: OutputFormat::Live(ProgressBars::new(style)) }
    }

    /// Shows that the plan has started.
    pub(super) fn plan_started(
        &mut self,
        progress: &PlanProgress,
        event: &PlanEvent,
    ) -> Result<(), CommandFailure> {
        if let Some(why) = &progress.begun.unrecorded {
            self.show_message(&text::unrecorded_warning(why))?;
        }
        match &mut self.format {
            OutputFormat::Live(live) => live.start(progress),
            OutputFormat::Json => self.print_json_line(event)?,
            OutputFormat::Plain if progress.steps.len() > 1 => {
                let count = counted(progress.steps.len(), "step");
                writeln!(
                    self.out,
                    "plan {} of a {} begun: {count}",
                    progress.begun.id, progress.begun.plan.kind
                )?;
            }
            OutputFormat::Plain => {}
        }
        Ok(self.out.flush()?)
    }

    /// Shows the change of a step.
    pub(super) fn step_changed(
        &mut self,
        progress: &PlanProgress,
        step: usize,
        event: &PlanEvent,
    ) -> Result<(), CommandFailure> {
        match &mut self.format {
            OutputFormat::Live(live) => live.update_step(progress, step),
            OutputFormat::Json => self.print_json_line(event)?,
            OutputFormat::Plain => {
                if let (Some(what), Some(step_progress)) =
                    (progress.begun.plan.steps.get(step), progress.steps.get(step))
                {
                    for line in text::plain_lines(what, step_progress) {
                        writeln!(self.out, "{line}")?;
                    }
                }
            }
        }
        Ok(self.out.flush()?)
    }

    /// Redraws the elapsed times.
    pub(super) fn tick(&mut self, progress: &PlanProgress) {
        if let OutputFormat::Live(live) = &mut self.format {
            live.draw(progress, Instant::now());
        }
    }

    /// Shows a message that is not an event of the plan.
    pub(super) fn show_message(&mut self, note: &str) -> Result<(), CommandFailure> {
        match &mut self.format {
            OutputFormat::Live(live) => live.print_above(note),
            OutputFormat::Plain => writeln!(self.out, "{note}")?,
            // A reader of JSON learns the rest from the exit code.
            OutputFormat::Json => {}
        }
        Ok(self.out.flush()?)
    }

    /// Asks a question; nothing is drawn until [`PlanOutput::resume`].
    pub(super) fn ask_question(&mut self, question: &str) -> Result<(), CommandFailure> {
        if let OutputFormat::Live(live) = &mut self.format {
            live.pause();
        }
        write!(self.out, "{question} ")?;
        Ok(self.out.flush()?)
    }

    /// Resumes drawing after a question. If it was not `answered`, its line is still open and is ended here.
    pub(super) fn resume(&mut self, answered: bool) -> Result<(), CommandFailure> {
        if !answered {
            writeln!(self.out)?;
        }
        if let OutputFormat::Live(live) = &mut self.format {
            live.resume();
        }
        Ok(())
    }

    /// Shows the final state. `None`: the plan goes on but is no longer followed.
    pub(super) fn plan_ended(
        &mut self,
        progress: &PlanProgress,
        end: Option<&PlanEnd>,
    ) -> Result<(), CommandFailure> {
        if let OutputFormat::Live(live) = &mut self.format {
            write!(self.out, "{}", live.finish(progress))?;
        }
        if let Some(end) = end {
            match self.format {
                OutputFormat::Json => self.print_json_line(&PlanEvent::Ended(end.clone()))?,
                OutputFormat::Live(_) | OutputFormat::Plain
                    if progress.steps.len() > 1 || !end.is_complete() =>
                {
                    writeln!(self.out, "{end}")?;
                }
                OutputFormat::Live(_) | OutputFormat::Plain => {}
            }
        }
        Ok(self.out.flush()?)
    }

    fn print_json_line(&mut self, event: &PlanEvent) -> Result<(), CommandFailure> {
        let json = serde_json::to_string(event).map_err(|error| {
            CommandFailure::new(FAILED, format!("an event cannot be written as JSON: {error}"))
        })?;
        Ok(writeln!(self.out, "{json}")?)
    }
}
