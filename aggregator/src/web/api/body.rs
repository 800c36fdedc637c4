//! JSON of a request.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use crate::web::problem::ApiProblem;

/// JSON of a request. What cannot be read is refused as a problem, with the place of the mistake.
pub(super) struct ApiBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiBody<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiProblem> {
        match Json::from_request(request, state).await {
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
