//! Pages for requests that a page cannot read.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use rta_shared::sanitize::printable;

use crate::web::middleware::auth::is_for_programs;
use crate::web::parts::layout;
use crate::web::problem::{is_plain_text, read_text};
use crate::web::request_context::RequestContext;

/// Shows as a page why a request is refused, such as `/plan?id=x`, or one with too many headers; a handler never
/// sees such a request, and the text is bare. Answers for programs stay.
pub(crate) async fn show_page_errors(context: RequestContext, request: Request, next: Next) -> Response {
    let for_programs = is_for_programs(request.uri().path());
    let response = next.run(request).await;
    let status = response.status();
    let (title, sentence) = match status {
        StatusCode::BAD_REQUEST => ("There is no such page", "The page cannot read its address"),
        StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("The request is too large", "The page cannot read it")
        }
        _ => return response,
    };
    if for_programs || !is_plain_text(response.headers()) {
        return response;
    }
    let text = read_text(response.into_body()).await.unwrap_or_default();
    let reason = text.split_once("query string: ").map_or(text.as_str(), |(_, reason)| reason);
    let message = format!("{sentence}: {}.", printable(reason));
    (status, layout::message(&context, title, &message)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::Query;
    use axum::routing::get;
    use serde::Deserialize;
    use tower::ServiceExt as _;

    use super::*;

    #[derive(Deserialize)]
    struct Id {
        id: u64,
    }

    #[tokio::test]
    async fn wrong_address_is_a_page_for_people_and_text_for_programs() {
        let show = async |Query(query): Query<Id>| query.id.to_string();
        let router = Router::new()
            .route("/plan", get(show))
            .route("/live/plan", get(show))
            .layer(axum::middleware::from_fn(show_page_errors));
        for (address, code, expected) in [
            ("/plan?id=7", 200, "7"),
            ("/plan?id=zz", 400, "The page cannot read its address: id: invalid digit found in string."),
            ("/plan?id=%3Cb%3E", 400, "<!DOCTYPE html>"),
            ("/live/plan?id=zz", 400, "Failed to deserialize query string: id"),
        ] {
            let request = Request::get(address).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), code, "{address}");
            let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let body = String::from_utf8_lossy(&body);
            assert!(body.contains(expected) && !body.contains("<b>zz"), "{address}: {body}");
        }
    }
}
