//! Drawing of the dependency graph of one environment. Pure, from the configuration's graph and an overview.
//!
//! | module | holds |
//! |---|---|
//! | `lanes` | assignment of hosts to lanes |
//! | `build_graph` | nodes and edges |
//! | `layout` | positions |

mod gather;
mod lanes;
pub(crate) mod layout;

use rta_shared::format::counted;
use rta_shared::name::Name;
use rta_shared::overview::{Health, HealthCounts, InstanceId};

pub(crate) use gather::build_graph;

/// Content of the drawing of one environment. Nodes and lanes are identified by their position.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnvironmentGraph {
    pub(crate) lanes: Vec<GraphLane>,
    pub(crate) nodes: Vec<GraphNode>,
    /// Edges ordered by dependent, then by prerequisite.
    pub(crate) edges: Vec<GraphEdge>,
    /// Number of instances without a node, because there would be too many.
    pub(crate) undrawn_instances: usize,
    /// Number of edges left out for the same reason; edges that carry trouble are kept first.
    pub(crate) undrawn_edges: usize,
}

/// Row across the drawing.
#[derive(Clone, Debug)]
pub(crate) struct GraphLane {
    pub(crate) place: LanePlace,
    pub(crate) counts: HealthCounts,
}

/// Place of the nodes of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LanePlace {
    /// Single host.
    Host { environment: Name, name: Name, role: Option<Name> },
    /// Several hosts of the same role, drawn as a group.
    Hosts { role: Option<Name>, count: usize },
}

/// Component at one place.
#[derive(Clone, Debug)]
pub(crate) struct GraphNode {
    pub(crate) lane: usize,
    pub(crate) component: Name,
    /// Health of one instance, or of one for each host of the lane that carries it.
    pub(crate) counts: HealthCounts,
    /// Reason why it is not up; empty if it is up, and for several instances.
    pub(crate) reason: String,
    /// True if it is the root cause of other instances' bad health.
    pub(crate) is_cause: bool,
    pub(crate) is_maintained: bool,
}

/// Dependency of one node on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphEdge {
    pub(crate) needing: usize,
    pub(crate) needed: usize,
    /// True if the prerequisite is on another host.
    pub(crate) is_across: bool,
    /// True if any one of several providers suffices.
    pub(crate) is_choice: bool,
    /// Health of the root cause whose effect reaches the dependent along this edge.
    pub(crate) trouble: Option<Health>,
}

impl GraphNode {
    pub(crate) fn health(&self) -> Health {
        self.counts.worst().unwrap_or(Health::Unknown)
    }
}

impl LanePlace {
    /// Formats as `c9t21193`, or `42 hosts of main-analytic`.
    pub(crate) fn display_name(&self) -> String {
        match self {
            Self::Host { name, .. } => name.to_string(),
            Self::Hosts { role: Some(role), count } => format!("{} of {role}", counted(*count, "host")),
            Self::Hosts { role: None, count } => format!("{} without a role", counted(*count, "host")),
        }
    }
}

impl EnvironmentGraph {
    pub(crate) fn place(&self, node: usize) -> &LanePlace {
        &self.lanes[self.nodes[node].lane].place
    }

    /// Returns the instance of a node; `None` if it stands for several hosts.
    pub(crate) fn id(&self, node: usize) -> Option<InstanceId> {
        match self.place(node) {
            LanePlace::Host { environment, name, .. } => Some(InstanceId {
                environment: environment.clone(),
                host: name.clone(),
                component: self.nodes[node].component.clone(),
            }),
            LanePlace::Hosts { .. } => None,
        }
    }

    /// Returns the number of hosts in groups.
    pub(crate) fn hosts_together(&self) -> usize {
        let count = |lane: &GraphLane| match lane.place {
            LanePlace::Host { .. } => 0,
            LanePlace::Hosts { count, .. } => count,
        };
        self.lanes.iter().map(count).sum()
    }

    /// Formats as `kafka server on c9t21193`.
    pub(crate) fn display_name(&self, node: usize) -> String {
        format!("{} on {}", self.nodes[node].component, self.place(node).display_name())
    }
}

#[cfg(test)]
pub(crate) mod tests;
