//! Conversions of overviews.

use super::impairment::impairments_from_wire;
use super::report::state_from_wire;
use super::{ProtocolError, down_cause, from_wire_time, optional, optional_name, to_wire_time, v1};
use crate::action::ActionLock;
use crate::autostart::Autostart;
use crate::maintenance::Maintenance;
use crate::name::Name;
use crate::overview::{
    AgentOverview, ComponentAliases, EnvironmentOverview, Health, HostOverview, InstanceId, InstanceOverview,
    LeaderOverview, Overview,
};
use crate::planned_stop::PlannedStop;
use crate::probe::ProbeReport;
use crate::process::Process;
use crate::snapshot::Snapshot;
use crate::usage::HostUsage;

impl From<Health> for v1::Health {
    fn from(health: Health) -> Self {
        match health {
            Health::Up => Self::Up,
            Health::Degraded => Self::Degraded,
            Health::Unknown => Self::Unknown,
            Health::Down => Self::Down,
        }
    }
}

pub(super) fn health_from_wire(health: i32) -> Result<Health, ProtocolError> {
    match v1::Health::try_from(health) {
        Ok(v1::Health::Up) => Ok(Health::Up),
        Ok(v1::Health::Degraded) => Ok(Health::Degraded),
        Ok(v1::Health::Down) => Ok(Health::Down),
        Ok(v1::Health::Unknown | v1::Health::Unspecified) => Ok(Health::Unknown),
        Err(_) => Err(ProtocolError::unknown("health", health)),
    }
}

impl From<&InstanceId> for v1::InstanceId {
    fn from(id: &InstanceId) -> Self {
        Self {
            environment: id.environment.as_str().to_owned(),
            host: id.host.as_str().to_owned(),
            component: id.component.as_str().to_owned(),
        }
    }
}

impl From<v1::InstanceId> for InstanceId {
    fn from(id: v1::InstanceId) -> Self {
        Self {
            environment: Name::from(id.environment),
            host: Name::from(id.host),
            component: Name::from(id.component),
        }
    }
}

impl From<&InstanceOverview> for v1::InstanceOverview {
    fn from(instance: &InstanceOverview) -> Self {
        Self {
            component: instance.component.as_str().to_owned(),
            state: instance.state.map(|state| v1::State::from(state).into()),
            health: v1::Health::from(instance.health).into(),
            processes: instance.processes.iter().map(Into::into).collect(),
            reason: instance.reason.clone(),
            cause: instance.cause.as_deref().map(Into::into),
            startable: instance.startable,
            parts: instance.parts.iter().map(Into::into).collect(),
            probe: instance.probe.as_ref().map(Into::into),
            action: instance.action.as_deref().map(Into::into),
            unit: instance.unit.as_deref().map(Into::into),
            down_cause: instance.down_cause.as_deref().map(Into::into),
            autostart: instance.autostart.as_deref().map(Into::into),
            maintenance: instance.maintenance.as_deref().map(Into::into),
            has_log: instance.has_log,
            since: instance.since.map(to_wire_time),
            stopped_by: instance.stopped_by.as_ref().map(|stop| v1::PlannedStop {
                plan_id: stop.plan,
                by: Some((&stop.by).into()),
                at: Some(to_wire_time(stop.at)),
            }),
        }
    }
}

impl TryFrom<v1::InstanceOverview> for InstanceOverview {
    type Error = ProtocolError;

    fn try_from(instance: v1::InstanceOverview) -> Result<Self, ProtocolError> {
        Ok(Self {
            component: Name::from(instance.component),
            state: instance.state.map(state_from_wire).transpose()?,
            health: health_from_wire(instance.health)?,
            processes: instance
                .processes
                .into_iter()
                .map(Process::try_from)
                .collect::<Result<Vec<_>, _>>()?
                .into(),
            reason: instance.reason,
            cause: instance.cause.map(Into::into).map(Box::new),
            startable: instance.startable,
            parts: instance.parts.into_iter().map(Into::into).collect::<Vec<_>>().into(),
            probe: instance.probe.map(ProbeReport::try_from).transpose()?,
            action: instance.action.map(ActionLock::try_from).transpose()?.map(Box::new),
            unit: instance.unit.map(Into::into).map(Box::new),
            down_cause: down_cause::from_wire(instance.down_cause)?.map(Box::new),
            autostart: instance.autostart.map(Autostart::try_from).transpose()?.map(Box::new),
            maintenance: instance.maintenance.map(Maintenance::try_from).transpose()?.map(Box::new),
            has_log: instance.has_log,
            never_ran: false,
            since: instance.since.map(from_wire_time).transpose()?,
            stopped_by: instance.stopped_by.map(planned_stop).transpose()?.map(Box::new),
        })
    }
}

fn planned_stop(stop: v1::PlannedStop) -> Result<PlannedStop, ProtocolError> {
    Ok(PlannedStop {
        plan: stop.plan_id,
        by: stop.by.unwrap_or_default().into(),
        at: from_wire_time(stop.at.ok_or(ProtocolError::Missing("stopped_by.at"))?)?,
    })
}

impl From<&AgentOverview> for v1::AgentOverview {
    fn from(agent: &AgentOverview) -> Self {
        Self {
            version: agent.version.clone(),
            watch: Some((&agent.watch).into()),
            seen_at: Some(to_wire_time(agent.seen_at)),
            scan_duration_micros: agent.scan_micros,
            processes_seen: agent.processes_seen,
            config_digest: agent.config_digest.clone(),
            config_error: agent.config_error.clone().unwrap_or_default(),
            config_differs: agent.config_differs,
            certificate_ends: agent.certificate_ends.map(to_wire_time),
            boot_id: agent.boot_id.clone(),
            clock_ahead_millis: agent.clock_ahead_millis,
        }
    }
}

impl TryFrom<v1::AgentOverview> for AgentOverview {
    type Error = ProtocolError;

    fn try_from(agent: v1::AgentOverview) -> Result<Self, ProtocolError> {
        Ok(Self {
            version: agent.version,
            watch: agent.watch.ok_or(ProtocolError::Missing("watch"))?.try_into()?,
            seen_at: from_wire_time(agent.seen_at.ok_or(ProtocolError::Missing("seen_at"))?)?,
            scan_micros: agent.scan_duration_micros,
            processes_seen: agent.processes_seen,
            config_digest: agent.config_digest,
            config_error: optional(agent.config_error),
            config_differs: agent.config_differs,
            certificate_ends: agent.certificate_ends.map(from_wire_time).transpose()?,
            boot_id: agent.boot_id,
            clock_ahead_millis: agent.clock_ahead_millis,
        })
    }
}

impl From<&HostOverview> for v1::HostOverview {
    fn from(host: &HostOverview) -> Self {
        Self {
            name: host.name.as_str().to_owned(),
            role: host.role.as_ref().map(|role| role.as_str().to_owned()).unwrap_or_default(),
            health: v1::Health::from(host.health).into(),
            reachable: host.reachable,
            scanned_at: host.scanned_at.map(to_wire_time),
            error: host.error.clone().unwrap_or_default(),
            instances: host.instances.iter().map(|instance| (&**instance).into()).collect(),
            agent: host.agent.as_ref().map(Into::into),
            usage: host.usage.as_ref().map(Into::into),
            maintenance: host.maintenance.as_ref().map(Into::into),
            impairments: host.impairments.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::HostOverview> for HostOverview {
    type Error = ProtocolError;

    fn try_from(host: v1::HostOverview) -> Result<Self, ProtocolError> {
        Ok(Self {
            name: Name::from(host.name),
            role: optional_name(host.role),
            health: health_from_wire(host.health)?,
            reachable: host.reachable,
            scanned_at: host.scanned_at.map(from_wire_time).transpose()?,
            error: optional(host.error),
            instances: host
                .instances
                .into_iter()
                .map(|instance| InstanceOverview::try_from(instance).map(Snapshot::new))
                .collect::<Result<_, _>>()?,
            agent: host.agent.map(AgentOverview::try_from).transpose()?,
            usage: host.usage.map(HostUsage::try_from).transpose()?,
            maintenance: host.maintenance.map(Maintenance::try_from).transpose()?,
            impairments: impairments_from_wire(host.impairments)?,
        })
    }
}

impl From<&ComponentAliases> for v1::ComponentAliases {
    fn from(known: &ComponentAliases) -> Self {
        Self {
            component: known.component.as_str().to_owned(),
            aliases: known.aliases.iter().map(|alias| alias.as_str().to_owned()).collect(),
        }
    }
}

impl From<v1::ComponentAliases> for ComponentAliases {
    fn from(known: v1::ComponentAliases) -> Self {
        Self {
            component: known.component.into(),
            aliases: known.aliases.into_iter().map(Name::from).collect(),
        }
    }
}

impl From<&LeaderOverview> for v1::Leader {
    fn from(leader: &LeaderOverview) -> Self {
        Self {
            address: leader.address.clone(),
            process: leader.process.clone(),
            epoch: leader.epoch,
            since: Some(to_wire_time(leader.since)),
            is_here: leader.is_here,
            environment: leader.environment.as_str().to_owned(),
        }
    }
}

impl TryFrom<v1::Leader> for LeaderOverview {
    type Error = ProtocolError;

    fn try_from(leader: v1::Leader) -> Result<Self, ProtocolError> {
        let v1::Leader { address, process, epoch, since, is_here, environment } = leader;
        let since = from_wire_time(since.ok_or(ProtocolError::Missing("since"))?)?;
        Ok(Self { environment: environment.into(), address, process, epoch, since, is_here })
    }
}

/// Converts the leaders of an overview.
pub(super) fn leaders_from_wire(leaders: Vec<v1::Leader>) -> Result<Vec<LeaderOverview>, ProtocolError> {
    leaders.into_iter().map(LeaderOverview::try_from).collect()
}

impl From<&Overview> for v1::Overview {
    fn from(overview: &Overview) -> Self {
        Self {
            generated_at: Some(to_wire_time(overview.generated_at)),
            environments: overview
                .environments
                .iter()
                .map(|environment| v1::EnvironmentOverview {
                    name: environment.name.as_str().to_owned(),
                    health: v1::Health::from(environment.health).into(),
                    hosts: environment.hosts.iter().map(|host| v1::HostOverview::from(&**host)).collect(),
                })
                .collect(),
            config_digest: overview.config_digest.clone(),
            config_error: overview.config_error.clone().unwrap_or_default(),
            impairments: overview.impairments.iter().map(Into::into).collect(),
            aliases: overview.aliases.iter().map(Into::into).collect(),
            leaders: overview.leaders.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Overview> for Overview {
    type Error = ProtocolError;

    fn try_from(overview: v1::Overview) -> Result<Self, ProtocolError> {
        let environments = overview.environments.into_iter().map(|environment| {
            let hosts =
                environment.hosts.into_iter().map(|host| HostOverview::try_from(host).map(Snapshot::new));
            Ok(Snapshot::new(EnvironmentOverview {
                name: Name::from(environment.name),
                health: health_from_wire(environment.health)?,
                hosts: hosts.collect::<Result<_, _>>()?,
            }))
        });
        Ok(Self {
            generated_at: from_wire_time(
                overview.generated_at.ok_or(ProtocolError::Missing("generated_at"))?,
            )?,
            environments: environments.collect::<Result<_, ProtocolError>>()?,
            config_digest: overview.config_digest,
            config_error: optional(overview.config_error),
            impairments: impairments_from_wire(overview.impairments)?,
            aliases: overview.aliases.into_iter().map(Into::into).collect(),
            leaders: leaders_from_wire(overview.leaders)?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::action::{ActionKind, Requester};
    use crate::impairment::{ImpairedPart, Impairment};
    use crate::process::ProcessId;
    use crate::report::{State, WatchMode, WatchStatus};

    pub(in crate::proto) fn overview() -> Overview {
        let running = InstanceOverview {
            component: "novelty detector".into(),
            state: Some(State::Running),
            health: Health::Degraded,
            processes: vec![Process {
                user: "spark".to_owned(),
                ..Process::new(ProcessId { pid: 9, start_ticks: 8 }, 7)
            }]
            .into(),
            reason: "kafka server on c9t21193 is down".to_owned(),
            cause: Some(Box::new(InstanceId {
                environment: "DEV".into(),
                host: "c9t21193".into(),
                component: "kafka server".into(),
            })),
            startable: false,
            parts: vec![].into(),
            probe: None,
            action: Some(Box::new(ActionLock {
                kind: ActionKind::Stop,
                by: Requester::default(),
                since: Timestamp::UNIX_EPOCH,
            })),
            unit: None,
            down_cause: None,
            autostart: None,
            maintenance: None,
            stopped_by: None,
            has_log: true,
            never_ran: false,
            since: Some(Timestamp::UNIX_EPOCH),
        };
        let unknown =
            InstanceOverview { state: None, health: Health::Unknown, cause: None, ..running.clone() };
        let host = |name: &str, instance: InstanceOverview| HostOverview {
            name: name.into(),
            role: None,
            health: instance.health,
            reachable: instance.state.is_some(),
            scanned_at: Some(Timestamp::UNIX_EPOCH),
            error: instance.state.is_none().then(|| "connection refused".to_owned()),
            instances: vec![instance.into()],
            agent: Some(AgentOverview {
                version: "0.1.0".to_owned(),
                watch: WatchStatus {
                    mode: WatchMode::Scans,
                    fallback: Some("no".to_owned()),
                    overruns: 1,
                    differences: 2,
                },
                seen_at: Timestamp::UNIX_EPOCH,
                scan_micros: 5,
                processes_seen: 6,
                config_digest: "abc".to_owned(),
                config_error: Some("wrong".to_owned()),
                config_differs: true,
                certificate_ends: Some(Timestamp::UNIX_EPOCH),
                boot_id: "boot".to_owned(),
                clock_ahead_millis: Some(-12),
            }),
            usage: None,
            maintenance: None,
            impairments: vec![Impairment::new(ImpairedPart::State, "lost")],
        };
        Overview {
            generated_at: Timestamp::UNIX_EPOCH,
            environments: vec![Snapshot::new(EnvironmentOverview {
                name: "DEV".into(),
                health: Health::Unknown,
                hosts: vec![host("c2t08978", running).into(), host("c9t21193", unknown).into()],
            })],
            config_digest: "abd".to_owned(),
            config_error: Some("wrong".to_owned()),
            impairments: vec![Impairment::new(ImpairedPart::Store, "full")],
            leaders: vec![LeaderOverview {
                environment: "DEV".into(),
                address: "https://a:8080".to_owned(),
                process: "a, pid 12".to_owned(),
                epoch: 3,
                since: Timestamp::UNIX_EPOCH,
                is_here: true,
            }],
            aliases: vec![ComponentAliases {
                component: "kafka server".into(),
                aliases: vec!["broker".into()],
            }],
        }
    }

    #[test]
    fn an_overview_comes_back() {
        let overview = overview();
        assert_eq!(Overview::try_from(v1::Overview::from(&overview)), Ok(overview));
    }

    #[test]
    fn an_unspecified_health_is_unknown_never_up() {
        let mut wire = v1::Overview::from(&overview());
        wire.environments[0].health = 0;
        assert_eq!(Overview::try_from(wire).unwrap().environments[0].health, Health::Unknown);
    }
}
