//! Differences between two overviews, for the log and the event store.

use std::collections::HashMap;

use rta_shared::name::Name;
use rta_shared::overview::{HostOverview, InstanceOverview, LocatedInstance, Overview};
use rta_shared::sanitize::printable;

/// Difference between two overviews.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OverviewChange<'o> {
    /// Health of an instance.
    Health { before: LocatedInstance<'o>, now: LocatedInstance<'o> },
    /// Reachability of a host, or its error.
    Host { now: &'o HostOverview, environment: &'o Name },
    /// Restart count of an instance by its agent, or whether the agent gave up.
    Autostart(LocatedInstance<'o>),
}

/// Returns all differences, in the configuration's order. Instances and hosts in only one of the overviews
/// are left out: they were reported when the configuration changed.
pub(crate) fn diff_overviews<'o>(before: &'o Overview, now: &'o Overview) -> Vec<OverviewChange<'o>> {
    let mut changes = Vec::new();
    // With an unchanged configuration the positions match. This shortcut matters, since every overview is
    // compared.
    if before.config_digest == now.config_digest {
        for (old, new) in hosts_with_environment(before).zip(hosts_with_environment(now)) {
            compare_hosts(old, new, &mut changes);
        }
        for (old, new) in before.instances().zip(now.instances()) {
            compare_instances(old, new, &mut changes);
        }
    } else {
        let known: HashMap<_, _> =
            hosts_with_environment(before).map(|(name, host)| (&host.name, (name, host))).collect();
        for new in hosts_with_environment(now) {
            if let Some(old) = known.get(&new.1.name) {
                compare_hosts(*old, new, &mut changes);
            }
        }
        let known: HashMap<_, _> =
            before.instances().map(|located| (instance_key(located), located)).collect();
        for new in now.instances() {
            if let Some(old) = known.get(&instance_key(new)) {
                compare_instances(*old, new, &mut changes);
            }
        }
    }
    changes
}

type HostInEnvironment<'o> = (&'o Name, &'o HostOverview);

fn hosts_with_environment(overview: &Overview) -> impl Iterator<Item = HostInEnvironment<'_>> {
    overview
        .environments
        .iter()
        .flat_map(|environment| environment.hosts.iter().map(|host| (&environment.name, host)))
}

fn instance_key<'o>(located: LocatedInstance<'o>) -> (&'o Name, &'o Name) {
    (&located.host.name, &located.instance.component)
}

fn compare_hosts<'o>(
    (_, before): HostInEnvironment<'o>,
    (environment, now): HostInEnvironment<'o>,
    changes: &mut Vec<OverviewChange<'o>>,
) {
    if before.reachable != now.reachable || before.error != now.error {
        changes.push(OverviewChange::Host { now, environment });
    }
}

fn compare_instances<'o>(
    before: LocatedInstance<'o>,
    now: LocatedInstance<'o>,
    changes: &mut Vec<OverviewChange<'o>>,
) {
    let (old, new) = (before.instance, now.instance);
    if old.health != new.health {
        changes.push(OverviewChange::Health { before, now });
    }
    let done = |instance: &InstanceOverview| {
        instance.autostart.as_ref().map(|autostart| (autostart.restarts, autostart.given_up))
    };
    if new.autostart.is_some() && done(old) != done(new) {
        changes.push(OverviewChange::Autostart(now));
    }
}

impl OverviewChange<'_> {
    /// Logs the difference as one line.
    pub(crate) fn log_change(&self) {
        match self {
            Self::Health { before, now } => {
                let (from, to) = (before.instance.health.word(), now.instance.health.word());
                let reason = now.instance.reason.as_str();
                tracing::info!(instance = %now.id(), from, to, reason, "health changed");
            }
            Self::Host { now, .. } => match &now.error {
                Some(error) => tracing::warn!(host = %now.name, error, "host unknown"),
                None => tracing::info!(host = %now.name, "host reachable"),
            },
            Self::Autostart(now) => {
                let (restarts, given_up) = now
                    .instance
                    .autostart
                    .as_ref()
                    .map_or((0, false), |autostart| (autostart.restarts, autostart.given_up));
                let end = last_end_text(*now);
                tracing::info!(instance = %now.id(), restarts, given_up, %end, "kept running by its agent");
            }
        }
    }
}

/// Returns the last end of an instance, as its agent reported it.
pub(crate) fn last_end_text(located: LocatedInstance<'_>) -> String {
    let end = located.instance.autostart.as_ref().map(|autostart| autostart.last_end.as_str());
    printable(end.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::tests::sample;

    #[test]
    fn hosts_are_held_against_themselves_wherever_they_stand() {
        let before = sample();
        let mut after = sample();
        assert!(diff_overviews(&before, &after).is_empty());
        after.config_digest = "other".to_owned();
        after.environments[0].hosts.remove(0);
        assert!(diff_overviews(&before, &after).is_empty());
        after.environments[0].hosts[1].error = None;
        let changes = diff_overviews(&before, &after);
        assert!(
            matches!(changes.as_slice(), [OverviewChange::Host { now, .. }] if now.name == *"c2t08979"),
            "{changes:?}"
        );
    }
}
