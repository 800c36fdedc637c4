//! Conversions of the messages of a stream of overviews.

use super::impairment::impairments_from_wire;
use super::overview::{health_from_wire, leaders_from_wire};
use super::{ProtocolError, from_wire_time, optional, to_wire_time, v1};
use crate::overview::{HostOverview, Overview};
use crate::overview_delta::{EnvironmentDelta, HostChange, HostTimes, OverviewDelta, OverviewUpdate};
use crate::snapshot::Snapshot;

impl From<(u64, OverviewUpdate)> for v1::WatchOverviewResponse {
    fn from((version, update): (u64, OverviewUpdate)) -> Self {
        match update {
            OverviewUpdate::Whole(overview) => {
                Self { version, overview: Some((&overview).into()), delta: None }
            }
            OverviewUpdate::Delta(delta) => Self { version, overview: None, delta: Some((&delta).into()) },
        }
    }
}

impl TryFrom<v1::WatchOverviewResponse> for (u64, OverviewUpdate) {
    type Error = ProtocolError;

    fn try_from(message: v1::WatchOverviewResponse) -> Result<Self, ProtocolError> {
        let update = match (message.overview, message.delta) {
            (Some(overview), _) => OverviewUpdate::Whole(Overview::try_from(overview)?),
            (None, Some(delta)) => OverviewUpdate::Delta(OverviewDelta::try_from(delta)?),
            (None, None) => return Err(ProtocolError::Missing("overview")),
        };
        Ok((message.version, update))
    }
}

fn index_to_wire(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn index_from_wire(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn host_to_wire(index: usize, change: &HostChange) -> v1::HostDelta {
    let index = index_to_wire(index);
    match change {
        HostChange::Host(host) => v1::HostDelta { index, host: Some((&**host).into()), times: None },
        HostChange::Times(times) => v1::HostDelta { index, host: None, times: Some((*times).into()) },
    }
}

impl From<HostTimes> for v1::HostTimes {
    fn from(times: HostTimes) -> Self {
        Self {
            scanned_at: times.scanned_at.map(to_wire_time),
            seen_at: Some(to_wire_time(times.seen_at)),
            scan_micros: times.scan_micros,
            processes_seen: times.processes_seen,
            clock_ahead_millis: times.clock_ahead_millis,
        }
    }
}

impl TryFrom<v1::HostTimes> for HostTimes {
    type Error = ProtocolError;

    fn try_from(times: v1::HostTimes) -> Result<Self, ProtocolError> {
        Ok(Self {
            scanned_at: times.scanned_at.map(from_wire_time).transpose()?,
            seen_at: from_wire_time(times.seen_at.ok_or(ProtocolError::Missing("seen_at"))?)?,
            scan_micros: times.scan_micros,
            processes_seen: times.processes_seen,
            clock_ahead_millis: times.clock_ahead_millis,
        })
    }
}

impl From<&OverviewDelta> for v1::OverviewDelta {
    fn from(delta: &OverviewDelta) -> Self {
        let environments = delta.environments.iter().map(|environment| v1::EnvironmentDelta {
            index: index_to_wire(environment.index),
            health: v1::Health::from(environment.health).into(),
            hosts: environment.hosts.iter().map(|(index, change)| host_to_wire(*index, change)).collect(),
        });
        Self {
            generated_at: Some(to_wire_time(delta.generated_at)),
            environments: environments.collect(),
            config_digest: delta.config_digest.clone(),
            config_error: delta.config_error.clone().unwrap_or_default(),
            impairments: delta.impairments.iter().map(Into::into).collect(),
            leaders: delta.leaders.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::OverviewDelta> for OverviewDelta {
    type Error = ProtocolError;

    fn try_from(delta: v1::OverviewDelta) -> Result<Self, ProtocolError> {
        let host = |changed: v1::HostDelta| {
            let change = match (changed.host, changed.times) {
                (Some(host), _) => HostChange::Host(Snapshot::new(HostOverview::try_from(host)?)),
                (None, Some(times)) => HostChange::Times(times.try_into()?),
                (None, None) => return Err(ProtocolError::Missing("host")),
            };
            Ok((index_from_wire(changed.index), change))
        };
        let environments = delta.environments.into_iter().map(|environment| {
            Ok(EnvironmentDelta {
                index: index_from_wire(environment.index),
                health: health_from_wire(environment.health)?,
                hosts: environment.hosts.into_iter().map(host).collect::<Result<_, ProtocolError>>()?,
            })
        });
        Ok(Self {
            generated_at: from_wire_time(delta.generated_at.ok_or(ProtocolError::Missing("generated_at"))?)?,
            environments: environments.collect::<Result<_, ProtocolError>>()?,
            config_digest: delta.config_digest,
            config_error: optional(delta.config_error),
            impairments: impairments_from_wire(delta.impairments)?,
            leaders: leaders_from_wire(delta.leaders)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::overview::tests::overview;
    use super::*;

    #[test]
    fn messages_come_back() {
        let mut after = overview();
        after.environments[0].hosts[1].error = Some("cut off".to_owned());
        let delta = OverviewDelta::between(&overview(), &after, true).unwrap();
        let mut later = overview();
        let agent = later.environments[0].hosts[0].agent.as_mut().unwrap();
        (agent.seen_at, agent.clock_ahead_millis) = (Timestamp::from_second(9).unwrap(), Some(-3));
        let times = OverviewDelta::between(&overview(), &later, true).unwrap();
        assert!(matches!(times.environments[0].hosts[..], [(0, HostChange::Times(_))]), "{times:?}");
        let deltas = [delta, times].map(OverviewUpdate::Delta);
        for update in [OverviewUpdate::Whole(overview())].into_iter().chain(deltas) {
            let message = v1::WatchOverviewResponse::from((7, update.clone()));
            assert_eq!(message.try_into(), Ok((7, update)));
        }
    }

    #[test]
    fn message_without_content_is_refused() {
        let empty = v1::WatchOverviewResponse::default();
        assert_eq!(<(u64, OverviewUpdate)>::try_from(empty), Err(ProtocolError::Missing("overview")));
    }
}
