//! Check of host and origin: protects a page that can stop a platform against requests from foreign pages.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Content security policy: only the page's own scripts, stylesheets, icon and forms.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                      img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Maximum size of a form, in bytes. Real ones are far smaller; the longest lists a few thousand instances.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;

/// Values of the `Host` header that are answered.
///
/// A page of another site whose name was made to point here (DNS rebinding) sends that site's name. On
/// loopback the few valid names are known; on other addresses a listener cannot know its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// The names of loopback, and this address.
    Loopback(IpAddr),
    /// Configured names, case-insensitive.
    Named(Arc<[String]>),
    /// Any name.
    Any,
}

impl HostPolicy {
    /// Returns the policy of a listener at `address`; `names` are its configured names.
    pub fn for_listener(address: SocketAddr, names: &[String]) -> Self {
        match names {
            [] if address.ip().is_loopback() => Self::Loopback(address.ip()),
            [] => Self::Any,
            names => Self::Named(names.into()),
        }
    }

    fn allows(&self, host: &str) -> bool {
        let name = without_port(host);
        let own = match self {
            Self::Loopback(own) => *own,
            Self::Named(names) => return names.iter().any(|known| known.eq_ignore_ascii_case(name)),
            Self::Any => return true,
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address == own || address.is_loopback())
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Refuses invalid requests, and adds the security headers to all answers.
pub(crate) async fn check_host_and_origin(
    State(policy): State<HostPolicy>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match refusal(&policy, request.method(), request.headers()) {
        Some(sentence) => (StatusCode::FORBIDDEN, sentence).into_response(),
        None => next.run(request).await,
    };
    let headers: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns the reason to refuse a request; `None` if it is accepted.
fn refusal(policy: &HostPolicy, method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(host) = text(HOST.as_str()) else { return Some("The request names no host.\n") };
    if headers.get_all(HOST).iter().count() > 1 {
        return Some("The request names several hosts.\n");
    }
    if !policy.allows(host) {
        return Some("This server does not answer under that host name; ask for http://localhost.\n");
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    // Browsers send one or both of these with a form. An operator's script sends neither, and a foreign page
    // cannot make it send them (Fetch standard, "Origin" and "Sec-Fetch-Site" headers).
    let foreign_site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let foreign_origin = text(ORIGIN.as_str()).is_some_and(|origin| {
        let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        !origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    });
    (foreign_site || foreign_origin)
        .then_some("Actions are taken from rta's own page only, not from another site.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(policy: &HostPolicy, method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        refusal(policy, &method, &headers).is_some()
    }

    #[test]
    fn a_loopback_listener_answers_under_its_own_names_only() {
        let policy = HostPolicy::for_listener("127.0.0.1:8080".parse().unwrap(), &[]);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "127.0.0.1"] {
            assert!(!refused(&policy, Method::GET, &[("host", host)]), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "::1:x"] {
            assert!(refused(&policy, Method::GET, &[("host", host)]), "{host}");
        }
        assert!(refused(&policy, Method::GET, &[]));
        let any = HostPolicy::for_listener("0.0.0.0:8080".parse().unwrap(), &[]);
        assert!(!refused(&any, Method::GET, &[("host", "monitor.example")]));
        let named =
            HostPolicy::for_listener("0.0.0.0:8080".parse().unwrap(), &["monitor.example".to_owned()]);
        for (host, expected) in [("Monitor.example:8080", false), ("evil.example", true), ("10.0.0.1", true)]
        {
            assert_eq!(refused(&named, Method::GET, &[("host", host)]), expected, "{host}");
        }
    }

    #[test]
    fn foreign_pages_cannot_act() {
        let policy = HostPolicy::for_listener("127.0.0.1:8080".parse().unwrap(), &[]);
        let rows: &[(&[(&str, &str)], bool)] = &[
            (&[], false),
            (&[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")], false),
            (&[("origin", "http://localhost:8080")], false),
            (&[("origin", "https://localhost:8080")], false),
            (&[("origin", "https://evil.example")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "http://localhost:9090")], true),
            (&[("origin", "null")], true),
            (&[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], true),
        ];
        for (headers, expected) in rows {
            let mut all = vec![("host", "localhost:8080")];
            all.extend_from_slice(headers);
            assert_eq!(refused(&policy, Method::POST, &all), *expected, "{headers:?}");
        }
    }
}
