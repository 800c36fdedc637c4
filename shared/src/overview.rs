//! Overview of the platform: the health that the aggregator concludes, in the terms shared by the page, the
//! CLI and the JSON API.
//!
//! Serialized with serde, these types are the JSON of `GET /api/v1/overview`; its field names are a public
//! contract.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::{ActionKind, ActionLock};
use crate::autostart::Autostart;
use crate::config::Platform;
use crate::down_cause::DownCause;
use crate::format::ago;
use crate::impairment::Impairment;
use crate::maintenance::Maintenance;
use crate::name::Name;
use crate::planned_stop::PlannedStop;
use crate::probe::ProbeReport;
use crate::process::{Process, Suspension};
use crate::report::{PartReport, State, WatchStatus, awaits_probe};
use crate::snapshot::Snapshot;
use crate::unit::UnitReport;
use crate::usage::HostUsage;
use crate::words::words;

/// Health of an instance, a host or an environment, as the aggregator concludes it.
///
/// Ordered from good to bad, so that the worst of several is their maximum. `Unknown` ranks between
/// `Degraded` and `Down`: a certain failure is more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Runs, and so does everything that it needs.
    Up,
    /// Runs, but something that it needs does not, or it runs twice.
    Degraded,
    /// Not known for certain. Never shown as up or as down.
    Unknown,
    /// Does not run.
    Down,
}

words!(Health {
    Up => "up",
    Degraded => "degraded",
    Unknown => "unknown",
    Down => "down",
});

/// Identity of one component on one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId {
    /// Environment of the host.
    pub environment: Name,
    /// Host.
    pub host: Name,
    /// Component.
    pub component: Name,
}

impl InstanceId {
    /// Returns the name for a sentence, without the environment: `kafka server on h1`.
    pub fn name_in_text(&self) -> String {
        format!("{} on {}", self.component, self.host)
    }
}

impl fmt::Display for InstanceId {
    /// Writes the full name: `ITG/c9t17308/kafka server`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.environment, self.host, self.component)
    }
}

/// State and health of one instance at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceOverview {
    /// Canonical name of the component.
    pub component: Name,
    /// State as its agent reported it; `None` (in JSON `null`) if the host is unknown.
    pub state: Option<State>,
    /// Health concluded from it.
    pub health: Health,
    /// Matched processes. In JSON: `pids`, a list of numbers, and `processes`, with their details.
    #[serde(flatten, serialize_with = "pids_and_processes")]
    pub processes: Snapshot<Vec<Process>>,
    /// Reason why the instance is not up, as a sentence; empty if it is up.
    pub reason: String,
    /// Instance that explains a bad health: the root cause, not a symptom. `None` if the instance is up, or
    /// if it is its own cause.
    pub cause: Option<Box<InstanceId>>,
    /// True if the configuration has a start command for it.
    pub startable: bool,
    /// Parts as the agent reported them; empty if the host is unknown.
    pub parts: Snapshot<Vec<PartReport>>,
    /// Result of the probe; `None` if it has no probe, or is not known to run.
    pub probe: Option<ProbeReport>,
    /// Action in progress.
    pub action: Option<Box<ActionLock>>,
    /// State of its systemd unit; `None` if it has none, or the host is unknown.
    pub unit: Option<Box<UnitReport>>,
    /// Reason why it is stopped; `None` in any other state, or if the reason is unknown.
    pub down_cause: Option<Box<DownCause>>,
    /// State of its automatic restarts; `None` if it is never restarted automatically, or the host is
    /// unknown.
    pub autostart: Option<Box<Autostart>>,
    /// Maintenance window of the instance, or of its host.
    pub maintenance: Option<Box<Maintenance>>,
    /// Plan that stopped it on purpose; `None` if it runs, or was stopped otherwise.
    pub stopped_by: Option<Box<PlannedStop>>,
    /// True if it has a log that users can read.
    pub has_log: bool,
    /// True if it is down, and neither ran nor was started since rta first watched for it. Known within the
    /// aggregator only.
    #[serde(skip)]
    pub never_ran: bool,
    /// Time since which its health has been the same, by the aggregator's clock. Periods in which it could
    /// not be observed count as unchanged. `None`: since before the aggregator started.
    pub since: Option<Timestamp>,
}

impl InstanceOverview {
    /// Creates an instance with this health, of which nothing else is known.
    pub fn new(component: impl Into<Name>, health: Health) -> Self {
        Self {
            component: component.into(),
            state: None,
            health,
            processes: Snapshot::default(),
            reason: String::new(),
            cause: None,
            startable: false,
            parts: Snapshot::default(),
            probe: None,
            action: None,
            unit: None,
            down_cause: None,
            autostart: None,
            maintenance: None,
            stopped_by: None,
            has_log: false,
            never_ran: false,
            since: None,
        }
    }

    /// Returns true if the instance runs and only the first pass of its probe is missing.
    pub fn awaits_probe(&self) -> bool {
        awaits_probe(self.state, self.action.as_deref())
    }

    /// Returns the state in which an instance that only waits for its probe counts as running: it must not be
    /// launched a second time, and may be stopped.
    pub fn run_state(&self) -> Option<State> {
        if self.awaits_probe() { Some(State::Running) } else { self.state }
    }

    /// Returns the actions that make sense in its state, in the order in which they are offered.
    pub fn allowed_actions(&self) -> &'static [ActionKind] {
        self.run_state().map_or(&[], |state| state.allowed_actions(self.startable))
    }

    /// Returns [`InstanceOverview::reason`] with its age at `now`. The reason itself contains no age, because
    /// that would change every second.
    pub fn reason_at(&self, now: Timestamp) -> String {
        match self.reason_split_at_age() {
            Some((before, at, after)) => format!("{before} {}{after}", ago(at, now)),
            None => self.reason.clone(),
        }
    }

    /// Returns the text before the age in [`InstanceOverview::reason_at`], the time from which the age is
    /// counted, and the text after it; `None` if the reason has no age.
    pub fn reason_split_at_age(&self) -> Option<(String, Timestamp, String)> {
        let (whole, at, (before, after)) = match (&self.stopped_by, &self.down_cause) {
            (Some(stop), _) => (stop.to_string(), stop.at, stop.around_age()),
            (None, Some(cause)) => (cause.to_string(), cause.at, cause.split_at_age()),
            (None, None) => return None,
        };
        let (lead, rest) = self.reason.split_once(&whole)?;
        Some((format!("{lead}{before}"), at, format!("{after}{rest}")))
    }

    /// Returns the reason why the instance is stopped in a few words, with its age; `None` if it is not
    /// stopped, or the reason is unknown.
    pub fn stop_explanation(&self, now: Timestamp) -> Option<String> {
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
    struct ShownProcesses<'p> {
        pids: Vec<u32>,
        processes: Vec<ShownProcess<'p>>,
    }
    ShownProcesses {
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

/// State of an agent, as it reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentOverview {
    /// Version of the agent.
    pub version: String,
    /// Mode and gaps of its process watch.
    pub watch: WatchStatus,
    /// Time up to which the agent has followed its host without a gap, by the aggregator's clock: measured
    /// from the receipt of its last message.
    pub seen_at: Timestamp,
    /// Duration of its last full scan, in microseconds.
    pub scan_micros: u64,
    /// Number of processes that this scan inspected.
    pub processes_seen: u32,
    /// Digest of its configuration.
    pub config_digest: String,
    /// Reason why a newer configuration was rejected.
    pub config_error: Option<String>,
    /// True if its configuration differs from the aggregator's.
    pub config_differs: bool,
    /// Expiry of its certificate; `None`: the connection is in clear text, or the agent does not report it.
    pub certificate_ends: Option<Timestamp>,
    /// Boot ID of its host: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// How far the host's clock is ahead of the aggregator's, in milliseconds; negative if it is behind. The
    /// delay of messages is part of it. `None` before the first measurement.
    pub clock_ahead_millis: Option<i64>,
}

impl AgentOverview {
    fn equals_except_times(&self, other: &Self) -> bool {
        // A new field does not compile before it is compared here or left out on purpose.
        let Self {
            version,
            watch,
            seen_at: _,
            scan_micros: _,
            processes_seen: _,
            config_digest,
            config_error,
            config_differs,
            certificate_ends,
            boot_id,
            clock_ahead_millis: _,
        } = self;
        *version == other.version
            && *watch == other.watch
            && *config_digest == other.config_digest
            && *config_error == other.config_error
            && *config_differs == other.config_differs
            && *certificate_ends == other.certificate_ends
            && *boot_id == other.boot_id
    }
}

/// State and health of one host at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostOverview {
    /// Name of the host.
    pub name: Name,
    /// Role of the host; `None` for a host that lists components without a role.
    pub role: Option<Name>,
    /// Worst health of its instances.
    pub health: Health,
    /// True if its agent answers and its report is fresh.
    pub reachable: bool,
    /// End of the last full scan that was reported, by the aggregator's clock; `None` before the first.
    pub scanned_at: Option<Timestamp>,
    /// Reason why the host is unknown, as a sentence.
    pub error: Option<String>,
    /// Instances of the host, in the configuration's order.
    pub instances: Vec<Snapshot<InstanceOverview>>,
    /// State of its agent; `None` before the first report.
    pub agent: Option<AgentOverview>,
    /// Resource usage; `None` before the first measurement, and while the host is unknown.
    pub usage: Option<HostUsage>,
    /// Maintenance window of the whole host.
    pub maintenance: Option<Maintenance>,
    /// Impaired parts of its agent, and a clock that differs from the aggregator's; empty while the host is
    /// unknown.
    pub impairments: Vec<Impairment>,
}

/// State and health of one environment at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvironmentOverview {
    /// Name of the environment.
    pub name: Name,
    /// Worst health of its hosts.
    pub health: Health,
    /// Hosts of the environment, in the configuration's order.
    pub hosts: Vec<Snapshot<HostOverview>>,
}

/// State and health of the whole platform at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// Time of the overview, by the aggregator's clock.
    pub generated_at: Timestamp,
    /// Environments, in the configuration's order.
    pub environments: Vec<Snapshot<EnvironmentOverview>>,
    /// Digest of the aggregator's configuration.
    pub config_digest: String,
    /// Problems for which a newer configuration was rejected, one per line.
    pub config_error: Option<String>,
    /// Impaired parts of the aggregator, the most severe first.
    pub impairments: Vec<Impairment>,
    /// Aliases of components; components without any are omitted.
    pub aliases: Vec<ComponentAliases>,
    /// Aggregators that lead environments, of several, in the configuration's order. Absent: there is only
    /// one aggregator, or nobody certainly leads the environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaders: Vec<LeaderOverview>,
}

/// Aggregator that leads an environment, of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaderOverview {
    /// Environment that it leads.
    pub environment: Name,
    /// Address at which people reach it.
    pub address: String,
    /// Its host and process ID, such as `a, pid 12`.
    pub process: String,
    /// Epoch of its lease: each change of the leader increases it.
    pub epoch: u64,
    /// Time at which it took the lead, by the database's clock.
    pub since: Timestamp,
    /// True if it made this overview itself.
    #[serde(rename = "here")]
    pub is_here: bool,
}

impl LeaderOverview {
    /// Returns each aggregator once, with the environments that it leads.
    pub fn group_environments<'l>(
        leaders: impl IntoIterator<Item = &'l Self>,
    ) -> Vec<(&'l Self, Vec<&'l Name>)> {
        let mut groups: Vec<(&Self, Vec<&Name>)> = Vec::new();
        for leader in leaders {
            let is_same = |one: &Self| one.process == leader.process && one.address == leader.address;
            match groups.iter_mut().find(|(one, _)| is_same(one)) {
                Some((_, environments)) => environments.push(&leader.environment),
                None => groups.push((leader, vec![&leader.environment])),
            }
        }
        groups
    }
}

/// Aliases of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentAliases {
    /// Canonical name.
    pub component: Name,
    /// Aliases; never empty.
    pub aliases: Vec<Name>,
}

impl ComponentAliases {
    /// Returns the aliases of every component of `platform` that has any, in the configuration's order.
    pub fn list(platform: &Platform) -> Vec<Self> {
        let named = platform.components.iter().filter(|component| !component.aliases.is_empty());
        named
            .map(|component| Self { component: component.name.clone(), aliases: component.aliases.clone() })
            .collect()
    }
}

/// Number of instances with each health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthCounts {
    /// Number that are [`Health::Up`].
    pub up: usize,
    /// Number that are [`Health::Degraded`].
    pub degraded: usize,
    /// Number that are [`Health::Unknown`].
    pub unknown: usize,
    /// Number that are [`Health::Down`].
    pub down: usize,
}

impl HealthCounts {
    /// Returns the number for one health.
    pub fn of(&self, health: Health) -> usize {
        match health {
            Health::Up => self.up,
            Health::Degraded => self.degraded,
            Health::Unknown => self.unknown,
            Health::Down => self.down,
        }
    }

    /// Counts one more with this health.
    pub fn add(&mut self, health: Health) {
        *self.of_mut(health) += 1;
    }

    /// Counts one less with this health.
    pub fn remove(&mut self, health: Health) {
        let count = self.of_mut(health);
        *count = count.saturating_sub(1);
    }

    fn of_mut(&mut self, health: Health) -> &mut usize {
        match health {
            Health::Up => &mut self.up,
            Health::Degraded => &mut self.degraded,
            Health::Unknown => &mut self.unknown,
            Health::Down => &mut self.down,
        }
    }

    /// Returns the sum over every health.
    pub fn total(&self) -> usize {
        Health::ALL.iter().map(|health| self.of(*health)).sum()
    }

    /// Returns the worst health that occurs; `None` if nothing is counted.
    pub fn worst(&self) -> Option<Health> {
        Health::ALL.into_iter().rfind(|health| self.of(*health) > 0)
    }
}

impl FromIterator<Health> for HealthCounts {
    fn from_iter<I: IntoIterator<Item = Health>>(healths: I) -> Self {
        let mut counts = Self::default();
        healths.into_iter().for_each(|health| counts.add(health));
        counts
    }
}

/// Reference to one instance of an overview, with its host and environment.
#[derive(Clone, Copy, Debug)]
pub struct LocatedInstance<'o> {
    /// Environment of the instance.
    pub environment: &'o EnvironmentOverview,
    /// Host of the instance.
    pub host: &'o HostOverview,
    /// Instance.
    pub instance: &'o InstanceOverview,
}

impl LocatedInstance<'_> {
    /// Returns the full name of the instance.
    pub fn id(&self) -> InstanceId {
        InstanceId {
            environment: self.environment.name.clone(),
            host: self.host.name.clone(),
            component: self.instance.component.clone(),
        }
    }
}

impl Overview {
    /// Returns all instances, in the configuration's order.
    pub fn instances(&self) -> impl Iterator<Item = LocatedInstance<'_>> {
        self.environments.iter().flat_map(|environment| {
            environment.hosts.iter().flat_map(move |host| {
                host.instances.iter().map(move |instance| LocatedInstance { environment, host, instance })
            })
        })
    }

    /// Returns the instances of all hosts but those that are up as a whole, in the configuration's order. Of thousands
    /// of hosts, most are.
    pub fn instances_of_impaired_hosts(&self) -> impl Iterator<Item = LocatedInstance<'_>> {
        self.environments.iter().flat_map(|environment| {
            environment.hosts.iter().filter(|host| !host.is_up()).flat_map(move |host| {
                host.instances.iter().map(move |instance| LocatedInstance { environment, host, instance })
            })
        })
    }

    /// Returns the instance with this name; `None` if it is not in the configuration.
    pub fn find(&self, id: &InstanceId) -> Option<LocatedInstance<'_>> {
        let environment = self.environments.iter().find(|one| one.name == id.environment)?;
        let host = environment.hosts.iter().find(|one| one.name == id.host)?;
        let instance = host.instances.iter().find(|one| one.component == id.component)?;
        Some(LocatedInstance { environment, host, instance })
    }

    /// Returns the number of instances with each health.
    pub fn counts(&self) -> HealthCounts {
        count_health(self.environments.iter().flat_map(|environment| &environment.hosts))
    }

    /// Returns true if `other` is equal apart from times and resource usage.
    pub fn equals_except_times(&self, other: &Self) -> bool {
        self.config_digest == other.config_digest
            && self.config_error == other.config_error
            && self.impairments == other.impairments
            && self.environments.len() == other.environments.len()
            && self.environments.iter().zip(&other.environments).all(|(a, b)| {
                let same_host = |(a, b): (&Snapshot<HostOverview>, &Snapshot<HostOverview>)| {
                    Snapshot::ptr_eq(a, b) || a.equals_except_times(b)
                };
                Snapshot::ptr_eq(a, b)
                    || a.name == b.name
                        && a.hosts.len() == b.hosts.len()
                        && a.hosts.iter().zip(&b.hosts).all(same_host)
            })
    }
}

impl Overview {
    /// Returns the number of instances that plans stopped on purpose.
    pub fn planned_stops(&self) -> usize {
        self.environments.iter().map(|environment| environment.planned_stops()).sum()
    }
}

impl EnvironmentOverview {
    /// Returns the number of its instances that plans stopped on purpose.
    pub fn planned_stops(&self) -> usize {
        let impaired = self.hosts.iter().filter(|host| !host.is_up());
        let instances = impaired.flat_map(|host| &host.instances);
        instances.filter(|instance| instance.stopped_by.is_some()).count()
    }

    /// Returns the number of its instances with each health.
    pub fn counts(&self) -> HealthCounts {
        count_health(&self.hosts)
    }
}

/// Returns the number of the hosts' instances with each health.
fn count_health<'o>(hosts: impl IntoIterator<Item = &'o Snapshot<HostOverview>>) -> HealthCounts {
    let mut counts = HealthCounts::default();
    for host in hosts {
        if host.is_up() {
            counts.up += host.instances.len();
        } else {
            host.instances.iter().for_each(|instance| counts.add(instance.health));
        }
    }
    counts
}

impl HostOverview {
    /// Returns true if the host is known, and all its instances are up.
    pub fn is_up(&self) -> bool {
        self.health == Health::Up && self.reachable && self.error.is_none()
    }

    /// Returns the time up to which the state of the host is known, by the aggregator's clock; `None` before
    /// the first report. The last full scan may be older: between two scans, the agent follows the host by
    /// other means.
    pub fn seen_at(&self) -> Option<Timestamp> {
        self.agent.as_ref().map(|agent| agent.seen_at).or(self.scanned_at)
    }

    /// Returns true if `other` is equal apart from times and resource usage.
    pub fn equals_except_times(&self, other: &Self) -> bool {
        // As above.
        let Self {
            name,
            role,
            health,
            reachable,
            scanned_at: _,
            error,
            instances,
            agent,
            usage: _,
            maintenance,
            impairments,
        } = self;
        *name == other.name
            && *role == other.role
            && *health == other.health
            && *reachable == other.reachable
            && *error == other.error
            && *maintenance == other.maintenance
            && *impairments == other.impairments
            && *instances == other.instances
            && match (agent, &other.agent) {
                (Some(own), Some(other)) => own.equals_except_times(other),
                (own, other) => own.is_none() && other.is_none(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Requester;
    use crate::config::ProcessCount;
    use crate::down_cause::DownKind;
    use crate::impairment::ImpairedPart;
    use crate::probe::ProbeState;
    use crate::process::ProcessId;
    use crate::report::WatchMode;
    use crate::usage::{ProbeDuration, ProcessUsage};

    #[test]
    fn the_worst_health_is_down_then_unknown_then_degraded() {
        let counts: HealthCounts = [Health::Up, Health::Unknown, Health::Degraded].into_iter().collect();
        assert_eq!(counts.worst(), Some(Health::Unknown));
        assert_eq!(counts.total(), 3);
        assert_eq!(HealthCounts::default().worst(), None);
        assert_eq!([Health::Down, Health::Unknown].into_iter().max(), Some(Health::Down));
    }

    #[test]
    fn reason_has_its_age_where_it_is_shown() {
        let mut instance = InstanceOverview {
            state: Some(State::Stopped),
            reason: "it is not running; it also lacks zoo".to_owned(),
            ..InstanceOverview::new("kafka", Health::Down)
        };
        let now = Timestamp::from_second(120).unwrap();
        assert_eq!(instance.reason_at(now), instance.reason);
        assert_eq!(instance.stop_explanation(now), None);
        let kind = DownKind::Killed { signal: 9, is_clean: false, out_of_memory: false };
        instance.down_cause =
            Some(Box::new(DownCause { at: Timestamp::UNIX_EPOCH, kind, last_log_line: None }));
        // A reason from another aggregator version, with another text.
        assert_eq!(instance.reason_at(now), instance.reason);
        instance.reason = "it is not running: ended by SIGKILL; it also lacks zoo".to_owned();
        let expected = "it is not running: ended 2 min ago by SIGKILL; it also lacks zoo";
        assert_eq!(instance.reason_at(now), expected);
        assert_eq!(instance.stop_explanation(now).as_deref(), Some("ended 2 min ago by SIGKILL"));
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
            environments: vec![Snapshot::new(EnvironmentOverview {
                name: "DEV".into(),
                health: Health::Degraded,
                hosts: vec![Snapshot::new(HostOverview {
                    name: "c9t21193".into(),
                    role: Some("main-analytic".into()),
                    health: Health::Degraded,
                    reachable: true,
                    scanned_at: Some(Timestamp::UNIX_EPOCH),
                    error: None,
                    instances: vec![Snapshot::new(InstanceOverview {
                        state: Some(State::Running),
                        processes: vec![Process {
                            user: "spark".to_owned(),
                            suspension: Some(Suspension::Signal),
                            ..Process::new(ProcessId { pid: 4242, start_ticks: 7 }, 1)
                        }]
                        .into(),
                        reason: "kafka server is down".to_owned(),
                        cause: Some(Box::new(id)),
                        startable: true,
                        parts: vec![PartReport {
                            name: None,
                            count: ProcessCount::ONE,
                            running: 1,
                            pids: vec![4242],
                        }]
                        .into(),
                        probe: Some(ProbeReport {
                            state: ProbeState::Failing,
                            since: Timestamp::UNIX_EPOCH,
                            reason: "no answer".to_owned(),
                        }),
                        has_log: true,
                        since: Some(Timestamp::UNIX_EPOCH),
                        ..InstanceOverview::new("processor gyroscope", Health::Degraded)
                    })],
                    agent: Some(AgentOverview {
                        version: "0.1.0".to_owned(),
                        watch: WatchStatus {
                            mode: WatchMode::Events,
                            fallback: None,
                            overruns: 0,
                            differences: 0,
                        },
                        seen_at: Timestamp::UNIX_EPOCH,
                        scan_micros: 900,
                        processes_seen: 300,
                        config_digest: "abc".to_owned(),
                        config_error: None,
                        config_differs: false,
                        certificate_ends: None,
                        boot_id: "b".to_owned(),
                        clock_ahead_millis: Some(-12),
                    }),
                    usage: Some(HostUsage {
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
                        cpu_times: Vec::new(),
                        probe_durations: vec![ProbeDuration {
                            component: "processor gyroscope".into(),
                            seconds: 0.25,
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
                })],
            })],
            config_digest: "abc".to_owned(),
            config_error: None,
            impairments: vec![Impairment::starting(
                ImpairedPart::Store,
                "the disk is full",
                Timestamp::UNIX_EPOCH,
            )],
            leaders: Vec::new(),
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
                    "boot_id": "b",
                    "clock_ahead_millis": -12
                },
                "usage": {
                    "measured_at": "1970-01-01T00:00:00Z", "cpus": 2, "load": [0.5, 0.25, 0.0],
                    "memory_total_bytes": 2048, "memory_available_bytes": 1024, "booted_at": null,
                    "processes": [{
                        "pid": 4242, "cpu_percent": 12.5, "resident_bytes": 512, "threads": 30, "open_files": 7
                    }],
                    "cpu_times": [],
                    "probe_durations": [{"component": "processor gyroscope", "seconds": 0.25}]
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
