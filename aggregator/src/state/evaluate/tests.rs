//! Tests of every rule on a small platform, in which everything runs until a test changes it.

use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::{ActionKind, ActionLock, Requester};
use rta_shared::autostart::Autostart;
use rta_shared::config::{
    HostComponent, LimitRules, Part, ProcessCount, RestartRule, Source, StopRule, load_sources,
};
use rta_shared::name::Name;
use rta_shared::overview::{Health, HostOverview, Overview};
use rta_shared::probe::{ProbeReport, ProbeState};
use rta_shared::process::{Process, ProcessId};
use rta_shared::report::{
    ComponentContext, ComponentReport, ConfigStatus, Report, ScanFigures, State, WatchMode, WatchStatus,
};

use super::*;
use crate::clock::{ClockPair, MessageReceipt};
use crate::state::host_state::AgentUpdate;

const PLATFORM: &str = r#"
    [[component]]
    name = "kafka"
    criteria = [{ regex = 'kafka' }]
    [[component]]
    name = "cassandra"
    criteria = [{ regex = 'cassandra' }]
    [[component]]
    name = "kairos"
    criteria = [{ regex = 'kairos' }]
    depends_on = ["cassandra"]
    [[component]]
    name = "grafana"
    criteria = [{ regex = 'grafana' }]
    depends_on = ["kairos"]
    [[component]]
    name = "detector"
    criteria = [{ regex = 'detector' }]
    depends_on = ["kafka", "cassandra"]
    [[environment]]
    name = "DEV"
    host = [{ name = "a", components = ["kafka"] },
            { name = "s", components = ["cassandra", "kairos", "grafana", "detector"] }]
    [[environment]]
    name = "ITG"
    host = [{ name = "a1", components = ["kafka"] },
            { name = "a2", components = ["kafka"] },
            { name = "s1", components = ["cassandra", "detector"] }]
"#;

/// Platform in which everything runs until a test changes it.
struct EvaluationFixture {
    platform: Platform,
    graph: DependencyGraph,
    host_states: Vec<HostState>,
}

impl EvaluationFixture {
    fn new() -> Self {
        Self::of(PLATFORM, &["a", "s", "a1", "a2", "s1"])
    }

    fn of(text: &str, hosts: &[&str]) -> Self {
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
        let platform = load_sources(&[source]).unwrap();
        let graph = DependencyGraph::new(&platform);
        let host_states = platform.hosts().map(|_| HostState::default()).collect();
        let mut world = Self { platform, graph, host_states };
        for host in hosts {
            world.report(host, |_| {});
        }
        world
    }

    fn host_state(&mut self, host: &str) -> &mut HostState {
        let at = self.platform.hosts().position(|other| other.name == *host).unwrap();
        &mut self.host_states[at]
    }

    /// Sends a report that everything runs, modified by `change`.
    fn report(&mut self, host: &str, change: impl FnOnce(&mut Vec<ComponentReport>)) {
        let names = self.platform.find_host(host).unwrap().components.clone();
        let mut components: Vec<_> =
            names.iter().map(|name| component_report(name, vec![process(7, 1)], None)).collect();
        change(&mut components);
        let update = AgentUpdate::Report(report(host, Ok(components)).into(), receipt());
        self.host_state(host).apply_update(update);
    }

    fn stop(&mut self, host: &str, component: &str) {
        self.report(host, |components| {
            for seen in components.iter_mut().filter(|seen| seen.component == *component) {
                *seen = component_report(&seen.component, vec![], None);
            }
        });
    }

    /// Returns health, reason and cause of an instance.
    fn verdict(&self, id: &str) -> (Health, String, Option<String>) {
        let environments = evaluate_platform(&self.platform, &self.graph, &self.host_states);
        let overview = Overview {
            generated_at: Timestamp::UNIX_EPOCH,
            environments,
            config_digest: String::new(),
            config_error: None,
            impairments: vec![],
            aliases: vec![],
            leaders: Vec::new(),
        };
        let located = overview.instances().find(|located| located.id().to_string() == id).unwrap();
        let instance = located.instance;
        (instance.health, instance.reason.clone(), instance.cause.as_ref().map(ToString::to_string))
    }

    fn hosts(&self) -> Vec<Snapshot<HostOverview>> {
        evaluate_platform(&self.platform, &self.graph, &self.host_states)
            .into_iter()
            .flat_map(|environment| environment.hosts.clone())
            .collect()
    }
}

fn process(pid: u32, parent_pid: u32) -> Process {
    Process::new(ProcessId { pid, start_ticks: 1 }, parent_pid)
}

/// Creates the report of a component with a single part and these processes.
fn component_report(name: &Name, processes: Vec<Process>, action: Option<ActionLock>) -> ComponentReport {
    let component = HostComponent {
        name: name.clone(),
        aliases: vec![],
        parts: vec![Part { name: None, criteria: vec![], count: ProcessCount::ONE, container: false }],
        start: None,
        stop: StopRule::default(),
        probe: None,
        limits: LimitRules::default(),
        log: None,
        restart: RestartRule::default(),
        wanted: false,
        depends_on: vec![],
    };
    ComponentReport::new(&component, &[processes], ComponentContext { action, ..ComponentContext::default() })
}

fn report(host: &str, components: Result<Vec<ComponentReport>, String>) -> Report {
    Report {
        host: Name::from(host),
        boot_id: String::new(),
        scan: scan(),
        components,
        watch: WatchStatus { mode: WatchMode::Events, fallback: None, overruns: 0, differences: 0 },
        config: ConfigStatus::default(),
        agent_version: String::new(),
        agent_run_id: String::new(),
        certificate_ends: None,
        impairments: vec![],
    }
}

fn receipt() -> MessageReceipt {
    MessageReceipt { received: ClockPair::sample(Timestamp::UNIX_EPOCH), sent: None }
}

fn scan() -> ScanFigures {
    let at = Timestamp::UNIX_EPOCH;
    ScanFigures { scanned_at: at, duration: Duration::ZERO, processes_seen: 1, seen_at: at }
}

fn up() -> (Health, String, Option<String>) {
    (Health::Up, String::new(), None)
}

fn with_cause(health: Health, reason: &str, cause: &str) -> (Health, String, Option<String>) {
    (health, reason.to_owned(), (!cause.is_empty()).then(|| cause.to_owned()))
}

#[test]
fn all_that_runs_with_its_needs_is_up() {
    let world = EvaluationFixture::new();
    for host in world.hosts() {
        assert_eq!((host.health, host.reachable, &host.error), (Health::Up, true, &None));
        assert!(host.instances.iter().all(|instance| instance.health == Health::Up));
    }
}

#[test]
fn a_dead_kafka_degrades_the_detector_on_another_host_and_is_named() {
    let mut world = EvaluationFixture::new();
    world.stop("a", "kafka");
    assert_eq!(world.verdict("DEV/a/kafka"), with_cause(Health::Down, "it is not running", ""));
    let reason = "kafka on a is down";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, reason, "DEV/a/kafka"));
    assert_eq!(world.verdict("ITG/s1/detector"), up());
}

#[test]
fn the_root_is_named_not_the_symptom() {
    let mut world = EvaluationFixture::new();
    world.stop("s", "cassandra");
    let reason = "cassandra is down, which kairos needs";
    assert_eq!(world.verdict("DEV/s/grafana"), with_cause(Health::Degraded, reason, "DEV/s/cassandra"));
}

#[test]
fn any_one_provider_will_do() {
    let mut world = EvaluationFixture::new();
    world.stop("a1", "kafka");
    assert_eq!(world.verdict("ITG/s1/detector"), up());
    world.stop("a2", "kafka");
    let reason = "none of 2 kafka is known to be up (a1 down, a2 down)";
    assert_eq!(world.verdict("ITG/s1/detector"), with_cause(Health::Degraded, reason, "ITG/a1/kafka"));
}

#[test]
fn a_lost_host_is_unknown_and_so_is_what_needs_it() {
    let mut world = EvaluationFixture::new();
    world.host_state("a").apply_update(AgentUpdate::Lost("no route to host".to_owned()));
    let host = &world.hosts()[0];
    assert_eq!((host.health, host.reachable), (Health::Unknown, false));
    assert_eq!(host.error.as_deref(), Some("no route to host"));
    assert_eq!((host.instances[0].state, host.instances[0].processes.len()), (None, 0));
    assert!(host.scanned_at.is_some());
    let reason = "kafka on a is unknown";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Unknown, reason, "DEV/a/kafka"));
}

#[test]
fn a_certain_failure_outweighs_an_unknown() {
    let mut world = EvaluationFixture::new();
    world.host_state("a").apply_update(AgentUpdate::Lost("gone".to_owned()));
    world.stop("s", "cassandra");
    let reason = "kafka on a is unknown; cassandra is down";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, reason, "DEV/s/cassandra"));
    // Its own failure outweighs everything.
    world.stop("s", "detector");
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Down, "it is not running", ""));
}

#[test]
fn instance_that_is_down_is_folded_under_the_root_that_is_down_too() {
    let mut world = EvaluationFixture::new();
    let stop_all = |components: &mut Vec<ComponentReport>| {
        for seen in components {
            *seen = component_report(&seen.component, vec![], None);
        }
    };
    world.report("s", stop_all);
    let lacks = |what: &str| format!("it is not running; it also lacks {what}");
    assert_eq!(world.verdict("DEV/s/cassandra"), with_cause(Health::Down, "it is not running", ""));
    for component in ["kairos", "grafana", "detector"] {
        let id = format!("DEV/s/{component}");
        assert_eq!(world.verdict(&id), with_cause(Health::Down, &lacks("cassandra"), "DEV/s/cassandra"));
    }
    // The first of several missing prerequisites is the cause; one that is merely unknown is none.
    world.stop("a", "kafka");
    assert_eq!(
        world.verdict("DEV/s/detector"),
        with_cause(Health::Down, &lacks("kafka on a"), "DEV/a/kafka")
    );
    world.host_state("a").apply_update(AgentUpdate::Lost("gone".to_owned()));
    assert_eq!(
        world.verdict("DEV/s/detector"),
        with_cause(Health::Down, &lacks("cassandra"), "DEV/s/cassandra")
    );
}

#[test]
fn root_is_named_once_where_the_agent_waits_for_it() {
    let mut world = EvaluationFixture::new();
    world.stop("a", "kafka");
    let mut reason = |awaited: &str| {
        world.report("s", |components| {
            let detector = components.iter_mut().find(|seen| seen.component == *"detector").unwrap();
            *detector = component_report(&detector.component, vec![], None);
            detector.autostart = Some(Box::new(Autostart {
                wanted: true,
                why: String::new(),
                restarts: 0,
                next_at: None,
                given_up: false,
                flapping: false,
                last_end: String::new(),
                restarts_total: 7,
                waiting_for: awaited.to_owned(),
            }));
        });
        let (health, reason, cause) = world.verdict("DEV/s/detector");
        assert_eq!((health, cause.as_deref()), (Health::Down, Some("DEV/a/kafka")));
        reason
    };
    for awaited in ["kafka on a", "kafka on a or b"] {
        assert_eq!(reason(awaited), format!("it is not running; waiting for {awaited}"));
    }
    // Another prerequisite whose name begins the same.
    for awaited in ["kafka on a1", "cassandra"] {
        let expected = format!("it is not running; waiting for {awaited}; it also lacks kafka on a");
        assert_eq!(reason(awaited), expected);
    }
}

#[test]
fn a_heartbeat_brings_a_lost_host_back() {
    let mut world = EvaluationFixture::new();
    world.host_state("a").apply_update(AgentUpdate::Lost("gone".to_owned()));
    assert!(world.host_state("a").apply_update(AgentUpdate::Heartbeat(scan(), receipt())));
    assert_eq!(world.verdict("DEV/a/kafka"), up());
    assert!(!world.host_state("a").apply_update(AgentUpdate::Heartbeat(scan(), receipt())));
}

#[test]
fn before_the_first_report_nothing_is_known() {
    let mut world = EvaluationFixture::new();
    *world.host_state("a") = HostState::default();
    world.host_state("a").apply_update(AgentUpdate::Heartbeat(scan(), receipt()));
    let reason = "the agent on a has not answered yet";
    assert_eq!(world.verdict("DEV/a/kafka"), with_cause(Health::Unknown, reason, ""));
    assert_eq!(world.verdict("DEV/s/detector").0, Health::Unknown);
}

#[test]
fn cannot_see_is_not_stopped() {
    let mut world = EvaluationFixture::new();
    world.host_state("a").apply_update(AgentUpdate::Report(
        report("a", Err("/proc hides processes".to_owned())).into(),
        receipt(),
    ));
    let host = &world.hosts()[0];
    assert_eq!((host.health, host.error.as_deref()), (Health::Unknown, Some("/proc hides processes")));
}

#[test]
fn a_component_that_the_agent_does_not_know_is_unknown() {
    let mut world = EvaluationFixture::new();
    world.report("a", Vec::clear);
    assert_eq!(world.verdict("DEV/a/kafka").0, Health::Unknown);
}

#[test]
fn doubled_and_partial_components_are_degraded_and_so_is_what_needs_them() {
    let mut world = EvaluationFixture::new();
    world.report("a", |components| {
        components[0] = component_report(&"kafka".into(), vec![process(7, 1), process(8, 1)], None);
    });
    let reason = "it runs more than once: pids 7, 8";
    assert_eq!(world.verdict("DEV/a/kafka"), with_cause(Health::Degraded, reason, ""));
    let reason = "kafka on a is degraded";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, reason, "DEV/a/kafka"));
    world.report("a", |components| components[0].state = State::Partial);
    assert_eq!(world.verdict("DEV/a/kafka").0, Health::Degraded);
}

#[test]
fn what_is_starting_or_stopping_is_not_up() {
    for (kind, reason) in
        [(ActionKind::Start, "it is being started"), (ActionKind::Stop, "it is being stopped")]
    {
        let mut world = EvaluationFixture::new();
        world.report("a", |components| {
            let action = Some(ActionLock { kind, by: Requester::default(), since: Timestamp::UNIX_EPOCH });
            components[0] = component_report(&"kafka".into(), vec![process(7, 1)], action);
        });
        assert_eq!(world.verdict("DEV/a/kafka"), with_cause(Health::Down, reason, ""));
    }
    // It runs, and its probe has not succeeded yet.
    let mut world = EvaluationFixture::new();
    world.report("a", |components| {
        let pending = ProbeReport {
            state: ProbeState::Pending,
            since: Timestamp::UNIX_EPOCH,
            reason: "tcp h:1: refused".to_owned(),
        };
        components[0] = component_report(&"kafka".into(), vec![process(7, 1)], None);
        components[0].set_probe(Some(pending));
    });
    let reason = "it is starting: waiting for its probe (tcp h:1: refused)";
    assert_eq!(world.verdict("DEV/a/kafka"), with_cause(Health::Down, reason, ""));
    let reason = "kafka on a is down";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, reason, "DEV/a/kafka"));
}

#[test]
fn an_instance_in_trouble_of_its_own_also_names_what_it_needs_and_lacks() {
    let mut world = EvaluationFixture::new();
    let fail_probe = |components: &mut Vec<ComponentReport>| {
        for seen in components.iter_mut().filter(|seen| seen.component == *"detector") {
            let reason = "tcp h:1: refused".to_owned();
            let since = Timestamp::UNIX_EPOCH;
            seen.probe = Some(ProbeReport { state: ProbeState::Failing, since, reason });
        }
    };
    world.report("s", fail_probe);
    let own = "its probe fails: tcp h:1: refused";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, own, ""));
    // An unknown prerequisite explains nothing.
    world.host_state("a").apply_update(AgentUpdate::Lost("gone".to_owned()));
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, own, ""));
    world.stop("a", "kafka");
    let both = "its probe fails: tcp h:1: refused; kafka on a is down";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, both, "DEV/a/kafka"));
}

#[test]
fn second_process_is_a_trouble_of_its_own_beside_what_is_lacked() {
    let mut world = EvaluationFixture::new();
    world.report("s", |components| {
        let detector = components.iter_mut().find(|seen| seen.component == *"detector").unwrap();
        *detector = component_report(&detector.component, vec![process(7, 1), process(8, 1)], None);
    });
    world.stop("a", "kafka");
    let (health, reason, cause) = world.verdict("DEV/s/detector");
    assert_eq!((health, cause), (Health::Degraded, None), "{reason}");
    assert!(reason.contains("more than once") && reason.ends_with("kafka on a is down"), "{reason}");
}

#[test]
fn what_is_down_explains_before_what_is_degraded_and_one_root_is_named_once() {
    let mut world = EvaluationFixture::new();
    let twice = || component_report(&"kafka".into(), vec![process(7, 1), process(8, 1)], None);
    world.report("a", |components| components[0] = twice());
    world.stop("s", "cassandra");
    let reason = "kafka on a is degraded; cassandra is down";
    assert_eq!(world.verdict("DEV/s/detector"), with_cause(Health::Degraded, reason, "DEV/s/cassandra"));

    let text = r#"
        [[component]]
        name = "kafka"
        criteria = [{ regex = 'kafka' }]
        [[component]]
        name = "writer"
        criteria = [{ regex = 'writer' }]
        depends_on = ["kafka"]
        [[component]]
        name = "reader"
        criteria = [{ regex = 'reader' }]
        depends_on = ["kafka", "writer"]
        [[environment]]
        name = "E"
        host = [{ name = "h", components = ["kafka", "writer", "reader"] }]
    "#;
    let mut world = EvaluationFixture::of(text, &["h"]);
    world.stop("h", "kafka");
    let reason = "kafka is down";
    assert_eq!(world.verdict("E/h/reader"), with_cause(Health::Degraded, reason, "E/h/kafka"));
}

#[test]
fn a_report_that_comes_late_does_not_undo_what_the_stream_told() {
    let mut world = EvaluationFixture::new();
    let mut late = report("a", Ok(vec![component_report(&"kafka".into(), vec![process(7, 1)], None)]));
    late.scan.seen_at = Timestamp::from_second(100).unwrap();
    let mut newer = report("a", Ok(vec![component_report(&"kafka".into(), vec![], None)]));
    newer.scan.seen_at = Timestamp::from_second(101).unwrap();
    world.host_state("a").apply_update(AgentUpdate::Report(newer.into(), receipt()));
    assert!(!world.host_state("a").apply_update(AgentUpdate::Scanned(late.clone().into(), receipt())));
    assert_eq!(world.verdict("DEV/a/kafka").0, Health::Down);
    // The clock may step back: the stream is applied all the same, as is a report after a silence.
    world.host_state("a").apply_update(AgentUpdate::Lost("gone".to_owned()));
    assert!(world.host_state("a").apply_update(AgentUpdate::Scanned(late.into(), receipt())));
    assert_eq!(world.verdict("DEV/a/kafka"), up());
}

#[test]
fn times_of_a_host_with_a_wrong_clock_are_shown_by_the_aggregators() {
    let mut world = EvaluationFixture::new();
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let two_hours = 7200;
    // Received at 1000 to 1002, while the host's clock was two hours ahead.
    let seen = |second: i64| ScanFigures {
        scanned_at: at(second + two_hours - 20),
        seen_at: at(second + two_hours - 1),
        ..scan()
    };
    let receipt = |second: i64| MessageReceipt {
        received: ClockPair::sample(at(second)),
        sent: Some(at(second + two_hours)),
    };
    world.report("a", |components| {
        let since = at(990 + two_hours);
        let action = Some(ActionLock { kind: ActionKind::Stop, by: Requester::default(), since });
        components[0] = component_report(&"kafka".into(), vec![process(7, 1)], action);
    });
    let shown: Vec<bool> = (1000..1003)
        .map(|second| {
            world.host_state("a").apply_update(AgentUpdate::Heartbeat(seen(second), receipt(second)))
        })
        .collect();
    assert_eq!(shown, [false, false, true]);
    let host = &world.hosts()[0];
    assert_eq!(host.agent.as_ref().map(|agent| agent.seen_at), Some(at(1001)));
    assert_eq!(host.scanned_at, Some(at(982)));
    assert_eq!(host.instances[0].action.as_ref().map(|action| action.since), Some(at(990)));
    assert!(host.impairments[0].message.starts_with("this host's clock is 2 h ahead"), "{host:?}");
    // The time of its last report stays after it is lost.
    world.host_state("a").apply_update(AgentUpdate::Lost("gone".to_owned()));
    assert_eq!(world.hosts()[0].seen_at(), Some(at(1001)));
    assert!(world.hosts()[0].impairments.is_empty());
}
