//! Root causes in an overview, the worst first, each with the instances that it affects: the first thing that
//! an operator needs.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::format::counted;
use crate::maintenance::Maintenance;
use crate::name::Name;
use crate::overview::{
    EnvironmentOverview, Health, HealthCounts, HostOverview, InstanceId, InstanceOverview, LocatedInstance,
    Overview,
};
use crate::planned_stop::PlannedStop;

/// Identity of a root cause: an instance, or a whole host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CauseId {
    /// Environment of the host.
    pub environment: Name,
    /// Host.
    pub host: Name,
    /// Component; `None`: the whole host.
    pub component: Option<Name>,
}

impl fmt::Display for CauseId {
    /// Writes `kafka server on h1 (ITG)` or `host h1 (ITG)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.component {
            Some(component) => write!(f, "{component} on {} ({})", self.host, self.environment),
            None => write!(f, "host {} ({})", self.host, self.environment),
        }
    }
}

impl CauseId {
    /// Returns the identity of a root cause in an overview.
    pub fn of(root: &RootCause<'_>) -> Self {
        Self {
            environment: root.environment.name.clone(),
            host: root.host.name.clone(),
            component: root.instance.map(|instance| instance.component.clone()),
        }
    }
}

impl From<InstanceId> for CauseId {
    fn from(InstanceId { environment, host, component }: InstanceId) -> Self {
        Self { environment, host, component: Some(component) }
    }
}

/// Root cause.
#[derive(Clone, Debug)]
pub struct RootCause<'o> {
    /// Environment of the root cause.
    pub environment: &'o EnvironmentOverview,
    /// Host of the root cause.
    pub host: &'o HostOverview,
    /// Instance that is the root cause; `None` if the whole host is unknown.
    pub instance: Option<&'o InstanceOverview>,
    /// Instances elsewhere whose bad health it explains.
    pub affected: Vec<LocatedInstance<'o>>,
}

impl RootCause<'_> {
    /// Returns the health of the root cause itself.
    pub fn health(&self) -> Health {
        self.instance.map_or(Health::Unknown, |instance| instance.health)
    }

    /// Returns the plan's stop, if the instance was stopped on purpose.
    pub fn planned_stop(&self) -> Option<&PlannedStop> {
        self.instance.and_then(|instance| instance.stopped_by.as_deref())
    }

    /// Returns the maintenance window that explains it.
    pub fn maintenance(&self) -> Option<&Maintenance> {
        match self.instance {
            Some(instance) => instance.maintenance.as_deref(),
            None => self.host.maintenance.as_ref(),
        }
    }
}

/// Returns all root causes: first those that are down, then unknown, then degraded by themselves; within the
/// same health, those that affect most come first. Root causes in maintenance, or stopped on purpose, come
/// last.
pub fn find_root_causes(overview: &Overview) -> Vec<RootCause<'_>> {
    // One pass over all instances: an outage of a thousand hosts has a thousand root causes.
    let mut by_cause: HashMap<&InstanceId, Vec<LocatedInstance<'_>>> = HashMap::new();
    let mut by_host: HashMap<&Name, Vec<LocatedInstance<'_>>> = HashMap::new();
    let planned: HashSet<InstanceId> = overview
        .instances_of_impaired_hosts()
        .filter(|located| located.instance.stopped_by.is_some())
        .map(|located| located.id())
        .collect();
    for other in overview.instances_of_impaired_hosts() {
        if let Some(cause) = root_of(other.instance, &planned) {
            by_cause.entry(cause).or_default().push(other);
            if other.host.name != cause.host {
                by_host.entry(&cause.host).or_default().push(other);
            }
        }
    }
    let mut root_causes = Vec::new();
    for environment in &overview.environments {
        for host in environment.hosts.iter().filter(|host| !host.is_up()) {
            if !host.reachable || host.error.is_some() {
                let affected = by_host.get(&host.name).cloned().unwrap_or_default();
                root_causes.push(RootCause { environment, host, instance: None, affected });
                continue;
            }
            for instance in &host.instances {
                if instance.health == Health::Up || root_of(instance, &planned).is_some() {
                    continue;
                }
                let id = LocatedInstance { environment, host, instance }.id();
                let affected = by_cause.get(&id).cloned().unwrap_or_default();
                root_causes.push(RootCause { environment, host, instance: Some(instance), affected });
            }
        }
    }
    root_causes.sort_by_key(|cause| {
        (
            cause.maintenance().is_some() || cause.planned_stop().is_some(),
            std::cmp::Reverse(cause.health()),
            std::cmp::Reverse(cause.affected.len()),
        )
    });
    root_causes
}

/// Returns the instance that explains another one's bad health. An instance that ended by itself is not a
/// consequence of the deliberate stops in `planned`.
fn root_of<'o>(instance: &'o InstanceOverview, planned: &HashSet<InstanceId>) -> Option<&'o InstanceId> {
    let ended_by_itself = instance.health == Health::Down && instance.stopped_by.is_none();
    instance.cause.as_deref().filter(|cause| !(ended_by_itself && planned.contains(cause)))
}

/// Returns the instances whose alerts are suppressed: those in maintenance, and those whose bad health is a
/// consequence of maintenance elsewhere. Further problems of the latter have root causes of their own, which
/// alert. An instance that is down failed by itself, even if a prerequisite of it is in maintenance.
pub fn suppressed_instances(overview: &Overview) -> HashSet<InstanceId> {
    let maintained: HashSet<InstanceId> = overview
        .instances()
        .filter(|located| located.instance.maintenance.is_some())
        .map(|located| located.id())
        .collect();
    let affected = overview
        .instances()
        .filter(|located| located.instance.health != Health::Down)
        .filter(|located| located.instance.cause.as_ref().is_some_and(|cause| maintained.contains(cause)))
        .map(|located| located.id())
        .collect::<Vec<_>>();
    maintained.into_iter().chain(affected).collect()
}

/// Returns a summary, the worst first: `all 16 instances up`, or `2 down, 5 degraded of 16 instances`.
pub fn counts_sentence(counts: HealthCounts) -> String {
    match (counts.total(), counts.worst()) {
        (0, _) | (_, None) => "nothing to watch".to_owned(),
        (1, Some(Health::Up)) => "1 instance up".to_owned(),
        (total, Some(Health::Up)) => format!("all {} up", counted(total, "instance")),
        _ => {
            let bad = Health::ALL.into_iter().rev().filter(|health| *health != Health::Up);
            let parts: Vec<String> = bad
                .filter(|health| counts.of(*health) > 0)
                .map(|health| format!("{} {health}", counts.of(health)))
                .collect();
            format!("{} of {}", parts.join(", "), counted(counts.total(), "instance"))
        }
    }
}

/// Returns the consequences of a root cause: `5 instances degraded by it, 2 that need it are down too`; empty
/// if there are none.
pub fn affected_sentence(cause: &RootCause<'_>) -> String {
    affected_by(&cause.affected, "it")
}

/// Returns the [`affected_sentence`] for what `pronoun` affects: "it", or "them" for several root causes.
pub(crate) fn affected_by(affected: &[LocatedInstance<'_>], pronoun: &str) -> String {
    let counts: HealthCounts = affected.iter().map(|located| located.instance.health).collect();
    let parts: Vec<String> = [Health::Degraded, Health::Unknown]
        .into_iter()
        .filter(|health| counts.of(*health) > 0)
        .map(|health| format!("{} {health}", counted(counts.of(health), "instance")))
        .collect();
    let degraded =
        if parts.is_empty() { String::new() } else { format!("{} by {pronoun}", parts.join(", ")) };
    // An instance that is down is not so because of it, but lacks it too.
    let down = match counts.of(Health::Down) {
        0 => String::new(),
        1 => format!("1 that needs {pronoun} is down too"),
        count => format!("{count} that need {pronoun} are down too"),
    };
    let parts: Vec<String> = [degraded, down].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::action::Requester;
    use crate::snapshot::Snapshot;

    pub(crate) fn instance(component: &str, health: Health, cause: Option<(&str, &str)>) -> InstanceOverview {
        InstanceOverview {
            cause: cause.map(|(host, component)| {
                Box::new(InstanceId {
                    environment: "DEV".into(),
                    host: host.into(),
                    component: component.into(),
                })
            }),
            ..InstanceOverview::new(component, health)
        }
    }

    pub(crate) fn host(name: &str, reachable: bool, instances: Vec<InstanceOverview>) -> HostOverview {
        let error = (!reachable).then(|| "gone".to_owned());
        let health = instances.iter().map(|instance| instance.health).max().unwrap_or(Health::Unknown);
        HostOverview {
            name: name.into(),
            role: None,
            health,
            reachable,
            scanned_at: None,
            error,
            instances: instances.into_iter().map(Snapshot::new).collect(),
            agent: None,
            usage: None,
            maintenance: None,
            impairments: vec![],
        }
    }

    pub(crate) fn overview(hosts: Vec<HostOverview>) -> Overview {
        let hosts = hosts.into_iter().map(Snapshot::new).collect();
        let environment = EnvironmentOverview { name: "DEV".into(), health: Health::Up, hosts };
        Overview {
            generated_at: Timestamp::UNIX_EPOCH,
            environments: vec![environment.into()],
            config_digest: String::new(),
            config_error: None,
            impairments: vec![],
            aliases: vec![],
            leaders: Vec::new(),
        }
    }

    #[test]
    fn causes_come_with_what_they_explain_and_the_worst_first() {
        let overview = overview(vec![
            host(
                "s",
                true,
                vec![
                    instance("twice", Health::Degraded, None),
                    instance("detector", Health::Degraded, Some(("a", "kafka"))),
                    instance("writer", Health::Unknown, Some(("b", "spark"))),
                ],
            ),
            host("a", true, vec![instance("kafka", Health::Down, None), instance("fine", Health::Up, None)]),
            host("b", false, vec![instance("spark", Health::Unknown, None)]),
        ]);
        let root_causes = find_root_causes(&overview);
        let described: Vec<_> = root_causes
            .iter()
            .map(|cause| {
                let component = cause.instance.map_or("", |instance| instance.component.as_str());
                (cause.host.name.as_str(), component, affected_sentence(cause))
            })
            .collect();
        assert_eq!(
            described,
            [
                ("a", "kafka", "1 instance degraded by it".to_owned()),
                ("b", "", "1 instance unknown by it".to_owned()),
                ("s", "twice", String::new()),
            ]
        );
    }

    #[test]
    fn what_is_in_maintenance_comes_last_and_alerts_nobody() {
        let maintenance = Some(Maintenance {
            environment: "DEV".into(),
            host: "a".into(),
            component: None,
            since: Timestamp::UNIX_EPOCH,
            until: None,
            reason: String::new(),
            by: Requester::default(),
        });
        let mut maintained = host("a", true, vec![instance("kafka", Health::Down, None)]);
        maintained.maintenance.clone_from(&maintenance);
        maintained.instances[0].maintenance = maintenance.map(Box::new);
        let overview = overview(vec![
            maintained,
            host(
                "b",
                true,
                vec![
                    instance("twice", Health::Degraded, None),
                    instance("detector", Health::Degraded, Some(("a", "kafka"))),
                    instance("writer", Health::Degraded, Some(("b", "twice"))),
                ],
            ),
        ]);
        let order: Vec<_> = find_root_causes(&overview)
            .iter()
            .map(|cause| {
                (cause.instance.unwrap().component.as_str().to_owned(), cause.maintenance().is_some())
            })
            .collect();
        assert_eq!(order, [("twice".to_owned(), false), ("kafka".to_owned(), true)]);
        let mut quiet: Vec<String> =
            suppressed_instances(&overview).iter().map(ToString::to_string).collect();
        quiet.sort();
        assert_eq!(quiet, ["DEV/a/kafka", "DEV/b/detector"]);
    }

    #[test]
    fn a_verdict_names_the_worst_first_and_never_calls_the_unknown_up() {
        let of = |healths: &[Health]| counts_sentence(healths.iter().copied().collect());
        assert_eq!(of(&[Health::Up]), "1 instance up");
        assert_eq!(of(&[Health::Up, Health::Up]), "all 2 instances up");
        assert_eq!(
            of(&[Health::Up, Health::Degraded, Health::Unknown, Health::Down]),
            "1 down, 1 unknown, 1 degraded of 4 instances"
        );
        assert_eq!(of(&[Health::Up, Health::Unknown]), "1 unknown of 2 instances");
        assert_eq!(of(&[]), "nothing to watch");
    }
}
