//! Reverse edges of the dependency graph, by groups of providers.
//!
//! Instances that need any of the same providers share one group. What they all ask of it, "is one of them
//! up, and if not, why", is answered once for all of them, and only a change of the answer concerns them.

use std::collections::HashMap;

use rta_shared::dependency::DependencyGraph;

/// Element of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Instance at this position of the graph.
    Instance(usize),
    /// Group with this number.
    Group(usize),
}

/// Groups of providers, and the order in which they and the instances are evaluated.
#[derive(Debug)]
pub(super) struct RequirementGroups {
    groups: Vec<ProviderGroup>,
    instances: Vec<InstanceEdges>,
    /// Every instance and group, each after all that it depends on.
    order: Vec<Element>,
}

/// Instances of which one is enough for each dependent.
#[derive(Debug)]
pub(super) struct ProviderGroup {
    /// Positions of the providers, in the configuration's order; never empty.
    pub(super) providers: Box<[usize]>,
    /// Positions of the instances that need one of them.
    pub(super) dependents: Vec<usize>,
    /// Position in the order.
    pub(super) rank: usize,
}

/// Groups around one instance.
#[derive(Clone, Debug, Default)]
struct InstanceEdges {
    /// Group of each of its requirements, in their order.
    needs: Vec<usize>,
    /// Groups that it belongs to.
    serves: Vec<usize>,
    rank: usize,
}

impl RequirementGroups {
    /// Groups the requirements of `graph`.
    pub(super) fn new(graph: &DependencyGraph) -> Self {
        let mut groups: Vec<ProviderGroup> = Vec::new();
        let mut instances = vec![InstanceEdges::default(); graph.len()];
        // Requirements may share their list of providers, which then need not be compared.
        let mut by_address: HashMap<(*const usize, usize), usize> = HashMap::new();
        let mut by_providers: HashMap<&[usize], usize> = HashMap::new();
        for (at, edges) in instances.iter_mut().enumerate() {
            for requirement in graph.requirements(at) {
                let providers: &[usize] = &requirement.providers;
                if providers.is_empty() {
                    continue;
                }
                let address = (providers.as_ptr(), providers.len());
                let group = *by_address.entry(address).or_insert_with(|| {
                    *by_providers.entry(providers).or_insert_with(|| {
                        groups.push(ProviderGroup {
                            providers: providers.into(),
                            dependents: vec![],
                            rank: 0,
                        });
                        groups.len() - 1
                    })
                });
                edges.needs.push(group);
                groups[group].dependents.push(at);
            }
        }
        let mut order = Vec::with_capacity(groups.len() + instances.len());
        let mut missing: Vec<usize> = groups.iter().map(|group| group.providers.len()).collect();
        for (number, group) in groups.iter().enumerate() {
            for provider in &group.providers {
                instances[*provider].serves.push(number);
            }
        }
        // A group follows the last of its providers.
        for at in graph.prerequisites_first() {
            instances[*at].rank = order.len();
            order.push(Element::Instance(*at));
            for number in &instances[*at].serves {
                missing[*number] -= 1;
                if missing[*number] == 0 {
                    groups[*number].rank = order.len();
                    order.push(Element::Group(*number));
                }
            }
        }
        Self { groups, instances, order }
    }

    /// Returns the number of instances.
    pub(super) fn instance_count(&self) -> usize {
        self.instances.len()
    }

    /// Returns all groups, by their numbers.
    pub(super) fn groups(&self) -> &[ProviderGroup] {
        &self.groups
    }

    /// Returns the group of each requirement of an instance.
    pub(super) fn needs(&self, at: usize) -> &[usize] {
        &self.instances[at].needs
    }

    /// Returns the groups that an instance belongs to.
    pub(super) fn serves(&self, at: usize) -> &[usize] {
        &self.instances[at].serves
    }

    /// Returns the place of an instance in the order.
    pub(super) fn rank(&self, at: usize) -> usize {
        self.instances[at].rank
    }

    /// Returns the element at a place of the order.
    pub(super) fn element(&self, rank: usize) -> Element {
        self.order[rank]
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};

    use super::*;

    #[test]
    fn instances_that_need_any_of_the_same_providers_share_a_group() {
        let text = r#"
            [[component]]
            name = "app"
            criteria = [{ regex = 'app' }]
            depends_on = ["kafka", "store"]
            [[component]]
            name = "kafka"
            criteria = [{ regex = 'kafka' }]
            depends_on = ["store"]
            [[component]]
            name = "store"
            criteria = [{ regex = 'store' }]
            [[environment]]
            name = "E"
            host = [{ name = "a", components = ["app"] }, { name = "b", components = ["app", "store"] },
                    { name = "k1", components = ["kafka"] }, { name = "k2", components = ["kafka"] }]
        "#;
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
        let groups = RequirementGroups::new(&DependencyGraph::new(&load_sources(&[source]).unwrap()));
        let [app_a, app_b, store, kafka_1, kafka_2] = [0, 1, 2, 3, 4];
        assert_eq!(groups.needs(app_a), groups.needs(app_b));
        let [kafka, of_store] = groups.needs(app_a).try_into().unwrap();
        assert_eq!(&*groups.groups()[kafka].providers, [kafka_1, kafka_2]);
        assert_eq!(groups.groups()[kafka].dependents, [app_a, app_b]);
        assert_eq!(groups.groups()[of_store].dependents, [app_a, app_b, kafka_1, kafka_2]);
        assert_eq!((groups.serves(kafka_2), groups.serves(store)), (&[kafka][..], &[of_store][..]));
        for (number, group) in groups.groups().iter().enumerate() {
            assert_eq!(groups.element(group.rank), Element::Group(number));
            assert!(group.providers.iter().all(|at| groups.rank(*at) < group.rank));
            assert!(group.dependents.iter().all(|at| groups.rank(*at) > group.rank));
        }
    }
}
