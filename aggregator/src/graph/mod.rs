//! The dependency graph of one environment as it is drawn: pure, from the configuration's graph and an overview.
//!
//! | module | holds |
//! |---|---|
//! | `lanes` | which hosts are drawn each by itself, and which together |
//! | `gather` | what is drawn |
//! | `layout` | where it is drawn |

mod gather;
mod lanes;
pub(crate) mod layout;

use rta_shared::name::Name;
use rta_shared::overview::{Counts, Health, InstanceId};
use rta_shared::text::counted;

pub(crate) use gather::gather;

/// What is drawn of one environment. Nodes and lanes are told by their position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) nodes: Vec<Node>,
    /// In the order of what needs, then of what is needed.
    pub(crate) edges: Vec<Edge>,
    /// How many instances are on no node, since there would be too many.
    pub(crate) undrawn_instances: usize,
    /// How many edges are left out for the same reason; those that trouble takes are kept first.
    pub(crate) undrawn_edges: usize,
}

/// What is drawn in one row across the drawing.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) place: Place,
    pub(crate) counts: Counts,
}

/// Where the nodes of a lane are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On one host.
    Host { environment: Name, name: Name, role: Option<Name> },
    /// On several hosts of the same role, which are drawn as one.
    Hosts { role: Option<Name>, count: usize },
}

/// One component at one place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) lane: usize,
    pub(crate) component: Name,
    /// One instance, or as many as the lane has hosts that carry it.
    pub(crate) counts: Counts,
    /// Why it is not up; empty where it is, and for several instances.
    pub(crate) reason: String,
    /// It is in trouble of its own, and others are because of it.
    pub(crate) is_cause: bool,
    pub(crate) is_maintained: bool,
}

/// One node needs another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) needing: usize,
    pub(crate) needed: usize,
    /// What is needed is on another host.
    pub(crate) is_across: bool,
    /// Any one of several will do.
    pub(crate) is_choice: bool,
    /// The health of the root cause from which trouble takes this way to what needs.
    pub(crate) trouble: Option<Health>,
}

impl Node {
    pub(crate) fn health(&self) -> Health {
        self.counts.worst().unwrap_or(Health::Unknown)
    }
}

impl Place {
    /// `c9t21193`, or `42 hosts of main-analytic`.
    pub(crate) fn spoken(&self) -> String {
        match self {
            Self::Host { name, .. } => name.to_string(),
            Self::Hosts { role: Some(role), count } => format!("{} of {role}", counted(*count, "host")),
            Self::Hosts { role: None, count } => format!("{} without a role", counted(*count, "host")),
        }
    }
}

impl Graph {
    pub(crate) fn place(&self, node: usize) -> &Place {
        &self.lanes[self.nodes[node].lane].place
    }

    /// The instance that a node stands for; `None` where it stands for those of several hosts.
    pub(crate) fn id(&self, node: usize) -> Option<InstanceId> {
        match self.place(node) {
            Place::Host { environment, name, .. } => Some(InstanceId {
                environment: environment.clone(),
                host: name.clone(),
                component: self.nodes[node].component.clone(),
            }),
            Place::Hosts { .. } => None,
        }
    }

    /// How many hosts are not drawn each by itself.
    pub(crate) fn hosts_together(&self) -> usize {
        let count = |lane: &Lane| match lane.place {
            Place::Host { .. } => 0,
            Place::Hosts { count, .. } => count,
        };
        self.lanes.iter().map(count).sum()
    }

    /// `kafka server on c9t21193`
    pub(crate) fn spoken(&self, node: usize) -> String {
        format!("{} on {}", self.nodes[node].component, self.place(node).spoken())
    }
}

#[cfg(test)]
pub(crate) mod tests;
