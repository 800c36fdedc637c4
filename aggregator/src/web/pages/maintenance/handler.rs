//! Handlers of the page of maintenance and of its forms.

use std::time::Duration;

use axum::extract::{Form, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Redirect, Response};
use rta_shared::selector::Selector;
use serde::Deserialize;
use tonic::Code;

use super::view;
use crate::api::Operations;
use crate::api::history::{MaintenanceRequest, parse_length};
use crate::api::planned_maintenance::{PlanMaintenanceRequest, own_time_zone};
use crate::operation_error::OperationError;
use crate::web::pages::plan::handler::{REFUSAL_TITLE, refusal_page};
use crate::web::request_context::RequestContext;

/// Address of the page.
const PAGE: &str = "/maintenance";

/// Fields that name hosts or instances; an empty one: any.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PlaceFields {
    environment: String,
    host: String,
    component: String,
    /// Present for everything that matches.
    all: Option<String>,
}

impl PlaceFields {
    fn selector(&self) -> Selector {
        let name = |text: &str| text.trim().to_owned();
        Selector {
            environment: name(&self.environment),
            host: name(&self.host),
            component: name(&self.component),
        }
    }
}

/// Form of maintenance that begins now, or by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MaintenanceForm {
    #[serde(flatten)]
    place: PlaceFields,
    /// Time of a single begin.
    at: String,
    /// Rule of a repeated begin.
    every: String,
    length: String,
    time_zone: String,
    reason: String,
}

/// Form that names planned maintenance.
#[derive(Debug, Deserialize)]
pub(crate) struct PlannedForm {
    id: u64,
}

/// Answers `GET /maintenance`.
pub(crate) async fn maintenance_page(
    State(operations): State<Operations>,
    context: RequestContext,
) -> Response {
    let active = operations.maintenance.borrow().all().to_vec();
    let planned = operations.planned_maintenance();
    let markup = view::maintenance(&context, &active, &planned, &operations.overview(), &own_time_zone());
    ([(CACHE_CONTROL, "no-store")], markup).into_response()
}

/// Answers `POST /maintenance/begin`.
pub(crate) async fn begin(
    State(operations): State<Operations>,
    context: RequestContext,
    Form(form): Form<MaintenanceForm>,
) -> Response {
    let by = context.acting();
    let request = length_of(&form.length).map(|length| MaintenanceRequest {
        selector: form.place.selector(),
        all: form.place.all.is_some(),
        on: true,
        length,
        reason: form.reason,
    });
    let done = match request {
        Ok(request) => operations.set_maintenance(request, by).await.map(drop),
        Err(error) => Err(error),
    };
    answer(&context, done)
}

/// Answers `POST /maintenance/end`.
pub(crate) async fn end(
    State(operations): State<Operations>,
    context: RequestContext,
    Form(place): Form<PlaceFields>,
) -> Response {
    let request = MaintenanceRequest {
        selector: place.selector(),
        all: false,
        on: false,
        length: None,
        reason: String::new(),
    };
    answer(&context, operations.set_maintenance(request, context.acting()).await.map(drop))
}

/// Answers `POST /maintenance/plan`.
pub(crate) async fn plan(
    State(operations): State<Operations>,
    context: RequestContext,
    Form(form): Form<MaintenanceForm>,
) -> Response {
    let given = |text: String| (!text.trim().is_empty()).then_some(text);
    let request = length_of(&form.length).map(|length| PlanMaintenanceRequest {
        selector: form.place.selector(),
        all: form.place.all.is_some(),
        at: given(form.at),
        every: given(form.every),
        length,
        time_zone: form.time_zone,
        reason: form.reason,
    });
    let done = match request {
        Ok(request) => operations.plan_maintenance(request, context.acting()).await.map(drop),
        Err(error) => Err(error),
    };
    answer(&context, done)
}

/// Answers `POST /maintenance/cancel`.
pub(crate) async fn cancel(
    State(operations): State<Operations>,
    context: RequestContext,
    Form(form): Form<PlannedForm>,
) -> Response {
    let done = operations.cancel_planned_maintenance(form.id, context.acting()).await.map(drop);
    answer(&context, done)
}

/// Parses a duration; an empty text is none.
fn length_of(text: &str) -> Result<Option<Duration>, OperationError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    // A parsed length is not negative.
    let length = parse_length(text).map(|length| Some(length.unsigned_abs()));
    length.map_err(|message| OperationError::new(Code::InvalidArgument, message))
}

/// Redirects to the page, or says why nothing was done.
fn answer(context: &RequestContext, done: Result<(), OperationError>) -> Response {
    match done {
        Ok(()) => Redirect::to(PAGE).into_response(),
        Err(error) => refusal_page(context, REFUSAL_TITLE, &error),
    }
}
