//! A plan that is carried out, followed to its end: through Ctrl-C, and through an aggregator that is lost and
//! comes back.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rta_shared::plan::{PlanEnd, PlanEvent};
use rta_shared::text::counted;

use super::is_yes;
use super::person::{Heard, Person};
use super::show::Show;
use super::track::Track;
use crate::client::{Client, PlanEvents};
use crate::exit::{CANNOT_TELL, FAILED, Failure, OK, Outcome};
use crate::render::plan::seconds;

/// How often what is shown is drawn anew.
const TICK: Duration = Duration::from_millis(250);
/// Between two attempts to reach an aggregator that was lost.
const ATTEMPT: Duration = Duration::from_millis(500);
const QUESTION: &str = "Cancel what has not begun? [y/N/d(etach)]";

/// Who follows what, and how that is shown.
pub(super) struct Follow<'f, P> {
    client: &'f Client,
    person: &'f mut P,
    show: Show<'f>,
    /// How long a lost connection is tried anew.
    patience: Duration,
    track: Option<Track>,
    /// Somebody is asked what is to become of the plan.
    asking: bool,
    interrupts: usize,
    /// It is to be cancelled as soon as its number is known.
    cancels: bool,
    /// Since when nothing new was heard.
    lost: Option<Instant>,
}

/// What came next.
enum Next {
    Event(Option<Result<PlanEvent, Failure>>),
    Heard(std::io::Result<Heard>),
    Tick,
}

impl<'f, P: Person> Follow<'f, P> {
    pub(super) fn new(client: &'f Client, person: &'f mut P, show: Show<'f>, patience: Duration) -> Self {
        Self {
            client,
            person,
            show,
            patience,
            track: None,
            asking: false,
            interrupts: 0,
            cancels: false,
            lost: None,
        }
    }

    /// Shows `events` until the plan's end; 0 where all of it was done.
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
                    self.lost = None;
                    self.show.changed(track, change.step, &event)?;
                }
            }
            // A plan that is watched anew is told from its beginning; its end is not for here.
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

    /// The first Ctrl-C asks, or cancels where nobody can be asked; the second leaves.
    async fn interrupted(&mut self) -> Result<(), Failure> {
        self.interrupts += 1;
        if self.interrupts > 1 {
            return Err(self.leave(FAILED)?);
        }
        if self.person.can_answer() {
            self.asking = true;
            self.show.ask(QUESTION)?;
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
            Ok(skipped) => self.show.note(&format!(
                "cancelled: {} will not begin; what is under way goes on to its end",
                counted(skipped as usize, "step")
            )),
            Err(failure) => self.show.note(&format!("not cancelled: {}", failure.message())),
        }
    }

    /// The stream broke off before the plan's end: the plan from its beginning, as soon as it can be had.
    async fn again(&mut self, failure: Option<Failure>) -> Result<PlanEvents, Failure> {
        let Some(id) = self.track.as_ref().map(|track| track.begun.id) else {
            // Refused, or lost before it is known what was begun.
            let unknown = "the aggregator ended the call before it said what was begun";
            return Err(failure.unwrap_or_else(|| Failure::new(CANNOT_TELL, unknown)));
        };
        self.stop_asking(false)?;
        if self.lost.is_none() {
            let why = failure.map(|failure| format!(": {}", failure.message())).unwrap_or_default();
            self.show.note(&format!(
                "the connection was lost in the middle of plan {id}{why}; trying anew for {}",
                seconds(self.patience)
            ))?;
        }
        let since = *self.lost.get_or_insert_with(Instant::now);
        loop {
            let attempt = async {
                tokio::time::sleep(ATTEMPT).await;
                self.client.watch_plan(id).await
            };
            let attempt = tokio::select! {
                attempt = attempt => attempt,
                _ = self.person.heard(false) => return Err(self.leave(FAILED)?),
            };
            match attempt {
                Ok(events) => return Ok(events),
                Err(Failure::Unreachable(_)) if since.elapsed() < self.patience => {}
                Err(failure) => {
                    let message = format!("it is not known how plan {id} ends: {}", failure.message());
                    self.close()?;
                    return Err(Failure::new(CANNOT_TELL, message));
                }
            }
        }
    }

    /// No longer watches; the sentence for that.
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
