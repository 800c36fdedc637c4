//! Routing table of the web server.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;

use super::api::StreamLimit;
use super::assets::{Asset, ICON, MORPH, SCRIPT, STYLE};
use super::fallback::{not_found, wrong_method};
use super::live::Subscriptions;
use super::problem::convert_errors;
use super::{api, live, metrics, pages, theme};
use crate::api::Operations;
use crate::auth::AccessControl;
use crate::web::api::check_query_keys;
use crate::web::middleware::auth::authenticate;
use crate::web::middleware::client_origin::{IpNetwork, TrustedProxies, locate_client};
use crate::web::middleware::head_limits::limit_head;
use crate::web::middleware::host_origin::{HostPolicy, MAX_BODY_BYTES, check_host_and_origin};
use crate::web::middleware::page_errors::show_page_errors;

/// Time limit from the request to the start of its answer, which includes the time to send a form.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Minimum interval between manual refreshes.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(500);

/// Creates the web server's routes. Headers of `proxies` are trusted for the origin of requests.
pub fn router(
    operations: Operations,
    hosts: HostPolicy,
    access: AccessControl,
    proxies: &[IpNetwork],
) -> Router {
    let routes = pages::routes()
        .merge(metrics::routes())
        .merge(api::routes())
        .route("/live", get(live::overview))
        .route("/live/instance", get(live::instance))
        .route("/live/graph", get(live::graph))
        .route("/live/plan", get(live::plan))
        .route("/live/events", get(live::events))
        .route("/live/incidents", get(live::incidents))
        .route("/theme", post(theme::set_theme))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/refresh", post(refresh))
        .route(&STYLE.path, get(async || asset(&STYLE)))
        .route(&MORPH.path, get(async || asset(&MORPH)))
        .route(&SCRIPT.path, get(async || asset(&SCRIPT)))
        .route(&ICON.path, get(async || asset(&ICON)));
    protect(routes, operations, hosts, access, proxies)
}

/// Creates the routes of a server for metrics alone. The same rights apply as on the page's server.
pub(crate) fn metrics_router(
    operations: Operations,
    hosts: HostPolicy,
    access: AccessControl,
    proxies: &[IpNetwork],
) -> Router {
    protect(metrics::routes(), operations, hosts, access, proxies)
}

/// Adds the checks that come before every handler, and the answers to requests without a route.
fn protect(
    routes: Router<Operations>,
    operations: Operations,
    hosts: HostPolicy,
    access: AccessControl,
    proxies: &[IpNetwork],
) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(check_query_keys))
        .layer(middleware::from_fn(limit_head))
        .layer(middleware::from_fn(show_page_errors))
        // Rights come from the table in rta_shared::authorization, in which each route has to stand.
        .layer(middleware::from_fn_with_state(access.clone(), authenticate))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, ANSWER_TIMEOUT))
        .layer(middleware::from_fn_with_state(TrustedProxies::new(proxies), locate_client))
        .layer(middleware::from_fn_with_state(hosts, check_host_and_origin))
        .layer(middleware::from_fn(convert_errors))
        // Live streams are not compressed, so that they arrive at once.
        .layer(CompressionLayer::new())
        .layer(Extension(LastRefresh::default()))
        .layer(Extension(Subscriptions::new(operations.clone())))
        .layer(Extension(StreamLimit::default()))
        .layer(Extension(operations.store.clone()))
        .layer(Extension(access))
        .with_state(operations)
}

async fn ready(State(operations): State<Operations>) -> impl IntoResponse {
    match operations.readiness() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// Time of the last manual refresh.
type LastRefresh = Arc<Mutex<Option<Instant>>>;

/// Handles a manual refresh, which every viewer may request: one at a time, and none within
/// [`MIN_REFRESH_INTERVAL`].
async fn refresh(
    State(operations): State<Operations>,
    Extension(refreshed): Extension<LastRefresh>,
) -> Redirect {
    let mut last = refreshed.lock().await;
    if last.is_none_or(|last| last.elapsed() >= MIN_REFRESH_INTERVAL) {
        operations.refresh().await;
        *last = Some(Instant::now());
    }
    Redirect::to("/")
}

fn asset(asset: &'static Asset) -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::response::Response;
    use rta_shared::action::ActionKind;
    use rta_shared::authorization::HTTP_ROUTES;
    use rta_shared::overview::Overview;
    use tower::ServiceExt as _;

    use super::*;
    use crate::sample_overview::sample;

    fn site(overview: Overview) -> Router {
        router(
            Operations::showing(overview),
            HostPolicy::for_listener("127.0.0.1:8080".parse().unwrap(), &[]),
            AccessControl::without_users(false),
            &[],
        )
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
        let is_a_file = |script: &str| script.starts_with(" defer src=\"/assets/");
        assert!(body.split("<script").skip(1).all(is_a_file) && !body.contains("style="));
        for script in [&MORPH, &SCRIPT] {
            let (response, content) = ask(Request::get(script.path.as_str()), "").await;
            assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
            assert!(body.contains(&script.path) && !content.is_empty());
        }
        assert!(MORPH.content.len() + SCRIPT.content.len() < 60_000);
        assert!(body.contains(&STYLE.path));
        let (response, style) = ask(Request::get(STYLE.path.as_str()), "").await;
        assert_eq!(response.headers()["content-type"], "text/css; charset=utf-8");
        assert!(style.contains("light-dark("));
    }

    #[tokio::test]
    async fn readiness_ends_with_a_failed_task() {
        let operations = Operations::showing(sample());
        let hosts = HostPolicy::for_listener("127.0.0.1:8080".parse().unwrap(), &[]);
        let site = router(operations.clone(), hosts, AccessControl::without_users(false), &[]);
        let ready = || Request::get("/readyz").header("host", "localhost:8080").body(Body::empty()).unwrap();
        assert_eq!(site.clone().oneshot(ready()).await.unwrap().status(), 200);
        drop(operations.tasks().guard("the state actor"));
        let response = site.oneshot(ready()).await.unwrap();
        assert_eq!(response.status(), 503);
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        assert_eq!(body, "the state actor ended unexpectedly\n");
    }

    #[test]
    fn table_has_every_route() {
        let of_router = include_str!("router.rs").split_once("pub fn router").unwrap().1;
        let of_router = of_router.split_once(".fallback(").unwrap().0;
        let of_pages = include_str!("pages/mod.rs").split_once("pub(crate) fn routes").unwrap().1;
        let of_metrics = include_str!("metrics.rs").split_once("pub(super) fn routes").unwrap().1;
        let of_api = include_str!("api/mod.rs").split_once("pub(super) fn routes").unwrap().1;
        let routes = [of_router, of_pages, of_metrics, of_api].concat();
        let actions = ActionKind::ALL.into_iter();
        let actions: Vec<String> =
            actions.flat_map(|kind| [format!("/{kind}"), format!("/api/v1/{kind}")]).collect();
        let mut named: Vec<&str> =
            routes.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        named.extend(actions.iter().map(String::as_str));
        let mut listed: Vec<&str> = HTTP_ROUTES.iter().map(|rule| rule.path.as_ref()).collect();
        listed.dedup();
        for path in &named {
            assert!(listed.contains(path), "{path} is in no row of rta_shared::authorization");
        }
        let gone: Vec<_> =
            listed.iter().filter(|path| !named.contains(path) && !path.ends_with('*')).collect();
        assert!(gone.is_empty(), "{gone:?} are no routes any more");
    }

    #[tokio::test]
    async fn the_json_is_the_overview() {
        let (response, body) = ask(Request::get("/api/v1/overview"), "").await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json, serde_json::to_value(sample()).unwrap());
    }

    #[tokio::test]
    async fn what_cannot_be_begun_is_told_with_the_reason() {
        let form = Request::post("/restart").header("content-type", "application/x-www-form-urlencoded");
        let (response, body) = ask(form, "environment=DEV&host=h&component=kafka+server").await;
        assert_eq!(response.status(), 404);
        assert!(body.contains("environment &quot;DEV&quot; is not known"), "{body}");
        let (response, body) = ask(Request::get("/plan?id=7"), "").await;
        // The record of this test does not answer.
        assert_eq!((response.status().as_u16(), body.contains("plans cannot be read")), (503, true));
    }

    #[tokio::test]
    async fn the_graph_is_that_of_a_known_environment() {
        let (response, body) = ask(Request::get("/graph?environment=dev"), "").await;
        assert_eq!((response.status().as_u16(), body.contains("What needs what in DEV")), (200, true));
        assert!(!body.contains("<script>") && !body.contains("style="));
        assert!(ask(Request::get("/"), "").await.1.contains("href=\"/graph?environment=DEV\""));
        let (response, body) = ask(Request::get("/graph?environment=DVE"), "").await;
        assert_eq!(response.status(), 404);
        assert!(body.contains("did you mean &quot;DEV&quot;?"), "{body}");
        let long = format!("/graph?environment={}", "x".repeat(300));
        assert_eq!(ask(Request::get(long), "").await.0.status(), 400);
    }

    #[tokio::test]
    async fn bad_requests_get_a_clean_refusal() {
        let form = || Request::post("/stop").header("content-type", "application/x-www-form-urlencoded");
        let long = format!("environment=DEV&host=h&component={}", "x".repeat(300));
        let huge = format!("environment=DEV&host=h&component={}", "x".repeat(300_000));
        assert_eq!(ask(form(), long).await.0.status(), 400);
        assert_eq!(ask(form(), huge).await.0.status(), 413);
        assert_eq!(ask(form(), "host=h").await.0.status(), 400);
        let foreign = form().header("sec-fetch-site", "cross-site");
        assert_eq!(ask(foreign, "environment=DEV&host=h&component=c").await.0.status(), 403);
        for path in ["/start", "/stop", "/restart", "/cancel"] {
            assert_eq!(ask(Request::get(path), "").await.0.status(), 405);
        }
        let (response, body) = ask(Request::get("/%3Cscript%3E"), "").await;
        assert_eq!(response.status(), 404);
        assert!(!body.contains("<script>"));
    }
}
