//! Evaluation of health from reports: the rules, without clock or I/O.
//!
//! An instance is up only if it runs, once, and everything it needs is up. If its state is not known it is
//! unknown, and nothing that needs it is up; but a certain failure outweighs an unknown state.
//!
//! | module | holds |
//! |---|---|
//! | `local_health` | health of a component by its own processes |
//! | `rules` | health of an instance by its own health and what it needs |
//! | `requirement_groups` | reverse edges of the dependency graph |
//! | `health_results` | health of every instance, evaluated again where it can have changed |
//! | `platform_view` | the environments of the overview, built again where they can have changed |

use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::EnvironmentOverview;
use rta_shared::snapshot::Snapshot;

use crate::clock::ClockPair;
use crate::state::evaluate::platform_view::{Annotations, PlatformView, StaleHosts};
use crate::state::host_state::HostState;
use crate::state::maintenance::ActiveMaintenance;
use crate::state::planned_stops::PlannedStops;
use crate::state::transitions::TransitionTracker;

/// Evaluates the platform once; `host_states` has one entry for each of its hosts, in its order.
pub(crate) fn evaluate_platform(
    platform: &Platform,
    graph: &DependencyGraph,
    host_states: &[HostState],
) -> Vec<Snapshot<EnvironmentOverview>> {
    let (maintenance, mut planned_stops) = (ActiveMaintenance::default(), PlannedStops::default());
    evaluate_with(platform, graph, host_states, &maintenance, &mut planned_stops, ClockPair::now())
}

/// Evaluates the platform once, as [`evaluate_platform`] does, at the moment `now` and with maintenance and
/// planned stops.
pub(crate) fn evaluate_with(
    platform: &Platform,
    graph: &DependencyGraph,
    host_states: &[HostState],
    maintenance: &ActiveMaintenance,
    planned_stops: &mut PlannedStops,
    now: ClockPair,
) -> Vec<Snapshot<EnvironmentOverview>> {
    let mut view = PlatformView::new(platform, graph);
    let mut annotations =
        Annotations { maintenance, planned_stops, transitions: &mut TransitionTracker::default(), now };
    view.update(platform, graph, host_states, StaleHosts::all(), &mut annotations);
    view.environments().to_vec()
}

mod health_results;
mod local_health;
#[cfg(test)]
pub(crate) mod oracle;
pub(crate) mod platform_view;
mod requirement_groups;
mod rules;
#[cfg(test)]
mod tests;
