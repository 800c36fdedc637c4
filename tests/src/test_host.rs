//! Host with an agent and a connected aggregator, for the benches.

use crate::{ReportStream, TestCluster, TestConfig};

/// Agent's mode of watching its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentMode {
    /// Process events of the kernel.
    Events,
    /// Scans, the fallback.
    Scans,
}

impl AgentMode {
    /// Returns the modes selected by the program's argument `--mode` (`events` or `scans`), or both.
    ///
    /// # Panics
    /// Panics if another mode is named.
    pub fn from_arguments() -> Vec<Self> {
        match crate::measurement::argument("--mode").as_deref() {
            None => vec![Self::Events, Self::Scans],
            Some("events") => vec![Self::Events],
            Some("scans") => vec![Self::Scans],
            Some(other) => panic!("--mode {other}: write events or scans"),
        }
    }

    /// Returns its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Scans => "scans",
        }
    }
}

/// Host that carries every component of its configuration.
#[derive(Debug)]
pub struct TestHost {
    /// Agent, aggregator and configuration.
    pub cluster: TestCluster,
    /// Agent's reports.
    pub reports: ReportStream,
    /// Aggregator's overviews.
    pub overviews: ReportStream,
}

impl TestHost {
    /// Starts a host with the components of this TOML.
    ///
    /// # Panics
    /// Panics if the programs do not start.
    pub fn start(mode: AgentMode, components: impl FnOnce(&TestConfig) -> String) -> Self {
        let config = TestConfig::new();
        let components = components(&config);
        let names: Vec<&str> = components.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        let agent_arguments: &[&str] = match mode {
            AgentMode::Events => &[],
            AgentMode::Scans => &["--no-events"],
        };
        let cluster = TestCluster::builder(config)
            .components(&components)
            .host_with("h", &format!("components = [{}]", names.join(", ")))
            .agent_arguments(agent_arguments)
            .start();
        let reports = ReportStream::from_agent(cluster.agents[0].address);
        let overviews = ReportStream::from_aggregator(cluster.aggregator.grpc);
        Self { cluster, reports, overviews }
    }
}
