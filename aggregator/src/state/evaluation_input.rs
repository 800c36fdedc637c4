//! Copy of what an evaluation needs, to evaluate it apart from the state actor, with changes if need be.
//! Pure.

use std::sync::Arc;

use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::EnvironmentOverview;
use rta_shared::snapshot::Snapshot;

use crate::clock::ClockPair;
use crate::state::evaluate::evaluate_with;
use crate::state::host_state::HostState;
use crate::state::maintenance::ActiveMaintenance;
use crate::state::planned_stops::PlannedStops;
use crate::state::transitions::is_yet_to_run;

/// Copy of what an evaluation needs. It shares the reports and the overview with the state actor.
#[derive(Debug)]
pub(crate) struct EvaluationInput {
    pub(crate) platform: Arc<Platform>,
    /// Graph of the platform.
    pub(crate) graph: Arc<DependencyGraph>,
    /// State of each host, in the platform's order.
    pub(crate) host_states: Vec<HostState>,
    pub(crate) maintenance: ActiveMaintenance,
    pub(crate) planned_stops: PlannedStops,
    /// Last evaluation by the state actor.
    pub(crate) shown: Vec<Snapshot<EnvironmentOverview>>,
}

impl EvaluationInput {
    /// Evaluates the platform at the moment `now`, by the rules of the live overview. An instance has the
    /// same health since when the last evaluation shows it, and since no known time if its health differs
    /// from that. What never ran still has not, unless it would be started.
    pub(crate) fn evaluate(&self, now: ClockPair) -> Vec<Snapshot<EnvironmentOverview>> {
        let mut environments = evaluate_with(
            &self.platform,
            &self.graph,
            &self.host_states,
            &self.maintenance,
            &mut self.planned_stops.clone(),
            now,
        );
        for (environment, shown) in environments.iter_mut().zip(&self.shown) {
            for (host, shown) in environment.hosts.iter_mut().zip(&shown.hosts) {
                for (instance, shown) in host.instances.iter_mut().zip(&shown.instances) {
                    if instance.health == shown.health && instance.since != shown.since {
                        instance.since = shown.since;
                    }
                    if shown.never_ran && is_yet_to_run(instance) {
                        instance.never_ran = true;
                    }
                }
            }
        }
        environments
    }
}
