//! Answers to requests without a route.

use axum::http::{Method, StatusCode, Uri};
use maud::Markup;

use super::page;
use crate::web::request_context::RequestContext;

/// Answers a path without a route.
pub(super) async fn not_found(context: RequestContext, uri: Uri) -> (StatusCode, Markup) {
    let text = format!("There is nothing at {}.", uri.path());
    (StatusCode::NOT_FOUND, page::message(&context, "Not found", &text))
}

/// Answers a method that a route does not support.
pub(super) async fn wrong_method(context: RequestContext, method: Method, uri: Uri) -> (StatusCode, Markup) {
    let text = format!("{} does not take {method}.", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, page::message(&context, "Not like this", &text))
}
