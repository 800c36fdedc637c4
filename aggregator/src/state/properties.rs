//! Comparison of the incremental evaluation with one of everything, over random platforms and random
//! sequences of updates.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use rta_shared::action::{ActionKind, ActionLock, Requester};
use rta_shared::autostart::Autostart;
use rta_shared::config::{Environment, Host, Platform, ProcessCount, Source, load_sources};
use rta_shared::dependency::DependencyGraph;
use rta_shared::down_cause::{DownCause, DownKind};
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::{
    EnvironmentOverview, Health, HostOverview, InstanceId, InstanceOverview, Overview,
};
use rta_shared::plan::{ActionRequest, Plan};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::probe::{ProbeReport, ProbeState};
use rta_shared::process::{Process, ProcessId, Suspension};
use rta_shared::report::{
    ComponentReport, ConfigStatus, PartReport, Report, ScanFigures, State, WatchStatus,
};
use rta_shared::snapshot::Snapshot;
use rta_shared::usage::HostUsage;

use crate::agent_id::AgentId;
use crate::clock::{ClockPair, MessageReceipt};
use crate::plans::request::plan_request;
use crate::state::evaluate::oracle::evaluate_everything;
use crate::state::host_state::{AgentUpdate, HostStates};
use crate::state::maintenance::{ActiveMaintenance, is_configured};
use crate::state::planned_stops::PlannedStops;
use crate::state::platform_state::PlatformState;
use crate::state::prerequisites::{PrerequisitesByHost, RemotePrerequisiteIndex};
use crate::state::transitions::{TransitionTracker, Transitions};
use crate::state::what_if::{ASSUMED_USER, assume_host_down, assume_plan, health_changes};

const HOSTS: usize = 6;
const COMPONENTS: usize = 7;

/// Needs of each component by index and kind, and the hosts that carry it, as bits.
type PlatformShape = Vec<(Vec<(Index, bool)>, u8)>;

/// Change of the platform's state.
#[derive(Clone, Debug)]
enum Step {
    /// Report of a host, with a state for each component. The clock of the host may be ahead.
    Report {
        host: usize,
        states: Vec<u8>,
        is_ahead: bool,
    },
    Heartbeat(usize),
    Usage(usize),
    Blind(usize),
    Lost(usize),
    BeginMaintenance {
        host: usize,
        component: Option<Index>,
    },
    EndMaintenance(usize),
    PlannedStop {
        host: usize,
        component: Index,
    },
    Reload(Index),
    SetClock(i8),
    Wait(u8),
    /// Compares the evaluations.
    Compare,
}

fn platform(shape: &PlatformShape, digest: usize) -> Platform {
    let mut text = String::new();
    for (at, (needs, _)) in shape.iter().enumerate() {
        let _ = write!(text, "[[component]]\nname = 'c{at}'\ncriteria = [{{ regex = 'x' }}]\n");
        let mut needs: Vec<(usize, bool)> =
            needs.iter().filter(|_| at > 0).map(|(need, any)| (need.index(at), *any)).collect();
        needs.sort_unstable();
        needs.dedup_by_key(|(need, _)| *need);
        let needs = needs.iter().map(|(need, any)| match any {
            true => format!("{{ component = 'c{need}', host = 'any' }}"),
            false => format!("'c{need}'"),
        });
        let _ = writeln!(text, "depends_on = [{}]", needs.collect::<Vec<_>>().join(", "));
        if at % 2 == 1 {
            text.push_str("start = { command = ['x'] }\nrestart = 'always'\n");
        }
    }
    let mut platform = load_sources(&[Source { name: "x.toml".to_owned(), text }]).unwrap();
    let host = |host: usize, environment: &str| Host {
        name: format!("h{host}").into(),
        environment: environment.into(),
        role: None,
        components: (0..shape.len())
            .filter(|at| shape[*at].1 & (1 << host) != 0)
            .map(|at| format!("c{at}").into())
            .collect(),
        agent: String::new(),
        ip: vec![],
        variables: BTreeMap::new(),
        owner: None,
        labels: BTreeMap::new(),
    };
    // With the shape, hosts move from one environment to the other.
    let split = 2 + digest % 3;
    let environment = |name: &str, hosts: std::ops::Range<usize>| Environment {
        name: name.into(),
        hosts: hosts.map(|at| host(at, name)).collect(),
        owner: None,
        labels: BTreeMap::new(),
    };
    platform.environments = vec![environment("E", 0..split), environment("F", split..HOSTS)];
    platform.digest = digest.to_string();
    platform
}

fn shape() -> impl Strategy<Value = PlatformShape> {
    let needs = proptest::collection::vec((any::<Index>(), any::<bool>()), 0..4);
    proptest::collection::vec((needs, any::<u8>()), 1..=COMPONENTS)
}

fn step() -> impl Strategy<Value = Step> {
    let host = || 0..HOSTS;
    let states = proptest::collection::vec(0_u8..24, COMPONENTS);
    prop_oneof![
        8 => (host(), states, proptest::bool::weighted(0.2))
            .prop_map(|(host, states, is_ahead)| Step::Report { host, states, is_ahead }),
        2 => host().prop_map(Step::Heartbeat),
        1 => host().prop_map(Step::Usage),
        1 => host().prop_map(Step::Blind),
        2 => host().prop_map(Step::Lost),
        1 => (host(), any::<Option<Index>>())
            .prop_map(|(host, component)| Step::BeginMaintenance { host, component }),
        1 => host().prop_map(Step::EndMaintenance),
        2 => (host(), any::<Index>()).prop_map(|(host, component)| Step::PlannedStop { host, component }),
        1 => any::<Index>().prop_map(Step::Reload),
        1 => any::<i8>().prop_map(Step::SetClock),
        2 => (0_u8..10).prop_map(Step::Wait),
        8 => Just(Step::Compare),
    ]
}

/// What is assumed to happen.
#[derive(Clone, Debug)]
enum Assumption {
    HostDown(usize),
    Action { kind: ActionKind, instance: Index, no_dependencies: bool },
}

fn assumption() -> impl Strategy<Value = Assumption> {
    let kind = proptest::sample::select(vec![ActionKind::Start, ActionKind::Stop]);
    prop_oneof![
        1 => (0..HOSTS).prop_map(Assumption::HostDown),
        3 => (kind, any::<Index>(), any::<bool>()).prop_map(|(kind, instance, no_dependencies)| {
            Assumption::Action { kind, instance, no_dependencies }
        }),
    ]
}

/// Creates an overview of these environments.
fn overview_of(
    platform: &Platform,
    environments: Vec<Snapshot<EnvironmentOverview>>,
    at: Timestamp,
) -> Overview {
    Overview {
        generated_at: at,
        environments,
        config_digest: platform.digest.clone(),
        config_error: None,
        impairments: vec![],
        aliases: vec![],
        leaders: Vec::new(),
    }
}

fn component_report(component: &Name, kind: u8, at: Timestamp) -> Option<ComponentReport> {
    let process = |pid| Process::new(ProcessId { pid, start_ticks: 1 }, 1);
    let mut report = ComponentReport {
        component: component.clone(),
        state: State::Running,
        processes: vec![process(7)].into(),
        parts: vec![PartReport { name: None, count: ProcessCount::ONE, running: 1, pids: vec![7] }].into(),
        doubled: false,
        unseen: None,
        action: None,
        probe: None,
        unit: None,
        autostart: None,
        down_cause: None,
        exceeded_limits: Vec::new(),
    };
    let probe = |state| Some(ProbeReport { state, since: at, reason: "refused".to_owned() });
    let cause = |kind| Some(DownCause { at, kind, last_log_line: None });
    let autostart = |restarts, waiting_for: &str| {
        Some(Autostart {
            wanted: true,
            why: String::new(),
            restarts,
            next_at: Some(at),
            given_up: restarts > 1,
            flapping: restarts == 1,
            last_end: String::new(),
            waiting_for: waiting_for.to_owned(),
            restarts_total: u64::from(restarts),
        })
    };
    match kind {
        0 => return None,
        1..=4 => {
            report.state = State::Stopped;
            report.processes.clear();
            report.down_cause = match kind {
                1 => None,
                2 => cause(DownKind::NeverSeen),
                3 => cause(DownKind::Killed { signal: 9, is_clean: false, out_of_memory: false }),
                _ => cause(DownKind::Stopped { by: Requester::default() }),
            }
            .map(Box::new);
            report.autostart = if kind == 3 { autostart(2, "c0 on h1") } else { None }.map(Box::new);
        }
        5 => report.state = State::Partial,
        6 => {
            report.state = State::Starting;
            let by = Requester::default();
            report.action = Some(Box::new(ActionLock { kind: ActionKind::Start, by, since: at }));
        }
        7 => report.state = State::Stopping,
        8 => report.state = State::Unknown,
        9 => (report.state, report.probe) = (State::Starting, probe(ProbeState::Pending)),
        10 | 11 => report.probe = probe(ProbeState::Failing),
        12 => report.processes = vec![process(7), process(8)].into(),
        13 => report.processes[0].suspension = Some(Suspension::Signal),
        14 => report.autostart = autostart(1, "").map(Box::new),
        15 => report.doubled = true,
        _ => {}
    }
    Some(report)
}

/// Both evaluations of the same state.
struct Comparison {
    platforms: Vec<Arc<Platform>>,
    agents: HashMap<Name, AgentId>,
    state: PlatformState,
    oracle: Oracle,
    /// Last report of each host.
    last_reports: HashMap<Name, Report>,
    prerequisites: PrerequisitesByHost,
    shown: Vec<Snapshot<EnvironmentOverview>>,
    now: ClockPair,
    began: Timestamp,
}

/// State that is evaluated as a whole.
struct Oracle {
    platform: Arc<Platform>,
    graph: DependencyGraph,
    host_states: HostStates,
    maintenance: ActiveMaintenance,
    planned_stops: PlannedStops,
    transitions: TransitionTracker,
    removed: Transitions,
}

impl Oracle {
    fn update(
        &mut self,
        now: ClockPair,
    ) -> (Vec<Snapshot<EnvironmentOverview>>, Vec<InstanceId>, Transitions) {
        let mut environments = evaluate_everything(&self.platform, &self.graph, self.host_states.hosts());
        let mut transitions = std::mem::take(&mut self.removed);
        let (mut ended, mut at) = (Vec::new(), 0..);
        for host in environments.iter_mut().flat_map(|environment| &mut environment.hosts) {
            host.maintenance = self.maintenance.of_whole_host(&host.name).cloned();
            self.transitions.track_host(at.next().unwrap(), host, now.wall, &mut transitions);
        }
        let mut at = 0..;
        for host in environments.iter_mut().flat_map(|environment| &mut environment.hosts) {
            let host = &mut **host;
            let is_host_known = host.reachable && host.error.is_none();
            for instance in &mut host.instances {
                let at = at.next().unwrap();
                let own = self.maintenance.of_instance(&host.name, &instance.component);
                instance.maintenance = own.or(host.maintenance.as_ref()).cloned().map(Box::new);
                let id = self.graph.id(at);
                ended.extend(self.planned_stops.apply_to(id, instance, now.at, now.wall));
                self.transitions.track_instance(at, instance, is_host_known, now.wall, &mut transitions);
            }
        }
        (environments, ended, transitions)
    }
}

impl Comparison {
    fn new(shapes: &[PlatformShape]) -> Self {
        let platforms: Vec<Arc<Platform>> =
            shapes.iter().enumerate().map(|(at, shape)| Arc::new(platform(shape, at))).collect();
        let names = platforms[0].hosts().map(|host| (host.name.clone(), AgentId::new_unique()));
        let agents: HashMap<Name, AgentId> = names.collect();
        let own = || platforms[0].hosts().map(|host| agents[&host.name]).collect::<Vec<_>>();
        let state = PlatformState::new(
            Arc::clone(&platforms[0]),
            own(),
            ActiveMaintenance::default(),
            PlannedStops::default(),
            TransitionTracker::default(),
        );
        let mut oracle = Oracle {
            platform: Arc::clone(&platforms[0]),
            graph: DependencyGraph::new(&platforms[0]),
            host_states: HostStates::for_agents(own().into_iter(), Timestamp::UNIX_EPOCH),
            maintenance: ActiveMaintenance::default(),
            planned_stops: PlannedStops::default(),
            transitions: TransitionTracker::default(),
            removed: Transitions::default(),
        };
        oracle.removed.samples = oracle.transitions.follow_config(state.view().environments());
        let wall = Timestamp::from_second(1_000_000).unwrap();
        let now = ClockPair { wall, at: Instant::now() };
        let (prerequisites, shown) = (PrerequisitesByHost::default(), Vec::new());
        let last_reports = HashMap::new();
        Self { platforms, agents, state, oracle, last_reports, prerequisites, shown, now, began: wall }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Report { host, states, is_ahead } => {
                let at = self.now.wall - SignedDuration::from_secs(1);
                let components = self.host(*host).components.clone();
                let reports = components.iter().zip(states);
                let reports = reports.filter_map(|(name, kind)| component_report(name, *kind, at)).collect();
                self.report(*host, Ok(reports), *is_ahead);
            }
            Step::Blind(host) => self.report(*host, Err("/proc hides processes".to_owned()), false),
            Step::Heartbeat(host) => {
                let receipt = MessageReceipt { received: self.now, sent: Some(self.now.wall) };
                self.send(*host, &AgentUpdate::Heartbeat(self.scan(), receipt));
            }
            Step::Usage(host) => {
                let usage = HostUsage {
                    measured_at: self.now.wall,
                    cpus: 1,
                    load: [0.0; 3],
                    memory_total_bytes: 2,
                    memory_available_bytes: 1,
                    booted_at: None,
                    processes: vec![],
                    cpu_times: vec![],
                    probe_durations: vec![],
                };
                self.send(*host, &AgentUpdate::Usage(usage));
            }
            Step::Lost(host) => self.send(*host, &AgentUpdate::Lost("gone".to_owned())),
            Step::BeginMaintenance { host, component } => {
                let host = self.host(*host);
                let component = component.filter(|_| !host.components.is_empty());
                let one = Maintenance {
                    environment: host.environment.clone(),
                    host: host.name.clone(),
                    component: component.map(|at| at.get(&host.components).clone()),
                    since: self.now.wall,
                    until: None,
                    reason: String::new(),
                    by: Requester::default(),
                };
                self.oracle.maintenance.begin(std::slice::from_ref(&one));
                self.state.begin_maintenance(&[one]);
            }
            Step::EndMaintenance(host) => {
                let name = self.host(*host).name.clone();
                self.end_maintenance(|one| one.host == name);
            }
            Step::PlannedStop { host, component } => {
                let host = self.host(*host);
                if host.components.is_empty() {
                    return;
                }
                let id = InstanceId {
                    environment: host.environment.clone(),
                    host: host.name.clone(),
                    component: component.get(&host.components).clone(),
                };
                let stop = PlannedStop { plan: 1, by: Requester::default(), at: self.now.wall };
                self.oracle.planned_stops.add(id.clone(), stop.clone(), self.now.at);
                self.state.add_planned_stop(id, stop, self.now);
            }
            Step::Reload(index) => self.reload(Arc::clone(index.get(&self.platforms))),
            Step::SetClock(minutes) => {
                let step = SignedDuration::from_mins(i64::from(*minutes));
                self.now.wall += step;
                self.oracle.host_states.shift_clock(step);
                self.oracle.transitions.shift_clock(step, self.began);
                self.oracle.planned_stops.shift_clock(step, self.began);
                self.state.shift_clock(step, self.began);
                self.began += step;
            }
            Step::Wait(seconds) => {
                self.now.wall += SignedDuration::from_secs(i64::from(*seconds));
                self.now.at += Duration::from_secs(u64::from(*seconds));
            }
            Step::Compare => self.compare(),
        }
    }

    fn host(&self, at: usize) -> &Host {
        self.oracle.platform.hosts().nth(at).unwrap()
    }

    fn scan(&self) -> ScanFigures {
        let at = self.now.wall;
        ScanFigures { scanned_at: at, duration: Duration::ZERO, processes_seen: 1, seen_at: at }
    }

    fn report(&mut self, host: usize, components: Result<Vec<ComponentReport>, String>, is_ahead: bool) {
        let report = Report {
            host: self.host(host).name.clone(),
            boot_id: String::new(),
            scan: self.scan(),
            components,
            watch: WatchStatus::scans_only(),
            config: ConfigStatus { digest: "0".to_owned(), error: None },
            agent_version: String::new(),
            agent_run_id: String::new(),
            certificate_ends: None,
            impairments: vec![],
        };
        let ahead = SignedDuration::from_secs(if is_ahead { 3600 } else { 0 });
        let receipt = MessageReceipt { received: self.now, sent: Some(self.now.wall + ahead) };
        self.send(host, &AgentUpdate::Report(report.into(), receipt));
    }

    fn send(&mut self, host: usize, update: &AgentUpdate) {
        let name = self.host(host).name.clone();
        let agent = self.agents[&name];
        if let AgentUpdate::Report(report, _) = update {
            self.last_reports.insert(name, Report::clone(report));
        }
        self.oracle.host_states.apply_update(agent, update.clone(), self.now.at);
        self.state.apply_update(agent, update.clone(), self.now.at);
    }

    fn end_maintenance(&mut self, is_over: impl Fn(&Maintenance) -> bool) {
        assert_eq!(self.oracle.maintenance.end(&is_over), self.state.end_maintenance(&is_over));
    }

    fn reload(&mut self, platform: Arc<Platform>) {
        let own: Vec<AgentId> = platform.hosts().map(|host| self.agents[&host.name]).collect();
        let oracle = &mut self.oracle;
        oracle.host_states = std::mem::take(&mut oracle.host_states).with_agents(own.iter().copied());
        oracle.graph = DependencyGraph::new(&platform);
        oracle.maintenance.follow_platform(&platform);
        oracle.platform = Arc::clone(&platform);
        self.state.replace_platform(Arc::clone(&platform), own);
        let removed = self.oracle.transitions.follow_config(self.state.view().environments());
        self.oracle.removed.samples.extend(removed);
        self.shown.clear();
        let ended = |stops: Vec<InstanceId>| stops.into_iter().collect::<HashSet<_>>();
        let dropped = ended(self.oracle.planned_stops.drop_removed(&self.oracle.graph));
        assert_eq!(dropped, ended(self.state.drop_removed_stops()));
        self.end_maintenance(|one| !is_configured(&platform, one));
    }

    /// Compares what would be under an assumption with what is evaluated after the same has really happened.
    fn compare_what_if(&mut self, assumption: &Assumption) {
        self.state.update(self.now, true);
        let mut input = self.state.copy_input();
        let before = input.evaluate(self.now);
        let overview = overview_of(&self.oracle.platform, before.clone(), self.now.wall);
        let graph = &self.oracle.graph;
        let happened: Vec<(usize, AgentUpdate)> = match assumption {
            Assumption::HostDown(host) => {
                assume_host_down(&mut input, *host);
                vec![(*host, AgentUpdate::Lost("gone".to_owned()))]
            }
            Assumption::Action { kind, instance, no_dependencies } => {
                if graph.is_empty() {
                    return;
                }
                let id = graph.id(instance.index(graph.len()));
                let request = ActionRequest {
                    component: id.component.as_str().to_owned(),
                    host: id.host.as_str().to_owned(),
                    no_dependencies: *no_dependencies,
                    ..ActionRequest::default()
                };
                let Ok(plan) = plan_request(*kind, &self.oracle.platform, graph, &overview, &request) else {
                    return;
                };
                let reports = self.reports_after(&plan);
                assume_plan(&mut input, &plan, self.now.wall);
                reports
            }
        };
        let shown = input.evaluate(self.now);
        for (host, update) in happened {
            self.send(host, &update);
        }
        self.state.update(self.now, true);
        let view = self.state.view();
        for (expected, environment) in view.environments().iter().zip(&shown) {
            assert_eq!(expected.health, environment.health);
            for (expected, host) in expected.hosts.iter().zip(&environment.hosts) {
                assert_eq!((expected.health, expected.reachable), (host.health, host.reachable));
                for (expected, instance) in expected.instances.iter().zip(&host.instances) {
                    // No health lasts since a known time in a state that is only assumed.
                    let expected =
                        InstanceOverview { since: instance.since, ..InstanceOverview::clone(expected) };
                    assert_eq!(expected, **instance);
                }
            }
        }
        let differs = before.iter().zip(view.environments()).any(|(before, after)| {
            let healths = |one: &EnvironmentOverview| -> Vec<Health> {
                let instances = one.hosts.iter().flat_map(|host| &host.instances);
                instances.map(|instance| instance.health).collect()
            };
            healths(before) != healths(after)
        });
        assert_eq!(differs, !health_changes(&before, &shown).is_empty());
    }

    /// Returns the reports of the agents after a plan: what each step leaves behind, of the hosts that are
    /// known.
    fn reports_after(&self, plan: &Plan) -> Vec<(usize, AgentUpdate)> {
        let hosts = self.oracle.platform.hosts().enumerate();
        let positions: HashMap<&Name, usize> = hosts.map(|(at, host)| (&host.name, at)).collect();
        let mut reports: BTreeMap<usize, Report> = BTreeMap::new();
        for step in &plan.steps {
            let host = positions[&step.instance.host];
            if !self.oracle.host_states.hosts()[host].is_reachable() {
                continue;
            }
            let known = self.last_reports.get(&step.instance.host).filter(|report| report.components.is_ok());
            let Some(known) = known else { continue };
            let report = reports.entry(host).or_insert_with(|| known.clone());
            let components = report.components.as_mut().unwrap();
            let seen = components.iter_mut().find(|seen| seen.component == step.instance.component);
            let Some(seen) = seen.filter(|seen| seen.state != State::Unknown) else { continue };
            let runs = step.action == ActionKind::Start;
            if let Some(autostart) = &mut seen.autostart
                && (!runs || seen.state != State::Running)
            {
                **autostart = Autostart {
                    wanted: runs,
                    next_at: None,
                    given_up: false,
                    flapping: false,
                    waiting_for: String::new(),
                    ..Autostart::clone(autostart)
                };
            }
            if seen.state == if runs { State::Running } else { State::Stopped } {
                continue;
            }
            let by = Requester { user: ASSUMED_USER.to_owned(), address: String::new() };
            let ahead = self.oracle.host_states.hosts()[host].skew().skew_ahead();
            let cause =
                DownCause { at: self.now.wall + ahead, kind: DownKind::Stopped { by }, last_log_line: None };
            let count = u32::from(runs);
            *seen = ComponentReport {
                component: seen.component.clone(),
                state: if runs { State::Running } else { State::Stopped },
                // An assumption invents no process.
                processes: if runs { seen.processes.clone() } else { vec![].into() },
                parts: vec![PartReport {
                    name: None,
                    count: ProcessCount::ONE,
                    running: count.max(if runs { seen.parts[0].running } else { 0 }),
                    pids: if runs { seen.parts[0].pids.clone() } else { vec![] },
                }]
                .into(),
                doubled: runs && seen.doubled,
                exceeded_limits: vec![],
                unseen: None,
                action: None,
                probe: None,
                unit: None,
                autostart: seen.autostart.clone(),
                down_cause: (!runs).then_some(Box::new(cause)),
            };
        }
        // Without a time of sending it says nothing new of the host's clock.
        let receipt = MessageReceipt { received: self.now, sent: None };
        reports
            .into_iter()
            .map(|(host, report)| (host, AgentUpdate::Report(report.into(), receipt)))
            .collect()
    }

    fn compare(&mut self) {
        let (expected, ended_stops, mut of_all) = self.oracle.update(self.now);
        let mut changes = self.state.update(self.now, false);
        // What was left are times and usage alone.
        let of_times = self.state.update(self.now, true);
        let Transitions { changes: logged, events, first_values, samples } = of_times.transitions;
        assert!(of_times.ended_stops.is_empty() && logged.is_empty() && events.is_empty());
        assert!(first_values.is_empty() && samples.is_empty());
        let view = self.state.view();
        for (expected, environment) in expected.iter().zip(view.environments()) {
            assert_eq!(expected.health, environment.health);
            for (expected, host) in expected.hosts.iter().zip(&environment.hosts) {
                assert_eq!(expected, host);
            }
        }
        assert_eq!(changes.ended_stops, ended_stops);
        let transitions = &mut changes.transitions;
        assert_eq!(transitions.changes, of_all.changes);
        assert_eq!(transitions.events, of_all.events);
        assert_eq!(transitions.first_values, of_all.first_values);
        // Those of removed instances have no order.
        for samples in [&mut transitions.samples, &mut of_all.samples] {
            samples.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        assert_eq!(transitions.samples, of_all.samples);
        // What has not changed is the same in memory.
        let hosts = |all: &[Snapshot<EnvironmentOverview>]| -> Vec<Snapshot<HostOverview>> {
            all.iter().flat_map(|environment| environment.hosts.clone()).collect()
        };
        for (before, after) in hosts(&self.shown).iter().zip(hosts(view.environments())) {
            assert_eq!(*before == after, Snapshot::ptr_eq(before, &after));
            for (before, after) in before.instances.iter().zip(&after.instances) {
                assert_eq!(before == after, Snapshot::ptr_eq(before, after));
            }
        }
        self.shown = view.environments().to_vec();
        let mut index = RemotePrerequisiteIndex::new(&self.oracle.platform, &self.oracle.graph);
        for at in 0..self.oracle.graph.len() {
            let (host, instance) = view.instance(at);
            index.update(at, host, instance);
        }
        let mut expected = PrerequisitesByHost::default();
        index.take_changes().apply_to(&mut expected);
        self.state.take_prerequisite_changes().apply_to(&mut self.prerequisites);
        assert_eq!(self.prerequisites, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_if_is_the_same_as_what_is_after_it_has_happened(
        shape in shape(),
        steps in proptest::collection::vec(step(), 1..40),
        assumption in assumption(),
    ) {
        let mut comparison = Comparison::new(&[shape]);
        for step in &steps {
            comparison.apply(step);
        }
        comparison.compare_what_if(&assumption);
    }

    #[test]
    fn incremental_evaluation_is_the_same_as_one_of_everything(
        shapes in proptest::collection::vec(shape(), 1..4),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut comparison = Comparison::new(&shapes);
        for step in &steps {
            comparison.apply(step);
        }
        comparison.compare();
    }
}
