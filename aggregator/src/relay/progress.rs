//! How far the state of each environment has been received.

use std::collections::BTreeMap;
use std::time::Duration;

use rta_shared::name::Name;
use tokio::sync::watch;

/// Versions of the states that the state actor has been sent, by environment; an environment that is followed by its
/// agents has none. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RelayProgress(watch::Sender<BTreeMap<Name, u64>>);

impl RelayProgress {
    /// Returns true if the environment's hosts are received from its leader.
    pub(crate) fn is_relayed(&self, environment: &Name) -> bool {
        self.0.borrow().contains_key(environment)
    }

    pub(super) fn set(&self, environment: &Name, version: u64) {
        self.0.send_modify(|versions| {
            versions.insert(environment.clone(), version);
        });
    }

    pub(super) fn remove(&self, environment: &Name) {
        self.0.send_if_modified(|versions| versions.remove(environment).is_some());
    }

    /// Waits until this version of the environment has been received, no longer than `limit`, or until nobody passes
    /// it on any more.
    pub(crate) async fn wait_for(&self, environment: &Name, version: u64, limit: Duration) {
        let mut progress = self.0.subscribe();
        let is_there = |versions: &BTreeMap<Name, u64>| {
            versions.get(environment).is_none_or(|received| *received >= version)
        };
        // What is late is shown later. The sender is held here.
        let _ = tokio::time::timeout(limit, progress.wait_for(is_there)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_version_the_relay_or_the_limit() {
        let (progress, itg) = (RelayProgress::default(), Name::from("ITG"));
        assert!(!progress.is_relayed(&itg));
        let hour = Duration::from_secs(3600);
        progress.wait_for(&itg, 5, hour).await;
        progress.set(&itg, 4);
        assert!(progress.is_relayed(&itg));
        progress.wait_for(&itg, 4, hour).await;
        let began = tokio::time::Instant::now();
        progress.wait_for(&itg, 5, Duration::from_secs(1)).await;
        assert_eq!(began.elapsed().as_secs(), 1);
        let waiting = tokio::spawn({
            let (progress, itg) = (progress.clone(), itg.clone());
            async move { progress.wait_for(&itg, 5, hour).await }
        });
        progress.remove(&itg);
        waiting.await.unwrap();
        assert!(began.elapsed() < hour && !progress.is_relayed(&itg));
    }
}
