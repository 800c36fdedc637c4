//! Plans: preview, begin, list, watch, cancel.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use axum::{Extension, Json};
use futures::StreamExt as _;
use rta_shared::action::ActionKind;
use rta_shared::plan::PlanEvent;
use serde::Serialize;

use super::body::ApiBody;
use super::event_stream::{StreamLimit, json_event, last_event_id, respond};
use super::plan_json::{PlanBody, PlanPreview, PlanState};
use crate::api::Operations;
use crate::api::plans::BeginPlanError;
use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;

/// Answers `POST /api/v1/plans/preview`: the plan that a request would begin.
pub(super) async fn preview(
    State(operations): State<Operations>,
    ApiBody(body): ApiBody<PlanBody>,
) -> Result<Response, ApiProblem> {
    let (kind, request, _) = body.parts(None)?;
    let plan = operations.plan(kind, &request).await?;
    Ok(uncached(Json(PlanPreview::from(&plan))))
}

/// Answers `POST /api/v1/plans`.
pub(super) async fn begin(
    State(operations): State<Operations>,
    context: RequestContext,
    ApiBody(body): ApiBody<PlanBody>,
) -> Result<Response, ApiProblem> {
    begin_plan(&operations, &context, body, None).await
}

/// Returns the handler of `POST /api/v1/start`, `stop` or `restart`.
pub(super) fn action_handler(kind: ActionKind) -> MethodRouter<Operations> {
    post(async move |state: State<Operations>, context: RequestContext, body: ApiBody<PlanBody>| {
        begin_plan(&state.0, &context, body.0, Some(kind)).await
    })
}

async fn begin_plan(
    operations: &Operations,
    context: &RequestContext,
    body: PlanBody,
    kind: Option<ActionKind>,
) -> Result<Response, ApiProblem> {
    let (kind, request, options) = body.parts(kind)?;
    match operations.begin_plan(kind, &request, options, context.acting()).await {
        Ok(plan_run) => {
            let address = format!("/api/v1/plans/{}", plan_run.begun().id);
            let state = Json(PlanState::from(plan_run.snapshot()));
            Ok((StatusCode::CREATED, [(LOCATION, address)], uncached(state)).into_response())
        }
        Err(BeginPlanError::Unconfirmed { plan, sentence }) => {
            let problem = ApiProblem::new(StatusCode::CONFLICT, sentence);
            Err(problem.with_members(&PlanPreview::from(&plan)))
        }
        Err(BeginPlanError::Refused(error)) => Err(error.into()),
    }
}

#[derive(Serialize)]
struct PlanList {
    plans: Vec<PlanState>,
}

/// Answers `GET /api/v1/plans`: those under way and those that ended recently, the newest first.
pub(super) async fn list(State(operations): State<Operations>) -> Response {
    let plans = operations.plan_runs();
    uncached(Json(PlanList { plans: plans.iter().map(|plan| plan.snapshot().into()).collect() }))
}

/// Answers `GET /api/v1/plans/{id}`.
pub(super) async fn state(
    State(operations): State<Operations>,
    Path(id): Path<u64>,
) -> Result<Response, ApiProblem> {
    Ok(uncached(Json(PlanState::from(operations.find_plan(id).await?.snapshot()))))
}

/// Answers `GET /api/v1/plans/{id}/stream`: all events of the plan from its beginning to its end. A client that
/// comes back with `Last-Event-ID` receives those after that one.
pub(super) async fn stream(
    State(operations): State<Operations>,
    Extension(limit): Extension<StreamLimit>,
    context: RequestContext,
    headers: HeaderMap,
    Path(id): Path<u64>,
) -> Result<Response, ApiProblem> {
    let permit = limit.acquire(&context)?;
    let plan_run = operations.find_plan(id).await?;
    let received = last_event_id(&headers).and_then(|last| usize::try_from(last).ok()).unwrap_or_default();
    let numbered = Arc::clone(&plan_run).stream_events().zip(futures::stream::iter(1_u64..));
    let events = numbered.skip(received).map(|(event, number)| {
        let number = Some(number);
        match &event {
            PlanEvent::Begun(begun) => json_event("begun", number, begun),
            PlanEvent::Step(change) => json_event("step", number, change),
            PlanEvent::Ended(end) => json_event("ended", number, end),
        }
    });
    Ok(respond(events, permit, operations.shutdown_token()))
}

#[derive(Serialize)]
struct Cancelled {
    /// Number of steps that are skipped.
    skipped: usize,
}

/// Answers `POST /api/v1/plans/{id}/cancel`.
pub(super) async fn cancel(
    State(operations): State<Operations>,
    context: RequestContext,
    Path(id): Path<u64>,
) -> Result<Response, ApiProblem> {
    let skipped = operations.cancel_plan(id, context.acting()).await?;
    Ok(uncached(Json(Cancelled { skipped })))
}

fn uncached(answer: impl axum::response::IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], answer).into_response()
}
