//! Errors of the API as problem details in JSON (RFC 9457).

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rta_shared::sanitize::quoted_input;
use serde::Serialize;
use serde_json::{Map, Value};
use tonic::Code;

use crate::operation_error::OperationError;

/// Media type of problem details.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// Maximum length of an error's text, in bytes; longer ones are left out.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Error of an API request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiProblem {
    status: StatusCode,
    detail: String,
    /// Seconds after which the client may try again.
    retry_after: Option<u64>,
    /// Further members.
    members: Map<String, Value>,
}

/// Members of RFC 9457, section 3.1.
#[derive(Serialize)]
struct ProblemMembers<'p> {
    /// Always `about:blank`: the status is the kind of the problem.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'p str,
    #[serde(flatten)]
    members: &'p Map<String, Value>,
}

impl ApiProblem {
    /// Creates a problem with this status, and a sentence that explains it.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after: None, members: Map::new() }
    }

    /// Creates the problem of a client that asks too often.
    pub(super) fn too_many(detail: impl Into<String>, retry_seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_seconds)
    }

    /// Sets the seconds after which the client may try again.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Adds the members of an object (RFC 9457, section 3.2).
    pub(super) fn with_members(self, object: &impl Serialize) -> Self {
        match serde_json::to_value(object) {
            Ok(Value::Object(members)) => Self { members, ..self },
            // Serialization of the types in use cannot fail.
            _ => self,
        }
    }
}

/// Seconds after which a request may succeed that a part of rta could not answer at the moment.
const RETRY_SECONDS: u64 = 5;

impl From<OperationError> for ApiProblem {
    fn from(error: OperationError) -> Self {
        let OperationError { code, message } = error;
        match code {
            Code::NotFound => Self::new(StatusCode::NOT_FOUND, message),
            Code::InvalidArgument => Self::new(StatusCode::BAD_REQUEST, message),
            Code::FailedPrecondition => Self::new(StatusCode::CONFLICT, message),
            Code::PermissionDenied => Self::new(StatusCode::FORBIDDEN, message),
            Code::ResourceExhausted => Self::too_many(message, RETRY_SECONDS),
            Code::Unimplemented => Self::new(StatusCode::NOT_IMPLEMENTED, message),
            Code::Internal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, message),
            // It may have been done: the leader did not answer.
            Code::Unknown => Self::new(StatusCode::GATEWAY_TIMEOUT, message),
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(RETRY_SECONDS),
        }
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let Self { status, detail, retry_after, members } = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let status_code = status.as_u16();
        let members = ProblemMembers {
            r#type: "about:blank",
            title,
            status: status_code,
            detail: &detail,
            members: &members,
        };
        // Serialization of strings and a number cannot fail.
        let body = serde_json::to_vec(&members).unwrap_or_default();
        let headers = [(CONTENT_TYPE, MEDIA_TYPE), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        let mut response = (status, headers, body).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Converts every error answer below `/api` to problem details, no matter which layer created it.
pub(super) async fn convert_errors(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let is_api = path == "/api" || path.starts_with("/api/");
    if !is_api || !is_error || response.headers().get(CONTENT_TYPE) == Some(&MEDIA_TYPE) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let text = match is_plain_text(&head.headers) {
        true => read_text(body).await,
        false => None,
    };
    let text = text.map(|text| wrong_path(&text).unwrap_or(text));
    let detail = text.unwrap_or_else(|| match head.status {
        StatusCode::NOT_FOUND => format!("There is nothing at {path}."),
        StatusCode::METHOD_NOT_ALLOWED => format!("{path} does not take {method}."),
        StatusCode::REQUEST_TIMEOUT => "The request was not answered in time.".to_owned(),
        status => status.canonical_reason().unwrap_or("Error").to_owned(),
    });
    let problem = ApiProblem::new(head.status, detail).into_response();
    let (reported, body) = problem.into_parts();
    // Other headers stay: Allow, Retry-After, WWW-Authenticate.
    head.headers.remove(CONTENT_LENGTH);
    head.headers.extend(reported.headers);
    Response::from_parts(head, Body::new(body))
}

/// Returns true for an answer that is a bare text, such as those of the framework.
pub(super) fn is_plain_text(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// Reads the text of an answer; `None` if it is empty or too long.
pub(super) async fn read_text(body: Body) -> Option<String> {
    let text = to_bytes(body, MAX_TEXT_BYTES).await.ok()?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Returns the sentence for a path with what is no number, or no text, from the text of axum; `None` for any
/// other text.
fn wrong_path(text: &str) -> Option<String> {
    if text.contains("Invalid UTF-8 in `") {
        return Some("The path has bytes that are no UTF-8.".to_owned());
    }
    let (_, rest) = text.split_once("Cannot parse `")?;
    let (written, _) = rest.split_once('`')?;
    Some(format!("\"{}\" in the path is no number.", quoted_input(written)))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str) -> (Response, String) {
        let html = || async { (StatusCode::FORBIDDEN, [(CONTENT_TYPE, "text/html")], "<p>no") };
        let text = || async { (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "5")], "busy\n") };
        let problem = || async { ApiProblem::new(StatusCode::BAD_REQUEST, "since has to be a time") };
        let pages = Router::new()
            .route("/api/html", get(html))
            .route("/html", get(html))
            .route("/api/text", get(text))
            .route("/api/problem", get(problem))
            .route("/api/fine", get(|| async { "fine" }))
            .layer(axum::middleware::from_fn(convert_errors));
        let response = pages.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = String::from_utf8(to_bytes(body, MAX_TEXT_BYTES).await.unwrap().to_vec()).unwrap();
        (Response::from_parts(head, Body::empty()), body)
    }

    #[test]
    fn failure_of_an_operation_is_told_with_status_and_waiting_time() {
        let rows = [
            (Code::NotFound, 404, None),
            (Code::InvalidArgument, 400, None),
            (Code::FailedPrecondition, 409, None),
            (Code::ResourceExhausted, 429, Some("5")),
            (Code::Unavailable, 503, Some("5")),
            (Code::Unimplemented, 501, None),
            (Code::Internal, 500, None),
        ];
        for (code, status, retry_after) in rows {
            let response = ApiProblem::from(OperationError::new(code, "so")).into_response();
            let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), header), (status, retry_after), "{code:?}");
        }
    }

    #[test]
    fn number_in_the_path_is_named() {
        let text = "Invalid URL: Cannot parse `abc` to a `u64`";
        assert_eq!(wrong_path(text).as_deref(), Some("\"abc\" in the path is no number."));
        let text = "Invalid URL: Invalid UTF-8 in `id`";
        assert_eq!(wrong_path(text).as_deref(), Some("The path has bytes that are no UTF-8."));
        assert_eq!(wrong_path("The token is not known."), None);
    }

    #[tokio::test]
    async fn members_stand_beside_those_of_every_problem() {
        let members = serde_json::json!({ "to_confirm": ["a"] });
        let response = ApiProblem::new(StatusCode::CONFLICT, "so").with_members(&members).into_response();
        let body = to_bytes(response.into_body(), MAX_TEXT_BYTES).await.unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&json["detail"], &json["to_confirm"][0]), (&"so".into(), &"a".into()));
    }

    #[tokio::test]
    async fn every_error_below_api_is_a_problem() {
        let rows = [
            ("/api/html", 403, "Forbidden", "Forbidden"),
            ("/api/text", 503, "Service Unavailable", "busy"),
            ("/api/problem", 400, "Bad Request", "since has to be a time"),
            ("/api/nothing", 404, "Not Found", "There is nothing at /api/nothing."),
            ("/api", 404, "Not Found", "There is nothing at /api."),
        ];
        for (path, status, title, detail) in rows {
            let (response, body) = ask(path).await;
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            let expected = serde_json::json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
            assert_eq!((response.status().as_u16(), json), (status, expected), "{path}");
            assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
        }
        assert_eq!(ask("/api/text").await.0.headers()["retry-after"], "5");
        assert_eq!((ask("/html").await.1.as_str(), ask("/api/fine").await.1.as_str()), ("<p>no", "fine"));
    }
}
