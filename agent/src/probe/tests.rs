//! Tests of probes on real sockets and processes. They wait for changes; none depends on timing.

use rta_shared::config::{LimitRules, Part, ProbeMethod, ProcessCount, RestartRule, StopRule};
use tokio::net::TcpSocket;

use super::*;

/// Time limit that only a broken test reaches.
const PATIENCE: Duration = Duration::from_secs(60);

const ID: ProcessId = ProcessId { pid: 42, start_ticks: 7 };
const RESTARTED: ProcessId = ProcessId { pid: 43, start_ticks: 8 };

fn rule(question: ProbeMethod) -> ProbeRule {
    let interval = Duration::from_millis(5);
    ProbeRule { question, interval, timeout: PATIENCE, failures: 2, grace: Duration::ZERO }
}

fn shell(script: &str) -> ProbeMethod {
    ProbeMethod::command(["sh", "-c", script])
}

fn component(name: &str, probe: Option<ProbeRule>) -> HostComponent {
    HostComponent {
        name: name.into(),
        aliases: vec![],
        parts: vec![Part { name: None, criteria: vec![], count: ProcessCount::ONE, container: false }],
        start: None,
        stop: StopRule::default(),
        probe,
        limits: LimitRules::default(),
        log: None,
        restart: RestartRule::default(),
        wanted: false,
        depends_on: vec![],
    }
}

fn state(probes: &Probes, name: &str) -> Option<ProbeState> {
    probes.report(&name.into()).map(|report| report.state)
}

/// Requires `Send`, as for the future of a task that may move between threads.
fn sendable<F: Send>(future: F) -> F {
    future
}

/// Returns the report of a component, once it is in `state`.
async fn reach(probes: &mut Probes, name: &str, expected: ProbeState) -> ProbeReport {
    let reached = tokio::time::timeout(PATIENCE, async {
        while state(probes, name) != Some(expected) {
            sendable(probes.changed()).await;
        }
    });
    assert!(reached.await.is_ok(), "{name} is {:?}, not {expected}", probes.report(&name.into()));
    probes.report(&name.into()).unwrap()
}

#[tokio::test]
async fn probe_fails_and_recovers_while_component_runs() {
    // Bound, so that the port stays free, and not yet listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let mut probes = Probes::new();
    let tcp = ProbeMethod::tcp(address.to_string());
    probes.configure(&[component("kafka", Some(rule(tcp))), component("plain", None)]);
    let name = Name::from("Kafka");
    assert_eq!(probes.report(&name), None);
    probes.set_running(&name, Some((ID, None)));
    probes.set_running(&"plain".into(), Some((ID, None)));
    probes.set_running(&"unknown".into(), Some((ID, None)));
    assert_eq!(state(&probes, "kafka"), Some(ProbeState::Pending));
    assert_eq!((state(&probes, "plain"), state(&probes, "unknown")), (None, None));

    let failing = reach(&mut probes, "kafka", ProbeState::Failing).await;
    assert_eq!(failing.reason, format!("tcp {address}: connection refused"));
    let listener = socket.listen(8).unwrap();
    // An unchanged process has no effect.
    probes.set_running(&name, Some((ID, None)));
    assert_eq!(probes.report(&name), Some(failing));
    let passing = reach(&mut probes, "kafka", ProbeState::Passing).await;
    assert_eq!(passing.reason, "");
    drop(listener);
    reach(&mut probes, "kafka", ProbeState::Failing).await;

    probes.set_running(&name, None);
    assert_eq!(probes.report(&name), None);
}

#[tokio::test]
async fn restart_begins_new_series_and_old_results_are_ignored() {
    let mut probes = Probes::new();
    probes.configure(&[component("app", Some(rule(shell("exit 1"))))]);
    let name = Name::from("app");
    probes.set_running(&name, Some((ID, None)));
    reach(&mut probes, "app", ProbeState::Failing).await;
    probes.set_running(&name, Some((RESTARTED, None)));
    assert_eq!(state(&probes, "app"), Some(ProbeState::Pending));

    // Results that were queued when the new series began.
    let current = probes.series;
    let durations = probes.durations();
    let mut answer = |series, result| {
        let (running, took) = (Duration::ZERO, Duration::from_millis(series));
        probes.record_result(AttemptResult {
            component: name.clone(),
            series,
            running,
            took,
            is_due: true,
            result,
        })
    };
    assert!(!answer(current - 1, Ok(())));
    assert!(!answer(current - 1, Err("old".to_owned())));
    assert!(!answer(current - 1, Err("old".to_owned())));
    assert!(durations.borrow().is_empty());
    assert!(answer(current, Ok(())));
    assert_eq!(durations.borrow()[&name], Duration::from_millis(current));
    assert_eq!(state(&probes, "app"), Some(ProbeState::Passing));
    reach(&mut probes, "app", ProbeState::Failing).await;
}

#[tokio::test]
async fn new_configuration_restarts_only_changed_probes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("asked");
    // Passes on the first attempt, and hangs on the second.
    let once = shell(&format!("mkdir '{0}' 2>/dev/null || exec sleep 1000", file.display()));
    let mut probes = Probes::new();
    let kept = component("kept", Some(rule(once)));
    probes.configure(&[
        kept.clone(),
        component("changed", Some(rule(shell("true")))),
        component("bare", None),
    ]);
    for name in ["kept", "changed", "bare"] {
        probes.set_running(&name.into(), Some((ID, None)));
    }
    let before = reach(&mut probes, "kept", ProbeState::Passing).await;
    reach(&mut probes, "changed", ProbeState::Passing).await;
    let seen = probes.components[&Name::from("changed")].run.as_ref().unwrap().seen;

    // A repeated attempt would hang, and stay pending.
    let changed = component("changed", Some(rule(shell("echo no; exit 1"))));
    probes.configure(&[kept.clone(), changed, component("bare", Some(rule(shell("true"))))]);
    // It runs on, and is not starting: what was known stays until the new rule has an answer.
    assert_eq!(state(&probes, "changed"), Some(ProbeState::Passing));
    assert_eq!(state(&probes, "bare"), Some(ProbeState::Pending));
    assert!(probes.is_any_pending());
    let failing = reach(&mut probes, "changed", ProbeState::Failing).await;
    assert_eq!(failing.reason, "command sh -c echo no; exit 1: exit status 1: no");
    reach(&mut probes, "bare", ProbeState::Passing).await;
    assert_eq!(probes.report(&"kept".into()), Some(before));
    let run = probes.components[&Name::from("changed")].run.as_ref().unwrap();
    assert_eq!(run.seen, seen, "its grace counts from its start");

    probes.configure(&[component("changed", None), kept]);
    assert_eq!((state(&probes, "changed"), state(&probes, "bare")), (None, None));
    assert_eq!(state(&probes, "kept"), Some(ProbeState::Passing));
    probes.configure(&[]);
    assert_eq!(state(&probes, "kept"), None);
}

#[tokio::test]
async fn result_of_an_earlier_agent_stays_until_the_first_attempt_has_ended() {
    let earlier =
        |state, reason: &str| ProbeReport { state, since: Timestamp::UNIX_EPOCH, reason: reason.to_owned() };
    for (before, script, after) in [
        (earlier(ProbeState::Passing, ""), "exit 1", ProbeState::Failing),
        (earlier(ProbeState::Failing, "old"), "exit 0", ProbeState::Passing),
    ] {
        let mut probes = Probes::new();
        let grace = Duration::from_secs(3600);
        let rule = ProbeRule { grace, failures: 9, ..rule(shell(script)) };
        probes.configure(&[component("app", Some(rule))]);
        let name = Name::from("app");
        probes.record_earlier(&name, ID, before.clone());
        probes.set_running(&name, Some((ID, None)));
        assert_eq!(probes.report(&name), Some(before.clone()));
        assert!(probes.is_any_pending());
        reach(&mut probes, "app", after).await;
        assert!(!probes.is_any_pending());
        // It was the result of another run.
        probes.record_earlier(&name, ID, before);
        probes.set_running(&name, Some((RESTARTED, None)));
        assert_eq!(state(&probes, "app"), Some(ProbeState::Pending));
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_becomes_ready_does_not_wait_for_a_long_interval() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let tcp = ProbeMethod::tcp(socket.local_addr().unwrap().to_string());
    let mut probes = Probes::new();
    let rule = ProbeRule { interval: Duration::from_secs(3600), failures: 2, ..rule(tcp) };
    probes.configure(&[component("app", Some(rule))]);
    let began = Instant::now();
    probes.set_running(&"app".into(), Some((ID, None)));
    let waiting = tokio::time::timeout(Duration::from_secs(100), async {
        loop {
            probes.changed().await;
        }
    });
    assert!(waiting.await.is_err());
    // Attempts before their time do not count as failures.
    assert_eq!(state(&probes, "app"), Some(ProbeState::Pending));
    let _listener = socket.listen(8).unwrap();
    while state(&probes, "app") != Some(ProbeState::Passing) {
        probes.changed().await;
    }
    assert!(began.elapsed() < Duration::from_secs(600), "{:?}", began.elapsed());
}

#[tokio::test]
async fn dropped_probes_leave_no_task_and_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut probes = Probes::new();
    let hanging = shell(&format!("echo $$ > '{}'; exec sleep 1000", file.display()));
    probes.configure(&[component("app", Some(rule(hanging)))]);
    probes.set_running(&"app".into(), Some((ID, None)));
    let pause = Duration::from_millis(5);
    let pid: u32 = loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n') {
            break pid.parse().unwrap();
        }
        sleep(pause).await;
    };
    drop(probes);
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        sleep(pause).await;
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_the_grace_do_not_count() {
    let mut probes = Probes::new();
    let minute = Duration::from_secs(60);
    let rule = ProbeRule {
        question: ProbeMethod::tcp("127.0.0.1:0"),
        interval: Duration::from_secs(7),
        timeout: Duration::from_secs(5),
        failures: 3,
        grace: minute,
    };
    probes.configure(&[component("app", Some(rule))]);
    let began = Instant::now();
    probes.set_running(&"app".into(), Some((ID, None)));
    while state(&probes, "app") != Some(ProbeState::Failing) {
        probes.changed().await;
    }
    // The first attempt after the grace, and two more.
    let at_least = minute + 2 * Duration::from_secs(7);
    assert!(began.elapsed() >= at_least, "{:?}", began.elapsed());
}

#[tokio::test]
async fn panicked_task_fails_its_probe() {
    let mut probes = Probes::new();
    probes.configure(&[component("app", Some(rule(shell("true"))))]);
    let name = Name::from("app");
    probes.set_running(&name, Some((ID, None)));
    reach(&mut probes, "app", ProbeState::Passing).await;
    let task = probes.tasks.spawn(async { panic!("oh") });
    let series = probes.components.get_mut(&name).unwrap().run.as_mut().unwrap().series.as_mut().unwrap();
    std::mem::replace(&mut series.task, task).abort();
    let reason = reach(&mut probes, "app", ProbeState::Failing).await.reason;
    assert!(reason.starts_with("the agent failed: ") && reason.contains("oh"), "{reason}");
}

#[tokio::test]
async fn ended_tasks_are_removed() {
    let mut probes = Probes::new();
    probes.configure(&[component("app", Some(rule(shell("true"))))]);
    for start_ticks in 0..100 {
        probes.set_running(&"app".into(), Some((ProcessId { pid: 1, start_ticks }, None)));
    }
    reach(&mut probes, "app", ProbeState::Passing).await;
    while probes.tasks.len() > 1 {
        let _ = tokio::time::timeout(Duration::from_millis(5), probes.changed()).await;
    }
}
