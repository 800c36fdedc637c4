//! Content of an environment's drawing: its components by place, and their dependencies.

use std::collections::{BTreeMap, HashMap, HashSet};

use rta_shared::dependency::{DependencyGraph, Requirement};
use rta_shared::name::Name;
use rta_shared::overview::{
    EnvironmentOverview, Health, HealthCounts, InstanceId, LocatedInstance, Overview,
};

use super::lanes::{LaneAssignment, assign_lanes};
use super::{EnvironmentGraph, GraphEdge, GraphLane, GraphNode, LanePlace};

/// Maximum number of nodes. Hosts that are drawn individually are always included; a configuration can name
/// more components than this for grouped hosts.
const MAX_NODES: usize = 600;

/// Maximum number of edges: more form one dark patch.
pub(super) const MAX_EDGES: usize = 600;

/// Collects the nodes and edges of `environment` of `overview`; `needs` has the dependencies. The two may
/// belong to different configurations while one replaces the other: instances that only `needs` has are not
/// drawn.
pub(crate) fn build_graph(
    needs: &DependencyGraph,
    overview: &Overview,
    environment: &EnvironmentOverview,
) -> EnvironmentGraph {
    let seen: HashMap<InstanceId, LocatedInstance<'_>> =
        overview.instances().map(|located| (located.id(), located)).collect();
    let LaneAssignment { lanes, lane_of: of } = assign_lanes(environment);
    let located: Vec<Option<LocatedInstance<'_>>> =
        (0..needs.len()).map(|at| seen.get(needs.id(at)).copied()).collect();
    let root = |located: &LocatedInstance<'_>| {
        let root = located.instance.cause.as_ref().and_then(|cause| seen.get(cause));
        root.map_or(located.instance.health, |root| root.instance.health)
    };
    let mut gathering = GraphBuilder {
        needs,
        roots: located.iter().map(|located| located.as_ref().map(root)).collect(),
        located,
        lanes: environment.hosts.iter().map(|host| &host.name).zip(of.iter().copied()).collect(),
        causes: overview.instances().filter_map(|located| located.instance.cause.as_deref()).collect(),
        graph: EnvironmentGraph { lanes, ..EnvironmentGraph::default() },
        nodes: HashMap::new(),
    };
    let mut hosts: Vec<_> = of.into_iter().zip(&environment.hosts).collect();
    // Hosts that are drawn individually come first, and so are never left out.
    hosts.sort_by_key(|(lane, _)| *lane);
    for (lane, host) in hosts {
        for instance in &host.instances {
            gathering.add_instance(lane, LocatedInstance { environment, host, instance });
        }
    }
    gathering.add_edges(&environment.name);
    gathering.graph
}

struct GraphBuilder<'g> {
    needs: &'g DependencyGraph,
    /// Overview entry for each position of `needs`.
    located: Vec<Option<LocatedInstance<'g>>>,
    /// Health of the root cause of an instance that is not up: another instance's, or its own.
    roots: Vec<Option<Health>>,
    /// Lane of each host of the environment.
    lanes: HashMap<&'g Name, usize>,
    /// Root causes of other instances.
    causes: HashSet<&'g InstanceId>,
    graph: EnvironmentGraph,
    /// Node of each component in a lane.
    nodes: HashMap<(usize, &'g Name), usize>,
}

impl<'g> GraphBuilder<'g> {
    /// Adds an instance to its node.
    fn add_instance(&mut self, lane: usize, located: LocatedInstance<'g>) {
        let instance = located.instance;
        let counts: HealthCounts = [instance.health].into_iter().collect();
        let is_cause =
            instance.health != Health::Up && instance.cause.is_none() && self.causes.contains(&located.id());
        if let Some(at) = self.nodes.get(&(lane, &instance.component)) {
            let node = &mut self.graph.nodes[*at];
            node.counts = add_counts(node.counts, counts);
            node.reason.clear();
            node.is_cause |= is_cause;
            node.is_maintained &= instance.maintenance.is_some();
            return;
        }
        if self.graph.nodes.len() >= MAX_NODES {
            self.graph.undrawn_instances += 1;
            return;
        }
        self.nodes.insert((lane, &instance.component), self.graph.nodes.len());
        self.graph.nodes.push(GraphNode {
            lane,
            component: instance.component.clone(),
            counts,
            reason: instance.reason.clone(),
            is_cause,
            is_maintained: instance.maintenance.is_some(),
        });
    }

    /// Adds the edges, and the prerequisites in other environments.
    fn add_edges(&mut self, environment: &Name) {
        let mut places: Vec<Option<usize>> =
            (0..self.needs.len()).map(|at| self.node_of(self.needs.id(at))).collect();
        let mut edges: BTreeMap<(usize, usize), GraphEdge> = BTreeMap::new();
        let needs = self.needs;
        for at in (0..needs.len()).filter(|at| needs.id(*at).environment == *environment) {
            let Some(needing) = places[at] else { continue };
            for requirement in needs.requirements(at) {
                let is_unmet = self.is_unmet(at, requirement);
                for provider in requirement.providers.iter().copied() {
                    if places[provider].is_none() && needs.id(provider).environment != *environment {
                        places[provider] = self.add_external_node(provider);
                    }
                    let Some(needed) = places[provider] else { continue };
                    let is_across = needs.id(provider).host != needs.id(at).host;
                    let edge = edges.entry((needing, needed)).or_insert_with(|| GraphEdge {
                        needing,
                        needed,
                        is_across,
                        is_choice: false,
                        trouble: None,
                    });
                    edge.is_across |= is_across;
                    edge.is_choice |= requirement.providers.len() > 1;
                    if is_unmet {
                        edge.trouble = edge.trouble.max(self.roots[provider]);
                    }
                }
            }
        }
        self.graph.undrawn_edges = edges.len().saturating_sub(MAX_EDGES);
        let mut kept: Vec<GraphEdge> = edges.into_values().collect();
        if kept.len() > MAX_EDGES {
            kept.sort_by_key(|edge| (edge.trouble.is_none(), edge.is_across, edge.needing, edge.needed));
            kept.truncate(MAX_EDGES);
            kept.sort_by_key(|edge| (edge.needing, edge.needed));
        }
        self.graph.edges = kept;
    }

    /// Returns the node of an instance of the environment.
    fn node_of(&self, id: &'g InstanceId) -> Option<usize> {
        let lane = self.lanes.get(&id.host)?;
        self.nodes.get(&(*lane, &id.component)).copied()
    }

    /// Adds a node for an instance of another environment, in a lane of its own host.
    fn add_external_node(&mut self, at: usize) -> Option<usize> {
        let located = self.located[at]?;
        let place = LanePlace::Host {
            environment: located.environment.name.clone(),
            name: located.host.name.clone(),
            role: located.host.role.clone(),
        };
        if self.graph.nodes.len() >= MAX_NODES {
            return None;
        }
        let known = self.graph.lanes.iter().position(|lane| lane.place == place);
        let lane = known.unwrap_or_else(|| {
            self.graph.lanes.push(GraphLane { place, counts: HealthCounts::default() });
            self.graph.lanes.len() - 1
        });
        self.add_instance(lane, located);
        let lane_counts = &mut self.graph.lanes[lane].counts;
        *lane_counts = add_counts(*lane_counts, [located.instance.health].into_iter().collect());
        self.nodes.get(&(lane, &located.instance.component)).copied()
    }

    /// Returns true if no provider is known to be up, and another instance explains why this one is not up.
    fn is_unmet(&self, at: usize, requirement: &Requirement) -> bool {
        let instance = |at: usize| self.located[at].map(|located| located.instance);
        let is_up = |at: &usize| instance(*at).is_some_and(|instance| instance.health == Health::Up);
        instance(at).is_some_and(|instance| instance.cause.is_some())
            && !requirement.providers.iter().any(is_up)
    }
}

fn add_counts(one: HealthCounts, other: HealthCounts) -> HealthCounts {
    HealthCounts {
        up: one.up + other.up,
        degraded: one.degraded + other.degraded,
        unknown: one.unknown + other.unknown,
        down: one.down + other.down,
    }
}
