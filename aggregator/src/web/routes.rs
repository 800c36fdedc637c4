//! What is answered under which path.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Form, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use jiff::Timestamp;
use maud::Markup;
use rta_shared::control::{ActionKind, Requester};
use rta_shared::name::LONGEST;
use serde::Deserialize;

use super::actions::{Actions, Progress};
use super::assets::{Asset, ICON, STYLE};
use super::guard::{HostPolicy, guard};
use super::log::log;
use super::page;
use crate::operations::Operations;
use crate::target::Target;

/// No form of the page is anywhere near as large.
const LARGEST_BODY: usize = 64 * 1024;
/// After this time an action's result is no longer waited for; the page then shows it when it comes.
const PATIENCE: Duration = Duration::from_secs(8);

/// What every page is made from.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) operations: Operations,
    actions: Arc<Actions>,
}

/// The web server's routes.
pub fn router(operations: Operations, hosts: HostPolicy) -> Router {
    let site = Site { operations, actions: Arc::default() };
    Router::new()
        .route("/", get(overview_page))
        .route("/api/v1/overview", get(overview_json))
        .route("/log", get(log))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/refresh", post(refresh))
        .route("/start", post(start))
        .route("/stop", post(stop))
        .route(&STYLE.path, get(async || asset(&STYLE)))
        .route(&ICON.path, get(async || asset(&ICON)))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(hosts, guard))
        .with_state(site)
}

/// `?action=7`: show how that action fares.
#[derive(Debug, Deserialize)]
struct Shown {
    action: Option<String>,
}

async fn overview_page(State(site): State<Site>, Query(shown): Query<Shown>) -> impl IntoResponse {
    let shown = shown.action.and_then(|id| id.parse().ok());
    let markup = page::overview(&site.operations.overview(), &site.actions.all(), shown, Timestamp::now());
    ([(CACHE_CONTROL, "no-store")], markup)
}

async fn overview_json(State(site): State<Site>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], Json(site.operations.overview().as_ref().clone()))
}

async fn ready(State(site): State<Site>) -> impl IntoResponse {
    match site.operations.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "some hosts have not been heard of yet\n"),
    }
}

async fn refresh(State(site): State<Site>) -> Redirect {
    site.operations.refresh().await;
    Redirect::to("/")
}

/// Which instance a button is for.
#[derive(Debug, Deserialize)]
struct Pressed {
    environment: String,
    host: String,
    component: String,
}

async fn start(State(site): State<Site>, Form(pressed): Form<Pressed>) -> Response {
    act(site, ActionKind::Start, pressed).await
}

async fn stop(State(site): State<Site>, Form(pressed): Form<Pressed>) -> Response {
    act(site, ActionKind::Stop, pressed).await
}

async fn act(site: Site, kind: ActionKind, pressed: Pressed) -> Response {
    let Pressed { environment, host, component } = pressed;
    if [&environment, &host, &component].iter().any(|name| name.is_empty() || name.len() > LONGEST) {
        let markup = page::message(
            "Nothing was done",
            "The form does not name an environment, a host and a component.",
        );
        return (StatusCode::BAD_REQUEST, markup).into_response();
    }
    let instance = format!("{environment}/{host}/{component}");
    let id = site.actions.begin(kind, instance, Timestamp::now());
    // In a task of its own: it goes on if the browser leaves.
    let work = tokio::spawn(async move {
        let outcome = site
            .operations
            .control(kind, &Target { component, environment, host }, &Requester::default(), |_| {})
            .await;
        site.actions.end(
            id,
            match outcome {
                Ok((_, done)) => Progress::Done(done.to_string()),
                Err(error) => Progress::Failed(error.message),
            },
        );
    });
    // Whether it ended in time or not, the page shows how it stands.
    let _ = tokio::time::timeout(PATIENCE, work).await;
    Redirect::to(&format!("/?action={id}")).into_response()
}

fn asset(asset: &'static Asset) -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content)
}

async fn not_found(uri: Uri) -> (StatusCode, Markup) {
    let text = format!("There is nothing at {}.", uri.path());
    (StatusCode::NOT_FOUND, page::message("Not found", &text))
}

async fn wrong_method(method: Method, uri: Uri) -> (StatusCode, Markup) {
    let text = format!("{} does not take {method}.", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, page::message("Not like this", &text))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use rta_shared::overview::Overview;
    use tower::ServiceExt as _;

    use super::*;
    use crate::web::page::tests::sample;

    fn site(overview: Overview) -> Router {
        router(Operations::showing(overview), HostPolicy::for_listener("127.0.0.1:8080".parse().unwrap()))
    }

    async fn ask(request: axum::http::request::Builder, body: impl Into<Body>) -> (Response, String) {
        let request = request.header("host", "localhost:8080").body(body.into()).unwrap();
        let response = site(sample()).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        (Response::from_parts(head, Body::empty()), body)
    }

    #[tokio::test]
    async fn the_page_is_served_with_its_stylesheet_and_strict_headers() {
        let (response, body) = ask(Request::get("/"), "").await;
        assert_eq!(response.status(), 200);
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(!body.contains("<script") && !body.contains("style="));
        assert!(body.contains(&STYLE.path));
        let (response, style) = ask(Request::get(STYLE.path.as_str()), "").await;
        assert_eq!(response.headers()["content-type"], "text/css; charset=utf-8");
        assert!(style.contains("prefers-color-scheme"));
    }

    #[tokio::test]
    async fn the_json_is_the_overview() {
        let (response, body) = ask(Request::get("/api/v1/overview"), "").await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json, serde_json::to_value(sample()).unwrap());
    }

    #[tokio::test]
    async fn an_action_that_fails_is_shown_and_not_lost() {
        let form = Request::post("/stop").header("content-type", "application/x-www-form-urlencoded");
        let (response, _) = ask(form, "environment=DEV&host=c9t21193&component=kafka+server").await;
        assert_eq!(
            (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
            (303, "/?action=1")
        );
    }

    #[tokio::test]
    async fn bad_requests_get_a_clean_refusal() {
        let form = || Request::post("/stop").header("content-type", "application/x-www-form-urlencoded");
        let long = format!("environment=DEV&host=h&component={}", "x".repeat(300));
        let huge = format!("environment=DEV&host=h&component={}", "x".repeat(70_000));
        assert_eq!(ask(form(), long).await.0.status(), 400);
        assert_eq!(ask(form(), huge).await.0.status(), 413);
        assert_eq!(ask(form(), "host=h").await.0.status(), 422);
        let foreign = form().header("sec-fetch-site", "cross-site");
        assert_eq!(ask(foreign, "environment=DEV&host=h&component=c").await.0.status(), 403);
        assert_eq!(ask(Request::get("/stop"), "").await.0.status(), 405);
        let (response, body) = ask(Request::get("/%3Cscript%3E"), "").await;
        assert_eq!(response.status(), 404);
        assert!(!body.contains("<script"));
    }
}
