//! Conditions beyond that a process exists: lines of the present run in the log, and limits of what is used.

use rta_tests::{TestCluster, TestConfig, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Returns true if the reason of an instance contains `text`.
fn has_reason(text: &str) -> impl Fn(&Value) -> bool {
    move |instance| instance["reason"].as_str().is_some_and(|reason| reason.contains(text))
}

#[test]
fn readiness_is_a_line_of_the_present_run_only() {
    let config = TestConfig::new();
    // It says that it is up when the file is there.
    let gate = config.path("gate");
    let script = format!(
        "until test -e '{}'; do sleep 0.05; done; echo up; exec $stand_in --token=app-$token",
        gate.display()
    );
    // The shell is the component until it becomes the stand-in.
    let script =
        format!("exec -a x bash -c \"stand_in=$stand_in; token=$token; {script}\" x \"--token=app-$token\"");
    let more = "[component.probe]\nlog = '^up$'\ninterval = '1s'\ngrace = '0s'\nfailures = 1";
    let app = config.scripted_component_toml("app", &script, more);
    let cluster = TestCluster::builder(config).components(&app).host("h", &["app"]).start();
    std::fs::write(&gate, "").expect("the file can be written");
    cluster.aggregator.rta_success(&["start", "app"]);
    cluster.aggregator.wait_for_health("app", "up");
    // The log has the line of the first run, and the second run does not get so far.
    std::fs::remove_file(&gate).expect("the file can be removed");
    cluster.config.kill_component("app");
    cluster.aggregator.wait_for_health("app", "down");
    let failed = cluster.aggregator.rta(&["start", "app"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(said.contains("this run has not written '^up$'"), "{said}");
    let untold = has_reason("log '^up$': this run has not written '^up$', nor anything else");
    cluster
        .aggregator
        .wait_for_instance("app", "not ready", |app| app["health"] == "degraded" && untold(app));
    std::fs::write(&gate, "").expect("the file can be written");
    cluster.aggregator.wait_for_health("app", "up");
}

#[test]
fn exceeded_limit_degrades_with_the_figure_and_restarts_nothing() {
    let config = TestConfig::new();
    let limits =
        "[component.limits]\nmemory = '1 kB'\ncpu = '10000%'\nopen_files = '1'\nrestarts = '0 in 1h'";
    let app = config.component_toml("app", "", limits);
    let cluster = TestCluster::builder(config).components(&app).host("h", &["app"]).start();
    cluster.aggregator.rta_success(&["start", "app"]);
    let pid = cluster.config.find_process("app");
    let is_told = has_reason("kB of memory, above 1 kB since ");
    let app = cluster
        .aggregator
        .wait_for_instance("app", "above its limits", |app| app["health"] == "degraded" && is_told(app));
    let reason = app["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(" files open in pid ") && reason.contains(", above 1 since "), "{reason}");
    assert!(!reason.contains("of a core") && !reason.contains("restarted"), "{reason}");
    assert_eq!(cluster.config.find_process("app"), pid, "it goes on");
    // It starts again without an operator, which is once too often.
    cluster.config.kill_component("app");
    cluster.aggregator.wait_for_health("app", "down");
    let mut child = cluster.config.start_stand_in("app");
    let is_told = has_reason("was restarted 1 time within 1 h, more often than 0 since ");
    cluster.aggregator.wait_for_instance("app", "restarted too often", is_told);
    child.kill().expect("it can be killed");
    child.wait().expect("it can be waited for");
}

#[test]
fn component_with_a_slow_probe_stays_up_over_a_restart_of_its_agent_and_a_reload() {
    let config = TestConfig::new();
    // Its attempts hang while the file is there, and note their PID.
    let (hang, pids) = (config.path("hang"), config.path("pids"));
    let script = format!(
        "test ! -e '{}' || {{ echo $$ >> '{}'; sleep 1000 & wait; }}",
        hang.display(),
        pids.display()
    );
    let component = |timeout: &str| {
        let probe = format!(
            "[component.probe]\ncommand = ['/bin/sh', '-c', '''{script}''']\ninterval = '1s'\ntimeout = '{timeout}'"
        );
        config.component_toml("app", "", &probe)
    };
    let state = config.path("state").display().to_string();
    let (first, changed) = (component("500s"), component("400s"));
    let builder = TestCluster::builder(config).components(&first).host("h", &["app"]);
    let mut cluster = builder.agent_arguments(["--state".to_owned(), state]).start();
    cluster.aggregator.rta_success(&["start", "app"]);
    let before = cluster.aggregator.wait_for_health("app", "up");
    std::fs::write(&hang, "").unwrap();
    let hanging = |count: usize| {
        wait_for("a probe that hangs", || {
            let text = std::fs::read_to_string(&pids).unwrap_or_default();
            let noted: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (noted.len() == count && text.ends_with('\n')).then(|| noted[count - 1])
        })
    };
    let of_killed_agent = hanging(1);
    let sleep = wait_for("its child", || children_of(of_killed_agent).first().copied());
    let agent = cluster.agents[0].process.pid();
    cluster.agents[0].stop(Signal::KILL);
    cluster.agents[0].start_again();
    // The commands of the killed agent do not stay, and nobody takes the component for one that is starting.
    for pid in [of_killed_agent, sleep] {
        wait_for("what the killed agent left to end", || (!has_command_line(pid)).then_some(()));
    }
    hanging(2);
    let is_answered_by_next = |host: &Value| host["reachable"] == true;
    cluster.aggregator.wait_for_host("the agent to be back", is_answered_by_next);
    assert_ne!(cluster.agents[0].process.pid(), agent);
    let health = || cluster.aggregator.instance("app")["health"].clone();
    assert_eq!(health(), "up");
    // With another rule for the probe it is not starting either.
    cluster.config.write("components.toml", &changed);
    cluster.aggregator.rta_success(&["config", "reload"]);
    hanging(3);
    assert_eq!(health(), "up");
    let told: Vec<Value> = cluster.aggregator.events("kind=health&component=app");
    let downs = told.iter().filter(|event| event["to"] == "down").count();
    assert_eq!(downs, 0, "{before} {told:#?}");
    std::fs::remove_file(&hang).unwrap();
}

/// Returns the children of a process.
fn children_of(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Returns true for a process that has not ended; a zombie has no command line.
fn has_command_line(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}
