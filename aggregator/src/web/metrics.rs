//! Metrics over HTTP.

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rta_shared::metrics::ExpositionFormat;

use crate::api::Operations;

/// Returns the route of the metrics.
pub(super) fn routes() -> Router<Operations> {
    Router::new().route("/metrics", get(metrics))
}

/// Answers `GET /metrics`.
async fn metrics(State(operations): State<Operations>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = ExpositionFormat::from_accept(&accept.collect::<Vec<_>>().join(","));
    let figures = operations.figures();
    // For a large platform this takes a while.
    let written = tokio::task::spawn_blocking(move || figures.encode(format)).await;
    match written {
        Ok(Ok(text)) => {
            let headers =
                [(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store"), (VARY, "Accept")];
            (headers, text).into_response()
        }
        failed => {
            let why = match failed {
                Err(error) => error.to_string(),
                _ => "a value cannot be written".to_owned(),
            };
            tracing::error!(why, "metrics failed");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("The metrics failed: {why}.\n")).into_response()
        }
    }
}
