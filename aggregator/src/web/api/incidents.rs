//! Incidents.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use rta_shared::incident::Incident;
use serde::Serialize;

use crate::api::Operations;
use crate::api::incidents::IncidentFilter;
use crate::web::pages::incidents::query::IncidentsQuery;
use crate::web::problem::ApiProblem;

#[derive(Serialize)]
struct IncidentList {
    incidents: Vec<Incident>,
    /// Value of `before` for the next page; `None` if there are no older incidents.
    next_before: Option<u64>,
}

/// Answers `GET /api/v1/incidents`, the newest first.
pub(super) async fn list(
    State(operations): State<Operations>,
    Query(query): Query<IncidentsQuery>,
) -> Result<Response, ApiProblem> {
    let filter = query.to_filter(Timestamp::now())?;
    let incidents = operations.list_incidents(&filter).await?;
    let next_before = match incidents.last() {
        Some(last) => {
            let older = IncidentFilter { before: Some(last.id), limit: 1, ..filter };
            let is_more = !operations.list_incidents(&older).await?.is_empty();
            is_more.then_some(last.id)
        }
        None => None,
    };
    Ok(uncached(Json(IncidentList { incidents, next_before })))
}

/// Answers `GET /api/v1/incidents/{id}`: the incident with its events, the oldest first.
pub(super) async fn incident(
    State(operations): State<Operations>,
    Path(id): Path<u64>,
) -> Result<Response, ApiProblem> {
    Ok(uncached(Json(operations.incident(id).await?)))
}

fn uncached(answer: impl axum::response::IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], answer).into_response()
}
