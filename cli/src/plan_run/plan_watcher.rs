//! Follows a plan in execution to its end, across Ctrl-C and across a connection that is lost and restored.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rta_shared::action::ActionKind;
use rta_shared::format::counted;
use rta_shared::plan::{PlanEnd, PlanEvent};

use super::confirm_prompt::{ConfirmPrompt, UserInput};
use super::connection_loss::ConnectionLoss;
use super::is_yes;
use super::plan_output::PlanOutput;
use crate::client::{AggregatorClient, PlanEventStream, START_UNKNOWN};
use crate::exit::{CommandFailure, CommandResult, FAILED, OK, UNAVAILABLE};
use crate::output::plan::format_seconds;
use crate::plan_progress::PlanProgress;

/// Interval between redraws.
const REDRAW_INTERVAL: Duration = Duration::from_millis(250);
/// Interval between attempts to reconnect to the aggregator.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(500);
/// Sentence for the steps that a cancelled restart still performs.
const RESTART_NOTE: &str = "what was stopped for the restart is started again";

/// State of following one plan, and its output.
pub(super) struct PlanWatcher<'f, P> {
    kind: ActionKind,
    client: &'f AggregatorClient,
    prompt: &'f mut P,
    output: PlanOutput<'f>,
    /// Time for which reconnecting is attempted.
    reconnect_timeout: Duration,
    progress: Option<PlanProgress>,
    /// True while the user is asked whether to cancel the plan.
    is_asking: bool,
    interrupts: usize,
    /// True if the plan is to be cancelled as soon as its number is known.
    cancel_requested: bool,
    loss: ConnectionLoss,
}

/// Next thing to handle.
enum NextInput {
    Event(Option<Result<PlanEvent, CommandFailure>>),
    User(std::io::Result<UserInput>),
    Tick,
}

impl<'f, P: ConfirmPrompt> PlanWatcher<'f, P> {
    pub(super) fn new(
        kind: ActionKind,
        client: &'f AggregatorClient,
        prompt: &'f mut P,
        output: PlanOutput<'f>,
        reconnect_timeout: Duration,
    ) -> Self {
        Self {
            kind,
            client,
            prompt,
            output,
            reconnect_timeout,
            progress: None,
            is_asking: false,
            interrupts: 0,
            cancel_requested: false,
            loss: ConnectionLoss::default(),
        }
    }

    /// Shows `events` until the plan's end. Returns exit code 0 if every step was done.
    pub(super) async fn run(mut self, mut events: PlanEventStream) -> CommandResult {
        let mut ticks = tokio::time::interval(REDRAW_INTERVAL);
        loop {
            let next = tokio::select! {
                event = events.next() => NextInput::Event(event),
                heard = self.prompt.next_input(self.is_asking) => NextInput::User(heard),
                _ = ticks.tick() => NextInput::Tick,
            };
            match next {
                NextInput::Tick => {
                    self.loss.clear_if_stable(Instant::now());
                    if let Some(progress) = &self.progress {
                        self.output.tick(progress);
                    }
                }
                NextInput::Event(Some(Ok(PlanEvent::Ended(end)))) => return self.finish(&end),
                NextInput::Event(Some(Ok(event))) => {
                    self.apply_event(event)?;
                    if self.cancel_requested && self.progress.is_some() {
                        self.cancel().await?;
                    }
                }
                NextInput::Event(Some(Err(failure))) => events = self.reconnect(Some(failure)).await?,
                NextInput::Event(None) => events = self.reconnect(None).await?,
                NextInput::User(heard) => match heard? {
                    UserInput::Interrupt => self.handle_interrupt().await?,
                    UserInput::Answer(answer) => self.handle_answer(answer).await?,
                },
            }
        }
    }

    fn apply_event(&mut self, event: PlanEvent) -> Result<(), CommandFailure> {
        match (&event, &mut self.progress) {
            (PlanEvent::Begun(begun), None) => {
                let progress = self.progress.insert(PlanProgress::new(begun.clone()));
                self.output.plan_started(progress, &event)?;
            }
            (PlanEvent::Step(change), Some(progress)) => {
                if progress.apply(change, Instant::now()) {
                    self.loss.clear();
                    self.output.step_changed(progress, change.step, &event)?;
                }
            }
            // After a reconnect the plan's events are replayed from the beginning; the
            // end is handled elsewhere.
            (PlanEvent::Begun(_) | PlanEvent::Ended(_), _) | (PlanEvent::Step(_), None) => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: &PlanEnd) -> CommandResult {
        self.stop_asking(false)?;
        if let Some(progress) = &self.progress {
            self.output.plan_ended(progress, Some(end))?;
        }
        Ok(if end.is_complete() { OK } else { FAILED })
    }

    /// Handles Ctrl-C: the first one asks, or cancels if nobody can answer; the second one detaches.
    async fn handle_interrupt(&mut self) -> Result<(), CommandFailure> {
        self.interrupts += 1;
        if self.interrupts > 1 {
            return Err(self.detach(FAILED)?);
        }
        if self.prompt.can_answer() {
            self.is_asking = true;
            let also = if self.is_restart() { format!(" ({RESTART_NOTE})") } else { String::new() };
            self.output.ask_question(&format!("Cancel what has not begun{also}? [y/N/d(etach)]"))?;
            self.prompt.discard_typed_input();
            return Ok(());
        }
        self.cancel().await
    }

    async fn handle_answer(&mut self, answer: String) -> Result<(), CommandFailure> {
        self.stop_asking(answer.ends_with('\n'))?;
        if is_yes(&answer) {
            return self.cancel().await;
        }
        match answer.trim().to_lowercase().as_str() {
            "d" | "detach" => Err(self.detach(FAILED)?),
            _ => Ok(()),
        }
    }

    /// Withdraws the question, so that the next Ctrl-C asks it again.
    fn stop_asking(&mut self, answered: bool) -> Result<(), CommandFailure> {
        if !std::mem::take(&mut self.is_asking) {
            return Ok(());
        }
        self.interrupts = 0;
        self.output.resume(answered)
    }

    async fn cancel(&mut self) -> Result<(), CommandFailure> {
        let id = self.progress.as_ref().map(|progress| progress.begun.id);
        self.cancel_requested = id.is_none();
        let Some(id) = id else { return Ok(()) };
        match self.client.cancel_plan(id).await {
            Ok(skipped) => {
                let also = if self.is_restart() { format!("; {RESTART_NOTE}") } else { String::new() };
                self.output.show_message(&format!(
                    "cancelled: {} will not begin; what is under way goes on to its end{also}",
                    counted(skipped as usize, "step")
                ))
            }
            Err(failure) => self.output.show_message(&format!("not cancelled: {}", failure.message())),
        }
    }

    fn is_restart(&self) -> bool {
        self.kind == ActionKind::Restart
    }

    /// Reconnects after the stream broke off before the plan's end, and returns the plan's
    /// events from the beginning.
    async fn reconnect(
        &mut self,
        failure: Option<CommandFailure>,
    ) -> Result<PlanEventStream, CommandFailure> {
        let Some(id) = self.progress.as_ref().map(|progress| progress.begun.id) else {
            return Err(match failure {
                Some(CommandFailure::Unreachable(why)) => {
                    CommandFailure::Unreachable(format!("{why}; {START_UNKNOWN}"))
                }
                Some(refused) => refused,
                None => CommandFailure::new(
                    UNAVAILABLE,
                    format!("the aggregator ended the call before it said what was begun; {START_UNKNOWN}"),
                ),
            });
        };
        self.stop_asking(false)?;
        let why = match failure {
            None => "the aggregator ended the call".to_owned(),
            Some(CommandFailure::Unreachable(why)) => why,
            // Events received before the failure are replayed after it.
            Some(failure) => return Err(self.outcome_unknown(id, &failure.message())?),
        };
        let (since, is_news) = self.loss.record_loss(Instant::now());
        if is_news {
            self.output.show_message(&format!(
                "the connection was lost in the middle of plan {id}: {why}; retrying for {}",
                format_seconds(self.reconnect_timeout)
            ))?;
        }
        loop {
            let attempt = async {
                tokio::time::sleep(RECONNECT_INTERVAL).await;
                self.client.watch_plan(id).await
            };
            let attempt = tokio::select! {
                attempt = attempt => attempt,
                _ = self.prompt.next_input(false) => return Err(self.detach(FAILED)?),
            };
            let is_within_timeout = since.elapsed() < self.reconnect_timeout;
            match attempt {
                Ok(events) if is_within_timeout => {
                    self.loss.record_reconnect(Instant::now());
                    return Ok(events);
                }
                Ok(_) => {
                    return Err(
                        self.outcome_unknown(id, &format!("the connection breaks off each time: {why}"))?
                    );
                }
                Err(CommandFailure::Unreachable(_)) if is_within_timeout => {}
                Err(failure) => return Err(self.outcome_unknown(id, &failure.message())?),
            }
        }
    }

    /// Ends following a plan that can no longer be reached, and returns the failure to report.
    fn outcome_unknown(&mut self, id: u64, why: &str) -> Result<CommandFailure, CommandFailure> {
        self.show_last_state()?;
        let message = format!("the result of plan {id} is not known: {why}; run rta events to see it");
        Ok(CommandFailure::new(UNAVAILABLE, message))
    }

    /// Detaches from the plan, and returns the failure to report.
    fn detach(&mut self, code: u8) -> Result<CommandFailure, CommandFailure> {
        self.stop_asking(false)?;
        self.show_last_state()?;
        let plan =
            self.progress.as_ref().map_or_else(String::new, |progress| format!(" {}", progress.begun.id));
        Ok(CommandFailure::new(code, format!("the plan{plan} goes on; rta events shows how it ends")))
    }

    fn show_last_state(&mut self) -> Result<(), CommandFailure> {
        match &self.progress {
            Some(progress) => self.output.plan_ended(progress, None),
            None => Ok(()),
        }
    }
}
