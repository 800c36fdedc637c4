//! What plans have stopped on purpose, and what has not run since.

use std::collections::{HashMap, HashSet};

use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::{EnvironmentOverview, InstanceId};
use rta_shared::plan::PlannedStop;
use rta_shared::report::State;

/// The stops that hold.
#[derive(Debug, Default)]
pub(crate) struct PlannedStops(HashMap<InstanceId, PlannedStop>);

impl PlannedStops {
    /// Goes on with what an earlier aggregator knew.
    pub(crate) fn new(earlier: HashMap<InstanceId, PlannedStop>) -> Self {
        Self(earlier)
    }

    /// Notes that a plan has stopped an instance.
    pub(crate) fn note(&mut self, id: InstanceId, stop: PlannedStop) {
        self.0.insert(id, stop);
    }

    /// Writes the stops into what was concluded. Returns the instances that run again, or are being started, whose stops
    /// hold no more.
    pub(crate) fn fill(&mut self, environments: &mut [EnvironmentOverview]) -> Vec<InstanceId> {
        let mut ended = Vec::new();
        if self.0.is_empty() {
            return ended;
        }
        for environment in environments {
            for host in &mut environment.hosts {
                for instance in &mut host.instances {
                    let id = InstanceId {
                        environment: environment.name.clone(),
                        host: host.name.clone(),
                        component: instance.component.clone(),
                    };
                    let Some(stop) = self.0.get(&id) else { continue };
                    match instance.state {
                        Some(State::Stopped) => {
                            let own = "it is not running";
                            instance.reason = instance.reason.replacen(own, &stop.to_string(), 1);
                            instance.stopped_by = Some(stop.clone());
                        }
                        Some(State::Running | State::Partial | State::Starting) => {
                            self.0.remove(&id);
                            ended.push(id);
                        }
                        // Nothing is known of it, or it is being stopped again.
                        Some(State::Stopping | State::Unknown) | None => {}
                    }
                }
            }
        }
        ended
    }

    /// Forgets what is not in `graph` any more. Returns those instances.
    pub(crate) fn forget_removed(&mut self, graph: &DependencyGraph) -> Vec<InstanceId> {
        let known: HashSet<&InstanceId> = (0..graph.len()).map(|at| graph.id(at)).collect();
        let removed: Vec<InstanceId> = self.0.keys().filter(|id| !known.contains(id)).cloned().collect();
        removed.iter().for_each(|id| drop(self.0.remove(id)));
        removed
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::control::Requester;
    use rta_shared::overview::Health;

    use super::*;
    use crate::web::page::tests::sample;

    #[test]
    fn stop_is_told_until_the_instance_runs_again() {
        let mut environments = sample().environments;
        let host = &mut environments[0].hosts[0];
        let id = InstanceId {
            environment: "DEV".into(),
            host: host.name.clone(),
            component: host.instances[0].component.clone(),
        };
        let show = |stops: &mut PlannedStops, state, health| {
            let mut shown = environments.clone();
            let instance = &mut shown[0].hosts[0].instances[0];
            instance.state = Some(state);
            instance.health = health;
            instance.reason = "it is not running; it also lacks zoo".to_owned();
            let ended = stops.fill(&mut shown);
            (shown[0].hosts[0].instances[0].clone(), ended)
        };
        let stop = PlannedStop {
            plan: 5,
            by: Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() },
            at: Timestamp::UNIX_EPOCH,
        };
        let mut stops = PlannedStops::new(HashMap::from([(id.clone(), stop.clone())]));
        let (shown, ended) = show(&mut stops, State::Stopped, Health::Down);
        assert_eq!(shown.stopped_by, Some(stop));
        assert_eq!(shown.reason, "stopped by ann (plan 5); it also lacks zoo");
        let later = Timestamp::from_second(120).unwrap();
        assert_eq!(shown.reason_at(later), "stopped by ann 2 min ago (plan 5); it also lacks zoo");
        assert!(ended.is_empty());
        let (shown, ended) = show(&mut stops, State::Running, Health::Up);
        assert_eq!((shown.stopped_by, ended), (None, vec![id]));
        // What ends by itself later was not stopped by the plan.
        let (shown, _) = show(&mut stops, State::Stopped, Health::Down);
        assert_eq!(shown.stopped_by, None);
    }
}
