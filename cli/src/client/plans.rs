//! Calls about plans: preview, begin, watch, cancel, and what an action would do.

use std::cell::Cell;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use rta_shared::action::ActionKind;
use rta_shared::error_source::is_unconnected;
use rta_shared::plan::{ActionRequest, ExecutionOptions, Plan, PlanEvent};
use rta_shared::proto::{ProtocolError, v1};
use rta_shared::timing::RESPONSE_TIMEOUT;
use rta_shared::what_if::{WhatIfAssumption, WhatIfOverview};
use tonic::{Code, Response, Status, Streaming};

use super::AggregatorClient;
use crate::exit::CommandFailure;

/// Ending of the message for a lost answer: the command may or may not have started.
pub(crate) const START_UNKNOWN: &str = "whether it was begun is not known; run rta events to see it";

/// Events of a plan.
pub(crate) type PlanEventStream = Pin<Box<dyn Stream<Item = Result<PlanEvent, CommandFailure>> + Send>>;

impl AggregatorClient {
    /// Returns the plan for a request without executing it.
    pub(crate) async fn preview_plan(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
    ) -> Result<Plan, CommandFailure> {
        let mut calls = self.calls.clone();
        let request =
            v1::PlanRequest { kind: v1::ActionKind::from(kind).into(), selection: Some(request.into()) };
        let plan = self.await_response(RESPONSE_TIMEOUT, calls.plan(request)).await?.plan;
        let plan = plan.ok_or(ProtocolError::Missing("plan")).and_then(Plan::try_from);
        plan.map_err(|error| self.invalid_response(&error))
    }

    /// Returns the overview as it would be under an assumption.
    pub(crate) async fn what_if(
        &self,
        assumption: &WhatIfAssumption,
    ) -> Result<WhatIfOverview, CommandFailure> {
        let mut calls = self.calls.clone();
        let answer =
            self.await_response(RESPONSE_TIMEOUT, calls.what_if(v1::WhatIfRequest::from(assumption))).await?;
        WhatIfOverview::try_from(answer).map_err(|error| self.invalid_response(&error))
    }

    /// Starts a plan and returns its events until its end.
    pub(crate) async fn start_plan(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
        options: &ExecutionOptions,
        user: &str,
    ) -> Result<PlanEventStream, CommandFailure> {
        let mut calls = self.calls.clone();
        let request = v1::AggregatorServiceActRequest {
            kind: v1::ActionKind::from(kind).into(),
            selection: Some(request.into()),
            options: Some(v1::PlanOptions::new(options, user)),
        };
        Ok(self.plan_events(self.await_start(calls.act(request)).await?, |response| response.event))
    }

    /// Replays a plan's events from its beginning and follows them.
    pub(crate) async fn watch_plan(&self, plan_id: u64) -> Result<PlanEventStream, CommandFailure> {
        let mut calls = self.calls.clone();
        let call = calls.watch_plan(v1::WatchPlanRequest { plan_id });
        Ok(self.plan_events(self.await_response(RESPONSE_TIMEOUT, call).await?, |response| response.event))
    }

    /// Awaits the answer to a call that starts something. If the answer is lost after the request may have
    /// been sent, the error says that the outcome is unknown.
    async fn await_start<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CommandFailure> {
        let is_sent = Cell::new(true);
        let call = async { call.await.inspect_err(|status| is_sent.set(!is_unconnected(status))) };
        self.await_response(RESPONSE_TIMEOUT, call).await.map_err(|failure| match failure {
            CommandFailure::Unreachable(why) if is_sent.get() => {
                CommandFailure::Unreachable(format!("{why}; {START_UNKNOWN}"))
            }
            failure => failure,
        })
    }

    fn plan_events<T: 'static>(
        &self,
        stream: Streaming<T>,
        event: impl Fn(T) -> Option<v1::PlanEvent> + Send + 'static,
    ) -> PlanEventStream
    where
        Streaming<T>: Stream<Item = Result<T, Status>> + Send,
    {
        let client = self.clone();
        Box::pin(stream.map(move |response| {
            let response = response.map_err(|status| match status.code() {
                // The aggregator is shutting down or about to: the plan can be requested
                // again once it is back.
                Code::Unavailable => CommandFailure::Unreachable(client.failure_from(&status).message()),
                _ => client.failure_from(&status),
            })?;
            let event = event(response).ok_or(ProtocolError::Missing("event"));
            event.and_then(PlanEvent::try_from).map_err(|error| client.invalid_response(&error))
        }))
    }

    /// Cancels a plan's pending steps and returns their number.
    pub(crate) async fn cancel_plan(&self, plan_id: u64) -> Result<u32, CommandFailure> {
        let mut calls = self.calls.clone();
        let call = calls.cancel_plan(v1::CancelPlanRequest { plan_id });
        Ok(self.await_response(RESPONSE_TIMEOUT, call).await?.skipped)
    }
}
