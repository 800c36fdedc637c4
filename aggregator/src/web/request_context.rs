//! Context of a request: the user and their rights.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::theme::Theme;
use crate::auth::{ActScope, ActingCaller, new_requester};

/// User that is recorded for actions without sign-in.
const ANONYMOUS_USER: &str = "page";

/// User for whom a page is rendered, and their rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestContext {
    /// Name of the user, or of the token; `None` if not signed in.
    pub(crate) name: Option<String>,
    /// Address of the client; empty if it is not known.
    pub(crate) address: String,
    /// True if the user may start and stop; otherwise a page has no buttons for that.
    pub(crate) may_act: bool,
    /// Where the user may act.
    pub(crate) scope: ActScope,
    /// Token that each form has to carry; `None` without a session.
    pub(crate) csrf: Option<String>,
    /// True if there are users and this one has not signed in.
    pub(crate) can_sign_in: bool,
    /// Path and query of the requested page.
    pub(crate) here: String,
    /// Colours that the user chose.
    pub(crate) theme: Theme,
}

impl RequestContext {
    /// Creates the viewer for a server without users: every client may act.
    pub(crate) fn anonymous(here: &str) -> Self {
        Self {
            name: None,
            address: String::new(),
            may_act: true,
            scope: ActScope::default(),
            csrf: None,
            can_sign_in: false,
            here: here.to_owned(),
            theme: Theme::Auto,
        }
    }

    /// Returns the caller who acts, with the requester that is recorded for what the user does.
    pub(crate) fn acting(&self) -> ActingCaller {
        let by = new_requester(self.name.as_deref().unwrap_or(ANONYMOUS_USER), self.address.clone());
        ActingCaller { by, scope: self.scope.clone(), is_forwarded: false }
    }

    /// Returns the name or the address, to count open pages by user.
    pub(crate) fn client_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.address)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    /// Returns the context that `authenticate` added; without one, a context whose user may not act.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let admitted = parts.extensions.get::<Self>().cloned();
        Ok(admitted.unwrap_or_else(|| Self { may_act: false, ..Self::anonymous("/") }))
    }
}
