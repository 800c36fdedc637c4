//! What the aggregator concludes of the platform: the words the page, the command and the JSON share.
//!
//! Serialized with serde these types are the JSON of `GET /api/v1/overview`; field names are its contract.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::autostart::Autostart;
use crate::config::Platform;
use crate::control::Hold;
use crate::down_cause::DownCause;
use crate::human::ago;
use crate::impairment::Impairment;
use crate::maintenance::Maintenance;
use crate::name::Name;
use crate::planned_stop::PlannedStop;
use crate::probe::ProbeReport;
use crate::process::{Process, Suspension};
use crate::report::{PartReport, State, Watch, awaits_probe};
use crate::unit::UnitReport;
use crate::usage::Usage;

/// What the aggregator concludes of an instance, a host or an environment.
///
/// Ordered from good to bad, so that the worst of several is their maximum. Unknown stands above degraded and
/// below down: a certain failure is the more urgent news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It runs, and so does everything it needs.
    Up,
    /// It runs, but something it needs does not, or it runs twice.
    Degraded,
    /// Nothing certain is known. Never shown as up, nor as down.
    Unknown,
    /// It does not run.
    Down,
}

impl Health {
    /// Every value, from good to bad.
    pub const ALL: [Self; 4] = [Self::Up, Self::Degraded, Self::Unknown, Self::Down];

    /// The health of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|health| health.word() == word)
    }

    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One component on one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId {
    /// The host's environment.
    pub environment: Name,
    /// The host.
    pub host: Name,
    /// The component.
    pub component: Name,
}

impl InstanceId {
    /// Returns the name for a sentence, without the environment: `kafka server on h1`.
    pub fn name_in_text(&self) -> String {
        format!("{} on {}", self.component, self.host)
    }
}

impl fmt::Display for InstanceId {
    /// `ITG/c9t17308/kafka server`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.environment, self.host, self.component)
    }
}

/// One instance at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceOverview {
    /// The component's canonical name.
    pub component: Name,
    /// What its agent saw; `None` (in JSON `null`) where the host is unknown.
    pub state: Option<State>,
    /// What follows for it.
    pub health: Health,
    /// The matched processes: in JSON `pids`, a list of numbers, and `processes`, with what is known of each.
    #[serde(flatten, serialize_with = "pids_and_processes")]
    pub processes: Vec<Process>,
    /// Why the health is not up, as a sentence for a person; empty when up.
    pub reason: String,
    /// The instance that explains a bad health: the root, not the symptom. `None` when up, and when the
    /// trouble is this instance's own.
    pub cause: Option<InstanceId>,
    /// The configuration has a start command for it.
    pub startable: bool,
    /// Its parts as its agent saw them; empty where the host is unknown.
    pub parts: Vec<PartReport>,
    /// `None` where it has no probe, or is not known to run.
    pub probe: Option<ProbeReport>,
    /// What is under way on it.
    pub action: Option<Hold>,
    /// What systemd says of its unit; `None` where it has none, or the host is unknown.
    pub unit: Option<UnitReport>,
    /// Why it is stopped; `None` in any other state, and where nothing is known.
    pub down_cause: Option<DownCause>,
    /// How its agent keeps it running; `None` where it does not, or the host is unknown.
    pub autostart: Option<Autostart>,
    /// The maintenance that it is in, its own or its host's.
    pub maintenance: Option<Maintenance>,
    /// The plan that stopped it on purpose; `None` where it runs, or stopped otherwise.
    pub stopped_by: Option<PlannedStop>,
    /// It has a log that can be read.
    pub has_log: bool,
    /// Since when its health has been this, by the aggregator's clock and as far as that knows: while it could not
    /// be seen in between it is taken to have been as before. `None`: since before the aggregator began.
    pub since: Option<Timestamp>,
}

impl InstanceOverview {
    /// Whether it runs and only the first pass of its probe is missing.
    pub fn awaits_probe(&self) -> bool {
        awaits_probe(self.state, self.action.as_ref())
    }

    /// Returns [`InstanceOverview::reason`] with its age at `now`. The reason itself has none: it would change every second.
    pub fn reason_at(&self, now: Timestamp) -> String {
        match self.reason_around_age() {
            Some((before, at, after)) => format!("{before} {}{after}", ago(at, now)),
            None => self.reason.clone(),
        }
    }

    /// Returns the text before the age in [`InstanceOverview::reason_at`], the time that the age is measured from, and the
    /// text after it; `None` if the reason has no age.
    pub fn reason_around_age(&self) -> Option<(String, Timestamp, String)> {
        let (whole, at, (before, after)) = match (&self.stopped_by, &self.down_cause) {
            (Some(stop), _) => (stop.to_string(), stop.at, stop.around_age()),
            (None, Some(cause)) => (cause.to_string(), cause.at, cause.around_age()),
            (None, None) => return None,
        };
        let (lead, rest) = self.reason.split_once(&whole)?;
        Some((format!("{lead}{before}"), at, format!("{after}{rest}")))
    }

    /// Returns the reason why it is stopped in a few words, with its age; `None` if it is not stopped, or nothing is known.
    pub fn stopped_why(&self, now: Timestamp) -> Option<String> {
        self.down_cause.as_ref().map(|cause| cause.short(now))
    }
}

fn pids_and_processes<S: serde::Serializer>(processes: &[Process], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct ShownProcess<'p> {
        pid: u32,
        user: &'p str,
        started_at: Option<Timestamp>,
        suspension: Option<Suspension>,
    }
    #[derive(Serialize)]
    struct Shown<'p> {
        pids: Vec<u32>,
        processes: Vec<ShownProcess<'p>>,
    }
    Shown {
        pids: processes.iter().map(|process| process.id.pid).collect(),
        processes: processes
            .iter()
            .map(|process| ShownProcess {
                pid: process.id.pid,
                user: &process.user,
                started_at: process.started_at,
                suspension: process.suspension,
            })
            .collect(),
    }
    .serialize(serializer)
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentOverview {
    /// Its version.
    pub version: String,
    /// How well it follows its host.
    pub watch: Watch,
    /// Until when it followed its host without a gap, by the aggregator's clock: from the receipt of its last message.
    pub seen_at: Timestamp,
    /// How long its last full scan took, in microseconds.
    pub scan_micros: u64,
    /// How many processes that scan looked at.
    pub processes_seen: u32,
    /// What tells its configuration from every other one.
    pub config_digest: String,
    /// Why a configuration that was to replace it was refused.
    pub config_error: Option<String>,
    /// It works by another configuration than the aggregator.
    pub config_differs: bool,
    /// When its certificate ends; `None`: it is asked in clear, or does not tell.
    pub certificate_ends: Option<Timestamp>,
    /// `/proc/sys/kernel/random/boot_id` of its host.
    pub boot_id: String,
}

impl AgentOverview {
    fn says_the_same_as(&self, other: &Self) -> bool {
        self.version == other.version
            && self.watch == other.watch
            && self.config_digest == other.config_digest
            && self.config_error == other.config_error
            && self.config_differs == other.config_differs
            && self.certificate_ends == other.certificate_ends
            && self.boot_id == other.boot_id
    }
}

/// One host at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostOverview {
    /// The host's name.
    pub name: Name,
    /// Its role; `None` for a host that lists components without a role.
    pub role: Option<Name>,
    /// The worst of its instances.
    pub health: Health,
    /// Its agent answers and its report is fresh.
    pub reachable: bool,
    /// When the last full scan heard of ended, by the aggregator's clock; `None` before the first.
    pub scanned_at: Option<Timestamp>,
    /// Why the host is unknown, as a sentence.
    pub error: Option<String>,
    /// Its components, in the configuration's order.
    pub instances: Vec<InstanceOverview>,
    /// What its agent says of itself; `None` before the first report.
    pub agent: Option<AgentOverview>,
    /// What it uses; `None` before the first measurement, and while the host is unknown.
    pub usage: Option<Usage>,
    /// The maintenance that the whole host is in.
    pub maintenance: Option<Maintenance>,
    /// Parts of its agent that are impaired, and a clock that differs from the aggregator's; empty while the host is
    /// unknown.
    pub impairments: Vec<Impairment>,
}

/// One environment at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvironmentOverview {
    /// The environment's name.
    pub name: Name,
    /// The worst of its hosts.
    pub health: Health,
    /// Its hosts, in the configuration's order.
    pub hosts: Vec<HostOverview>,
}

/// Every environment, host and instance at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// The moment, by the aggregator's clock.
    pub generated_at: Timestamp,
    /// The environments, in the configuration's order.
    pub environments: Vec<EnvironmentOverview>,
    /// What tells the aggregator's configuration from every other one.
    pub config_digest: String,
    /// Why a configuration that was to replace it was refused, every problem on a line.
    pub config_error: Option<String>,
    /// Parts of the aggregator that are impaired, the most severe first.
    pub impairments: Vec<Impairment>,
    /// Other names of components, by which people may ask for them; those that have none are left out.
    pub aliases: Vec<ComponentAliases>,
}

/// Other names of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentAliases {
    /// Its canonical name.
    pub component: Name,
    /// Its other names; never empty.
    pub aliases: Vec<Name>,
}

impl ComponentAliases {
    /// Returns those of every component of `platform` that has any, in the configuration's order.
    pub fn list(platform: &Platform) -> Vec<Self> {
        let named = platform.components.iter().filter(|component| !component.aliases.is_empty());
        named
            .map(|component| Self { component: component.name.clone(), aliases: component.aliases.clone() })
            .collect()
    }
}

/// How many instances have which health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Health::Up`].
    pub up: usize,
    /// [`Health::Degraded`].
    pub degraded: usize,
    /// [`Health::Unknown`].
    pub unknown: usize,
    /// [`Health::Down`].
    pub down: usize,
}

impl Counts {
    /// The number for one health.
    pub fn of(&self, health: Health) -> usize {
        match health {
            Health::Up => self.up,
            Health::Degraded => self.degraded,
            Health::Unknown => self.unknown,
            Health::Down => self.down,
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        Health::ALL.iter().map(|health| self.of(*health)).sum()
    }

    /// The worst health that occurs; `None` when nothing is counted.
    pub fn worst(&self) -> Option<Health> {
        Health::ALL.into_iter().rfind(|health| self.of(*health) > 0)
    }
}

impl FromIterator<Health> for Counts {
    fn from_iter<I: IntoIterator<Item = Health>>(healths: I) -> Self {
        let mut counts = Self::default();
        for health in healths {
            match health {
                Health::Up => counts.up += 1,
                Health::Degraded => counts.degraded += 1,
                Health::Unknown => counts.unknown += 1,
                Health::Down => counts.down += 1,
            }
        }
        counts
    }
}

/// One instance of an overview with where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Located<'o> {
    /// Its environment.
    pub environment: &'o EnvironmentOverview,
    /// Its host.
    pub host: &'o HostOverview,
    /// Itself.
    pub instance: &'o InstanceOverview,
}

impl Located<'_> {
    /// Its full name.
    pub fn id(&self) -> InstanceId {
        InstanceId {
            environment: self.environment.name.clone(),
            host: self.host.name.clone(),
            component: self.instance.component.clone(),
        }
    }
}

impl Overview {
    /// Every instance, in the configuration's order.
    pub fn instances(&self) -> impl Iterator<Item = Located<'_>> {
        self.environments.iter().flat_map(|environment| {
            environment.hosts.iter().flat_map(move |host| {
                host.instances.iter().map(move |instance| Located { environment, host, instance })
            })
        })
    }

    /// The instance of this name; `None` where it is not in the configuration.
    pub fn find(&self, id: &InstanceId) -> Option<Located<'_>> {
        let environment = self.environments.iter().find(|one| one.name == id.environment)?;
        let host = environment.hosts.iter().find(|one| one.name == id.host)?;
        let instance = host.instances.iter().find(|one| one.component == id.component)?;
        Some(Located { environment, host, instance })
    }

    /// How many instances have which health.
    pub fn counts(&self) -> Counts {
        self.instances().map(|located| located.instance.health).collect()
    }

    /// Whether `other` says the same of everything, the times and what is used apart.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.config_digest == other.config_digest
            && self.config_error == other.config_error
            && self.impairments == other.impairments
            && self.environments.len() == other.environments.len()
            && self.environments.iter().zip(&other.environments).all(|(a, b)| {
                a.name == b.name
                    && a.hosts.len() == b.hosts.len()
                    && a.hosts.iter().zip(&b.hosts).all(|(a, b)| a.says_the_same_as(b))
            })
    }
}

impl Overview {
    /// Returns how many instances plans stopped on purpose.
    pub fn planned_stops(&self) -> usize {
        self.environments.iter().map(EnvironmentOverview::planned_stops).sum()
    }
}

impl EnvironmentOverview {
    /// Returns how many of its instances plans stopped on purpose.
    pub fn planned_stops(&self) -> usize {
        let instances = self.hosts.iter().flat_map(|host| &host.instances);
        instances.filter(|instance| instance.stopped_by.is_some()).count()
    }

    /// How many of its instances have which health.
    pub fn counts(&self) -> Counts {
        self.hosts.iter().flat_map(|host| &host.instances).map(|instance| instance.health).collect()
    }
}

impl HostOverview {
    /// Until when it is known how the host was, by the aggregator's clock; `None` before the first report. The last
    /// full scan may be older: between two, its agent follows the host by other means.
    pub fn seen_at(&self) -> Option<Timestamp> {
        self.agent.as_ref().map(|agent| agent.seen_at).or(self.scanned_at)
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.reachable == other.reachable
            && self.error == other.error
            && self.maintenance == other.maintenance
            && self.impairments == other.impairments
            && self.instances == other.instances
            && match (&self.agent, &other.agent) {
                (Some(own), Some(other)) => own.says_the_same_as(other),
                (own, other) => own.is_none() && other.is_none(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Count;
    use crate::control::Requester;
    use crate::down_cause::DownKind;
    use crate::impairment::ImpairedPart;
    use crate::probe::ProbeState;
    use crate::process::ProcessId;
    use crate::report::WatchMode;
    use crate::usage::ProcessUsage;

    #[test]
    fn the_worst_health_is_down_then_unknown_then_degraded() {
        let counts: Counts = [Health::Up, Health::Unknown, Health::Degraded].into_iter().collect();
        assert_eq!(counts.worst(), Some(Health::Unknown));
        assert_eq!(counts.total(), 3);
        assert_eq!(Counts::default().worst(), None);
        assert_eq!([Health::Down, Health::Unknown].into_iter().max(), Some(Health::Down));
    }

    #[test]
    fn reason_has_its_age_where_it_is_shown() {
        let mut instance = InstanceOverview {
            component: "kafka".into(),
            state: Some(State::Stopped),
            health: Health::Down,
            processes: vec![],
            reason: "it is not running; it also lacks zoo".to_owned(),
            cause: None,
            startable: false,
            parts: vec![],
            probe: None,
            action: None,
            unit: None,
            down_cause: None,
            autostart: None,
            maintenance: None,
            stopped_by: None,
            has_log: false,
            since: None,
        };
        let now = Timestamp::from_second(120).unwrap();
        assert_eq!(instance.reason_at(now), instance.reason);
        assert_eq!(instance.stopped_why(now), None);
        let kind = DownKind::Killed { signal: 9, is_clean: false, out_of_memory: false };
        instance.down_cause = Some(DownCause { at: Timestamp::UNIX_EPOCH, kind, last_log_line: None });
        // Of an aggregator that tells it otherwise.
        assert_eq!(instance.reason_at(now), instance.reason);
        instance.reason = "it is not running: ended by SIGKILL; it also lacks zoo".to_owned();
        let expected = "it is not running: ended 2 min ago by SIGKILL; it also lacks zoo";
        assert_eq!(instance.reason_at(now), expected);
        assert_eq!(instance.stopped_why(now).as_deref(), Some("ended 2 min ago by SIGKILL"));
    }

    #[test]
    fn the_json_is_the_contract() {
        let id = InstanceId {
            environment: "DEV".into(),
            host: "c9t21193".into(),
            component: "kafka server".into(),
        };
        let overview = Overview {
            generated_at: Timestamp::UNIX_EPOCH,
            environments: vec![EnvironmentOverview {
                name: "DEV".into(),
                health: Health::Degraded,
                hosts: vec![HostOverview {
                    name: "c9t21193".into(),
                    role: Some("main-analytic".into()),
                    health: Health::Degraded,
                    reachable: true,
                    scanned_at: Some(Timestamp::UNIX_EPOCH),
                    error: None,
                    instances: vec![InstanceOverview {
                        component: "processor gyroscope".into(),
                        state: Some(State::Running),
                        health: Health::Degraded,
                        processes: vec![Process {
                            user: "spark".to_owned(),
                            suspension: Some(Suspension::Signal),
                            ..Process::new(ProcessId { pid: 4242, start_ticks: 7 }, 1)
                        }],
                        reason: "kafka server is down".to_owned(),
                        cause: Some(id),
                        startable: true,
                        parts: vec![PartReport {
                            name: None,
                            count: Count::ONE,
                            running: 1,
                            pids: vec![4242],
                        }],
                        probe: Some(ProbeReport {
                            state: ProbeState::Failing,
                            since: Timestamp::UNIX_EPOCH,
                            reason: "no answer".to_owned(),
                        }),
                        action: None,
                        unit: None,
                        down_cause: None,
                        autostart: None,
                        maintenance: None,
                        stopped_by: None,
                        has_log: true,
                        since: Some(Timestamp::UNIX_EPOCH),
                    }],
                    agent: Some(AgentOverview {
                        version: "0.1.0".to_owned(),
                        watch: Watch { mode: WatchMode::Events, fallback: None, overruns: 0, differences: 0 },
                        seen_at: Timestamp::UNIX_EPOCH,
                        scan_micros: 900,
                        processes_seen: 300,
                        config_digest: "abc".to_owned(),
                        config_error: None,
                        config_differs: false,
                        certificate_ends: None,
                        boot_id: "b".to_owned(),
                    }),
                    usage: Some(Usage {
                        measured_at: Timestamp::UNIX_EPOCH,
                        cpus: 2,
                        load: [0.5, 0.25, 0.0],
                        memory_total_bytes: 2048,
                        memory_available_bytes: 1024,
                        booted_at: None,
                        processes: vec![ProcessUsage {
                            pid: 4242,
                            cpu_percent: 12.5,
                            resident_bytes: 512,
                            threads: 30,
                            open_files: Some(7),
                        }],
                    }),
                    maintenance: Some(Maintenance {
                        environment: "DEV".into(),
                        host: "c9t21193".into(),
                        component: None,
                        since: Timestamp::UNIX_EPOCH,
                        until: None,
                        reason: "disks".to_owned(),
                        by: Requester { user: "ann".to_owned(), address: String::new() },
                    }),
                    impairments: vec![Impairment::new(ImpairedPart::Clock, "2 h ahead")],
                }],
            }],
            config_digest: "abc".to_owned(),
            config_error: None,
            impairments: vec![Impairment::starting(
                ImpairedPart::Store,
                "the disk is full",
                Timestamp::UNIX_EPOCH,
            )],
            aliases: vec![ComponentAliases {
                component: "processor gyroscope".into(),
                aliases: vec!["gyro".into()],
            }],
        };
        let expected = serde_json::json!({
            "generated_at": "1970-01-01T00:00:00Z",
            "environments": [{"name": "DEV", "health": "degraded", "hosts": [{
                "name": "c9t21193", "role": "main-analytic", "health": "degraded", "reachable": true,
                "scanned_at": "1970-01-01T00:00:00Z", "error": null,
                "instances": [{
                    "component": "processor gyroscope", "state": "running", "health": "degraded", "pids": [4242],
                    "processes": [{"pid": 4242, "user": "spark", "started_at": null, "suspension": "signal"}],
                    "reason": "kafka server is down",
                    "cause": {"environment": "DEV", "host": "c9t21193", "component": "kafka server"},
                    "startable": true,
                    "parts": [{"name": null, "count": {"min": 1, "max": 1}, "running": 1, "pids": [4242]}],
                    "probe": {"state": "failing", "since": "1970-01-01T00:00:00Z", "reason": "no answer"},
                    "action": null, "unit": null, "down_cause": null, "autostart": null, "maintenance": null, "stopped_by": null, "has_log": true, "since": "1970-01-01T00:00:00Z"
                }],
                "agent": {
                    "version": "0.1.0",
                    "watch": {"mode": "events", "fallback": null, "overruns": 0, "differences": 0},
                    "seen_at": "1970-01-01T00:00:00Z", "scan_micros": 900, "processes_seen": 300,
                    "config_digest": "abc", "config_error": null, "config_differs": false,
                    "certificate_ends": null,
                    "boot_id": "b"
                },
                "usage": {
                    "measured_at": "1970-01-01T00:00:00Z", "cpus": 2, "load": [0.5, 0.25, 0.0],
                    "memory_total_bytes": 2048, "memory_available_bytes": 1024, "booted_at": null,
                    "processes": [{
                        "pid": 4242, "cpu_percent": 12.5, "resident_bytes": 512, "threads": 30, "open_files": 7
                    }]
                },
                "maintenance": {
                    "environment": "DEV", "host": "c9t21193", "component": null,
                    "since": "1970-01-01T00:00:00Z", "until": null, "reason": "disks",
                    "by": {"user": "ann", "address": ""}
                },
                "impairments": [{"part": "clock", "message": "2 h ahead", "since": null}]
            }]}],
            "config_digest": "abc", "config_error": null,
            "impairments": [{"part": "store", "message": "the disk is full", "since": "1970-01-01T00:00:00Z"}],
            "aliases": [{"component": "processor gyroscope", "aliases": ["gyro"]}]
        });
        assert_eq!(serde_json::to_value(&overview).unwrap(), expected);
    }
}
