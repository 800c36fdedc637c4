//! Root causes that outlive an overview: their identity, which of them count, and what has become of earlier ones.
//! Notifications and incidents follow them over time. Pure.

use rta_shared::down_cause::DownKind;
use rta_shared::overview::{Health, HostOverview, InstanceOverview, LocatedInstance, Overview};
use rta_shared::root_cause::{CauseId, RootCause, find_root_causes};

/// State of something that is no root cause at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It is well, or only suffers from something else.
    Over,
    /// It is not in the configuration any more.
    Removed,
    /// It cannot be told: its host is unknown, or it is down and lacks something that is down, too.
    Undecided,
}

/// Returns the root causes of `overview` that count. A host that has not reported yet is none: nothing is known of
/// it, neither good nor bad. What is down because it failed by itself is one of its own, even if what it needs is in
/// maintenance.
pub(crate) fn actual_root_causes(overview: &Overview) -> Vec<RootCause<'_>> {
    let mut all = Vec::new();
    for root in find_root_causes(overview) {
        if root.instance.is_none() && is_awaited(root.host) {
            continue;
        }
        if root.maintenance().is_some() {
            for own in root.affected.iter().filter(|affected| is_own_failure(affected)) {
                all.push(RootCause {
                    environment: own.environment,
                    host: own.host,
                    instance: Some(own.instance),
                    affected: Vec::new(),
                });
            }
        }
        all.push(root);
    }
    all
}

fn is_awaited(host: &HostOverview) -> bool {
    !host.reachable && host.error.is_none()
}

/// Returns true for an affected instance that is down by itself and that is not quiet.
fn is_own_failure(affected: &LocatedInstance<'_>) -> bool {
    let instance = affected.instance;
    instance.health == Health::Down && instance.maintenance.is_none() && on_purpose(instance).is_none()
}

/// Returns the sentence of a stop on purpose.
pub(crate) fn on_purpose(instance: &InstanceOverview) -> Option<String> {
    if let Some(stop) = &instance.stopped_by {
        return Some(stop.to_string());
    }
    let cause = instance.down_cause.as_ref().filter(|_| instance.health == Health::Down)?;
    matches!(cause.kind, DownKind::Stopped { .. }).then(|| cause.to_string())
}

/// Returns what has become of something that is no root cause.
pub(crate) fn absence(overview: &Overview, id: &CauseId) -> Absence {
    let environment = overview.environments.iter().find(|one| one.name == id.environment);
    let host = environment.and_then(|one| one.hosts.iter().find(|host| host.name == id.host));
    let Some(host) = host else { return Absence::Removed };
    let is_unknown = !host.reachable || host.error.is_some();
    match &id.component {
        None if is_unknown => Absence::Undecided,
        None => Absence::Over,
        Some(component) => match host.instances.iter().find(|one| one.component == *component) {
            None => Absence::Removed,
            Some(_) if is_unknown => Absence::Undecided,
            Some(instance) if instance.health == Health::Down => Absence::Undecided,
            Some(_) => Absence::Over,
        },
    }
}
