//! Pages. Each has a handler, which answers requests, and a view, which renders HTML and does no I/O.
//!
//! | module | holds |
//! |---|---|
//! | `events` | page and JSON of recorded events |
//! | `graph` | page of the dependency graph |
//! | `history` | page and JSON of the timelines |
//! | `incidents` | page of incidents |
//! | `instance` | page of one instance, and preview of an action |
//! | `log` | page of an instance's log |
//! | `maintenance` | page of maintenance, active and planned |
//! | `overview` | overview of the platform: the first page |
//! | `plan` | page of a plan; the actions of buttons, which begin and cancel plans |
//! | `sign_in` | sign-in and sign-out |
//! | `what_if` | page of the overview as it would be |

pub(crate) mod events;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod incidents;
pub(crate) mod instance;
pub(crate) mod log;
pub(crate) mod maintenance;
pub(crate) mod overview;
pub(crate) mod plan;
pub(crate) mod sign_in;
pub(crate) mod what_if;

use axum::Router;
use axum::routing::{get, post};
use rta_shared::action::ActionKind;

use crate::api::Operations;

/// Returns the routes of all pages, and of their JSON. Each also stands in the table of
/// [`rta_shared::authorization`].
pub(crate) fn routes() -> Router<Operations> {
    let action_routes = ActionKind::ALL.into_iter().fold(Router::new(), |router, kind| {
        router.route(&format!("/{kind}"), plan::handler::action_handler(kind))
    });
    action_routes
        .route("/", get(overview::handler::overview_page))
        .route("/instance", get(instance::handler::instance_page))
        .route("/preview", get(instance::handler::preview_page))
        .route("/what-if", get(what_if::handler::what_if_page))
        .route("/sign-in", get(sign_in::handler::sign_in_form).post(sign_in::handler::sign_in))
        .route("/sign-out", post(sign_in::handler::sign_out))
        .route("/graph", get(graph::handler::graph_page))
        .route("/log", get(log::handler::log_page))
        .route("/events", get(events::handler::events_page))
        .route("/api/v1/events", get(events::handler::events_json))
        .route("/incidents", get(incidents::handler::incidents_page))
        .route("/history", get(history::handler::history_page))
        .route("/api/v1/history", get(history::handler::history_json))
        .route("/maintenance", get(maintenance::handler::maintenance_page))
        .route("/maintenance/begin", post(maintenance::handler::begin))
        .route("/maintenance/end", post(maintenance::handler::end))
        .route("/maintenance/plan", post(maintenance::handler::plan))
        .route("/maintenance/cancel", post(maintenance::handler::cancel))
        .route("/plan", get(plan::handler::plan))
        .route("/cancel", post(plan::handler::cancel))
}
