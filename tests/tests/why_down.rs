//! Reasons why components are down: on every surface, and over restarts of both programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::{Path, PathBuf};

use rta_tests::{ChildProcesses, TestCluster, TestConfig, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Returns a component `name` that performs `what` once the file `gate` exists.
fn gated(config: &TestConfig, name: &str, what: &str) -> String {
    let gate = config.path("gate");
    let wait =
        format!("while kill -0 $STAND_IN_LEASE && ! [ -e {} ]; do sleep 0.05; done; {what}", gate.display());
    config.scripted_component_toml(name, &format!("exec bash -c '{wait}' bash --token={name}-$token"), "")
}

/// Starts one host with these components, its agent with further arguments, and an aggregator. Both keep
/// their state.
fn start_cluster(config: TestConfig, components: &str, agent_arguments: &[&str]) -> TestCluster {
    let names: Vec<&str> = components.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    let state = config.path("state").display().to_string();
    TestCluster::builder(config)
        .components(components)
        .host_with("h", &format!("components = [{}]", names.join(", ")))
        .agent_arguments(["--state", &state].iter().chain(agent_arguments))
        .data()
        .start()
}

fn wait_until_running(cluster: &TestCluster, component: &str) {
    cluster.aggregator.wait_for_instance(component, "to run", |instance| instance["state"] == "running");
}

/// Waits until `component` is down for this reason; returns the recorded cause.
fn wait_until_down(cluster: &TestCluster, component: &str, reason: &str) -> Value {
    let what = format!("to be down: {reason}");
    let is_down = |instance: &Value| instance["reason"] == reason;
    cluster.aggregator.wait_for_instance(component, &what, is_down)["down_cause"].clone()
}

/// Waits until an operator has stopped `component`; returns the reported name with the plan.
fn wait_until_stopped_by_somebody(cluster: &TestCluster, component: &str) -> String {
    wait_for("a stop to be told", || {
        let instance = cluster.aggregator.instance(component);
        let by = instance["down_cause"]["by"]["user"].as_str()?;
        Some(format!("{by} (plan {})", instance["stopped_by"]["plan"].as_u64()?))
    })
}

/// Kills the agent with SIGKILL, does something, and starts another agent.
fn replace_agent(cluster: &mut TestCluster, meanwhile: impl FnOnce()) {
    cluster.agents[0].stop(Signal::KILL);
    cluster.aggregator.wait_for_host("the agent to be missed", |host| host["reachable"] == false);
    meanwhile();
    cluster.agents[0].start_again();
}

/// Kills the aggregator with SIGKILL, and starts another one.
fn replace_aggregator(cluster: &mut TestCluster) {
    cluster.aggregator.stop(Signal::KILL);
    cluster.aggregator.start_again();
}

#[test]
fn why_it_is_down_is_told_everywhere_and_by_the_next_agent_and_aggregator() {
    told_everywhere(&[]);
}

/// Without kernel events, exit statuses are available through pidfds, from Linux 6.15 on.
#[test]
fn why_it_is_down_is_told_without_events_too() {
    told_everywhere(&["--no-events"]);
}

fn told_everywhere(more: &[&str]) {
    let config = TestConfig::new();
    let unstartable = config.component_toml("unstartable", "", "");
    let stand_in = rta_tests::binary("stand-in");
    let command = format!("command = [\"{}\"", stand_in.display());
    let components = [
        config.component_toml("killed", "", ""),
        gated(&config, "exits", "echo disk is full, password=hunter2 >&2; exit 7"),
        gated(&config, "done", "echo all is done >&2; exit 0"),
        unstartable.replace(&command, "command = [\"/no/such/program\""),
        config.component_toml("stopped", "", ""),
        config.component_toml("never", "", ""),
        config.component_toml("unwatched", "", ""),
    ]
    .concat();
    let mut cluster = start_cluster(config, &components, more);
    let mut children = ChildProcesses::default();
    let mut played = Vec::new();
    for component in ["killed", "unwatched"] {
        let child = cluster.config.start_stand_in(component);
        played.push(child.id());
        children.adopt(child);
        wait_until_running(&cluster, component);
    }
    for component in ["exits", "done", "stopped", "unstartable"] {
        let said = cluster.aggregator.rta_output(&["start", component]);
        assert_eq!(said.contains("cannot be run"), component == "unstartable", "{said}");
    }
    let said = cluster.aggregator.rta_output(&["stop", "stopped"]);
    assert!(said.contains("stopped"), "{said}");
    cluster.config.kill_component("killed");
    // The parent reaps the process, as usual.
    children.kill(played[0]);
    std::fs::write(cluster.config.path("gate"), "").unwrap();

    let killed = match cluster.aggregator.host()["agent"]["watch"]["mode"].as_str() {
        Some("scans") if kernel() < (6, 15) => "ended; its exit status is not known",
        _ => "ended by SIGKILL",
    };
    let failure = "\"/no/such/program\" cannot be run: No such file or directory (os error 2)";
    let stopper = wait_until_stopped_by_somebody(&cluster, "stopped");
    let expected = [
        ("killed", format!("it is not running: {killed}")),
        (
            "exits",
            "it is not running: ended with exit status 7; last line of its log: \"disk is full, password=***\"".to_owned(),
        ),
        ("done", "it is not running: ended without failure (exit status 0)".to_owned()),
        ("unstartable", format!("it is not running: its last start failed: {failure}")),
        ("stopped", format!("stopped by {stopper}")),
        ("never", "it is not running: never seen running".to_owned()),
    ];
    let causes = expected.each_ref().map(|(component, reason)| wait_until_down(&cluster, component, reason));
    assert_eq!((&causes[1]["kind"], &causes[1]["status"]), (&json!("exited"), &json!(7)));

    let tells = |cluster: &TestCluster, what: &str| {
        let status = cluster.aggregator.rta_output(&["status"]);
        let check = cluster.aggregator.rta_output(&["check", "-v"]);
        let page = cluster.aggregator.web.get("/").body;
        for (said, before, after) in [
            (
                &status,
                "exits on h is down: it is not running: ended ",
                " with exit status 7; last line of its log: \"disk is full",
            ),
            (
                &status,
                "unstartable on h is down: it is not running: its last start failed ",
                ": \"/no/such/program\" cannot",
            ),
            (&status, "done on h is down: it is not running: ended ", " without failure (exit status 0)"),
            (&status, "never on h is down: it is not running: never seen running, first watched ", ""),
            (&check, "exits on TEST/h is down (ended ", " with exit status 7)"),
            (&check, "never on TEST/h is down (never seen running, first watched ", ")"),
            (&page, "ended <time data-ago", " with exit status 7; last line of its log: &quot;disk is full"),
        ] {
            // The age is in between.
            let found = said
                .split(before)
                .skip(1)
                .any(|rest| rest.chars().take(250).collect::<String>().contains(after));
            assert!(found, "{what}: \"{before}...{after}\" is not in {said}");
        }
    };
    tells(&cluster, "at first");

    replace_agent(&mut cluster, || children = ChildProcesses::default());
    wait_until_down(&cluster, "unwatched", "it is not running: ended while its agent was not running");
    for ((component, reason), cause) in expected.iter().zip(&causes) {
        assert_eq!(wait_until_down(&cluster, component, reason), *cause, "{component}");
    }
    tells(&cluster, "by the next agent");
    replace_aggregator(&mut cluster);
    for ((component, reason), cause) in expected.iter().zip(&causes) {
        assert_eq!(wait_until_down(&cluster, component, reason), *cause, "{component}");
    }
    tells(&cluster, "by the next aggregator");

    // A running component has no cause, and a later end has its own.
    children.adopt(cluster.config.start_stand_in("never"));
    wait_until_running(&cluster, "never");
    assert_eq!(cluster.aggregator.instance("never")["down_cause"], Value::Null);
}

/// Returns the kernel's version.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Control group for the test with limited memory; removed at the end.
struct LimitedMemoryGroup(PathBuf);

impl LimitedMemoryGroup {
    /// Creates the group; `None` if this machine has no hierarchy in which memory can be limited.
    fn new() -> Option<Self> {
        let name = format!("rta-test-{}", std::process::id());
        for (root, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let folder = Path::new(root).join(&name);
            if std::fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Self(folder);
            if std::fs::write(group.0.join(limit), "33554432").is_ok() {
                // With swap, the process would only become slow.
                let _ = std::fs::write(group.0.join("memory.swap.max"), "0");
                return Some(group);
            }
        }
        None
    }
}

impl Drop for LimitedMemoryGroup {
    fn drop(&mut self) {
        // The last process may take a moment to leave.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn lack_of_memory_is_told() {
    let Some(group) = LimitedMemoryGroup::new() else {
        eprintln!("this machine has no control group whose memory could be limited");
        return;
    };
    let config = TestConfig::new();
    // The only process in its group, so that the kernel has no other choice.
    let app = gated(&config, "app", "x=x; while :; do x=$x$x; done");
    let cluster = start_cluster(config, &app, &[]);
    let said = cluster.aggregator.rta_output(&["start", "app"]);
    wait_until_running(&cluster, "app");
    let pid = cluster.config.find_process("app").unwrap_or_else(|| panic!("{said}"));
    std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
    std::fs::write(cluster.config.path("gate"), "").unwrap();
    wait_until_down(&cluster, "app", "it is not running: ended by SIGKILL (out of memory)");
}

/// A changed configuration ends no process.
#[test]
fn process_that_no_longer_matches_is_told_to_be_there_and_gets_no_second_one() {
    let config = TestConfig::new();
    // It would be started again at once, had it ended.
    let kept =
        "depends_on = []\nwanted = \"running\"\nrestart = { when = \"always\", backoff = \"100ms\" }\n";
    let component = config.component_toml("app", "", "").replace("depends_on = []\n", kept);
    let mut children = ChildProcesses::default();
    let child = config.start_stand_in("app");
    let pid = child.id();
    children.adopt(child);
    let mut cluster = start_cluster(config, &component, &[]);
    wait_until_running(&cluster, "app");
    let text = std::fs::read_to_string(cluster.config.folder().join("components.toml")).unwrap();
    cluster.config.write("components.toml", &text.replace("'^--token=app-", "'^--other=app-"));
    let said = cluster.aggregator.rta_output(&["config", "reload"]);
    let reason = format!("it is not running: pid {pid} stopped matching its criteria, and is still there");
    wait_until_down(&cluster, "app", &reason);
    replace_aggregator(&mut cluster);
    wait_until_down(&cluster, "app", &reason);
    assert!(cluster.config.find_process("app").is_some(), "{said}");

    let refused = cluster.aggregator.rta_output(&["start", "app"]);
    assert!(refused.contains("is still there, and does not match its criteria any more"), "{refused}");
    replace_agent(&mut cluster, || {});
    wait_until_down(&cluster, "app", &reason);
    let refused = cluster.aggregator.rta_output(&["start", "app"]);
    assert!(refused.contains("is still there, and does not match its criteria any more"), "{refused}");
    for _ in 0..20 {
        cluster.aggregator.rta_output(&["refresh"]);
        assert_eq!(cluster.config.processes().len(), 1);
    }
    children.kill(pid);
    wait_for("its end to be seen", || {
        let instance = cluster.aggregator.instance("app");
        let reason = instance["reason"].as_str().unwrap();
        (!reason.contains("is still there")).then_some(())
    });
}
