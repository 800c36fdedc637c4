//! Dependencies between instances, across the hosts of an environment.

use std::collections::HashMap;

use crate::config::Platform;
use crate::name::Name;
use crate::overview::InstanceId;

/// Graph of all instances of the platform and their dependencies. Instances are identified by their position.
#[derive(Clone, Debug)]
pub struct DependencyGraph {
    nodes: Vec<InstanceNode>,
    /// Positions, each after all of its prerequisites.
    order: Vec<usize>,
}

#[derive(Clone, Debug)]
struct InstanceNode {
    id: InstanceId,
    requirements: Vec<Requirement>,
}

/// Requirement of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Required component.
    pub component: Name,
    /// Instances that satisfy the requirement; one of them is enough. Never empty.
    pub providers: Vec<usize>,
}

impl DependencyGraph {
    /// Creates the graph of a validated configuration, with instances in its order.
    pub fn new(platform: &Platform) -> Self {
        let ids: Vec<InstanceId> = platform
            .hosts()
            .flat_map(|host| {
                host.components.iter().map(|component| InstanceId {
                    environment: host.environment.clone(),
                    host: host.name.clone(),
                    component: component.clone(),
                })
            })
            .collect();
        let positions: HashMap<(Name, Name), usize> =
            ids.iter().enumerate().map(|(at, id)| ((id.host.clone(), id.component.clone()), at)).collect();
        let mut requirements = platform.hosts().flat_map(|host| {
            host.components.iter().map(|name| {
                let component = platform.components.iter().find(|component| component.name == *name);
                let dependencies =
                    component.map(|component| component.depends_on.as_slice()).unwrap_or_default();
                dependencies
                    .iter()
                    .map(|dependency| Requirement {
                        component: dependency.component.clone(),
                        providers: platform
                            .providers(host, dependency)
                            .into_iter()
                            .filter_map(|provider| {
                                positions.get(&(provider.name.clone(), dependency.component.clone())).copied()
                            })
                            .collect(),
                    })
                    .collect()
            })
        });
        let nodes: Vec<InstanceNode> = ids
            .into_iter()
            .map(|id| InstanceNode { id, requirements: requirements.next().unwrap_or_default() })
            .collect();
        let order = prerequisites_first(&nodes);
        Self { nodes, order }
    }

    /// Returns the number of instances.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns true for a platform without instances.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the instance at a position below [`DependencyGraph::len`].
    pub fn id(&self, at: usize) -> &InstanceId {
        &self.nodes[at].id
    }

    /// Returns the requirements of the instance at a position, in the configuration's order.
    pub fn requirements(&self, at: usize) -> &[Requirement] {
        &self.nodes[at].requirements
    }

    /// Returns all positions, each after all of its prerequisites.
    pub fn prerequisites_first(&self) -> &[usize] {
        &self.order
    }
}

/// Sorts the nodes topologically by Kahn's algorithm. Components have no cycle, so that instances have none
/// and every node is reached.
fn prerequisites_first(nodes: &[InstanceNode]) -> Vec<usize> {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut open: Vec<usize> = vec![0; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for provider in node.requirements.iter().flat_map(|requirement| &requirement.providers) {
            dependents[*provider].push(at);
            open[at] += 1;
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|at| open[*at] == 0).collect();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        next += 1;
        for dependent in &dependents[at] {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                order.push(*dependent);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load_sources};

    fn graph() -> DependencyGraph {
        let text = r#"
            [[component]]
            name = "app"
            criteria = [{ regex = 'app' }]
            depends_on = ["kafka", { component = "spark", host = "any" }, { component = "store", host = "s1" }]
            [[component]]
            name = "kafka"
            criteria = [{ regex = 'kafka' }]
            [[component]]
            name = "spark"
            criteria = [{ regex = 'spark' }]
            [[component]]
            name = "store"
            criteria = [{ regex = 'store' }]
            [[environment]]
            name = "X"
            host = [{ name = "a1", components = ["app", "kafka", "spark"] },
                    { name = "a2", components = ["app", "spark"] },
                    { name = "s1", components = ["store", "kafka"] }]
        "#;
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
        DependencyGraph::new(&load_sources(&[source]).unwrap())
    }

    fn needs(graph: &DependencyGraph, id: &str) -> Vec<Vec<String>> {
        let at = (0..graph.len()).find(|at| graph.id(*at).to_string() == id).unwrap();
        let ids = |requirement: &Requirement| {
            requirement.providers.iter().map(|at| graph.id(*at).to_string()).collect()
        };
        graph.requirements(at).iter().map(ids).collect()
    }

    #[test]
    fn a_dependency_prefers_the_same_host_and_falls_back_to_the_environment() {
        let graph = graph();
        assert_eq!(
            needs(&graph, "X/a1/app"),
            [vec!["X/a1/kafka"], vec!["X/a1/spark", "X/a2/spark"], vec!["X/s1/store"]]
        );
        assert_eq!(needs(&graph, "X/a2/app")[0], ["X/a1/kafka", "X/s1/kafka"]);
        assert!(needs(&graph, "X/s1/store").is_empty());
    }

    #[test]
    fn prerequisites_come_first_and_nothing_is_lost() {
        let graph = graph();
        let order = graph.prerequisites_first();
        assert_eq!(order.len(), graph.len());
        let rank = |at: usize| order.iter().position(|other| *other == at).unwrap();
        for at in 0..graph.len() {
            for provider in graph.requirements(at).iter().flat_map(|requirement| &requirement.providers) {
                assert!(rank(*provider) < rank(at), "{} before {}", graph.id(*provider), graph.id(at));
            }
        }
    }
}
