//! Maintenance, active and planned.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use rta_shared::maintenance::Maintenance;
use rta_shared::planned_maintenance::UpcomingMaintenance;
use rta_shared::selector::Selector;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::body::ApiBody;
use crate::api::Operations;
use crate::api::history::{MaintenanceRequest, parse_length};
use crate::api::planned_maintenance::PlanMaintenanceRequest;
use crate::operation_error::OperationError;
use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;

#[derive(Serialize)]
struct MaintenanceList {
    maintenance: Vec<Maintenance>,
}

/// Answers `GET /api/v1/maintenance`: the active windows.
pub(super) async fn list(State(operations): State<Operations>) -> Response {
    let maintenance = operations.maintenance.borrow().all().to_vec();
    ([(CACHE_CONTROL, "no-store")], Json(MaintenanceList { maintenance })).into_response()
}

/// Request to begin or end maintenance.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MaintenanceBody {
    on: bool,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    component: String,
    /// True for all instances or hosts that match.
    #[serde(default)]
    all: bool,
    /// Duration, such as `2h`; `None`: until it is ended.
    length: Option<String>,
    #[serde(default)]
    reason: String,
}

impl MaintenanceBody {
    fn into_request(self) -> Result<MaintenanceRequest, OperationError> {
        let Self { on, environment, host, component, all, length, reason } = self;
        let length = length.as_deref().map(parse_length).transpose();
        let length = length.map_err(|message| OperationError::new(Code::InvalidArgument, message))?;
        // A parsed length is not negative.
        let length = length.map(|length| length.unsigned_abs());
        Ok(MaintenanceRequest {
            selector: Selector { environment, host, component },
            all,
            on,
            length,
            reason,
        })
    }
}

#[derive(Serialize)]
struct ChangedMaintenance {
    changed: Vec<Maintenance>,
}

/// Answers `POST /api/v1/maintenance`.
pub(super) async fn set(
    State(operations): State<Operations>,
    context: RequestContext,
    ApiBody(body): ApiBody<MaintenanceBody>,
) -> Result<Response, ApiProblem> {
    let changed = operations.set_maintenance(body.into_request()?, context.acting()).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(ChangedMaintenance { changed })).into_response())
}

#[derive(Serialize)]
struct PlannedMaintenanceList {
    planned: Vec<UpcomingMaintenance>,
}

/// Answers `GET /api/v1/maintenance/planned`.
pub(super) async fn list_planned(State(operations): State<Operations>) -> Response {
    let planned = operations.planned_maintenance();
    ([(CACHE_CONTROL, "no-store")], Json(PlannedMaintenanceList { planned })).into_response()
}

/// Request to plan maintenance.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanMaintenanceBody {
    #[serde(default)]
    environment: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    component: String,
    /// True for all instances or hosts that match.
    #[serde(default)]
    all: bool,
    /// Time of a single begin.
    at: Option<String>,
    /// Rule of a repeated begin.
    every: Option<String>,
    /// Duration of each window, such as `2h`.
    length: String,
    /// Time zone; empty: the aggregator's.
    #[serde(default)]
    time_zone: String,
    #[serde(default)]
    reason: String,
}

impl PlanMaintenanceBody {
    fn into_request(self) -> Result<PlanMaintenanceRequest, OperationError> {
        let Self { environment, host, component, all, at, every, length, time_zone, reason } = self;
        let length =
            parse_length(&length).map_err(|message| OperationError::new(Code::InvalidArgument, message))?;
        Ok(PlanMaintenanceRequest {
            selector: Selector { environment, host, component },
            all,
            at,
            every,
            // A parsed length is not negative.
            length: Some(length.unsigned_abs()),
            time_zone,
            reason,
        })
    }
}

/// Answers `POST /api/v1/maintenance/planned`.
pub(super) async fn plan(
    State(operations): State<Operations>,
    context: RequestContext,
    ApiBody(body): ApiBody<PlanMaintenanceBody>,
) -> Result<Response, ApiProblem> {
    let planned = operations.plan_maintenance(body.into_request()?, context.acting()).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(planned)).into_response())
}

/// Answers `POST /api/v1/maintenance/planned/{id}/cancel`.
pub(super) async fn cancel_planned(
    State(operations): State<Operations>,
    context: RequestContext,
    Path(id): Path<u64>,
) -> Result<Response, ApiProblem> {
    let cancelled = operations.cancel_planned_maintenance(id, context.acting()).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(cancelled)).into_response())
}
