//! Signing in and out, and the events of that.

use std::net::IpAddr;

use axum::extract::{Extension, Form, Query, State};
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, SameSite};
use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use rta_shared::name::MAX_NAME_LENGTH;
use rta_shared::sanitize::quoted_input;
use serde::Deserialize;

use super::view;
use crate::api::Operations;
use crate::auth::{AccessControl, REPORT_INTERVAL, SignInError, SignInOrigin, new_requester};
use crate::web::middleware::client_origin::ClientOrigin;
use crate::web::middleware::session_cookie::{cookie_name, session_id};
use crate::web::request_context::RequestContext;
use crate::web::theme::local_address;

/// Query parameters: the page to show after signing in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignInQuery {
    next: String,
}

/// Answers `GET /sign-in`.
pub(crate) async fn sign_in_form(context: RequestContext, Query(wanted): Query<SignInQuery>) -> Response {
    ([(CACHE_CONTROL, "no-store")], view::sign_in(&context, local_address(&wanted.next), None))
        .into_response()
}

/// Fields of the form.
#[derive(Deserialize)]
pub(crate) struct SignInForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// Answers `POST /sign-in`. The middleware `host_origin` ensures that
/// the form comes from the page itself.
pub(crate) async fn sign_in(
    State(operations): State<Operations>,
    Extension(access): Extension<AccessControl>,
    client: ClientOrigin,
    context: RequestContext,
    headers: HeaderMap,
    Form(SignInForm { name, password, next }): Form<SignInForm>,
) -> Response {
    let again = |status: StatusCode, sentence: &str| {
        let page = view::sign_in(&context, local_address(&next), Some(sentence));
        (status, [(CACHE_CONTROL, "no-store")], page).into_response()
    };
    if name.len() > MAX_NAME_LENGTH || password.len() > 4 * MAX_NAME_LENGTH {
        return again(StatusCode::BAD_REQUEST, "No name or password is as long.");
    }
    let address = client.address;
    let on_failure = |origin| publish_failures(&operations, &access, origin, address);
    match access.sign_in(&name, password, address, on_failure).await {
        Ok(id) => {
            let by = new_requester(&name, address.to_string());
            publish(&operations, format!("{} signed in from {address}", quoted_input(&name)), Some(by));
            // The previous session ends, so that nobody else can continue to use it.
            if let Some(before) = session_id(client, &headers) {
                access.sign_out(&before).await;
            }
            with_cookie(Redirect::to(local_address(&next)).into_response(), &session_cookie(client, id))
        }
        Err(SignInError::Wrong) => again(StatusCode::UNAUTHORIZED, "Wrong user name or password."),
        Err(SignInError::Busy) => {
            let sentence = "Too many people sign in at this moment; try again in a few seconds.";
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, sentence);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            response
        }
    }
}

/// Answers `POST /sign-out`.
pub(crate) async fn sign_out(
    State(operations): State<Operations>,
    Extension(access): Extension<AccessControl>,
    client: ClientOrigin,
    headers: HeaderMap,
) -> Response {
    if let Some(id) = session_id(client, &headers) {
        let session = access.find_session(&id).await;
        let is_ended_everywhere = access.sign_out(&id).await;
        if let Some(session) = session {
            let by = new_requester(&session.principal.name, client.address.to_string());
            let name = quoted_input(&session.principal.name);
            publish(&operations, format!("{name} signed out"), Some(by));
            if !is_ended_everywhere {
                tracing::warn!(name, "signed out here alone: the database does not answer");
            }
        }
    }
    let mut over = session_cookie(client, String::new());
    over.make_removal();
    with_cookie(Redirect::to("/").into_response(), &over)
}

/// Publishes a failed sign-in, and then for each interval the number of further ones until there is none.
fn publish_failures(operations: &Operations, access: &AccessControl, origin: SignInOrigin, address: IpAddr) {
    // The text is the same for every name: others can read events, and would learn which accounts exist. A
    // name that no user has may also be a password. The log has the names of accounts.
    let text = format!("sign-in from {address} failed");
    let by = new_requester("", address.to_string());
    publish(operations, text.clone(), Some(by.clone()));
    let (operations, access) = (operations.clone(), access.clone());
    tokio::spawn(async move {
        let shutdown = operations.shutdown_token();
        loop {
            // When the aggregator ends, the number so far is published.
            shutdown.run_until_cancelled(tokio::time::sleep(REPORT_INTERVAL)).await;
            let Some(count) = access.end_failure_interval(&origin) else { return };
            publish(&operations, format!("{text} ({})", counted(count, "further attempt")), Some(by.clone()));
        }
    });
}

fn publish(operations: &Operations, text: String, by: Option<Requester>) {
    operations.events.publish(Event { by, ..Event::new(Timestamp::now(), EventKind::SignIn, text) });
}

fn session_cookie(client: ClientOrigin, value: String) -> Cookie<'static> {
    Cookie::build((cookie_name(client), value))
        .path("/")
        .http_only(true)
        .secure(client.is_https)
        // A link from another site finds the user signed in; actions are posted, and carry a token.
        .same_site(SameSite::Lax)
        .build()
}

fn with_cookie(mut response: Response, cookie: &Cookie<'_>) -> Response {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}
