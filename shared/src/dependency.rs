//! Dependencies between instances, across the hosts of an environment.

use std::collections::HashMap;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;

use crate::config::{Dependency, Host, Platform, ProviderIndex, Providers};
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
    requirements: Box<[Requirement]>,
}

/// Requirement of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Required component.
    pub component: Name,
    /// Instances that satisfy the requirement; one of them is enough. Never empty.
    pub providers: ProviderPositions,
}

/// Positions of the instances that satisfy a requirement. Clones share them, and so do the requirements of all
/// instances that any host of their environment can serve: a thousand of these do not have a million edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderPositions(Arc<[usize]>);

impl Deref for ProviderPositions {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a ProviderPositions {
    type Item = &'a usize;
    type IntoIter = slice::Iter<'a, usize>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<usize> for ProviderPositions {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        Self(positions.into_iter().collect())
    }
}

impl DependencyGraph {
    /// Creates the graph of a validated configuration, with instances in its order. The time is proportional
    /// to the number of instances and their dependencies.
    pub fn new(platform: &Platform) -> Self {
        let components: HashMap<&Name, _> =
            platform.components.iter().map(|component| (&component.name, component)).collect();
        let mut builder = RequirementBuilder::new(platform);
        let mut nodes = Vec::with_capacity(builder.instances);
        for host in platform.hosts() {
            for name in &host.components {
                let dependencies = components.get(name).map(|component| component.depends_on.as_slice());
                let id = InstanceId {
                    environment: host.environment.clone(),
                    host: host.name.clone(),
                    component: name.clone(),
                };
                let requirements = dependencies.unwrap_or_default().iter();
                let requirements = requirements.map(|dependency| builder.build(host, dependency)).collect();
                nodes.push(InstanceNode { id, requirements });
            }
        }
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

/// Finds the providers of requirements by lookup, and shares them among requirements.
struct RequirementBuilder<'p> {
    index: ProviderIndex<'p>,
    /// Position of the first instance of each host.
    first: HashMap<&'p Name, usize>,
    /// Number of all instances.
    instances: usize,
    /// Providers in a whole environment, by environment and component.
    shared: HashMap<(&'p Name, &'p Name), ProviderPositions>,
}

impl<'p> RequirementBuilder<'p> {
    fn new(platform: &'p Platform) -> Self {
        let mut instances = 0;
        let mut first = HashMap::new();
        for host in platform.hosts() {
            first.insert(&host.name, instances);
            instances += host.components.len();
        }
        Self { index: ProviderIndex::new(platform), first, instances, shared: HashMap::new() }
    }

    /// Returns the requirement for `dependency` of a component on `host`.
    fn build(&mut self, host: &'p Host, dependency: &'p Dependency) -> Requirement {
        let component = &dependency.component;
        let first = &self.first;
        let position = |provider: &Host| {
            let within = provider.components.iter().position(|carried| carried == component)?;
            Some(first.get(&provider.name)? + within)
        };
        let providers = self.index.providers(host, dependency);
        let providers = match providers {
            Providers::Single(_) => providers.iter().filter_map(position).collect(),
            Providers::Environment(_) => {
                let shared = self.shared.entry((&host.environment, component));
                shared.or_insert_with(|| providers.iter().filter_map(position).collect()).clone()
            }
        };
        Requirement { component: component.clone(), providers }
    }
}

/// Reference from a provider to what waits for it in [`prerequisites_first`].
#[derive(Clone, Copy)]
enum Waiting {
    /// Node that this provider alone can serve.
    Node(usize),
    /// Group of nodes that share a list of several providers.
    Group(usize),
}

/// Nodes that share a list of providers.
struct WaitingGroup {
    /// Number of providers that are not sorted yet.
    open: usize,
    nodes: Vec<usize>,
}

/// Sorts the nodes topologically by Kahn's algorithm. Components have no cycle, so that instances have none
/// and every node is reached. Requirements that share their providers are counted together.
fn prerequisites_first(nodes: &[InstanceNode]) -> Vec<usize> {
    let mut waiting: Vec<Vec<Waiting>> = vec![Vec::new(); nodes.len()];
    let mut groups: Vec<WaitingGroup> = Vec::new();
    let mut known_groups: HashMap<*const usize, usize> = HashMap::new();
    let mut open: Vec<usize> = vec![0; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for requirement in &node.requirements {
            match &*requirement.providers {
                [] => continue,
                [provider] => waiting[*provider].push(Waiting::Node(at)),
                several => {
                    let group = *known_groups.entry(several.as_ptr()).or_insert_with(|| {
                        several
                            .iter()
                            .for_each(|provider| waiting[*provider].push(Waiting::Group(groups.len())));
                        groups.push(WaitingGroup { open: several.len(), nodes: Vec::new() });
                        groups.len() - 1
                    });
                    groups[group].nodes.push(at);
                }
            }
            open[at] += 1;
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|at| open[*at] == 0).collect();
    let mut next = 0;
    let mut satisfy = |at: usize, order: &mut Vec<usize>| {
        open[at] -= 1;
        if open[at] == 0 {
            order.push(at);
        }
    };
    while let Some(at) = order.get(next).copied() {
        next += 1;
        for waiting in &waiting[at] {
            match *waiting {
                Waiting::Node(node) => satisfy(node, &mut order),
                Waiting::Group(group) => {
                    let group = &mut groups[group];
                    group.open -= 1;
                    if group.open == 0 {
                        group.nodes.iter().for_each(|node| satisfy(*node, &mut order));
                    }
                }
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

    #[test]
    fn instances_that_any_host_can_serve_share_their_providers() {
        let hosts: String = (0..50).map(|at| format!("{{ name = \"h{at}\", role = \"r\" }}, ")).collect();
        let text = format!(
            r#"
            [[component]]
            name = "app"
            criteria = [{{ regex = 'app' }}]
            depends_on = [{{ component = "kafka", host = "any" }}]
            [[component]]
            name = "kafka"
            criteria = [{{ regex = 'kafka' }}]
            [[role]]
            name = "r"
            components = ["app", "kafka"]
            [[environment]]
            name = "X"
            host = [{hosts}]
        "#
        );
        let source = Source { name: "x.toml".to_owned(), text };
        let graph = DependencyGraph::new(&load_sources(&[source]).unwrap());
        let apps: Vec<&[usize]> =
            (0..graph.len()).step_by(2).map(|at| &*graph.requirements(at)[0].providers).collect();
        assert_eq!(apps[0].len(), 50);
        assert!(apps.iter().all(|providers| std::ptr::eq(*providers, apps[0])));
        // Every app waits for every kafka.
        let is_app = |at: &usize| graph.id(*at).component == *"app";
        assert!(graph.prerequisites_first()[50..].iter().all(is_app));
    }
}
