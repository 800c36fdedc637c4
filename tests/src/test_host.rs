//! Host with an agent and a connected aggregator, for the benches.

use crate::{ReportStream, ServerProcess, TestConfig};

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

/// Host that carries every component of its site.
#[derive(Debug)]
pub struct TestHost {
    /// Configuration and stand-ins.
    pub site: TestConfig,
    /// Agent.
    pub agent: ServerProcess,
    /// Aggregator.
    pub aggregator: ServerProcess,
    /// Agent's reports.
    pub reports: ReportStream,
    /// Aggregator's overviews.
    pub overviews: ReportStream,
}

impl TestHost {
    /// Sets up a stage with the components of this TOML.
    ///
    /// # Panics
    /// Panics if the programs do not start.
    pub fn start(mode: AgentMode, components: impl FnOnce(&TestConfig) -> String) -> Self {
        let site = TestConfig::new();
        let components = components(&site);
        site.write("components.toml", &components);
        let names: Vec<&str> = components.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        let more: &[&str] = match mode {
            AgentMode::Events => &[],
            AgentMode::Scans => &["--no-events"],
        };
        let [(agent, address)] = site.start_agents(["h"], more, "host.toml", |[agent]| {
            format!(
                "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [{}], \
                 agent = \"http://{agent}\" }}]\n",
                names.join(", ")
            )
        });
        let config = site.folder().display().to_string();
        let mut aggregator = ServerProcess::start(
            "rta-aggregator",
            ["--config", &config, "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        );
        let grpc = aggregator.address("grpc");
        let reports = ReportStream::from_agent(address);
        let overviews = ReportStream::from_aggregator(grpc);
        Self { site, agent, aggregator, reports, overviews }
    }
}
