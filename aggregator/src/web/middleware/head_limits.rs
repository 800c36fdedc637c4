//! Limits of the head of a request. Beyond twice of them the HTTP server itself refuses, with a status alone.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Maximum size of a request's headers, in bytes; real ones are far smaller.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Maximum number of headers.
pub(crate) const MAX_HEADERS: usize = 100;
/// Maximum length of an address, in bytes.
const MAX_ADDRESS_BYTES: usize = 32 * 1024;

/// Refuses a request whose address or headers are too large, with a sentence.
pub(crate) async fn limit_head(request: Request, next: Next) -> Response {
    match head_problem(request.uri(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn head_problem(address: &Uri, headers: &HeaderMap) -> Option<(StatusCode, String)> {
    let length = address.path_and_query().map_or(0, |address| address.as_str().len());
    if length > MAX_ADDRESS_BYTES {
        let text = format!("the address has {length} bytes; at most {MAX_ADDRESS_BYTES} are read");
        return Some((StatusCode::URI_TOO_LONG, text));
    }
    let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if headers.len() > MAX_HEADERS {
        let text = format!("the request has {} headers; at most {MAX_HEADERS} are read", headers.len());
        return Some((too_large, text));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let text = || format!("the headers have {bytes} bytes; at most {MAX_HEADER_BYTES} are read");
    (bytes > MAX_HEADER_BYTES).then(|| (too_large, text()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn problem(address: &str, headers: &[(String, String)]) -> Option<(u16, String)> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap()));
        let found = head_problem(&address.parse().unwrap(), &headers.collect());
        found.map(|(status, text)| (status.as_u16(), text))
    }

    #[test]
    fn large_heads_are_refused_with_the_limit() {
        let many = |count: usize, length: usize| -> Vec<(String, String)> {
            (0..count).map(|number| (format!("x-{number}"), "a".repeat(length))).collect()
        };
        assert_eq!(problem("/events?host=h", &many(100, 10)), None);
        let text = "the request has 101 headers; at most 100 are read".to_owned();
        assert_eq!(problem("/events", &many(101, 10)), Some((431, text)));
        let text = "the headers have 70003 bytes; at most 65536 are read".to_owned();
        assert_eq!(problem("/events", &many(1, 70_000)), Some((431, text)));
        let long = format!("/events?host={}", "a".repeat(40_000));
        let text = "the address has 40013 bytes; at most 32768 are read".to_owned();
        assert_eq!(problem(&long, &[]), Some((414, text)));
    }
}
