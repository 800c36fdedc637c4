//! Results of a configuration reload, on the aggregator and on every host.

use crate::name::Name;

/// Result of reloading one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadResult {
    /// Digest of the configuration that is now in use; empty if it is unknown.
    pub digest: String,
    /// Changes, one sentence each.
    pub changes: Vec<String>,
    /// Problems for which the old configuration was kept, one per line; `None` if the new one was accepted.
    pub error: Option<String>,
}

/// Result of the reload on one host's agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReload {
    /// Environment of the host.
    pub environment: Name,
    /// Host.
    pub host: Name,
    /// Result on this host.
    pub outcome: ReloadResult,
}

/// Result of the reload on the whole platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformReload {
    /// Result on the aggregator.
    pub aggregator: ReloadResult,
    /// Result on every host, in the configuration's order.
    pub hosts: Vec<HostReload>,
}

impl PlatformReload {
    /// Returns true if the new configuration is in use everywhere.
    pub fn is_complete(&self) -> bool {
        let mut all = self.hosts.iter().map(|host| &host.outcome).chain([&self.aggregator]);
        all.all(|outcome| outcome.error.is_none())
    }
}
