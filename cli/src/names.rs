//! Names that a user can type: completion and abbreviation.

use rta_shared::name::fold;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::planned_outage::PlannedStopIndex;

use crate::line_parser::NameKind;

/// Names of a platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlatformNames {
    instances: Vec<InstanceId>,
    /// IDs of plans whose stopped instances can be started again, sorted.
    plans: Vec<String>,
}

/// Scope of a search for names; empty: everywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameScope {
    pub(crate) environment: String,
    pub(crate) host: String,
}

impl PlatformNames {
    /// Collects the names of `overview`.
    pub(crate) fn from_overview(overview: &Overview) -> Self {
        let plans = PlannedStopIndex::new(overview).plans().map(|(plan, _)| plan.to_string()).collect();
        Self { instances: overview.instances().map(|located| located.id()).collect(), plans }
    }

    /// Returns all names of `kind`, sorted. The scope does not restrict environments, and its host does not
    /// restrict hosts.
    pub(crate) fn of_kind(&self, kind: NameKind, within: &NameScope) -> Vec<&str> {
        if kind == NameKind::Plan {
            return self.plans.iter().map(String::as_str).collect();
        }
        let fits = |wanted: &str, name: &str| wanted.is_empty() || fold(wanted) == fold(name);
        let mut names: Vec<&str> = self
            .instances
            .iter()
            .filter(|id| kind == NameKind::Environment || fits(&within.environment, id.environment.as_str()))
            .filter(|id| kind != NameKind::Component || fits(&within.host, id.host.as_str()))
            .map(|id| match kind {
                NameKind::Environment => id.environment.as_str(),
                NameKind::Host => id.host.as_str(),
                NameKind::Component | NameKind::Plan => id.component.as_str(),
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns the completions of `typed`, without regard to case. For a component that is typed as
    /// `ENVIRONMENT/HOST/COMPONENT` or `HOST/COMPONENT`, one part at a time is completed.
    pub(crate) fn complete(&self, kind: NameKind, within: &NameScope, typed: &str) -> Vec<String> {
        if kind != NameKind::Component || !typed.contains('/') {
            let mut found = filter_by_prefix(typed, self.of_kind(kind, within));
            if kind == NameKind::Component && found.is_empty() {
                found = filter_by_prefix(typed, self.of_kind(NameKind::Environment, within));
                found.extend(filter_by_prefix(typed, self.of_kind(NameKind::Host, within)));
                found.iter_mut().for_each(|place| place.push('/'));
            }
            return found;
        }
        let parts: Vec<&str> = typed.splitn(3, '/').collect();
        let (place, rest) = match parts.as_slice() {
            [environment, host, rest] => {
                (NameScope { environment: (*environment).to_owned(), host: (*host).to_owned() }, *rest)
            }
            [first, rest] => {
                let environment = NameScope { environment: (*first).to_owned(), host: String::new() };
                let hosts = filter_by_prefix(rest, self.of_kind(NameKind::Host, &environment));
                if self.contains(NameKind::Environment, first) && !hosts.is_empty() {
                    return hosts.iter().map(|host| format!("{first}/{host}/")).collect();
                }
                (NameScope { environment: within.environment.clone(), host: (*first).to_owned() }, *rest)
            }
            _ => return Vec::new(),
        };
        let before = &typed[..typed.len() - rest.len()];
        filter_by_prefix(rest, self.of_kind(NameKind::Component, &place))
            .iter()
            .map(|name| format!("{before}{name}"))
            .collect()
    }

    /// Returns true if an item of `kind` has this name.
    pub(crate) fn contains(&self, kind: NameKind, name: &str) -> bool {
        let folded = fold(name);
        self.of_kind(kind, &NameScope::default()).iter().any(|known| fold(known) == folded)
    }
}

/// Returns the names that begin with `typed`; a trailing space ends a word.
fn filter_by_prefix(typed: &str, names: Vec<&str>) -> Vec<String> {
    let space_at_end = typed.ends_with(char::is_whitespace) && !typed.trim().is_empty();
    let typed = fold(typed) + if space_at_end { " " } else { "" };
    names.into_iter().filter(|name| fold(name).starts_with(&typed)).map(str::to_owned).collect()
}

/// Result of matching an abbreviation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameMatch<'n> {
    /// Exactly this name, or the beginning of only this one.
    Unique(&'n str),
    /// Beginning of several names.
    Ambiguous(Vec<&'n str>),
    /// Beginning of no name.
    Missing,
}

/// Matches `typed` with `names`: the equal name, or else the only one that begins with it, or else the only
/// one whose words begin with its words, such as `ka s` for `kafka server`.
pub(crate) fn match_name<'n>(typed: &str, names: &[&'n str]) -> NameMatch<'n> {
    let folded = fold(typed);
    if folded.is_empty() {
        return NameMatch::Missing;
    }
    if let Some(name) = names.iter().find(|name| fold(name) == folded) {
        return NameMatch::Unique(name);
    }
    let by_words = |name: &str| {
        let (name, mut typed) = (fold(name), folded.split(' '));
        let mut words = name.split(' ');
        typed.all(|typed| words.next().is_some_and(|word| word.starts_with(typed)))
    };
    let whole: Vec<&str> = names.iter().copied().filter(|name| fold(name).starts_with(&folded)).collect();
    let found = match whole.is_empty() {
        true => names.iter().copied().filter(|name| by_words(name)).collect(),
        false => whole,
    };
    match found.as_slice() {
        [] => NameMatch::Missing,
        [one] => NameMatch::Unique(one),
        _ => NameMatch::Ambiguous(found),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `DEV` with hosts `c2t1` and `c9t1`, `ITG` with `i1`.
    pub(crate) fn names() -> PlatformNames {
        let id = |environment: &str, host: &str, component: &str| InstanceId {
            environment: environment.into(),
            host: host.into(),
            component: component.into(),
        };
        PlatformNames {
            instances: vec![
                id("DEV", "c2t1", "kafka server"),
                id("DEV", "c2t1", "kafka zookeeper server"),
                id("DEV", "c9t1", "raw writer"),
                id("ITG", "i1", "kafka server"),
                id("ITG", "i1", "it's odd"),
            ],
            plans: vec!["5".to_owned(), "52".to_owned()],
        }
    }

    #[test]
    fn an_abbreviation_means_a_name_only_where_no_other_can_be_meant() {
        let names = ["kafka server", "kafka zookeeper server", "raw writer", "kafka"];
        for (typed, expected) in [
            ("KAFKA  server", NameMatch::Unique("kafka server")),
            ("kafka", NameMatch::Unique("kafka")),
            ("kafka s", NameMatch::Unique("kafka server")),
            ("ka z", NameMatch::Unique("kafka zookeeper server")),
            ("r", NameMatch::Unique("raw writer")),
            ("ka", NameMatch::Ambiguous(vec!["kafka server", "kafka zookeeper server", "kafka"])),
            ("writer", NameMatch::Missing),
            ("", NameMatch::Missing),
        ] {
            assert_eq!(match_name(typed, &names), expected, "{typed}");
        }
    }

    #[test]
    fn full_names_are_proposed_a_part_at_a_time() {
        let names = names();
        for (typed, expected) in [
            ("kafka", &["kafka server", "kafka zookeeper server"] as &[&str]),
            ("de", &["DEV/"]),
            ("DEV/", &["DEV/c2t1/", "DEV/c9t1/"]),
            ("DEV/c9", &["DEV/c9t1/"]),
            ("dev/C9t1/", &["dev/C9t1/raw writer"]),
            ("DEV/c2t1/KAFKA S", &["DEV/c2t1/kafka server"]),
            ("i1/k", &["i1/kafka server"]),
            ("zzz", &[]),
            ("a/b/c/d", &[]),
        ] {
            assert_eq!(
                names.complete(NameKind::Component, &NameScope::default(), typed),
                expected,
                "{typed}"
            );
        }
        let within = NameScope { environment: "dev".to_owned(), host: "c9t1".to_owned() };
        assert_eq!(names.complete(NameKind::Component, &within, ""), ["raw writer"]);
        assert_eq!(names.complete(NameKind::Host, &within, ""), ["c2t1", "c9t1"]);
        assert_eq!(names.complete(NameKind::Environment, &within, ""), ["DEV", "ITG"]);
    }
}
