//! Authentication middleware: identifies the client by a token or a session, and checks its rights before any
//! handler runs.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use rta_shared::authorization::table::route_right;
use rta_shared::authorization::{CallerKind, Right, ServerKind};

use crate::audit::Refusal;
use crate::auth::{
    AccessControl, Principal, TokenError, UserSession, bearer_token, mask_token, matches_masked,
};
use crate::web::address::with_query;
use crate::web::fallback::wrong_method;
use crate::web::middleware::client_origin::ClientOrigin;
use crate::web::middleware::host_origin::MAX_BODY_BYTES;
use crate::web::middleware::session_cookie::session_id;
use crate::web::parts::layout;
use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;
use crate::web::theme::Theme;

/// Header with the session's token, for requests without a form.
const CSRF_HEADER: &str = "x-csrf-token";
/// Beginning of the paths of the API.
const API_PATH: &str = "/api/";
/// Sentence about a request without the session's token.
const FOREIGN_FORM: &str =
    "The form is not of this session: go back, reload the page, and try again. Nothing was done.\n";
/// Sentence about a program without credentials.
const NO_CREDENTIALS: &str = "Sign in, or give a token: Authorization: Bearer TOKEN.";
/// Time limit for the body of a form.
const FORM_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns true for a path whose answers programs read, scripts of the pages included.
pub(crate) fn is_for_programs(path: &str) -> bool {
    [API_PATH, "/live", "/metrics"].iter().any(|prefix| path.starts_with(prefix))
}

/// Adds the [`RequestContext`] to a request, and refuses requests without the needed right. Routes that are
/// not in the table ([`HTTP_ROUTES`](rta_shared::authorization::HTTP_ROUTES)) are refused for everybody.
pub(crate) async fn authenticate(
    State(access): State<AccessControl>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let here = request.uri().path_and_query().map_or("/", |here| here.as_str()).to_owned();
    let theme = Theme::from_headers(request.headers());
    let for_programs = is_for_programs(&path);
    let client = request.extensions().get().copied().unwrap_or(ClientOrigin::UNKNOWN);
    let address = if client == ClientOrigin::UNKNOWN { String::new() } else { client.address.to_string() };
    let mut context = RequestContext { theme, address, ..RequestContext::anonymous(&here) };
    let target = format!("{} {path}", request.method());
    let refused = |context: &RequestContext, reason: &str| {
        let (who, from) = (context.name.clone(), context.address.clone());
        access.record_refusal(Refusal { who, from, target: target.clone(), reason: reason.to_owned() });
    };
    let mut kind = CallerKind::Unasked;
    let mut session_token = None;
    if access.has_users() {
        match identify(&access, client, request.headers()).await {
            RequestIdentity::Token(principal) => {
                kind = principal.role.into();
                context.name = Some(principal.name);
                context.scope = principal.scope;
            }
            RequestIdentity::Session(UserSession { principal, csrf }) => {
                kind = principal.role.into();
                context.name = Some(principal.name);
                context.csrf = Some(mask_token(&csrf));
                session_token = Some(csrf);
            }
            RequestIdentity::Nobody => {
                context.can_sign_in = true;
                kind = if access.is_viewing_open() { CallerKind::Viewer } else { CallerKind::Anonymous };
            }
            RequestIdentity::BadToken(error) => {
                let sentence = match error {
                    TokenError::Unknown => "The token is not known.".to_owned(),
                    TokenError::Expired(_) => format!("The {error}."),
                };
                refused(&context, &sentence);
                return unauthorized(&sentence);
            }
        }
    }
    if access.is_read_only() && kind.may(ServerKind::Page, Right::Act) {
        kind = CallerKind::Viewer;
    }
    context.may_act = kind.may(ServerKind::Page, Right::Act);
    // A path without a route is answered as not found, to every client that may view.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let right = route_right(request.method().as_str(), route.as_ref().map_or(&path, |route| route.as_str()));
    if !kind.may(ServerKind::Page, right.unwrap_or(Right::View)) {
        return match kind {
            CallerKind::Anonymous if for_programs => {
                refused(&context, NO_CREDENTIALS);
                unauthorized(NO_CREDENTIALS)
            }
            CallerKind::Anonymous => Redirect::to(&sign_in_address(request.method(), &here)).into_response(),
            _ => {
                let reason = forbidden_reason(&access, &context);
                refused(&context, &reason);
                match for_programs {
                    true => ApiProblem::new(StatusCode::FORBIDDEN, reason).into_response(),
                    false => forbidden(&context, &reason),
                }
            }
        };
    }
    if right.is_none() && route.is_some() {
        return wrong_method(context, request.method().clone(), request.uri().clone()).await.into_response();
    }
    let posted = session_token.filter(|_| request.method() == Method::POST && path != "/sign-in");
    if let Some(csrf) = posted {
        request = match check_form_token(request, &csrf).await {
            Ok(request) => request,
            Err(refusal) => {
                refused(&context, "the form lacks the token of the session");
                return *refusal;
            }
        };
    }
    request.extensions_mut().insert(context);
    next.run(request).await
}

enum RequestIdentity {
    Token(Principal),
    Session(UserSession),
    Nobody,
    BadToken(TokenError),
}

async fn identify(access: &AccessControl, client: ClientOrigin, headers: &HeaderMap) -> RequestIdentity {
    // A script sends its token itself: no foreign page can make a browser send it.
    let token = headers.get(AUTHORIZATION).map(|header| header.to_str().unwrap_or_default());
    if let Some(token) = token {
        let token = bearer_token(token).ok_or(TokenError::Unknown);
        return match token.and_then(|token| access.principal_of_token(token)) {
            Ok(principal) => RequestIdentity::Token(principal),
            Err(error) => RequestIdentity::BadToken(error),
        };
    }
    let cookies = headers.get_all(COOKIE).iter().count();
    // Browsers send a single cookie header over HTTP/1.1.
    let Some(id) = session_id(client, headers).filter(|_| cookies == 1) else {
        return RequestIdentity::Nobody;
    };
    match access.find_session(&id).await {
        Some(signed_in) => RequestIdentity::Session(signed_in),
        None => RequestIdentity::Nobody,
    }
}

fn sign_in_address(method: &Method, here: &str) -> String {
    // A form cannot be submitted again after sign-in.
    let next = if *method == Method::GET { here } else { "/" };
    with_query("/sign-in", &[("next", next)])
}

fn unauthorized(why: &str) -> Response {
    ([(WWW_AUTHENTICATE, "Bearer")], ApiProblem::new(StatusCode::UNAUTHORIZED, why)).into_response()
}

fn forbidden_reason(access: &AccessControl, context: &RequestContext) -> String {
    match &context.name {
        _ if access.is_read_only() => "This page is for looking only.".to_owned(),
        Some(name) => {
            format!("{name} may look, and not act: this needs the role operator, and {name} has viewer.")
        }
        None => "Sign in to act.".to_owned(),
    }
}

fn forbidden(context: &RequestContext, reason: &str) -> Response {
    (StatusCode::FORBIDDEN, layout::message(context, "Nothing was done", reason)).into_response()
}

/// Returns the request if its form carries the session's token, which a foreign page does not know.
///
/// A request of the API has no form, and carries the token in the header [`CSRF_HEADER`].
async fn check_form_token(request: Request, token: &str) -> Result<Request, Box<Response>> {
    let refused = |status: StatusCode, text: &'static str| Box::new((status, text).into_response());
    let is_api = request.uri().path().starts_with(API_PATH);
    let mut headers = request.headers().get_all(CSRF_HEADER).iter();
    if let Some(given) = headers.next().filter(|_| is_api) {
        let is_right = given.to_str().is_ok_and(|given| matches_masked(given, token));
        return match is_right && headers.next().is_none() {
            true => Ok(request),
            false => Err(refused(StatusCode::FORBIDDEN, FOREIGN_FORM)),
        };
    }
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(FORM_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await;
    let body =
        body.map_err(|_| refused(StatusCode::REQUEST_TIMEOUT, "The form did not arrive in time.\n"))?;
    let body =
        body.map_err(|_| refused(StatusCode::PAYLOAD_TOO_LARGE, "No form of this page is as large.\n"))?;
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&body).unwrap_or_default();
    let given: Vec<&str> =
        fields.iter().filter(|(key, _)| key == "csrf").map(|(_, value)| value.as_str()).collect();
    match given.as_slice() {
        [given] if matches_masked(given, token) => Ok(Request::from_parts(head, Body::from(body))),
        _ => Err(refused(StatusCode::FORBIDDEN, FOREIGN_FORM)),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn route_that_is_in_no_row_is_answered_to_nobody() {
        let access = AccessControl::without_users(false);
        let site = Router::new()
            .route("/graph", get(async || "graph").delete(async || "deleted"))
            .route("/forgotten", get(async || "secret"))
            .layer(axum::middleware::from_fn_with_state(access, authenticate));
        for (method, path, status) in [
            ("GET", "/graph", StatusCode::OK),
            ("HEAD", "/graph", StatusCode::OK),
            ("DELETE", "/graph", StatusCode::METHOD_NOT_ALLOWED),
            ("GET", "/forgotten", StatusCode::METHOD_NOT_ALLOWED),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let answer = site.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status, "{method} {path}");
        }
    }
}
