//! Cookie of a session.

use axum::http::HeaderMap;
use axum_extra::extract::CookieJar;

use crate::web::middleware::client_origin::ClientOrigin;

/// Returns the name of the session cookie. With the prefix `__Host-` a browser accepts it only over HTTPS and
/// from this very host.
pub(crate) fn cookie_name(client: ClientOrigin) -> &'static str {
    if client.is_https { "__Host-rta" } else { "rta" }
}

/// Returns the value of the session cookie.
pub(crate) fn session_id(client: ClientOrigin, headers: &HeaderMap) -> Option<String> {
    CookieJar::from_headers(headers).get(cookie_name(client)).map(|cookie| cookie.value().to_owned())
}
