//! Root causes that outlive an overview: their identity, which of them count, and what has become of earlier
//! ones. Notifications and incidents follow them over time. Pure.

use rta_shared::down_cause::DownKind;
use rta_shared::overview::{Health, HostOverview, InstanceOverview, LocatedInstance, Overview};
use rta_shared::root_cause::{CauseId, RootCause, find_root_causes};
use rta_shared::snapshot::Snapshot;

/// Outcome of an earlier root cause that is none at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CauseOutcome {
    /// It is well, or only suffers from something else.
    Over,
    /// It is not in the configuration any more.
    Removed,
    /// It cannot be told: its host is unknown, or it is down and lacks something that is down, too.
    Undecided,
}

/// Returns the root causes of `overview` that count. A host that has not reported yet is none: nothing is
/// known of it, neither good nor bad. Nor is an instance that never ran and that nobody asked for. What is
/// down because it failed by itself is one of its own, even if what it needs is in maintenance.
pub(crate) fn actual_root_causes(overview: &Overview) -> Vec<RootCause<'_>> {
    let mut all = Vec::new();
    for root in find_root_causes(overview) {
        if (root.instance.is_none() && is_awaited(root.host)) || is_not_in_use(&root) {
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

/// Returns true if both overviews have the same root causes, as far as that is seen without comparing an
/// instance: parts that have not changed are the same in memory.
pub(crate) fn has_same_causes(before: &Overview, after: &Overview) -> bool {
    before.config_digest == after.config_digest
        && are_all(&before.environments, &after.environments, |before, after| {
            Snapshot::ptr_eq(before, after)
                || (before.name == after.name && are_all(&before.hosts, &after.hosts, is_same_host))
        })
}

fn is_same_host(before: &Snapshot<HostOverview>, after: &Snapshot<HostOverview>) -> bool {
    let facts = |host: &HostOverview| (host.name.clone(), host.role.clone(), host.reachable);
    Snapshot::ptr_eq(before, after)
        || (facts(before) == facts(after)
            && before.error == after.error
            && before.maintenance == after.maintenance
            && are_all(&before.instances, &after.instances, Snapshot::ptr_eq))
}

fn are_all<T>(before: &[T], after: &[T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(before, after)| is_same(before, after))
}

fn is_awaited(host: &HostOverview) -> bool {
    !host.reachable && host.error.is_none()
}

/// Returns true for an instance that never ran, as all that needs it never did. If its agent is to keep it
/// running, its first start will tell; if not, nothing that needs it may have such an agent, which would wait
/// for it.
fn is_not_in_use(root: &RootCause<'_>) -> bool {
    let is_kept = |instance: &InstanceOverview| instance.autostart.as_ref().is_some_and(|kept| kept.wanted);
    let is_given_up =
        |instance: &InstanceOverview| instance.autostart.as_ref().is_some_and(|kept| kept.given_up);
    root.instance.is_some_and(|instance| {
        instance.never_ran
            && !is_given_up(instance)
            && root.affected.iter().all(|affected| {
                affected.instance.never_ran && (is_kept(instance) || !is_kept(affected.instance))
            })
    })
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

/// State of an instance or a whole host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CauseState {
    pub(crate) health: Health,
    /// Reason as a sentence.
    pub(crate) reason: String,
}

/// Returns the state of an instance, or of a host that has not reported; `None` if the configuration does not
/// have it.
pub(crate) fn cause_state(overview: &Overview, id: &CauseId) -> Option<CauseState> {
    let host = find_host(overview, id)?;
    let Some(component) = &id.component else {
        let reason = host.error.clone().unwrap_or_else(|| "it has not reported yet".to_owned());
        return Some(CauseState { health: Health::Unknown, reason });
    };
    let instance = host.instances.iter().find(|one| one.component == *component)?;
    Some(CauseState { health: instance.health, reason: instance.reason.clone() })
}

fn find_host<'o>(overview: &'o Overview, id: &CauseId) -> Option<&'o HostOverview> {
    let environment = overview.environments.iter().find(|one| one.name == id.environment)?;
    environment.hosts.iter().find(|host| host.name == id.host).map(|host| &**host)
}

/// Returns the outcome of an earlier root cause.
pub(crate) fn cause_outcome(overview: &Overview, id: &CauseId) -> CauseOutcome {
    let Some(host) = find_host(overview, id) else { return CauseOutcome::Removed };
    let is_unknown = !host.reachable || host.error.is_some();
    match &id.component {
        None if is_unknown => CauseOutcome::Undecided,
        None => CauseOutcome::Over,
        Some(component) => match host.instances.iter().find(|one| one.component == *component) {
            None => CauseOutcome::Removed,
            Some(_) if is_unknown => CauseOutcome::Undecided,
            Some(instance) if instance.never_ran => CauseOutcome::Over,
            Some(instance) if instance.health == Health::Down => CauseOutcome::Undecided,
            Some(_) => CauseOutcome::Over,
        },
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::autostart::Autostart;

    use super::*;
    use crate::sample_overview::sample;

    /// Returns the sample, in which the novelty detector needs kafka server, which never ran, and the
    /// components of the root causes that count.
    fn causes(change: impl FnOnce(&mut InstanceOverview, &mut InstanceOverview)) -> Vec<String> {
        let mut overview = sample();
        let hosts = &mut overview.environments[0].hosts;
        let mut kafka =
            InstanceOverview { never_ran: true, ..InstanceOverview::clone(&hosts[0].instances[0]) };
        let mut detector = InstanceOverview::clone(&hosts[1].instances[0]);
        change(&mut kafka, &mut detector);
        hosts[0].instances = vec![kafka.into()];
        hosts[1].instances = vec![detector.into()];
        let roots = actual_root_causes(&overview);
        let names =
            roots.iter().filter_map(|root| root.instance).map(|one| one.component.as_str().to_owned());
        names.filter(|name| name == "kafka server").collect()
    }

    #[test]
    fn instance_that_never_ran_counts_once_somebody_needs_it() {
        // What runs lacks it.
        assert_eq!(causes(|_, _| {}), ["kafka server"]);
        let unused = |_: &mut InstanceOverview, detector: &mut InstanceOverview| {
            (detector.health, detector.never_ran) = (Health::Down, true);
        };
        assert_eq!(causes(unused), [] as [&str; 0]);
        // It ran before, or its last start failed.
        assert_eq!(
            causes(|kafka, detector| {
                unused(kafka, detector);
                kafka.never_ran = false;
            }),
            ["kafka server"]
        );
        // Its agent, or that of what needs it, is to keep it running.
        let kept = |given_up| {
            Some(Autostart {
                wanted: true,
                why: String::new(),
                restarts: 0,
                restarts_total: 0,
                next_at: None,
                given_up,
                flapping: false,
                last_end: String::new(),
                waiting_for: String::new(),
            })
        };
        for (own, others, expected) in [
            (kept(false), None, &[][..]),
            (kept(false), kept(false), &[]),
            (kept(true), None, &["kafka server"]),
            (None, kept(false), &["kafka server"]),
        ] {
            let found = causes(|kafka, detector| {
                unused(kafka, detector);
                (kafka.autostart, detector.autostart) = (own.map(Box::new), others.map(Box::new));
            });
            assert_eq!(found, *expected);
        }
    }
}
