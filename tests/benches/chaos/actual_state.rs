//! Processes that really run on the hosts, at one moment.

use std::fmt;
use std::time::Instant;

use crate::components::INSTANCES;
use crate::platform::{AGENTS, Platform};

/// Set of healths.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HealthSet(u8);

impl HealthSet {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const UP: Self = Self(1);
    pub(crate) const DEGRADED: Self = Self(2);
    pub(crate) const DOWN: Self = Self(4);
    pub(crate) const UNKNOWN: Self = Self(8);

    /// Returns the set of one health, by its word in the JSON.
    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "up" => Self::UP,
            "degraded" => Self::DEGRADED,
            "down" => Self::DOWN,
            "unknown" => Self::UNKNOWN,
            other => panic!("health {other}"),
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Debug for HealthSet {
    /// Formats the set as `down|unknown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (Self::UP, "up"),
            (Self::DEGRADED, "degraded"),
            (Self::DOWN, "down"),
            (Self::UNKNOWN, "unknown"),
        ];
        let words: Vec<&str> =
            words.iter().filter(|(health, _)| self.has(*health)).map(|(_, word)| *word).collect();
        f.write_str(&words.join("|"))
    }
}

/// True state at one moment.
#[derive(Clone, Debug)]
pub(crate) struct ActualState {
    pub(crate) at: Instant,
    /// True for each host with a reachable agent.
    pub(crate) reachable: [bool; AGENTS],
    /// PIDs of each instance's own processes.
    pub(crate) pids: Vec<Vec<u32>>,
    /// True for each instance whose process is stopped by a signal.
    pub(crate) stopped: Vec<bool>,
}

impl ActualState {
    /// Reads the processes of every host, including those that are cut off.
    pub(crate) fn observe(platform: &Platform, is_cut: [bool; AGENTS]) -> Self {
        let at = Instant::now();
        let hosts: Vec<_> = (0..AGENTS).map(|host| platform.host(host).processes()).collect();
        let is_agent = |argument: &String| argument.ends_with("/rta-agent");
        let reachable = std::array::from_fn(|host| {
            let has_agent = hosts[host].iter().any(|process| process.arguments.first().is_some_and(is_agent));
            has_agent && !is_cut[host]
        });
        let own = |at: usize| {
            let token = format!("--token={}", INSTANCES[at].component);
            let processes = hosts[INSTANCES[at].host].iter();
            processes.filter(move |process| process.uid == 0 && process.arguments.contains(&token))
        };
        let pids = (0..INSTANCES.len()).map(|at| own(at).map(|process| process.pid).collect());
        let stopped = (0..INSTANCES.len()).map(|at| own(at).any(|process| process.is_stopped));
        Self { at, reachable, pids: pids.collect(), stopped: stopped.collect() }
    }

    /// Returns the correct healths of an instance by its own processes, if its agent is reachable.
    pub(crate) fn own_health(&self, instance: usize) -> HealthSet {
        match self.pids[instance].len() {
            0 => HealthSet::DOWN,
            _ if self.stopped[instance] => HealthSet::DEGRADED,
            1 => HealthSet::UP,
            _ => HealthSet::DEGRADED,
        }
    }
}
