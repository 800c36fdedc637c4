//! Answers to requests without a route.

use axum::http::{Method, StatusCode, Uri};
use maud::Markup;

use super::page;
use super::viewer::Viewer;

/// Answers a path without a route.
pub(super) async fn not_found(viewer: Viewer, uri: Uri) -> (StatusCode, Markup) {
    let text = format!("There is nothing at {}.", uri.path());
    (StatusCode::NOT_FOUND, page::message(&viewer, "Not found", &text))
}

/// Answers a method that a route does not support.
pub(super) async fn wrong_method(viewer: Viewer, method: Method, uri: Uri) -> (StatusCode, Markup) {
    let text = format!("{} does not take {method}.", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, page::message(&viewer, "Not like this", &text))
}
