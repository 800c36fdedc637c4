//! Sample overview for tests.

use jiff::Timestamp;
use rta_shared::overview::{
    AgentOverview, EnvironmentOverview, Health, HostOverview, InstanceId, InstanceOverview, Overview,
};
use rta_shared::process::{Process, ProcessId};
use rta_shared::report::{State, WatchMode, WatchStatus};
use rta_shared::snapshot::Snapshot;

/// Returns an instance in this state; if it runs, with one process.
pub(crate) fn instance(component: &str, state: Option<State>, health: Health) -> InstanceOverview {
    let running = matches!(state, Some(State::Running));
    let process =
        Process { user: "kafka".to_owned(), ..Process::new(ProcessId { pid: 4242, start_ticks: 1 }, 1) };
    InstanceOverview {
        state,
        processes: if running { vec![process].into() } else { vec![].into() },
        startable: true,
        ..InstanceOverview::new(component, health)
    }
}

/// Returns a sample agent.
pub(crate) fn agent() -> AgentOverview {
    AgentOverview {
        version: "0.1.0".to_owned(),
        watch: WatchStatus {
            mode: WatchMode::Scans,
            fallback: Some("not permitted".to_owned()),
            overruns: 2,
            differences: 0,
        },
        seen_at: Timestamp::UNIX_EPOCH,
        scan_micros: 25_000,
        processes_seen: 300,
        config_digest: "def".to_owned(),
        config_error: None,
        config_differs: false,
        certificate_ends: None,
        boot_id: "b".to_owned(),
        clock_ahead_millis: Some(-12),
    }
}

/// Returns a platform in which Kafka is down, the detector on another host depends on it, and one host is
/// unknown.
pub(crate) fn sample() -> Overview {
    let kafka = InstanceOverview {
        reason: "it is not running".to_owned(),
        ..instance("kafka server", Some(State::Stopped), Health::Down)
    };
    let detector = InstanceOverview {
        reason: "kafka server on c9t21193 is down".to_owned(),
        cause: Some(Box::new(InstanceId {
            environment: "DEV".into(),
            host: "c9t21193".into(),
            component: "kafka server".into(),
        })),
        ..instance("novelty detector", Some(State::Running), Health::Degraded)
    };
    let host = |name: &str, health, instance: InstanceOverview| HostOverview {
        name: name.into(),
        role: Some("main-analytic".into()),
        health,
        reachable: true,
        scanned_at: Some(Timestamp::UNIX_EPOCH),
        error: None,
        instances: vec![instance.into()],
        agent: None,
        usage: None,
        maintenance: None,
        impairments: vec![],
    };
    let lost = HostOverview {
        reachable: false,
        error: Some("no connection".to_owned()),
        ..host("c2t08979", Health::Unknown, instance("cassandra", None, Health::Unknown))
    };
    Overview {
        generated_at: Timestamp::UNIX_EPOCH,
        environments: vec![Snapshot::new(EnvironmentOverview {
            name: "DEV".into(),
            health: Health::Down,
            hosts: vec![
                host("c9t21193", Health::Down, kafka).into(),
                host("c2t08978", Health::Degraded, detector).into(),
                lost.into(),
            ],
        })],
        config_digest: "abc".to_owned(),
        config_error: None,
        impairments: vec![],
        aliases: vec![],
        leaders: Vec::new(),
    }
}
