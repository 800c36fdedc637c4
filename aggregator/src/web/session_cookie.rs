//! The cookie of a session.

use axum::http::HeaderMap;
use axum_extra::extract::CookieJar;

use super::client::Client;

/// The cookie of a session: with the prefix a browser takes it by HTTPS from this very host alone.
pub(super) fn cookie_name(client: Client) -> &'static str {
    if client.is_https { "__Host-rta" } else { "rta" }
}

/// What the session's cookie holds.
pub(super) fn session(client: Client, headers: &HeaderMap) -> Option<String> {
    CookieJar::from_headers(headers).get(cookie_name(client)).map(|cookie| cookie.value().to_owned())
}
