//! Follows a plan in execution to its end, across Ctrl-C and across a connection that is lost and restored.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rta_shared::action::ActionKind;
use rta_shared::format::counted;
use rta_shared::plan::{PlanEnd, PlanEvent};

use super::is_yes;
use super::loss::Loss;
use super::person::{Heard, Person};
use super::show::Show;
use crate::client::{Client, PlanEvents, UNKNOWN_WHETHER_BEGUN};
use crate::exit::{CANNOT_TELL, FAILED, Failure, OK, Outcome};
use crate::plan_progress::Track;
use crate::render::plan::seconds;

/// Interval between redraws.
const TICK: Duration = Duration::from_millis(250);
/// Interval between attempts to reconnect to the aggregator.
const ATTEMPT: Duration = Duration::from_millis(500);
/// Sentence for the steps that a cancelled restart still performs.
const BROUGHT_BACK: &str = "what was stopped for the restart is started again";

/// State of following one plan, and its output.
pub(super) struct Follow<'f, P> {
    kind: ActionKind,
    client: &'f Client,
    person: &'f mut P,
    show: Show<'f>,
    /// Time for which reconnecting is attempted.
    patience: Duration,
    track: Option<Track>,
    /// True while the user is asked whether to cancel the plan.
    asking: bool,
    interrupts: usize,
    /// True if the plan is to be cancelled as soon as its number is known.
    cancels: bool,
    loss: Loss,
}

/// Next thing to handle.
enum Next {
    Event(Option<Result<PlanEvent, Failure>>),
    Heard(std::io::Result<Heard>),
    Tick,
}

impl<'f, P: Person> Follow<'f, P> {
    pub(super) fn new(
        kind: ActionKind,
        client: &'f Client,
        person: &'f mut P,
        show: Show<'f>,
        patience: Duration,
    ) -> Self {
        Self {
            kind,
            client,
            person,
            show,
            patience,
            track: None,
            asking: false,
            interrupts: 0,
            cancels: false,
            loss: Loss::default(),
        }
    }

    /// Shows `events` until the plan's end. Returns exit code 0 if every step was done.
    pub(super) async fn until_its_end(mut self, mut events: PlanEvents) -> Outcome {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let next = tokio::select! {
                event = events.next() => Next::Event(event),
                heard = self.person.heard(self.asking) => Next::Heard(heard),
                _ = ticks.tick() => Next::Tick,
            };
            match next {
                Next::Tick => {
                    self.loss.settle(Instant::now());
                    if let Some(track) = &self.track {
                        self.show.tick(track);
                    }
                }
                Next::Event(Some(Ok(PlanEvent::Ended(end)))) => return self.ended(&end),
                Next::Event(Some(Ok(event))) => {
                    self.take(event)?;
                    if self.cancels && self.track.is_some() {
                        self.cancel().await?;
                    }
                }
                Next::Event(Some(Err(failure))) => events = self.again(Some(failure)).await?,
                Next::Event(None) => events = self.again(None).await?,
                Next::Heard(heard) => match heard? {
                    Heard::Interrupt => self.interrupted().await?,
                    Heard::Answer(answer) => self.answered(answer).await?,
                },
            }
        }
    }

    fn take(&mut self, event: PlanEvent) -> Result<(), Failure> {
        match (&event, &mut self.track) {
            (PlanEvent::Begun(begun), None) => {
                let track = self.track.insert(Track::new(begun.clone()));
                self.show.begun(track, &event)?;
            }
            (PlanEvent::Step(change), Some(track)) => {
                if track.take(change, Instant::now()) {
                    self.loss.end();
                    self.show.changed(track, change.step, &event)?;
                }
            }
            // After a reconnect the plan's events are replayed from the beginning; the
            // end is handled elsewhere.
            (PlanEvent::Begun(_) | PlanEvent::Ended(_), _) | (PlanEvent::Step(_), None) => {}
        }
        Ok(())
    }

    fn ended(&mut self, end: &PlanEnd) -> Outcome {
        self.stop_asking(false)?;
        if let Some(track) = &self.track {
            self.show.end(track, Some(end))?;
        }
        Ok(if end.is_complete() { OK } else { FAILED })
    }

    /// Handles Ctrl-C: the first one asks, or cancels if nobody can answer; the second one detaches.
    async fn interrupted(&mut self) -> Result<(), Failure> {
        self.interrupts += 1;
        if self.interrupts > 1 {
            return Err(self.leave(FAILED)?);
        }
        if self.person.can_answer() {
            self.asking = true;
            let also = if self.is_restart() { format!(" ({BROUGHT_BACK})") } else { String::new() };
            self.show.ask(&format!("Cancel what has not begun{also}? [y/N/d(etach)]"))?;
            self.person.asked();
            return Ok(());
        }
        self.cancel().await
    }

    async fn answered(&mut self, answer: String) -> Result<(), Failure> {
        self.stop_asking(answer.ends_with('\n'))?;
        self.interrupts = 0;
        if is_yes(&answer) {
            return self.cancel().await;
        }
        match answer.trim().to_lowercase().as_str() {
            "d" | "detach" => Err(self.leave(FAILED)?),
            _ => Ok(()),
        }
    }

    fn stop_asking(&mut self, answered: bool) -> Result<(), Failure> {
        match std::mem::take(&mut self.asking) {
            true => self.show.resume(answered),
            false => Ok(()),
        }
    }

    async fn cancel(&mut self) -> Result<(), Failure> {
        let id = self.track.as_ref().map(|track| track.begun.id);
        self.cancels = id.is_none();
        let Some(id) = id else { return Ok(()) };
        match self.client.cancel_plan(id).await {
            Ok(skipped) => {
                let also = if self.is_restart() { format!("; {BROUGHT_BACK}") } else { String::new() };
                self.show.note(&format!(
                    "cancelled: {} will not begin; what is under way goes on to its end{also}",
                    counted(skipped as usize, "step")
                ))
            }
            Err(failure) => self.show.note(&format!("not cancelled: {}", failure.message())),
        }
    }

    fn is_restart(&self) -> bool {
        self.kind == ActionKind::Restart
    }

    /// Reconnects after the stream broke off before the plan's end, and returns the plan's
    /// events from the beginning.
    async fn again(&mut self, failure: Option<Failure>) -> Result<PlanEvents, Failure> {
        let Some(id) = self.track.as_ref().map(|track| track.begun.id) else {
            return Err(match failure {
                Some(Failure::Unreachable(why)) => {
                    Failure::Unreachable(format!("{why}; {UNKNOWN_WHETHER_BEGUN}"))
                }
                Some(refused) => refused,
                None => Failure::new(
                    CANNOT_TELL,
                    format!(
                        "the aggregator ended the call before it said what was begun; {UNKNOWN_WHETHER_BEGUN}"
                    ),
                ),
            });
        };
        self.stop_asking(false)?;
        let why = match failure {
            None => "the aggregator ended the call".to_owned(),
            Some(Failure::Unreachable(why)) => why,
            // Events received before the failure are replayed after it.
            Some(failure) => return Err(self.unknown(id, &failure.message())?),
        };
        let (since, is_news) = self.loss.begin(Instant::now());
        if is_news {
            self.show.note(&format!(
                "the connection was lost in the middle of plan {id}: {why}; trying anew for {}",
                seconds(self.patience)
            ))?;
        }
        loop {
            let attempt = async {
                tokio::time::sleep(ATTEMPT).await;
                self.client.watch_plan(id).await
            };
            let attempt = tokio::select! {
                attempt = attempt => attempt,
                _ = self.person.heard(false) => return Err(self.leave(FAILED)?),
            };
            let is_patient = since.elapsed() < self.patience;
            match attempt {
                Ok(events) if is_patient => {
                    self.loss.renew(Instant::now());
                    return Ok(events);
                }
                Ok(_) => {
                    return Err(self.unknown(id, &format!("the connection breaks off each time: {why}"))?);
                }
                Err(Failure::Unreachable(_)) if is_patient => {}
                Err(failure) => return Err(self.unknown(id, &failure.message())?),
            }
        }
    }

    /// Ends following a plan that can no longer be reached, and returns the failure to report.
    fn unknown(&mut self, id: u64, why: &str) -> Result<Failure, Failure> {
        self.close()?;
        let message = format!("it is not known how plan {id} ends: {why}; rta events tells");
        Ok(Failure::new(CANNOT_TELL, message))
    }

    /// Detaches from the plan, and returns the failure to report.
    fn leave(&mut self, code: u8) -> Result<Failure, Failure> {
        self.stop_asking(false)?;
        self.close()?;
        let plan = self.track.as_ref().map_or_else(String::new, |track| format!(" {}", track.begun.id));
        Ok(Failure::new(code, format!("the plan{plan} goes on; rta events shows how it ends")))
    }

    fn close(&mut self) -> Result<(), Failure> {
        match &self.track {
            Some(track) => self.show.end(track, None),
            None => Ok(()),
        }
    }
}
