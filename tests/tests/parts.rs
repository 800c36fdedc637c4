//! Components with several processes, and probes: from real processes to the aggregator's overview.

use std::cell::Cell;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rta_shared::proto::v1;
use rta_tests::{ChildProcesses, ReportStream, TestCluster, TestConfig, binary};
use serde_json::Value;

/// Starts one host with this component `app`, its agent, and an aggregator.
fn start_cluster(config: TestConfig, app: &str) -> TestCluster {
    TestCluster::builder(config).components(app).environment("T").host("h", &["app"]).start()
}

/// Starts a process of `app` with this program name and arguments, and the test's token as the last one.
fn start_process(
    children: &mut ChildProcesses,
    cluster: &TestCluster,
    name: &str,
    arguments: &[&str],
) -> u32 {
    let mut command = Command::new(binary("stand-in"));
    command.arg0(name).args(arguments).arg(format!("--token=app-{}", cluster.config.token()));
    children.spawn(command.env("STAND_IN_LEASE", std::process::id().to_string()))
}

/// Waits until `app` in the overview meets `is_so`, and returns it.
fn wait_for_app(cluster: &TestCluster, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    cluster.aggregator.wait_for_instance("app", what, is_so)
}

/// Uses the process tree of spark-submit: a shell that becomes the driver's JVM, which runs the Python
/// program, and the worker's executor with its own Python workers.
#[test]
fn a_spark_processor_is_its_driver_its_program_and_its_executor() {
    let config = TestConfig::new();
    let part = |name: &str, criteria: &str, count: &str| {
        format!(
            "[[component.process]]\nname = \"{name}\"\ncriteria = [{criteria}, {{ index = -1, regex = '-{}$' }}]\n{count}\n",
            config.token()
        )
    };
    let script = r"{ regex = '(^|/)rta_processor_simple\.py$' }";
    let app = "[[component]]\nname = \"app\"\n".to_owned()
        + &part(
            "driver",
            &format!(r"{{ index = 0, regex = 'java' }}, {{ regex = 'deploy\.SparkSubmit$' }}, {script}"),
            "",
        )
        + &part("program", &format!("{{ index = 0, regex = 'python' }}, {script}"), "count = 1")
        + &part(
            "executor",
            r"{ index = 0, regex = 'java' }, { regex = 'CoarseGrainedExecutorBackend$' }",
            "count = { min = 2, max = 3 }",
        );
    let cluster = start_cluster(config, &app);
    let mut children = ChildProcesses::default();
    let stopped = wait_for_app(&cluster, "nothing to run", |app| app["state"] == "stopped");
    assert_eq!(stopped["parts"][2]["count"], serde_json::json!({"min": 2, "max": 3}));
    let submit =
        ["-Xmx512m", "org.apache.spark.deploy.SparkSubmit", "rta_processor_simple.py", "accelerometer"];
    let driver = start_process(&mut children, &cluster, "java", &submit);
    start_process(
        &mut children,
        &cluster,
        "python3",
        &["rta_processor_simple.py", "accelerometer", "sklearn"],
    );
    let executor = ["-Xmx512m", "org.apache.spark.executor.CoarseGrainedExecutorBackend"];
    start_process(&mut children, &cluster, "java", &executor);
    let partial = wait_for_app(&cluster, "some of it", |app| {
        app["state"] == "partial" && app["pids"].as_array().is_some_and(|pids| pids.len() == 3)
    });
    assert_eq!(partial["health"], "degraded");
    assert_eq!(partial["reason"], "only some of its processes run; missing: executor (1 of 2)");
    start_process(&mut children, &cluster, "java", &executor);
    let whole = wait_for_app(&cluster, "all of it", |app| app["health"] == "up");
    assert_eq!((&whole["state"], whole["pids"].as_array().unwrap().len()), (&"running".into(), 4));
    // A launcher or an editor with the same words among its arguments does not belong to it.
    start_process(&mut children, &cluster, "bash", &submit);
    start_process(&mut children, &cluster, "vim", &["rta_processor_simple.py"]);
    let second = start_process(&mut children, &cluster, "java", &submit);
    let doubled = wait_for_app(&cluster, "a second driver", |app| app["health"] == "degraded");
    let mut pids = [driver, second];
    pids.sort_unstable();
    assert_eq!(
        (doubled["state"].as_str(), doubled["reason"].as_str()),
        (
            Some("running"),
            Some(&*format!("driver runs 2 times, at most 1 is right: pids {}, {}", pids[0], pids[1]))
        )
    );
    children.kill(driver);
    wait_for_app(&cluster, "one driver again", |app| app["health"] == "up");
    children.kill(second);
    let headless = wait_for_app(&cluster, "no driver", |app| app["state"] == "partial");
    assert_eq!(headless["reason"], "only some of its processes run; missing: driver");

    let explained = cluster.aggregator.rta(&["explain", "app"]);
    let said = String::from_utf8(explained.stdout).unwrap();
    assert_eq!(explained.status.code(), Some(3), "{said}");
    assert!(said.contains("driver of T/h/app is matched by no process; the nearest:"), "{said}");
    assert!(said.contains("program of T/h/app is matched\n"), "{said}");
    let status = cluster.aggregator.rta(&["status", "--verbose"]);
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains("driver 0/1, program 1/1, executor 2/2-3"), "{said}");
}

/// A process that runs but does not answer is degraded, with the reason; it recovers without intervention.
#[test]
fn a_failing_probe_degrades_what_runs_and_a_passing_one_heals_it() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = TestConfig::new();
    let probe = format!(
        "probe = {{ tcp = \"{port}\", interval = \"1s\", failures = 2, grace = \"0s\" }}\n[component.start]"
    );
    let app = config.component_toml("app", "", "").replacen("[component.start]", &probe, 1);
    let cluster = start_cluster(config, &app);
    let mut children = ChildProcesses::default();
    let stopped = wait_for_app(&cluster, "nothing to run", |app| app["state"] == "stopped");
    assert_eq!(stopped["probe"], Value::Null);
    let pid = start_process(&mut children, &cluster, "java", &[]);
    let failing = wait_for_app(&cluster, "a failing probe", |app| app["probe"]["state"] == "failing");
    assert_eq!((&failing["state"], &failing["health"]), (&"running".into(), &"degraded".into()));
    let reason = failing["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("its probe fails: tcp {port}: ")), "{reason}");
    let listener = TcpListener::bind(port).unwrap();
    let healed = wait_for_app(&cluster, "a passing probe", |app| app["health"] == "up");
    assert_eq!(healed["probe"]["state"], "passing");
    drop(listener);
    wait_for_app(&cluster, "a failing probe again", |app| app["health"] == "degraded");
    children.kill(pid);
    let stopped = wait_for_app(&cluster, "its end", |app| app["health"] == "down");
    assert_eq!(stopped["probe"], Value::Null);
}

/// A process that does not answer yet is not up, regardless of who started it and how long it takes, and
/// a new run has to answer again. A process that already runs and answers when an agent first sees
/// it was never starting.
#[test]
fn what_runs_is_starting_until_its_probe_passes() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = TestConfig::new();
    let probe =
        format!("probe = {{ tcp = \"{port}\", interval = \"1s\", grace = \"1h\" }}\n[component.start]");
    let app = config.component_toml("app", "", "").replacen("[component.start]", &probe, 1);
    let cluster = start_cluster(config, &app);
    let mut children = ChildProcesses::default();
    let first = start_process(&mut children, &cluster, "java", &[]);
    let refused = format!("it is starting: waiting for its probe (tcp {port}: connection refused)");
    let starting = wait_for_app(&cluster, "a refused probe", |app| app["reason"] == *refused);
    assert_eq!((&starting["state"], &starting["health"]), (&"starting".into(), &"down".into()));
    assert_eq!((&starting["action"], &starting["probe"]["state"]), (&Value::Null, &"pending".into()));
    let listener = TcpListener::bind(port).unwrap();
    let up = wait_for_app(&cluster, "a passing probe", |app| app["health"] == "up");
    assert_eq!(up["state"], "running");
    drop(listener);
    children.kill(first);
    wait_for_app(&cluster, "its end", |app| app["state"] == "stopped");
    start_process(&mut children, &cluster, "java", &[]);
    wait_for_app(&cluster, "the next run", |app| app["state"] == "starting" && app["health"] == "down");

    let _listener = TcpListener::bind(port).unwrap();
    wait_for_app(&cluster, "a passing probe", |app| app["health"] == "up");
    // The first report of an agent that is started while the component runs.
    let (_agent, address) = cluster.config.start_agent_with("h", "127.0.0.1:0", &["--read-only"]);
    let first = Cell::new(None);
    ReportStream::from_agent(address).wait_for_component("app", Duration::from_secs(60), |seen| {
        first.set(Some(seen.state));
        true
    });
    assert_eq!(first.get(), Some(v1::State::Running));
}
