//! Output of a plan's progress: live, as plain lines, or as JSON.

use std::io::Write;
use std::time::Instant;

use rta_shared::format::counted;
use rta_shared::plan::{PlanEnd, PlanEvent};

use super::live::Live;
use crate::exit::{FAILED, Failure};
use crate::plan_progress::Track;
use crate::render::{Style, plan as text};

/// Output of a plan's progress and its format.
pub(super) struct Show<'o> {
    out: &'o mut (dyn Write + Send),
    manner: Manner,
}

enum Manner {
    /// Plain lines, one per change.
    Plain,
    /// JSON objects, one per line.
    Json,
    /// Live lines, one per step, redrawn as the steps change.
    Live(Live),
}

impl<'o> Show<'o> {
    pub(super) fn plain(out: &'o mut (dyn Write + Send)) -> Self {
        Self { out, manner: Manner::Plain }
    }

    pub(super) fn json(out: &'o mut (dyn Write + Send)) -> Self {
        Self { out, manner: Manner::Json }
    }

    pub(super) fn live(out: &'o mut (dyn Write + Send), style: Style) -> Self {
        Self { out, manner: Manner::Live(Live::new(style)) }
    }

    /// Shows that the plan has started.
    pub(super) fn begun(&mut self, track: &Track, event: &PlanEvent) -> Result<(), Failure> {
        if let Some(why) = &track.begun.unrecorded {
            self.note(&text::unrecorded(why))?;
        }
        match &mut self.manner {
            Manner::Live(live) => live.begin(track),
            Manner::Json => self.json_line(event)?,
            Manner::Plain if track.steps.len() > 1 => {
                let count = counted(track.steps.len(), "step");
                writeln!(self.out, "plan {} of a {} begun: {count}", track.begun.id, track.begun.plan.kind)?;
            }
            Manner::Plain => {}
        }
        Ok(self.out.flush()?)
    }

    /// Shows the change of a step.
    pub(super) fn changed(&mut self, track: &Track, step: usize, event: &PlanEvent) -> Result<(), Failure> {
        match &mut self.manner {
            Manner::Live(live) => live.change(track, step),
            Manner::Json => self.json_line(event)?,
            Manner::Plain => {
                if let (Some(what), Some(standing)) =
                    (track.begun.plan.steps.get(step), track.steps.get(step))
                {
                    for line in text::plain(what, standing) {
                        writeln!(self.out, "{line}")?;
                    }
                }
            }
        }
        Ok(self.out.flush()?)
    }

    /// Redraws the elapsed times.
    pub(super) fn tick(&mut self, track: &Track) {
        if let Manner::Live(live) = &mut self.manner {
            live.draw(track, Instant::now());
        }
    }

    /// Shows a message that is not an event of the plan.
    pub(super) fn note(&mut self, note: &str) -> Result<(), Failure> {
        match &mut self.manner {
            Manner::Live(live) => live.above(note),
            Manner::Plain => writeln!(self.out, "{note}")?,
            // A reader of JSON learns the rest from the exit code.
            Manner::Json => {}
        }
        Ok(self.out.flush()?)
    }

    /// Asks a question; nothing is drawn until [`Show::resume`].
    pub(super) fn ask(&mut self, question: &str) -> Result<(), Failure> {
        if let Manner::Live(live) = &mut self.manner {
            live.pause();
        }
        write!(self.out, "{question} ")?;
        Ok(self.out.flush()?)
    }

    /// Resumes drawing after a question. If it was not `answered`, its line is still open and is ended here.
    pub(super) fn resume(&mut self, answered: bool) -> Result<(), Failure> {
        if !answered {
            writeln!(self.out)?;
        }
        if let Manner::Live(live) = &mut self.manner {
            live.resume();
        }
        Ok(())
    }

    /// Shows the final state. `None`: the plan goes on but is no longer followed.
    pub(super) fn end(&mut self, track: &Track, end: Option<&PlanEnd>) -> Result<(), Failure> {
        if let Manner::Live(live) = &mut self.manner {
            write!(self.out, "{}", live.leave(track))?;
        }
        if let Some(end) = end {
            match self.manner {
                Manner::Json => self.json_line(&PlanEvent::Ended(end.clone()))?,
                Manner::Live(_) | Manner::Plain if track.steps.len() > 1 || !end.is_complete() => {
                    writeln!(self.out, "{end}")?;
                }
                Manner::Live(_) | Manner::Plain => {}
            }
        }
        Ok(self.out.flush()?)
    }

    fn json_line(&mut self, event: &PlanEvent) -> Result<(), Failure> {
        let json = serde_json::to_string(event)
            .map_err(|error| Failure::new(FAILED, format!("an event cannot be written as JSON: {error}")))?;
        Ok(writeln!(self.out, "{json}")?)
    }
}
