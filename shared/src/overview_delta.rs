//! Difference between two overviews, in proportion to what changed.
//!
//! [`OverviewSender`] and [`OverviewReceiver`] are the two ends of a stream: the first message is a whole
//! overview, and each message after it a difference, unless environments or hosts were added or removed.

use jiff::Timestamp;

use crate::impairment::Impairment;
use crate::overview::{EnvironmentOverview, Health, HostOverview, LeaderOverview, Overview};
use crate::snapshot::Snapshot;

/// What changed from one overview to the next of a platform with the same environments and hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct OverviewDelta {
    /// Time of the new overview, by the aggregator's clock.
    pub generated_at: Timestamp,
    /// As in [`Overview`].
    pub config_digest: String,
    /// As in [`Overview`].
    pub config_error: Option<String>,
    /// As in [`Overview`].
    pub impairments: Vec<Impairment>,
    /// As in [`Overview`].
    pub leaders: Vec<LeaderOverview>,
    /// Environments in which something changed, in ascending order of their index.
    pub environments: Vec<EnvironmentDelta>,
}

/// What changed in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentDelta {
    /// Index of the environment in the overview, from 0.
    pub index: usize,
    /// Worst health of its hosts.
    pub health: Health,
    /// Hosts that changed, each with its index in the environment, from 0, in ascending order.
    pub hosts: Vec<(usize, HostChange)>,
}

/// Change of a host.
#[derive(Clone, Debug, PartialEq)]
pub enum HostChange {
    /// The whole host, as it is now.
    Host(Snapshot<HostOverview>),
    /// Nothing but times. Each host has new ones every second.
    Times(HostTimes),
}

/// Times of a host, which change with each heartbeat of its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTimes {
    /// End of the last full scan; `None` before the first.
    pub scanned_at: Option<Timestamp>,
    /// Time up to which the agent has followed its host.
    pub seen_at: Timestamp,
    /// Duration of the last full scan, in microseconds.
    pub scan_micros: u64,
    /// Number of processes that this scan inspected.
    pub processes_seen: u32,
    /// Lead of the host's clock over the aggregator's, in milliseconds; `None` before the first measurement.
    pub clock_ahead_millis: Option<i64>,
}

impl HostTimes {
    /// Returns the times of a host; `None` if its agent has not been heard of.
    pub fn of(host: &HostOverview) -> Option<Self> {
        let agent = host.agent.as_ref()?;
        Some(Self {
            scanned_at: host.scanned_at,
            seen_at: agent.seen_at,
            scan_micros: agent.scan_micros,
            processes_seen: agent.processes_seen,
            clock_ahead_millis: agent.clock_ahead_millis,
        })
    }

    /// Returns `host` with these times; `None` if its agent has not been heard of.
    fn applied_to(self, host: &HostOverview) -> Option<HostOverview> {
        let Self { scanned_at, seen_at, scan_micros, processes_seen, clock_ahead_millis } = self;
        let mut host = HostOverview { scanned_at, ..host.clone() };
        let agent = host.agent.as_mut()?;
        agent.seen_at = seen_at;
        agent.scan_micros = scan_micros;
        agent.processes_seen = processes_seen;
        agent.clock_ahead_millis = clock_ahead_millis;
        Some(host)
    }
}

impl HostChange {
    /// Returns the change between two different states of a host.
    fn between(before: &HostOverview, after: &Snapshot<HostOverview>) -> Self {
        let is_all = before.equals_except_times(after) && before.usage == after.usage;
        let times = HostTimes::of(after).filter(|_| is_all);
        times.map_or_else(|| Self::Host(after.clone()), Self::Times)
    }

    /// Applies the change to the host before; returns false if it belongs to another one.
    fn apply_to(self, place: &mut Snapshot<HostOverview>) -> bool {
        let changed = match self {
            Self::Host(host) => Some(host).filter(|host| host.name == place.name),
            Self::Times(times) => times.applied_to(place).map(Snapshot::new),
        };
        changed.map(|host| *place = host).is_some()
    }
}

/// Support of deltas by the receiver of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaSupport {
    /// Whole overviews.
    None,
    /// Deltas with whole hosts.
    Hosts,
    /// Deltas with whole hosts or their times.
    HostsAndTimes,
}

/// Delta that does not belong to the overview of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// A message of the stream is missing, or the first one is a delta.
    #[error("the stream of overviews has a gap after message {0}")]
    Gap(u64),
    /// It names an environment or a host that the receiver's overview does not have in that place.
    #[error("a change of the overview is about a host that the overview does not have")]
    OtherHosts,
}

impl OverviewDelta {
    /// Returns the difference; `None` if environments, hosts or aliases differ, so that the whole overview
    /// has to be sent. Compares only what is not the same in memory. Without `with_times` every changed host is
    /// whole.
    pub fn between(before: &Overview, after: &Overview, with_times: bool) -> Option<Self> {
        if before.environments.len() != after.environments.len() || before.aliases != after.aliases {
            return None;
        }
        let mut environments = Vec::new();
        for (index, (before, after)) in before.environments.iter().zip(&after.environments).enumerate() {
            if !Snapshot::ptr_eq(before, after) {
                let delta = EnvironmentDelta::between(index, before, after, with_times)?;
                if !delta.hosts.is_empty() || before.health != after.health {
                    environments.push(delta);
                }
            }
        }
        Some(Self {
            generated_at: after.generated_at,
            config_digest: after.config_digest.clone(),
            config_error: after.config_error.clone(),
            impairments: after.impairments.clone(),
            leaders: after.leaders.clone(),
            environments,
        })
    }

    /// Applies the difference to the overview before.
    ///
    /// # Errors
    /// Returns [`DeltaError::OtherHosts`] if it belongs to another overview; `overview` must not be used
    /// then.
    pub fn apply_to(self, overview: &mut Overview) -> Result<(), DeltaError> {
        overview.generated_at = self.generated_at;
        overview.config_digest = self.config_digest;
        overview.config_error = self.config_error;
        overview.impairments = self.impairments;
        overview.leaders = self.leaders;
        for delta in self.environments {
            let environment = overview.environments.get_mut(delta.index).ok_or(DeltaError::OtherHosts)?;
            environment.health = delta.health;
            for (index, change) in delta.hosts {
                let place = environment.hosts.get_mut(index).ok_or(DeltaError::OtherHosts)?;
                if !change.apply_to(place) {
                    return Err(DeltaError::OtherHosts);
                }
            }
        }
        Ok(())
    }
}

impl EnvironmentDelta {
    fn between(
        index: usize,
        before: &EnvironmentOverview,
        after: &EnvironmentOverview,
        with_times: bool,
    ) -> Option<Self> {
        if before.name != after.name || before.hosts.len() != after.hosts.len() {
            return None;
        }
        let mut hosts = Vec::new();
        for (index, (before, after)) in before.hosts.iter().zip(&after.hosts).enumerate() {
            if Snapshot::ptr_eq(before, after) {
                continue;
            }
            if before.name != after.name {
                return None;
            }
            if before != after {
                let change = if with_times {
                    HostChange::between(before, after)
                } else {
                    HostChange::Host(after.clone())
                };
                hosts.push((index, change));
            }
        }
        Some(Self { index, health: after.health, hosts })
    }
}

/// Message of a stream of overviews.
#[derive(Clone, Debug, PartialEq)]
pub enum OverviewUpdate {
    /// Whole overview.
    Whole(Overview),
    /// Difference to the message before.
    Delta(OverviewDelta),
}

/// Sending end of a stream: remembers what the receiver has.
#[derive(Debug)]
pub struct OverviewSender {
    support: DeltaSupport,
    sent: Option<Overview>,
    version: u64,
}

impl OverviewSender {
    /// Creates the end for a receiver that has nothing, and understands this.
    pub fn new(support: DeltaSupport) -> Self {
        Self { support, sent: None, version: 0 }
    }

    /// Returns the number of the next message, from 1, and the message itself.
    pub fn next(&mut self, overview: &Overview) -> (u64, OverviewUpdate) {
        self.version += 1;
        let with_times = self.support == DeltaSupport::HostsAndTimes;
        let delta = self.sent.as_ref().and_then(|sent| OverviewDelta::between(sent, overview, with_times));
        if self.support != DeltaSupport::None {
            self.sent = Some(overview.clone());
        }
        let update = delta.map_or_else(|| OverviewUpdate::Whole(overview.clone()), OverviewUpdate::Delta);
        (self.version, update)
    }
}

/// Receiving end of a stream.
#[derive(Debug, Default)]
pub struct OverviewReceiver {
    current: Option<Overview>,
    version: u64,
}

impl OverviewReceiver {
    /// Returns the overview after the message with this number. A whole overview is taken with any number,
    /// since aggregators of earlier versions do not number their messages.
    ///
    /// # Errors
    /// Returns an error if a message is missing or belongs to another overview. The stream has to be opened
    /// again then, which sends the whole overview.
    pub fn receive(&mut self, version: u64, update: OverviewUpdate) -> Result<Overview, DeltaError> {
        let overview = match (update, self.current.take()) {
            (OverviewUpdate::Whole(overview), _) => overview,
            (OverviewUpdate::Delta(delta), Some(mut current)) if version == self.version + 1 => {
                delta.apply_to(&mut current)?;
                current
            }
            (OverviewUpdate::Delta(_), _) => return Err(DeltaError::Gap(self.version)),
        };
        self.version = version;
        self.current = Some(overview.clone());
        Ok(overview)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::overview::{AgentOverview, InstanceOverview};
    use crate::report::{WatchMode, WatchStatus};

    /// Returns an overview of environments with these numbers of hosts.
    fn overview(hosts: &[usize]) -> Overview {
        let host = |number: usize| {
            Snapshot::new(HostOverview {
                name: format!("h{number}").into(),
                role: None,
                health: Health::Up,
                reachable: true,
                scanned_at: None,
                error: None,
                instances: vec![InstanceOverview::new("kafka server", Health::Up).into()],
                agent: None,
                usage: None,
                maintenance: None,
                impairments: vec![],
            })
        };
        let environments = hosts.iter().enumerate().map(|(number, hosts)| {
            let hosts = (0..*hosts).map(host).collect();
            Snapshot::new(EnvironmentOverview {
                name: format!("E{number}").into(),
                health: Health::Up,
                hosts,
            })
        });
        Overview {
            generated_at: Timestamp::UNIX_EPOCH,
            environments: environments.collect(),
            config_digest: String::new(),
            config_error: None,
            impairments: vec![],
            aliases: vec![],
            leaders: Vec::new(),
        }
    }

    fn set_health(overview: &mut Overview, (environment, host): (usize, usize), health: Health) {
        let Some(environment) = overview.environments.get_mut(environment) else { return };
        if let Some(host) = environment.hosts.get_mut(host) {
            host.health = health;
            host.instances[0].health = health;
        }
        environment.health = environment.hosts.iter().map(|host| host.health).max().unwrap_or(Health::Up);
    }

    #[test]
    fn only_the_changed_host_is_sent() {
        let before = overview(&[3, 2]);
        let mut after = before.clone();
        set_health(&mut after, (1, 1), Health::Down);
        let mut sender = OverviewSender::new(DeltaSupport::HostsAndTimes);
        assert!(matches!(sender.next(&before), (1, OverviewUpdate::Whole(_))));
        let (2, OverviewUpdate::Delta(delta)) = sender.next(&after) else { unreachable!() };
        let [environment] = &delta.environments[..] else { unreachable!() };
        assert_eq!((environment.index, environment.health), (1, Health::Down));
        assert_eq!(environment.hosts.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
        let (3, OverviewUpdate::Delta(delta)) = sender.next(&after) else { unreachable!() };
        assert_eq!(delta.environments, []);
    }

    fn agent(seen_at: i64) -> AgentOverview {
        let watch = WatchStatus { mode: WatchMode::Events, fallback: None, overruns: 0, differences: 0 };
        AgentOverview {
            version: "1".to_owned(),
            watch,
            seen_at: Timestamp::from_second(seen_at).unwrap(),
            scan_micros: 5,
            processes_seen: 6,
            config_digest: String::new(),
            config_error: None,
            config_differs: false,
            certificate_ends: None,
            boot_id: String::new(),
            clock_ahead_millis: None,
        }
    }

    #[test]
    fn of_a_heartbeat_only_the_times_are_sent() {
        let mut before = overview(&[2]);
        before.environments[0].hosts[1].agent = Some(agent(1));
        let mut after = before.clone();
        after.environments[0].hosts[1].agent = Some(agent(2));
        let sent = |support| {
            let mut sender = OverviewSender::new(support);
            sender.next(&before);
            let (_, OverviewUpdate::Delta(delta)) = sender.next(&after) else { unreachable!() };
            delta.environments[0].hosts.clone()
        };
        let whole = HostChange::Host(after.environments[0].hosts[1].clone());
        assert_eq!(sent(DeltaSupport::Hosts), [(1, whole)]);
        let times = HostTimes::of(&after.environments[0].hosts[1]).unwrap();
        assert_eq!(sent(DeltaSupport::HostsAndTimes), [(1, HostChange::Times(times))]);
        // They belong to no host whose agent has not been heard of.
        assert!(!HostChange::Times(times).apply_to(&mut before.environments[0].hosts[0]));
        assert!(HostChange::Times(times).apply_to(&mut before.environments[0].hosts[1]));
        assert_eq!(before, after);
    }

    #[test]
    fn receiver_of_an_earlier_version_gets_whole_overviews() {
        let mut sender = OverviewSender::new(DeltaSupport::None);
        for version in 1..3 {
            assert_eq!(sender.next(&overview(&[1])), (version, OverviewUpdate::Whole(overview(&[1]))));
        }
    }

    #[test]
    fn gap_or_another_host_is_an_error_never_a_wrong_overview() {
        let before = overview(&[2]);
        let mut after = before.clone();
        set_health(&mut after, (0, 1), Health::Down);
        let delta = || OverviewUpdate::Delta(OverviewDelta::between(&before, &after, true).unwrap());
        assert_eq!(OverviewReceiver::default().receive(1, delta()), Err(DeltaError::Gap(0)));
        let mut receiver = OverviewReceiver::default();
        receiver.receive(1, OverviewUpdate::Whole(before.clone())).unwrap();
        assert_eq!(receiver.receive(3, delta()), Err(DeltaError::Gap(1)));
        // It does not go on with what it had.
        assert_eq!(receiver.receive(2, delta()), Err(DeltaError::Gap(1)));
        let mut receiver = OverviewReceiver::default();
        receiver.receive(1, OverviewUpdate::Whole(overview(&[1]))).unwrap();
        assert_eq!(receiver.receive(2, delta()), Err(DeltaError::OtherHosts));
    }

    proptest! {
        #[test]
        fn receiver_always_has_the_overview_of_the_sender(
            steps in prop::collection::vec((0..3_usize, 0..4_usize, 0..4_u8, 0..12_u8), 0..40),
        ) {
            let healths = [Health::Up, Health::Degraded, Health::Unknown, Health::Down];
            let mut current = overview(&[2, 3]);
            let (mut sender, mut receiver) = (OverviewSender::new(DeltaSupport::HostsAndTimes), OverviewReceiver::default());
            for (environment, host, health, kind) in steps {
                match kind {
                    0 => current = overview(&[host, 1]),
                    1 => current = overview(&vec![1; environment]),
                    2 => current.config_error = (host > 0).then(|| format!("line {host}")),
                    // Equal, but another value in memory.
                    3 => current.environments = current.environments.iter().map(|one| Snapshot::new((**one).clone())).collect(),
                    4..=6 => {
                        let mut hosts =
                            current.environments.get_mut(environment).into_iter().flat_map(|one| &mut one.hosts);
                        if let Some(host) = hosts.nth(host) {
                            host.agent = Some(agent(health.into()));
                        }
                    }
                    _ => set_health(&mut current, (environment, host), healths[usize::from(health)]),
                }
                let (version, update) = sender.next(&current);
                prop_assert_eq!(receiver.receive(version, update), Ok(current.clone()));
            }
        }
    }
}
