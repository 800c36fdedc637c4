//! Handler of the page of a what-if.

use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};

use super::view;
use crate::api::Operations;
use crate::web::pages::plan::handler::refusal_page;
use crate::web::request_context::RequestContext;
use crate::web::what_if_query::WhatIfQuery;

/// Answers `GET /what-if`.
pub(crate) async fn what_if_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<WhatIfQuery>,
) -> Response {
    let answer = match query.assumption() {
        Ok(assumption) => operations.what_if(assumption).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => ([(CACHE_CONTROL, "no-store")], view::what_if(&context, &answer)).into_response(),
        Err(error) => refusal_page(&context, "That cannot be told", &error),
    }
}
