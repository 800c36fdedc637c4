//! Environments of the overview, kept up to date: hosts and instances that have not changed stay the same in
//! memory.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use jiff::Timestamp;
use rta_shared::config::{Component, Platform};
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::{
    EnvironmentOverview, Health, HealthCounts, HostOverview, InstanceId, InstanceOverview,
};
use rta_shared::report::ComponentReport;
use rta_shared::snapshot::Snapshot;

use super::health_results::HealthResults;
use super::rules::HealthResult;
use crate::clock::{ClockPair, ClockSkew};
use crate::state::host_state::HostState;
use crate::state::maintenance::ActiveMaintenance;
use crate::state::planned_stops::PlannedStops;
use crate::state::transitions::{TransitionTracker, Transitions};

/// Hosts whose part of the overview may have changed, by their positions in the platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct StaleHosts {
    all: bool,
    hosts: BTreeSet<usize>,
    /// Hosts of which only times and usage may have changed.
    times: BTreeSet<usize>,
}

impl StaleHosts {
    /// Creates the set of every host.
    pub(crate) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Adds a host.
    pub(crate) fn add(&mut self, host: usize) {
        self.hosts.insert(host);
    }

    /// Takes the hosts out. Those of which only times and usage may have changed stay in it without `with_times`.
    pub(crate) fn take(&mut self, with_times: bool) -> Self {
        let mut taken = std::mem::take(self);
        if !with_times && !taken.all {
            self.times = std::mem::take(&mut taken.times);
        }
        taken
    }

    /// Adds the times and the usage of a host.
    pub(crate) fn add_times(&mut self, host: usize) {
        self.times.insert(host);
    }
}

/// What an evaluation adds to the health of the instances.
#[derive(Debug)]
pub(crate) struct Annotations<'a> {
    pub(crate) maintenance: &'a ActiveMaintenance,
    pub(crate) planned_stops: &'a mut PlannedStops,
    /// Has to follow the same configuration as the view.
    pub(crate) transitions: &'a mut TransitionTracker,
    pub(crate) now: ClockPair,
}

/// Changes of the overview by one update.
#[derive(Debug, Default)]
pub(crate) struct ViewChanges {
    /// Positions of the hosts that were built again, in order.
    pub(crate) hosts: Vec<usize>,
    /// Positions of the instances that were built again, in order.
    pub(crate) instances: BTreeSet<usize>,
    /// Instances whose planned stops are over.
    pub(crate) ended_stops: Vec<InstanceId>,
    pub(crate) transitions: Transitions,
}

/// Environments of the overview, with what is needed to update them.
#[derive(Debug)]
pub(crate) struct PlatformView {
    results: HealthResults,
    environments: Vec<Snapshot<EnvironmentOverview>>,
    /// Number of hosts with each health, in each environment.
    host_counts: Vec<HealthCounts>,
    hosts: Vec<HostPlace>,
    hosts_by_name: HashMap<Name, usize>,
    /// Host of each instance.
    host_of: Vec<usize>,
}

/// Place of a host in the overview and in the graph.
#[derive(Debug)]
struct HostPlace {
    environment: usize,
    /// Position in its environment.
    at: usize,
    /// Positions of its instances in the graph.
    instances: Range<usize>,
    certificate_ends: Option<Timestamp>,
}

impl PlatformView {
    /// Creates the view of a platform of which nothing is known: every host has to be updated. `graph` is
    /// that of `platform`.
    pub(crate) fn new(platform: &Platform, graph: &DependencyGraph) -> Self {
        let components: HashMap<&Name, &Component> =
            platform.components.iter().map(|component| (&component.name, component)).collect();
        let (mut hosts, mut host_of) = (Vec::new(), Vec::with_capacity(graph.len()));
        let mut environments = Vec::with_capacity(platform.environments.len());
        for (environment, one) in platform.environments.iter().enumerate() {
            for (at, host) in one.hosts.iter().enumerate() {
                let first = host_of.len();
                host_of.extend(host.components.iter().map(|_| hosts.len()));
                let instances = first..host_of.len();
                hosts.push(HostPlace { environment, at, instances, certificate_ends: None });
            }
            let instance = |name: &Name| {
                let component = components.get(name);
                Snapshot::new(InstanceOverview {
                    startable: component.is_some_and(|component| component.start.is_some()),
                    has_log: component.is_some_and(|component| component.has_log()),
                    ..InstanceOverview::new(name.clone(), Health::Unknown)
                })
            };
            let unknown_hosts = one.hosts.iter().map(|host| {
                Snapshot::new(HostOverview {
                    name: host.name.clone(),
                    role: host.role.clone(),
                    health: Health::Unknown,
                    reachable: false,
                    scanned_at: None,
                    error: None,
                    instances: host.components.iter().map(instance).collect(),
                    agent: None,
                    usage: None,
                    maintenance: None,
                    impairments: Vec::new(),
                })
            });
            environments.push(Snapshot::new(EnvironmentOverview {
                name: one.name.clone(),
                health: Health::Unknown,
                hosts: unknown_hosts.collect(),
            }));
        }
        let count = |one: &Snapshot<EnvironmentOverview>| one.hosts.iter().map(|host| host.health).collect();
        Self {
            results: HealthResults::new(graph),
            host_counts: environments.iter().map(count).collect(),
            hosts_by_name: platform.hosts().enumerate().map(|(at, host)| (host.name.clone(), at)).collect(),
            environments,
            hosts,
            host_of,
        }
    }

    /// Returns the environments.
    pub(crate) fn environments(&self) -> &[Snapshot<EnvironmentOverview>] {
        &self.environments
    }

    /// Returns the position of the host with this name.
    pub(crate) fn position_of_host(&self, name: &Name) -> Option<usize> {
        self.hosts_by_name.get(name).copied()
    }

    /// Returns the host at a position.
    pub(crate) fn host(&self, at: usize) -> &HostOverview {
        let place = &self.hosts[at];
        &self.environments[place.environment].hosts[place.at]
    }

    /// Returns the instance at a position of the graph, with its host.
    pub(crate) fn instance(&self, at: usize) -> (&HostOverview, &InstanceOverview) {
        let place = &self.hosts[self.host_of[at]];
        let host = &self.environments[place.environment].hosts[place.at];
        (host, &host.instances[at - place.instances.start])
    }

    /// Returns the end of each host's certificate that is known, with its environment and name.
    pub(crate) fn certificate_ends(&self) -> impl Iterator<Item = (Timestamp, &Name, &Name)> {
        self.hosts.iter().filter_map(|place| {
            let ends = place.certificate_ends?;
            let environment = &self.environments[place.environment];
            Some((ends, &environment.name, &environment.hosts[place.at].name))
        })
    }

    /// Evaluates the `stale` hosts, and what depends on them. The platform and graph must be those of the
    /// view, and `host_states` those of its hosts, in order.
    pub(crate) fn update(
        &mut self,
        platform: &Platform,
        graph: &DependencyGraph,
        host_states: &[HostState],
        stale: StaleHosts,
        annotations: &mut Annotations<'_>,
    ) -> ViewChanges {
        let StaleHosts { all, mut hosts, mut times } = stale;
        if all {
            hosts = (0..self.hosts.len()).collect();
        }
        let mut changes = ViewChanges::default();
        let positions = hosts.iter().flat_map(|host| self.hosts[*host].instances.clone());
        changes.instances.extend(positions.clone());
        let seen = |at: usize| {
            let host = self.host_of[at];
            let within = at - self.hosts[host].instances.start;
            report_of(host_states, graph.id(at), host, within)
        };
        self.results.update(graph, positions, seen, &mut changes.instances);
        times.append(&mut hosts);
        for host in &times {
            if let Some(known) = host_states.get(*host) {
                self.update_host(*host, known, &platform.digest, annotations, &mut changes.transitions);
            }
        }
        let mut with_instances = BTreeSet::new();
        for at in &changes.instances {
            let host = self.host_of[*at];
            if let Some(known) = host_states.get(host) {
                let ended = &mut changes.ended_stops;
                self.update_instance(*at, graph, known, annotations, ended, &mut changes.transitions);
                with_instances.insert(host);
            }
        }
        for host in &with_instances {
            self.update_host_health(*host);
        }
        times.append(&mut with_instances);
        changes.hosts = times.into_iter().collect();
        changes
    }

    /// Builds the host without its instances and health.
    fn update_host(
        &mut self,
        at: usize,
        known: &HostState,
        digest: &str,
        annotations: &mut Annotations<'_>,
        transitions: &mut Transitions,
    ) {
        let place = &mut self.hosts[at];
        let before = &self.environments[place.environment].hosts[place.at];
        let host = HostOverview {
            name: before.name.clone(),
            role: before.role.clone(),
            health: before.health,
            reachable: known.is_reachable(),
            scanned_at: known.scanned_at(),
            error: known.unknown_reason().map(str::to_owned),
            instances: before.instances.clone(),
            agent: known.agent_overview(digest),
            usage: known.usage(),
            maintenance: annotations.maintenance.of_whole_host(&before.name).cloned(),
            impairments: known.impairments(digest),
        };
        place.certificate_ends = host.agent.as_ref().and_then(|agent| agent.certificate_ends);
        annotations.transitions.track_host(at, &host, annotations.now.wall, transitions);
        if host != **before {
            self.environments[place.environment].hosts[place.at] = Snapshot::new(host);
        }
    }

    fn update_instance(
        &mut self,
        at: usize,
        graph: &DependencyGraph,
        known: &HostState,
        annotations: &mut Annotations<'_>,
        ended_stops: &mut Vec<InstanceId>,
        transitions: &mut Transitions,
    ) {
        let place = &self.hosts[self.host_of[at]];
        let within = at - place.instances.start;
        let environment = &self.environments[place.environment];
        let host = &environment.hosts[place.at];
        let before = &host.instances[within];
        let seen = known.component_report(&host.name, &before.component, within).ok();
        let mut instance = build_instance(before, seen, self.results.of(at), graph);
        correct_times(&mut instance, known.skew());
        let own = annotations.maintenance.of_instance(&host.name, &instance.component);
        instance.maintenance = own.or(host.maintenance.as_ref()).cloned().map(Box::new);
        let (id, now) = (graph.id(at), annotations.now);
        ended_stops.extend(annotations.planned_stops.apply_to(id, &mut instance, now.at, now.wall));
        let is_host_known = host.reachable && host.error.is_none();
        annotations.transitions.track_instance(at, &mut instance, is_host_known, now.wall, transitions);
        if instance != **before {
            let (environment, at) = (place.environment, place.at);
            self.environments[environment].hosts[at].instances[within] = Snapshot::new(instance);
        }
    }

    /// Sets the health of a host and of its environment by their parts.
    fn update_host_health(&mut self, at: usize) {
        let place = &self.hosts[at];
        let environment = &self.environments[place.environment];
        let host = &environment.hosts[place.at];
        let health = worst_health(host.instances.iter().map(|instance| instance.health));
        if host.health == health {
            return;
        }
        let counts = &mut self.host_counts[place.environment];
        counts.remove(host.health);
        counts.add(health);
        let environment = &mut self.environments[place.environment];
        environment.hosts[place.at].health = health;
        environment.health = counts.worst().unwrap_or(Health::Unknown);
    }
}

/// Returns the agent's report of an instance, or the reason why there is none.
fn report_of<'s>(
    host_states: &'s [HostState],
    id: &InstanceId,
    host: usize,
    within: usize,
) -> Result<&'s ComponentReport, String> {
    let known = host_states.get(host).ok_or_else(|| format!("the aggregator does not follow {}", id.host))?;
    known.component_report(&id.host, &id.component, within)
}

/// Builds an instance from its report and its result. What the configuration says of it is as `before`.
fn build_instance(
    before: &InstanceOverview,
    seen: Option<&ComponentReport>,
    result: &HealthResult,
    graph: &DependencyGraph,
) -> InstanceOverview {
    InstanceOverview {
        component: before.component.clone(),
        state: seen.map(|seen| seen.state),
        health: result.health,
        processes: seen.map(|seen| seen.processes.clone()).unwrap_or_default(),
        reason: result.reason.clone(),
        cause: result.cause.map(|root| Box::new(graph.id(root.at).clone())),
        startable: before.startable,
        parts: seen.map(|seen| seen.parts.clone()).unwrap_or_default(),
        probe: seen.and_then(|seen| seen.probe.clone()),
        action: seen.and_then(|seen| seen.action.clone()),
        unit: seen.and_then(|seen| seen.unit.clone()),
        down_cause: seen.and_then(|seen| seen.down_cause.clone()),
        autostart: seen.and_then(|seen| seen.autostart.clone()),
        maintenance: None,
        stopped_by: None,
        since: None,
        has_log: before.has_log,
        never_ran: false,
    }
}

/// Converts the times that the agent gave by its host's clock.
fn correct_times(instance: &mut InstanceOverview, skew: &ClockSkew) {
    if skew.skew_ahead().is_zero() {
        return;
    }
    let correct = |time: &mut Timestamp| *time = skew.correct_time(*time);
    instance.processes.iter_mut().filter_map(|process| process.started_at.as_mut()).for_each(correct);
    instance.probe.iter_mut().for_each(|probe| correct(&mut probe.since));
    instance.action.iter_mut().for_each(|action| correct(&mut action.since));
    instance.down_cause.iter_mut().for_each(|cause| correct(&mut cause.at));
    instance.autostart.iter_mut().filter_map(|autostart| autostart.next_at.as_mut()).for_each(correct);
}

/// Returns the worst health; unknown if there are none.
pub(super) fn worst_health(healths: impl Iterator<Item = Health>) -> Health {
    healths.max().unwrap_or(Health::Unknown)
}
