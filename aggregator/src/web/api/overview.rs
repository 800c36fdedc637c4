//! The overview, and one instance of it.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use rta_shared::name::Name;
use rta_shared::overview::InstanceOverview;
use rta_shared::usage::UsageTotal;
use serde::Serialize;
use tonic::Code;

use crate::api::Operations;
use crate::operation_error::OperationError;
use crate::web::instance_query::InstanceQuery;
use crate::web::problem::ApiProblem;

/// Answers `GET /api/v1/overview`.
pub(super) async fn overview(State(operations): State<Operations>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], Json(operations.overview().as_ref().clone()))
}

/// Instance with its place.
#[derive(Serialize)]
struct InstanceAnswer<'o> {
    environment: &'o Name,
    host: &'o Name,
    /// True if its host is known, so that the rest is true now.
    host_reachable: bool,
    instance: &'o InstanceOverview,
    /// Usage of its processes; `None` if it does not run or was not measured.
    usage: Option<UsageTotal>,
    /// CPU time of its processes since the agent began to watch them, in seconds.
    cpu_seconds: Option<f64>,
}

/// Answers `GET /api/v1/instance`.
pub(super) async fn instance(
    State(operations): State<Operations>,
    Query(query): Query<InstanceQuery>,
) -> Result<Response, ApiProblem> {
    let id = operations.resolve_id(&query.into())?;
    let overview = operations.overview();
    let Some(located) = overview.find(&id) else {
        let message = format!("{id} was added to the configuration just now; try again");
        return Err(OperationError::new(Code::Unavailable, message).into());
    };
    let usage = located.host.usage.as_ref();
    let pids = located.instance.processes.iter().map(|process| process.id.pid);
    let answer = InstanceAnswer {
        environment: &located.environment.name,
        host: &located.host.name,
        host_reachable: located.host.reachable,
        instance: located.instance,
        usage: usage.and_then(|usage| usage.total_of(pids)),
        cpu_seconds: usage.and_then(|usage| usage.cpu_seconds(&located.instance.component)),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
