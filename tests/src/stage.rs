//! A host with an agent and an aggregator that follows it, for the benches.

use crate::{Follower, Program, Site};

/// How the agent is to follow its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the kernel's process events.
    Events,
    /// By scans, the fallback.
    Scans,
}

impl Mode {
    /// Those that the program's argument `--mode` names: `events` or `scans`; else both.
    ///
    /// # Panics
    /// Where it names another one.
    pub fn asked() -> Vec<Self> {
        match crate::figures::argument("--mode").as_deref() {
            None => vec![Self::Events, Self::Scans],
            Some("events") => vec![Self::Events],
            Some("scans") => vec![Self::Scans],
            Some(other) => panic!("--mode {other}: write events or scans"),
        }
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Scans => "scans",
        }
    }
}

/// A host that carries every component of its site.
#[derive(Debug)]
pub struct Stage {
    /// The configuration, and the stand-ins.
    pub site: Site,
    /// The agent.
    pub agent: Program,
    /// The aggregator.
    pub aggregator: Program,
    /// What the agent says.
    pub reports: Follower,
    /// What the aggregator says.
    pub overviews: Follower,
}

impl Stage {
    /// Sets it up with the components of this TOML.
    ///
    /// # Panics
    /// Where the programs do not start.
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
