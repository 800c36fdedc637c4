//! Restriction of an overview to selected environments, hosts and components.

use std::collections::HashSet;

use rta_shared::overview::{InstanceOverview, Overview};
use rta_shared::selector::{NameIndex, Purpose, Selector};

use crate::exit::CommandFailure;

/// Returns the selected part of `overview`.
///
/// # Errors
/// Returns an error if a name is not known, with suggestions.
pub(crate) fn filter_overview(
    mut overview: Overview,
    selector: &Selector,
    purpose: Purpose,
) -> Result<Overview, CommandFailure> {
    if selector.is_empty() {
        return Ok(overview);
    }
    let index = NameIndex::from(&overview);
    let selection = selector.resolve(&index, purpose)?;
    let hosts: HashSet<usize> = selection.hosts.iter().map(|host| host.at).collect();
    let environment = selection.environment.cloned();
    let component = selection.component.cloned();
    let mut at = 0..;
    for environment in &mut overview.environments {
        environment.hosts.retain(|_| at.next().is_some_and(|at| hosts.contains(&at)));
        for host in &mut environment.hosts {
            host.instances
                .retain(|instance| component.as_ref().is_none_or(|name| *name == instance.component));
        }
    }
    // One that was named is there, even without hosts.
    overview.environments.retain(|one| !one.hosts.is_empty() || environment.as_ref() == Some(&one.name));
    Ok(overview)
}

/// Keeps the instances that `is_kept`, which is called in the configuration's order, and the hosts and
/// environments that have any.
pub(crate) fn retain_instances(overview: &mut Overview, mut is_kept: impl FnMut(&InstanceOverview) -> bool) {
    for environment in &mut overview.environments {
        for host in &mut environment.hosts {
            host.instances.retain(|instance| is_kept(instance));
        }
        environment.hosts.retain(|host| !host.instances.is_empty());
    }
    overview.environments.retain(|environment| !environment.hosts.is_empty());
}
