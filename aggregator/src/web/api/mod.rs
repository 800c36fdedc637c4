//! HTTP API for programs, below `/api/v1`: JSON in and out, errors as problem details. It offers the
//! operations of the page and of gRPC; `openapi/` describes it.
//!
//! | module | holds |
//! |---|---|
//! | `overview` | the overview, and one instance |
//! | `what_if` | the overview as it would be |
//! | `events` | events as they happen; the recorded ones are in `pages/events` |
//! | `incidents` | incidents |
//! | `plans` | plans: preview, begin, list, watch, cancel |
//! | `plan_json` | a plan's request and state as JSON |
//! | `maintenance` | maintenance, active and planned |
//! | `event_stream` | server-sent events for programs |
//! | `rates` | rate limit for requests that act; pure |
//! | `idempotency` | answers kept for repeated requests with the same key; pure |
//! | `recorded_keys` | the same in the store |
//! | `limits` | both, before the handlers |
//! | `body` | JSON of a request |
//! | `openapi` | the description of the API |

mod body;
mod event_stream;
mod events;
mod idempotency;
mod incidents;
mod limits;
mod maintenance;
mod openapi;
mod overview;
mod plan_json;
mod plans;
mod rates;
mod recorded_keys;
mod what_if;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use rta_shared::action::ActionKind;

use crate::api::Operations;

use self::limits::ApiLimits;

pub(crate) use self::event_stream::StreamLimit;
pub(super) use self::openapi::check_query_keys;

/// Returns the routes of the API that belong to no page. Each also stands in the table of
/// [`rta_shared::authorization`] and in the description.
pub(super) fn routes() -> Router<Operations> {
    let acting = ActionKind::ALL.into_iter().fold(Router::new(), |router, kind| {
        router.route(&format!("/api/v1/{kind}"), plans::action_handler(kind))
    });
    let acting = acting
        .route("/api/v1/plans/preview", post(plans::preview))
        .route("/api/v1/plans/{id}/cancel", post(plans::cancel))
        .route("/api/v1/plans", get(plans::list).post(plans::begin))
        .route("/api/v1/maintenance", get(maintenance::list).post(maintenance::set))
        .route("/api/v1/maintenance/planned", get(maintenance::list_planned).post(maintenance::plan))
        .route("/api/v1/maintenance/planned/{id}/cancel", post(maintenance::cancel_planned));
    acting
        .route_layer(from_fn_with_state(ApiLimits::default(), limits::limit_acts))
        .route("/api/v1/overview", get(overview::overview))
        .route("/api/v1/instance", get(overview::instance))
        .route("/api/v1/what-if", get(what_if::what_if))
        .route("/api/v1/events/stream", get(events::stream))
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::incident))
        .route("/api/v1/plans/{id}", get(plans::state))
        .route("/api/v1/plans/{id}/stream", get(plans::stream))
        .route("/api/v1/openapi.json", get(openapi::document))
}
