//! Incidents as a page.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::query::IncidentsQuery;
use super::view;
use crate::api::Operations;
use crate::web::pages::events::handler::error_status;
use crate::web::request_context::RequestContext;

/// Answers `GET /incidents`.
pub(crate) async fn incidents_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<IncidentsQuery>,
) -> Response {
    let incidents = query.load(&operations).await;
    let overview = operations.overview();
    let parts = view::parts(&incidents, &query, &overview, Timestamp::now());
    let live = incidents.is_ok().then(|| view::address("/live/incidents", &query));
    let markup = view::incidents(&context, &parts, &query, live, &overview);
    let status = incidents.as_ref().map_or_else(error_status, |_| StatusCode::OK);
    (status, [(CACHE_CONTROL, "no-store")], markup).into_response()
}
