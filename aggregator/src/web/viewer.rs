//! Whom a page is made for.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::theme::Theme;

/// Whom a page is made for, and what it offers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Viewer {
    /// As whom they signed in, or whose token they have.
    pub(crate) name: Option<String>,
    /// Where they ask from; empty where that is not known.
    pub(crate) address: String,
    /// They may start and stop; without, a page has no buttons that do.
    pub(crate) may_act: bool,
    /// What each form of theirs has to carry; `None` where they did not sign in.
    pub(crate) csrf: Option<String>,
    /// They could sign in, and have not.
    pub(crate) can_sign_in: bool,
    /// The path and the query of the page that they asked for.
    pub(crate) here: String,
    /// The colours that they chose.
    pub(crate) theme: Theme,
}

impl Viewer {
    /// Anybody, where nobody signs in: whoever reaches the page may act.
    pub(crate) fn anybody(here: &str) -> Self {
        Self {
            name: None,
            address: String::new(),
            may_act: true,
            csrf: None,
            can_sign_in: false,
            here: here.to_owned(),
            theme: Theme::Auto,
        }
    }

    /// What tells them from others: a name, or an address.
    pub(crate) fn who(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.address)
    }
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Infallible;

    /// As the request was admitted; one that was not is nobody's.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let admitted = parts.extensions.get::<Self>().cloned();
        Ok(admitted.unwrap_or_else(|| Self { may_act: false, ..Self::anybody("/") }))
    }
}
