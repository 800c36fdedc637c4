//! Overview page.

use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use jiff::Timestamp;

use super::view;
use crate::api::Operations;
use crate::web::pages::overview::selection::Selection;
use crate::web::request_context::RequestContext;

/// Answers `GET /`.
pub(crate) async fn overview_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(selection): Query<Selection>,
) -> impl IntoResponse {
    let plans: Vec<_> = operations.plan_runs().iter().map(|plan_run| plan_run.snapshot()).collect();
    let markup =
        view::overview(&operations.overview(), &plans, &selection.tidied(), &context, Timestamp::now());
    ([(CACHE_CONTROL, "no-store")], markup)
}
