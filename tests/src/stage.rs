//! Host with an agent and a connected aggregator, for the benches.

use crate::{Follower, Program, Site};

/// Agent's mode of watching its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Process events of the kernel.
    Events,
    /// Scans, the fallback.
    Scans,
}

impl Mode {
    /// Returns the modes selected by the program's argument `--mode` (`events` or `scans`), or both.
    ///
    /// # Panics
    /// Panics if another mode is named.
    pub fn asked() -> Vec<Self> {
        match crate::figures::argument("--mode").as_deref() {
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
pub struct Stage {
    /// Configuration and stand-ins.
    pub site: Site,
    /// Agent.
    pub agent: Program,
    /// Aggregator.
    pub aggregator: Program,
    /// Agent's reports.
    pub reports: Follower,
    /// Aggregator's overviews.
    pub overviews: Follower,
}

impl Stage {
    /// Sets up a stage with the components of this TOML.
    ///
    /// # Panics
    /// Panics if the programs do not start.
    pub fn new(mode: Mode, components: impl FnOnce(&Site) -> String) -> Self {
        let site = Site::new();
        let components = components(&site);
        site.write("components.toml", &components);
        let names: Vec<&str> = components.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        let more: &[&str] = match mode {
            Mode::Events => &[],
            Mode::Scans => &["--no-events"],
        };
        let [(agent, address)] = site.agents(["h"], more, "host.toml", |[agent]| {
            format!(
                "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [{}], \
                 agent = \"http://{agent}\" }}]\n",
                names.join(", ")
            )
        });
        let config = site.config().display().to_string();
        let mut aggregator = Program::start(
            "rta-aggregator",
            ["--config", &config, "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        );
        let grpc = aggregator.address("grpc");
        let reports = Follower::of_agent(address);
        let overviews = Follower::of_aggregator(grpc);
        Self { site, agent, aggregator, reports, overviews }
    }
}
