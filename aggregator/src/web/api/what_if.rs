//! What if: the overview as it would be.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;

use crate::api::Operations;
use crate::web::problem::ApiProblem;
use crate::web::what_if_query::WhatIfQuery;

/// Answers `GET /api/v1/what-if`.
pub(super) async fn what_if(
    State(operations): State<Operations>,
    Query(query): Query<WhatIfQuery>,
) -> Result<impl IntoResponse, ApiProblem> {
    let answer = operations.what_if(query.assumption()?).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)))
}
