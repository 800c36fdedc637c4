//! How a reload of the configuration ended, here and on every host.

use crate::name::Name;

/// How the reload of one configuration ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// What tells the configuration that is worked by now from every other; empty where that is not known.
    pub digest: String,
    /// What changed, a sentence each.
    pub changes: Vec<String>,
    /// Why the old one was kept, every problem on a line; `None` where it was not.
    pub error: Option<String>,
}

/// How the reload of one host's agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReload {
    /// The host's environment.
    pub environment: Name,
    /// The host.
    pub host: Name,
    /// How it ended there.
    pub outcome: Reload,
}

/// How the reload of the whole platform ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformReload {
    /// The aggregator's own.
    pub aggregator: Reload,
    /// Every host's, in the configuration's order.
    pub hosts: Vec<HostReload>,
}

impl PlatformReload {
    /// Whether the new configuration is worked by everywhere.
    pub fn is_complete(&self) -> bool {
        let mut all = self.hosts.iter().map(|host| &host.outcome).chain([&self.aggregator]);
        all.all(|outcome| outcome.error.is_none())
    }
}
