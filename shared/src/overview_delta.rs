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
    pub hosts: Vec<(usize, Snapshot<HostOverview>)>,
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
    /// has to be sent. Compares only what is not the same in memory.
    pub fn between(before: &Overview, after: &Overview) -> Option<Self> {
        if before.environments.len() != after.environments.len() || before.aliases != after.aliases {
            return None;
        }
        let mut environments = Vec::new();
        for (index, (before, after)) in before.environments.iter().zip(&after.environments).enumerate() {
            if !Snapshot::ptr_eq(before, after) {
                let delta = EnvironmentDelta::between(index, before, after)?;
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
            for (index, host) in delta.hosts {
                let place = environment.hosts.get_mut(index).filter(|place| place.name == host.name);
                *place.ok_or(DeltaError::OtherHosts)? = host;
            }
        }
        Ok(())
    }
}

impl EnvironmentDelta {
    fn between(index: usize, before: &EnvironmentOverview, after: &EnvironmentOverview) -> Option<Self> {
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
                hosts.push((index, after.clone()));
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
    /// False if the receiver knows only whole overviews.
    with_deltas: bool,
    sent: Option<Overview>,
    version: u64,
}

impl OverviewSender {
    /// Creates the end for a receiver that has nothing. Without `with_deltas` every message is a whole
    /// overview.
    pub fn new(with_deltas: bool) -> Self {
        Self { with_deltas, sent: None, version: 0 }
    }

    /// Returns the number of the next message, from 1, and the message itself.
    pub fn next(&mut self, overview: &Overview) -> (u64, OverviewUpdate) {
        self.version += 1;
        let delta = self.sent.as_ref().and_then(|sent| OverviewDelta::between(sent, overview));
        if self.with_deltas {
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
    use crate::overview::InstanceOverview;

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
        let mut sender = OverviewSender::new(true);
        assert!(matches!(sender.next(&before), (1, OverviewUpdate::Whole(_))));
        let (2, OverviewUpdate::Delta(delta)) = sender.next(&after) else { unreachable!() };
        let [environment] = &delta.environments[..] else { unreachable!() };
        assert_eq!((environment.index, environment.health), (1, Health::Down));
        assert_eq!(environment.hosts.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
        let (3, OverviewUpdate::Delta(delta)) = sender.next(&after) else { unreachable!() };
        assert_eq!(delta.environments, []);
    }

    #[test]
    fn receiver_of_an_earlier_version_gets_whole_overviews() {
        let mut sender = OverviewSender::new(false);
        for version in 1..3 {
            assert_eq!(sender.next(&overview(&[1])), (version, OverviewUpdate::Whole(overview(&[1]))));
        }
    }

    #[test]
    fn gap_or_another_host_is_an_error_never_a_wrong_overview() {
        let before = overview(&[2]);
        let mut after = before.clone();
        set_health(&mut after, (0, 1), Health::Down);
        let delta = || OverviewUpdate::Delta(OverviewDelta::between(&before, &after).unwrap());
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
            let (mut sender, mut receiver) = (OverviewSender::new(true), OverviewReceiver::default());
            for (environment, host, health, kind) in steps {
                match kind {
                    0 => current = overview(&[host, 1]),
                    1 => current = overview(&vec![1; environment]),
                    2 => current.config_error = (host > 0).then(|| format!("line {host}")),
                    // Equal, but another value in memory.
                    3 => current.environments = current.environments.iter().map(|one| Snapshot::new((**one).clone())).collect(),
                    _ => set_health(&mut current, (environment, host), healths[usize::from(health)]),
                }
                let (version, update) = sender.next(&current);
                prop_assert_eq!(receiver.receive(version, update), Ok(current.clone()));
            }
        }
    }
}
