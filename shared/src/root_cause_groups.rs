//! Root causes of the same kind as one item: thousands of hosts fail in few ways, and one lost switch is one
//! problem.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::name::Name;
use crate::overview::{Health, LocatedInstance};
use crate::root_cause::{RootCause, affected_by};

/// Root causes of the same component, or of whole hosts, with the same health.
#[derive(Clone, Debug)]
pub struct RootCauseGroup<'c, 'o> {
    /// Root cause that stands for the others: the one that affects most.
    pub first: &'c RootCause<'o>,
    /// All root causes of the group, with the first.
    pub causes: Vec<&'c RootCause<'o>>,
}

/// Groups `causes`, which are in the order of [`find_root_causes`](crate::root_cause::find_root_causes). The
/// worst health comes first, then the group that explains most; what is in maintenance comes last.
pub fn group_root_causes<'c, 'o>(
    causes: impl IntoIterator<Item = &'c RootCause<'o>>,
) -> Vec<RootCauseGroup<'c, 'o>> {
    let mut groups: Vec<RootCauseGroup<'c, 'o>> = Vec::new();
    let mut places: HashMap<(Option<&Name>, Health, bool), usize> = HashMap::new();
    for cause in causes {
        let component = cause.instance.map(|instance| &instance.component);
        let key = (component, cause.health(), cause.maintenance().is_some());
        let at = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.causes.push(cause),
            None => groups.push(RootCauseGroup { first: cause, causes: vec![cause] }),
        }
    }
    groups.sort_by_cached_key(|group| {
        let explained = group.causes.len() + group.affected_count();
        (group.first.maintenance().is_some(), Reverse(group.health()), Reverse(explained))
    });
    groups
}

impl<'o> RootCauseGroup<'_, 'o> {
    /// Returns the component; `None` if the root causes are whole hosts.
    pub fn component(&self) -> Option<&'o Name> {
        self.first.instance.map(|instance| &instance.component)
    }

    /// Returns the health of each of them.
    pub fn health(&self) -> Health {
        self.first.health()
    }

    /// Returns the number of environments in which they are.
    pub fn environment_count(&self) -> usize {
        self.causes.iter().map(|cause| &cause.environment.name).collect::<HashSet<_>>().len()
    }

    /// Returns the number of instances that they affect.
    pub fn affected_count(&self) -> usize {
        self.causes.iter().map(|cause| cause.affected.len()).sum()
    }

    /// Returns the instances that they affect.
    pub fn affected(&self) -> Vec<LocatedInstance<'o>> {
        self.causes.iter().flat_map(|cause| &cause.affected).copied().collect()
    }

    /// Returns the consequences: `5 instances degraded by them`; empty if there are none.
    pub fn affected_sentence(&self) -> String {
        let pronoun = if self.causes.len() == 1 { "it" } else { "them" };
        affected_by(&self.affected(), pronoun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root_cause::find_root_causes;
    use crate::root_cause::tests::{host, instance, overview};

    #[test]
    fn causes_of_one_kind_are_one_group_and_the_widest_comes_first() {
        let down = |name: &str| instance(name, Health::Down, None);
        let shown = overview(vec![
            host("a", true, vec![down("zoo"), instance("app", Health::Degraded, Some(("a", "zoo")))]),
            host("b", true, vec![down("kafka"), instance("app", Health::Degraded, Some(("c", "kafka")))]),
            host("c", true, vec![down("kafka"), instance("twice", Health::Degraded, None)]),
            host("d", false, vec![instance("kafka", Health::Unknown, None)]),
            host("e", false, vec![instance("kafka", Health::Unknown, None)]),
        ]);
        let causes = find_root_causes(&shown);
        let groups = group_root_causes(&causes);
        let described: Vec<_> = groups
            .iter()
            .map(|group| {
                let component = group.component().map_or("", Name::as_str);
                let first = group.first.host.name.as_str();
                (component, group.health(), group.causes.len(), first, group.affected_sentence())
            })
            .collect();
        let text = str::to_owned;
        assert_eq!(
            described,
            [
                ("kafka", Health::Down, 2, "c", text("1 instance degraded by them")),
                ("zoo", Health::Down, 1, "a", text("1 instance degraded by it")),
                ("", Health::Unknown, 2, "d", String::new()),
                ("twice", Health::Degraded, 1, "c", String::new()),
            ]
        );
        assert_eq!(groups[0].environment_count(), 1);
    }
}
