//! Refresh: a scan of every host on request.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rta_shared::name::Name;
use rta_shared::overview::Overview;
use rta_shared::proto::v1;
use rta_shared::timing::SCAN_TIMEOUT;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Code, Request};

use super::Operations;
use super::environment_leads::EnvironmentLeader;
use super::leader_calls::answer_within;
use crate::agents::client::AgentClient;
use crate::auth::ActingCaller;
use crate::operation_error::OperationError;

/// Least and greatest time without an answer after which a refresh no longer waits for the other agents. An agent that
/// is silent for longer soon counts as unreachable.
const MIN_SILENCE: Duration = Duration::from_millis(750);
const MAX_SILENCE: Duration = Duration::from_secs(2);
/// Factor by which a scan may take longer than the last one of its host: the machine may be busy now.
const SCAN_FACTOR: u32 = 10;
/// Time limit for the answer of an environment's leader: its own agents delay it no longer than [`SCAN_TIMEOUT`].
const LEADER_TIMEOUT: Duration = SCAN_TIMEOUT.saturating_add(Duration::from_secs(1));
/// Maximum time for which the scans of another aggregator are awaited after its answer.
const RELAY_TIMEOUT: Duration = Duration::from_secs(1);

/// Result of a refresh.
#[derive(Clone, Debug)]
pub struct RefreshResult {
    /// Overview after it.
    pub overview: Arc<Overview>,
    /// Environment and name of the hosts that have not been scanned, in the configuration's order.
    pub missing: Vec<(Name, Name)>,
}

/// Result of a refresh of one environment by its leader.
#[derive(Clone, Debug)]
pub(crate) struct EnvironmentRefresh {
    /// Environment and name of the hosts that have not been scanned, in the configuration's order.
    pub(crate) missing: Vec<(Name, Name)>,
    /// Version of the states of the hosts that has the scans.
    pub(crate) version: u64,
}

impl Operations {
    /// Makes every agent scan now. Returns when all agents that can be reached have answered, or none has for a
    /// while: a hung agent delays nobody. Agents that answer later still update the overview, as do those that
    /// could not be reached before.
    pub async fn refresh(&self) -> RefreshResult {
        let inventory = self.inventory();
        let environments = inventory.platform.environments.iter().map(|environment| &environment.name);
        let relayed: Vec<&Name> =
            environments.filter(|environment| self.relay_progress.is_relayed(environment)).collect();
        let own = self.refresh_agents(|agent| !relayed.contains(&agent.environment()));
        let others = relayed.iter().map(|environment| self.refresh_relayed(environment));
        let (mut missing, others) = tokio::join!(own, join_all(others));
        missing.extend(others.into_iter().flatten());
        let positions: BTreeMap<&Name, usize> =
            inventory.platform.hosts().enumerate().map(|(at, host)| (&host.name, at)).collect();
        missing.sort_by_key(|(_, host)| positions.get(host).copied());
        RefreshResult { overview: self.flushed_overview().await, missing }
    }

    /// Makes every agent of an environment scan now that this aggregator leads.
    ///
    /// # Errors
    /// Returns an error if another aggregator leads it.
    pub(crate) async fn refresh_environment(
        &self,
        environment: &Name,
    ) -> Result<EnvironmentRefresh, OperationError> {
        let leading = self.leading_operations(environment)?;
        let missing = leading.refresh_agents(|agent| agent.environment() == environment).await;
        // The state actor ends only with the term.
        let version = leading.hosts.version().await.unwrap_or_default();
        Ok(EnvironmentRefresh { missing, version })
    }

    /// Returns the operations that lead an environment here.
    ///
    /// # Errors
    /// Returns an error if another aggregator leads it, or nobody does.
    pub(crate) fn leading_operations(&self, environment: &Name) -> Result<Self, OperationError> {
        let Some(leads) = &self.leads else {
            let message = "this aggregator is the only one, and passes no hosts on";
            return Err(OperationError::new(Code::FailedPrecondition, message));
        };
        leads.running(environment).ok_or_else(|| leads.explain_unled(environment))
    }

    /// Has the leader of an environment make its agents scan now. Returns the hosts that have not been scanned, when
    /// the scans of the others have been received.
    async fn refresh_relayed(&self, environment: &Name) -> Vec<(Name, Name)> {
        match self.refresh_at_leader(environment).await {
            Ok(EnvironmentRefresh { missing, version }) => {
                self.relay_progress.wait_for(environment, version, RELAY_TIMEOUT).await;
                missing
            }
            Err(error) => {
                tracing::debug!(%environment, %error, "the leader has not refreshed its hosts");
                let inventory = self.inventory();
                let hosts = inventory.platform.hosts().filter(|host| host.environment == *environment);
                hosts.map(|host| (host.environment.clone(), host.name.clone())).collect()
            }
        }
    }

    async fn refresh_at_leader(&self, environment: &Name) -> Result<EnvironmentRefresh, OperationError> {
        // Everybody may ask for a scan.
        let route = match self.environment_leader(environment, &ActingCaller::default()).await? {
            EnvironmentLeader::Here(_) => return self.refresh_environment(environment).await,
            EnvironmentLeader::There(route) => route,
        };
        let request = v1::RefreshRequest { environment: environment.as_str().to_owned() };
        let mut client = route.client();
        let refreshed = answer_within(&route, LEADER_TIMEOUT, client.refresh(Request::new(request))).await?;
        let v1::RefreshResponse { missing, version, .. } = refreshed.into_inner();
        let missing =
            missing.into_iter().map(|host| (host.environment.as_str().into(), host.host.as_str().into()));
        Ok(EnvironmentRefresh { missing: missing.collect(), version })
    }

    /// Makes the agents scan now for which `is_asked` holds. Returns environment and name of the hosts that have not
    /// been scanned.
    async fn refresh_agents(&self, is_asked: impl Fn(&AgentClient) -> bool) -> Vec<(Name, Name)> {
        let inventory = self.inventory();
        let overview = self.overview();
        let hosts = || overview.environments.iter().flat_map(|environment| &environment.hosts);
        let scans = hosts().filter_map(|host| host.agent.as_ref()).map(|agent| agent.scan_micros);
        let silence_limit = silence_limit(Duration::from_micros(scans.max().unwrap_or_default()));
        let unreachable: HashSet<&Name> =
            hosts().filter(|host| !host.reachable && host.error.is_some()).map(|host| &host.name).collect();
        let (answered, mut answers) = mpsc::unbounded_channel();
        let (mut awaited, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for (at, agent) in inventory.agents.iter().enumerate().filter(|(_, agent)| is_asked(agent)) {
            missing.insert(at);
            if !unreachable.contains(agent.host()) {
                awaited.insert(at);
            }
            let (operations, agent, answered) = (self.clone(), agent.clone(), answered.clone());
            let scan = async move {
                let is_scanned = operations.refresh_host(&agent).await;
                // Nobody waits any more for an agent that is late.
                let _ = answered.send((at, is_scanned));
            };
            tokio::spawn(self.shutdown.clone().run_until_cancelled_owned(scan));
        }
        let last = Instant::now() + SCAN_TIMEOUT;
        let mut deadline = Instant::now() + silence_limit;
        while !awaited.is_empty() {
            let answer = tokio::time::timeout_at(deadline.min(last), answers.recv()).await;
            let Ok(Some((at, is_scanned))) = answer else { break };
            awaited.remove(&at);
            if is_scanned {
                missing.remove(&at);
                deadline = Instant::now() + silence_limit;
            }
        }
        let agents = inventory.agents.iter().enumerate().filter(|(at, _)| missing.contains(at));
        agents.map(|(_, agent)| (agent.environment().clone(), agent.host().clone())).collect()
    }
}

/// Returns the time without an answer after which no other agent is waited for, if the slowest host's last scan took
/// `longest_scan`.
fn silence_limit(longest_scan: Duration) -> Duration {
    longest_scan.saturating_mul(SCAN_FACTOR).clamp(MIN_SILENCE, MAX_SILENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_slow_scans_are_waited_for_longer() {
        let limit = |millis| silence_limit(Duration::from_millis(millis)).as_millis();
        assert_eq!([0, 20, 75, 120, 300].map(limit), [750, 750, 750, 1200, 2000]);
    }
}
