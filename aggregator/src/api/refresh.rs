//! Refresh: a scan of every host on request.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rta_shared::name::Name;
use rta_shared::overview::Overview;
use rta_shared::timing::SCAN_TIMEOUT;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Operations;

/// Time without an answer after which a refresh no longer waits for the other agents. A scan takes a small part of
/// it, even on a busy machine; an agent that is silent for longer soon counts as unreachable.
const SILENCE_LIMIT: Duration = Duration::from_secs(2);

/// Result of a refresh.
#[derive(Clone, Debug)]
pub struct RefreshResult {
    /// Overview after it.
    pub overview: Arc<Overview>,
    /// Environment and name of the hosts that have not been scanned, in the configuration's order.
    pub missing: Vec<(Name, Name)>,
}

impl Operations {
    /// Makes every agent scan now. Returns when all agents that can be reached have answered, or none has for a
    /// while: a hung agent delays nobody. Agents that answer later still update the overview, as do those that
    /// could not be reached before.
    pub async fn refresh(&self) -> RefreshResult {
        let inventory = self.inventory();
        let overview = self.overview();
        let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
        let unreachable: HashSet<&Name> =
            hosts.filter(|host| !host.reachable && host.error.is_some()).map(|host| &host.name).collect();
        let (answered, mut answers) = mpsc::unbounded_channel();
        let mut awaited = BTreeSet::new();
        for (at, agent) in inventory.agents.iter().enumerate() {
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
        let mut missing: BTreeSet<usize> = (0..inventory.agents.len()).collect();
        let last = Instant::now() + SCAN_TIMEOUT;
        let mut deadline = Instant::now() + SILENCE_LIMIT;
        while !awaited.is_empty() {
            let answer = tokio::time::timeout_at(deadline.min(last), answers.recv()).await;
            let Ok(Some((at, is_scanned))) = answer else { break };
            awaited.remove(&at);
            if is_scanned {
                missing.remove(&at);
                deadline = Instant::now() + SILENCE_LIMIT;
            }
        }
        let hosts = inventory.platform.hosts().enumerate().filter(|(at, _)| missing.contains(at));
        let missing = hosts.map(|(_, host)| (host.environment.clone(), host.name.clone())).collect();
        RefreshResult { overview: self.flushed_overview().await, missing }
    }
}
