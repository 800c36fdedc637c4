//! JSON of a request.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use crate::web::middleware::host_origin::MAX_BODY_BYTES;
use crate::web::problem::ApiProblem;

/// JSON of a request. What cannot be read is refused as a problem, with the place of the mistake.
pub(super) struct ApiBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiBody<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiProblem> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head.clone(), body);
        let bytes = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let message = format!("the body is longer than {} KiB", MAX_BODY_BYTES / 1024);
                ApiProblem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
            }
            status => ApiProblem::new(status, "the body did not arrive as a whole"),
        })?;
        if bytes.trim_ascii_start().starts_with(b"[") {
            // It would be taken as the members in their order.
            let message = "the body is a JSON array, and has to be an object";
            return Err(ApiProblem::new(StatusCode::BAD_REQUEST, message));
        }
        match Json::from_request(Request::from_parts(head, Body::from(bytes)), state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(describe(&error)),
        }
    }
}

fn describe(error: &JsonRejection) -> ApiProblem {
    // A wrong key or type is a wrong request like any other.
    let status = match error.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    ApiProblem::new(status, error.body_text())
}
