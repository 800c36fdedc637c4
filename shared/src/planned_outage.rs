//! Outages that plans caused on purpose: the stopped instances and those affected by them, as opposed to
//! failures.

use std::collections::{BTreeMap, HashSet};

use crate::overview::{EnvironmentOverview, Health, HostOverview, InstanceId, LocatedInstance, Overview};
use crate::planned_stop::PlannedStop;
use crate::root_cause::RootCause;

/// Stops by one plan that are still in effect in one environment.
#[derive(Clone, Debug)]
pub struct PlannedOutage<'o> {
    /// Most recent of these stops.
    pub stop: &'o PlannedStop,
    /// Instances that were stopped; at least one.
    pub stopped: Vec<LocatedInstance<'o>>,
    /// Instances that are not healthy because of it.
    pub affected: Vec<LocatedInstance<'o>>,
}

/// Returns the planned outages of `environment`, the newest plan first. `root_causes` are those of the whole
/// overview.
pub fn planned_outages<'o>(
    environment: &'o EnvironmentOverview,
    root_causes: &[RootCause<'o>],
) -> Vec<PlannedOutage<'o>> {
    let mut outages: BTreeMap<u64, PlannedOutage<'o>> = BTreeMap::new();
    for host in &environment.hosts {
        for instance in &host.instances {
            let Some(stop) = &instance.stopped_by else { continue };
            let outage = outages.entry(stop.plan).or_insert_with(|| PlannedOutage {
                stop,
                stopped: Vec::new(),
                affected: Vec::new(),
            });
            outage.stop = if stop.at > outage.stop.at { stop } else { outage.stop };
            outage.stopped.push(LocatedInstance { environment, host, instance });
        }
    }
    for trouble in root_causes.iter().filter(|trouble| trouble.environment.name == environment.name) {
        let outage = trouble.planned_stop().and_then(|stop| outages.get_mut(&stop.plan));
        if let Some(outage) = outage {
            let others = trouble.affected.iter().filter(|located| located.instance.stopped_by.is_none());
            outage.affected.extend(others);
        }
    }
    outages.into_values().rev().collect()
}

/// Index of the instances of an overview that are not up on purpose.
#[derive(Clone, Debug, Default)]
pub struct PlannedStopIndex {
    /// Instances that a plan stopped, and instances that run and are affected by nothing else.
    on_purpose: HashSet<InstanceId>,
    /// Number of instances that can be started again, by plan.
    startable: BTreeMap<u64, usize>,
}

impl PlannedStopIndex {
    /// Creates the index of `overview`.
    pub fn new(overview: &Overview) -> Self {
        let mut index = Self::default();
        for located in overview.instances() {
            if let Some(stop) = &located.instance.stopped_by {
                index.on_purpose.insert(located.id());
                *index.startable.entry(stop.plan).or_default() += usize::from(located.instance.startable);
            }
        }
        if index.on_purpose.is_empty() {
            return index;
        }
        // An instance that is down without having been stopped by a plan failed by itself, even if a stopped
        // prerequisite is missing too.
        let suffers = |located: &LocatedInstance<'_>| {
            located.instance.health != Health::Down
                && located.instance.cause.as_ref().is_some_and(|cause| index.on_purpose.contains(cause))
        };
        let affected: Vec<InstanceId> = overview.instances().filter(suffers).map(|one| one.id()).collect();
        index.on_purpose.extend(affected);
        index
    }

    /// Returns the number of instances that this plan stopped and that can be started again.
    pub fn startable(&self, plan: u64) -> usize {
        self.startable.get(&plan).copied().unwrap_or_default()
    }

    /// Returns the plans with instances that can be started again, and the number of these.
    pub fn plans(&self) -> impl Iterator<Item = (u64, usize)> {
        self.startable.iter().map(|(plan, count)| (*plan, *count)).filter(|(_, count)| *count > 0)
    }

    /// Returns true if an instance of the host is not up, and all such instances are so on purpose.
    pub fn explains_host(&self, environment: &EnvironmentOverview, host: &HostOverview) -> bool {
        self.explains_all(host.instances.iter().map(|instance| LocatedInstance {
            environment,
            host,
            instance,
        }))
    }

    /// Returns true if an instance of the environment is not up, and all such instances are so on purpose.
    pub fn explains_environment(&self, environment: &EnvironmentOverview) -> bool {
        let hosts = environment.hosts.iter();
        self.explains_all(hosts.flat_map(|host| {
            host.instances.iter().map(move |instance| LocatedInstance { environment, host, instance })
        }))
    }

    /// Returns true if an instance is not up, and all such instances are so on purpose.
    pub fn explains_everything(&self, overview: &Overview) -> bool {
        self.explains_all(overview.instances())
    }

    fn explains_all<'o>(&self, instances: impl Iterator<Item = LocatedInstance<'o>>) -> bool {
        if self.on_purpose.is_empty() {
            return false;
        }
        let mut bad = instances.filter(|located| located.instance.health != Health::Up).peekable();
        bad.peek().is_some() && bad.all(|located| self.on_purpose.contains(&located.id()))
    }
}

/// Returns `; 7 stopped on purpose`, to be appended to a verdict; empty if `count` is 0.
pub fn on_purpose_note(count: usize) -> String {
    if count == 0 { String::new() } else { format!("; {count} stopped on purpose") }
}

/// Returns the label of a button: `Start these 7 again`.
pub fn start_again_label(count: usize) -> String {
    if count == 1 { "Start it again".to_owned() } else { format!("Start these {count} again") }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::action::Requester;
    use crate::root_cause::find_root_causes;
    use crate::root_cause::tests::{host, instance, overview};

    fn stop(plan: u64) -> Option<PlannedStop> {
        Some(PlannedStop { plan, by: Requester::default(), at: Timestamp::UNIX_EPOCH })
    }

    /// Kafka and the components that need it, and an unrelated `cassandra`.
    fn platform() -> Overview {
        let down = |name: &str, cause| instance(name, Health::Down, cause);
        let kafka = Some(("a", "kafka"));
        let mut shown = overview(vec![
            host("a", true, vec![down("kafka", None), instance("fine", Health::Up, None)]),
            host("b", true, vec![down("detector", kafka), instance("writer", Health::Degraded, kafka)]),
            host("c", true, vec![down("cassandra", None)]),
        ]);
        let hosts = &mut shown.environments[0].hosts;
        hosts[0].instances[0].stopped_by = stop(5).map(Box::new);
        hosts[0].instances[0].startable = true;
        hosts[1].instances[0].stopped_by = stop(5).map(Box::new);
        hosts[2].instances[0].stopped_by = stop(7).map(Box::new);
        shown
    }

    #[test]
    fn stops_are_told_by_their_plan_with_what_suffers_from_them() {
        let shown = platform();
        let outages = planned_outages(&shown.environments[0], &find_root_causes(&shown));
        let names = |located: &[LocatedInstance<'_>]| -> Vec<String> {
            located.iter().map(|located| located.instance.component.to_string()).collect()
        };
        let described: Vec<_> = outages
            .iter()
            .map(|outage| (outage.stop.plan, names(&outage.stopped), names(&outage.affected)))
            .collect();
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            described,
            [(7, text(&["cassandra"]), vec![]), (5, text(&["kafka", "detector"]), text(&["writer"])),]
        );
        let index = PlannedStopIndex::new(&shown);
        assert_eq!(index.plans().collect::<Vec<_>>(), [(5, 1)], "what has no start command is not counted");
    }

    #[test]
    fn only_what_is_bad_on_purpose_alone_is_explained() {
        let mut shown = platform();
        let explained = |shown: &Overview| {
            let (index, environment) = (PlannedStopIndex::new(shown), &shown.environments[0]);
            let hosts: Vec<bool> =
                environment.hosts.iter().map(|host| index.explains_host(environment, host)).collect();
            (hosts, index.explains_environment(environment), index.explains_everything(shown))
        };
        assert_eq!(explained(&shown), (vec![true; 3], true, true));
        // It ended by itself, before its prerequisite was stopped.
        shown.environments[0].hosts[1].instances[0].stopped_by = None;
        assert_eq!(explained(&shown), (vec![true, false, true], false, false));
        let roots: Vec<String> = find_root_causes(&shown)
            .iter()
            .filter(|trouble| trouble.planned_stop().is_none())
            .map(|trouble| trouble.instance.unwrap().component.to_string())
            .collect();
        assert_eq!(roots, ["detector"], "a failure is not folded under what was stopped on purpose");
        shown.environments[0].hosts[1].instances.truncate(0);
        assert!(!explained(&shown).0[1], "nothing of it is bad");
    }
}
