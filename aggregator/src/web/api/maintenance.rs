//! Maintenance.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use rta_shared::maintenance::Maintenance;
use rta_shared::selector::Selector;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::body::ApiBody;
use crate::api::Operations;
use crate::api::history::{MaintenanceRequest, parse_length};
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
    let changed = operations.set_maintenance(body.into_request()?, context.requester()).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(ChangedMaintenance { changed })).into_response())
}
