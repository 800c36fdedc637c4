//! From a request to its plan. Pure.

use std::collections::HashSet;

use rta_shared::action::ActionKind;
use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::Overview;
use rta_shared::plan::{ActionRequest, Plan};
use tonic::Code;

use crate::operation_error::OperationError;
use crate::plans::planner::make_plan;
use crate::plans::planner_input::{PlannerInput, instance_snapshots};
use crate::plans::rolling::plan_rolling_restart;
use crate::plans::selection::{retain_stopped_by, select_instances};

/// Returns the plan for a request, for the state that `overview` shows. `graph` is that of `platform`.
///
/// # Errors
/// Returns an error if the request names nothing or something unknown, or if no plan fulfils it.
pub(crate) fn plan_request(
    kind: ActionKind,
    platform: &Platform,
    graph: &DependencyGraph,
    overview: &Overview,
    request: &ActionRequest,
) -> Result<Plan, OperationError> {
    if request.stopped_by != 0 && kind != ActionKind::Start {
        let message = "what a plan has stopped can only be started again";
        return Err(OperationError::new(Code::InvalidArgument, message));
    }
    let mut selected = select_instances(platform, request)?;
    if request.stopped_by != 0 {
        retain_stopped_by(request.stopped_by, &mut selected, graph, overview)?;
    }
    let startable: HashSet<&str> = platform
        .components
        .iter()
        .filter(|component| component.start.is_some())
        .map(|component| component.name.folded())
        .collect();
    let snapshots = instance_snapshots(graph, overview, |name| startable.contains(name.folded()));
    let input = PlannerInput { graph, snapshots: &snapshots };
    let Some(rolling) = &request.rolling else {
        return make_plan(kind, input, &selected, request.no_dependencies);
    };
    if kind != ActionKind::Restart {
        let message = format!("only a restart goes batch by batch; a {kind} does not");
        return Err(OperationError::new(Code::InvalidArgument, message));
    }
    let has_probe = |name: &Name| platform.component(name.as_str()).is_some_and(|one| one.probe.is_some());
    plan_rolling_restart(input, &selected, rolling, request.no_dependencies, has_probe)
}
