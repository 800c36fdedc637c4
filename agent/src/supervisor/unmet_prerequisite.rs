//! Prerequisites of a component that are not known to be up. Pure.

use rta_shared::config::Prerequisite;
use rta_shared::format::joined_list;
use rta_shared::name::Name;
use rta_shared::prerequisite::Readiness;

/// Prerequisite that is not known to be up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnmetPrerequisite {
    /// Name such as `kafka server on c9t17308`; without the host if it is this one.
    pub(crate) what: String,
    /// True if it certainly is not up; false if its state is unknown.
    pub(crate) is_certain: bool,
}

/// Returns the first of `needed` without a ready instance; one that certainly is not up takes precedence.
/// `readiness` returns the readiness of a component on a host. `own` is the host's own name.
pub(crate) fn find_unmet(
    needed: &[Prerequisite],
    own: &Name,
    readiness: impl Fn(&Name, &Name) -> Readiness,
) -> Option<UnmetPrerequisite> {
    let unmet = |needed: &Prerequisite| {
        let known: Vec<Readiness> =
            needed.hosts.iter().map(|host| readiness(host, &needed.component)).collect();
        if known.is_empty() || known.contains(&Readiness::Ready) {
            return None;
        }
        let what = match needed.hosts.as_slice() {
            [host] if host == own => needed.component.to_string(),
            hosts => format!("{} on {}", needed.component, joined_list(hosts, " or ")),
        };
        Some(UnmetPrerequisite { what, is_certain: !known.contains(&Readiness::Unknown) })
    };
    // Certain ones first: `false` sorts before `true`.
    needed.iter().filter_map(unmet).min_by_key(|unmet| !unmet.is_certain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(component: &str, hosts: &[&str]) -> Prerequisite {
        Prerequisite {
            component: component.into(),
            hosts: hosts.iter().map(|host| Name::from(*host)).collect(),
        }
    }

    fn found(needed: &[&Prerequisite], known: &[(&str, &str, Readiness)]) -> Option<(String, bool)> {
        let readiness = |host: &Name, component: &Name| {
            let is_it = |known: &&(&str, &str, Readiness)| *host == *known.0 && *component == *known.1;
            known.iter().find(is_it).map_or(Readiness::Unknown, |known| known.2)
        };
        let needed: Vec<Prerequisite> = needed.iter().map(|needed| (*needed).clone()).collect();
        find_unmet(&needed, &"own".into(), readiness).map(|unmet| (unmet.what, unmet.is_certain))
    }

    #[test]
    fn one_ready_instance_suffices_and_certain_ones_come_first() {
        use Readiness::{NotReady, Ready};
        let certain = |what: &str| Some((what.to_owned(), true));
        let not_known = |what: &str| Some((what.to_owned(), false));
        let zookeeper = needed("zookeeper", &["own"]);
        let kafka = needed("kafka", &["k1"]);
        let any = needed("spark", &["s1", "s2"]);
        assert_eq!(found(&[], &[]), None);
        assert_eq!(found(&[&zookeeper], &[("own", "zookeeper", Ready)]), None);
        assert_eq!(found(&[&zookeeper], &[("own", "zookeeper", NotReady)]), certain("zookeeper"));
        assert_eq!(found(&[&kafka], &[("k1", "kafka", NotReady)]), certain("kafka on k1"));
        assert_eq!(found(&[&kafka], &[]), not_known("kafka on k1"));
        assert_eq!(found(&[&any], &[("s2", "spark", Ready)]), None);
        assert_eq!(found(&[&any], &[("s2", "spark", NotReady)]), not_known("spark on s1 or s2"));
        assert_eq!(found(&[&kafka, &zookeeper], &[("own", "zookeeper", NotReady)]), certain("zookeeper"));
    }
}
