//! Light or dark colours, stored in a cookie; works without script.

use axum::extract::Form;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use serde::Deserialize;

/// Name of the cookie.
const COOKIE: &str = "rta-theme";

/// Colours of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    /// The system's setting.
    #[default]
    Auto,
    /// Dark text on a light background.
    Light,
    /// Light text on a dark background.
    Dark,
}

impl Theme {
    /// Returns the theme of the request's cookie.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let cookies = CookieJar::from_headers(headers);
        match cookies.get(COOKIE).map(|cookie| cookie.value()) {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::Auto,
        }
    }

    /// Returns the word for people and for the cookie.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Returns the theme that the switch changes to.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Auto => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::Auto,
        }
    }
}

/// Form of the switch.
#[derive(Debug, Deserialize)]
pub(super) struct ThemeForm {
    theme: Theme,
    next: String,
}

/// Stores the theme in a cookie for a year, and redirects back.
pub(super) async fn set_theme(Form(ThemeForm { theme, next }): Form<ThemeForm>) -> Response {
    let cookie = format!("{COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", theme.word());
    let mut response = Redirect::to(local_address(&next)).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Returns the address if it is local to this server; otherwise that of the overview.
pub(crate) fn local_address(address: &str) -> &str {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_plain && address.starts_with('/') && !address.starts_with("//") { address } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_the_cookie_whatever_stands_there() {
        for (cookie, expected) in [
            ("rta-theme=dark", Theme::Dark),
            ("a=b; rta-theme=light; c=d", Theme::Light),
            ("rta-theme=\"><script>", Theme::Auto),
            ("", Theme::Auto),
        ] {
            let headers = HeaderMap::from_iter([(axum::http::header::COOKIE, cookie.parse().unwrap())]);
            assert_eq!(Theme::from_headers(&headers), expected, "{cookie}");
        }
        let round: Vec<_> =
            std::iter::successors(Some(Theme::Auto), |theme| Some(theme.next())).take(4).collect();
        assert_eq!(round, [Theme::Auto, Theme::Dark, Theme::Light, Theme::Auto]);
    }

    #[test]
    fn it_leads_nowhere_else() {
        for address in ["/", "/?q=a", "/events?kind=health"] {
            assert_eq!(local_address(address), address);
        }
        for address in ["", "//evil.example", "https://evil.example", "/\\evil", "evil", "/a\r\nb", "/é"] {
            assert_eq!(local_address(address), "/", "{address}");
        }
    }
}
