//! What differs between two overviews, for the log.

use std::collections::HashMap;

use rta_shared::overview::{HostOverview, Located, Overview};

/// One line in the log for each instance and host that changed. What is only in one of the two was told when
/// the configuration changed.
pub(crate) fn log_changes(before: &Overview, after: &Overview) {
    for (old, new) in
        counterparts(before, after, instances, |located| (&located.host.name, &located.instance.component))
    {
        if old.instance.health != new.instance.health {
            let (from, to) = (old.instance.health.word(), new.instance.health.word());
            let reason = new.instance.reason.as_str();
            tracing::info!(instance = %new.id(), from, to, reason, "health changed");
        }
    }
    for (old, new) in counterparts(before, after, hosts, |host| &host.name) {
        if old.reachable != new.reachable || old.error != new.error {
            match &new.error {
                Some(error) => tracing::warn!(host = %new.name, error, "host unknown"),
                None => tracing::info!(host = %new.name, "host reachable"),
            }
        }
    }
}

fn instances(overview: &Overview) -> Vec<Located<'_>> {
    overview.instances().collect()
}

fn hosts(overview: &Overview) -> Vec<&HostOverview> {
    overview.environments.iter().flat_map(|environment| &environment.hosts).collect()
}

/// Each thing that both overviews have, as it was and as it is.
fn counterparts<'o, T: Copy, K: Eq + std::hash::Hash>(
    before: &'o Overview,
    after: &'o Overview,
    things: impl Fn(&'o Overview) -> Vec<T>,
    key: impl Fn(T) -> K,
) -> Vec<(T, T)> {
    let (old, new) = (things(before), things(after));
    // While the configuration is the same, so are the positions; this runs for every overview.
    if before.config_digest == after.config_digest {
        return old.into_iter().zip(new).collect();
    }
    let known: HashMap<K, T> = old.into_iter().map(|thing| (key(thing), thing)).collect();
    new.into_iter().filter_map(|thing| Some((*known.get(&key(thing))?, thing))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::tests::sample;

    #[test]
    fn hosts_are_held_against_themselves_wherever_they_stand() {
        let before = sample();
        let mut after = sample();
        after.config_digest = "other".to_owned();
        after.environments[0].hosts.remove(0);
        let pairs = counterparts(&before, &after, hosts, |host| &host.name);
        let names: Vec<_> = pairs.iter().map(|(old, new)| (old.name.as_str(), new.name.as_str())).collect();
        assert_eq!(names, [("c2t08978", "c2t08978"), ("c2t08979", "c2t08979")]);
    }
}
