//! Reasons why components are down: on every surface, and over restarts of both programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rta_tests::{ChildProcesses, ServerProcess, TestConfig, WebClient, run_binary, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// One host, with its agent and an aggregator, which both persist their state.
struct World {
    site: TestConfig,
    agent: ServerProcess,
    address: SocketAddr,
    /// Further arguments of the agent.
    more: Vec<String>,
    aggregator: ServerProcess,
    web: WebClient,
    grpc: String,
}

/// Returns a component `name` that performs `what` once the file `gate` exists.
fn gated(site: &TestConfig, name: &str, what: &str) -> String {
    let gate = site.path("gate");
    let wait =
        format!("while kill -0 $STAND_IN_LEASE && ! [ -e {} ]; do sleep 0.05; done; {what}", gate.display());
    site.scripted_component_toml(name, &format!("exec bash -c '{wait}' bash --token={name}-$token"), "")
}

fn aggregator(site: &TestConfig) -> (ServerProcess, WebClient, String) {
    let (config, data) = (site.folder(), site.path("data"));
    let [config, data] = [&config, &data].map(|path| path.to_str().unwrap());
    let more = ["--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut aggregator =
        ServerProcess::start("rta-aggregator", ["--config", config, "--data", data].iter().chain(&more));
    let (web, grpc) = (WebClient(aggregator.address("web")), aggregator.address("grpc").to_string());
    (aggregator, web, grpc)
}

impl World {
    /// Starts the programs; the agent has `more` arguments.
    fn new(site: TestConfig, components: &str, more: &[&str]) -> Self {
        let names: Vec<&str> = components.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        let names = names.join(", ");
        let state = site.path("state").display().to_string();
        let more: Vec<String> =
            ["--state", &state].iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        let given: Vec<&str> = more.iter().map(String::as_str).collect();
        let [(agent, address)] = site.start_agents(["h"], &given, "site.toml", |[agent]| {
            format!(
                "{components}\n[[environment]]\nname = \"TEST\"\n\
                     host = [{{ name = \"h\", agent = \"http://{agent}\", components = [{names}] }}]\n"
            )
        });
        let (aggregator, web, grpc) = aggregator(&site);
        Self { site, agent, address, more, aggregator, web, grpc }
    }

    fn rta(&self, arguments: &[&str]) -> String {
        let output = run_binary("rta", ["--aggregator", &self.grpc].iter().chain(arguments));
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    fn host(&self) -> Value {
        let overview: Value = serde_json::from_str(&self.web.get("/api/v1/overview").body).unwrap();
        overview["environments"][0]["hosts"][0].clone()
    }

    fn instance(&self, component: &str) -> Value {
        let host = self.host();
        let mut instances = host["instances"].as_array().unwrap().iter();
        instances.find(|instance| instance["component"] == component).unwrap().clone()
    }

    fn until_running(&self, component: &str) {
        wait_for(&format!("{component} to run"), || {
            (self.instance(component)["state"] == "running").then_some(())
        });
    }

    /// Waits until `component` is down for this reason; returns the recorded cause.
    fn until_down(&self, component: &str, reason: &str) -> Value {
        wait_for(&format!("{component} to be down: {reason}"), || {
            let instance = self.instance(component);
            (instance["reason"] == reason).then(|| instance["down_cause"].clone())
        })
    }

    /// Kills the agent with SIGKILL, does something, and starts another agent.
    fn next_agent(&mut self, meanwhile: impl FnOnce(&TestConfig)) {
        self.agent.signal(Signal::KILL);
        self.agent.wait();
        wait_for("the agent to be missed", || (self.host()["reachable"] == false).then_some(()));
        meanwhile(&self.site);
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        (self.agent, _) = self.site.start_agent_with("h", &self.address.to_string(), &more);
    }

    /// Kills the aggregator with SIGKILL, and starts another one.
    fn next_aggregator(&mut self) {
        self.aggregator.signal(Signal::KILL);
        self.aggregator.wait();
        (self.aggregator, self.web, self.grpc) = aggregator(&self.site);
    }
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
    let site = TestConfig::new();
    let unstartable = site.component_toml("unstartable", "", "");
    let stand_in = rta_tests::binary("stand-in");
    let command = format!("command = [\"{}\"", stand_in.display());
    let components = [
        site.component_toml("killed", "", ""),
        gated(&site, "exits", "echo disk is full, password=hunter2 >&2; exit 7"),
        gated(&site, "done", "echo all is done >&2; exit 0"),
        unstartable.replace(&command, "command = [\"/no/such/program\""),
        site.component_toml("stopped", "", ""),
        site.component_toml("never", "", ""),
        site.component_toml("unwatched", "", ""),
    ]
    .concat();
    let mut world = World::new(site, &components, more);
    let mut children = ChildProcesses::default();
    let mut played = Vec::new();
    for component in ["killed", "unwatched"] {
        let child = world.site.start_stand_in(component);
        played.push(child.id());
        children.adopt(child);
        world.until_running(component);
    }
    for component in ["exits", "done", "stopped", "unstartable"] {
        let said = world.rta(&["start", component]);
        assert_eq!(said.contains("cannot be run"), component == "unstartable", "{said}");
    }
    let said = world.rta(&["stop", "stopped"]);
    assert!(said.contains("stopped"), "{said}");
    world.site.kill_component("killed");
    // The parent reaps the process, as usual.
    children.kill(played[0]);
    std::fs::write(world.site.path("gate"), "").unwrap();

    let killed = match world.host()["agent"]["watch"]["mode"].as_str() {
        Some("scans") if kernel() < (6, 15) => "ended; its exit status is not known",
        _ => "ended by SIGKILL",
    };
    let failure = "\"/no/such/program\" cannot be run: No such file or directory (os error 2)";
    let stopper = world.until_down_by_somebody("stopped");
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
    let causes = expected.each_ref().map(|(component, reason)| world.until_down(component, reason));
    assert_eq!((&causes[1]["kind"], &causes[1]["status"]), (&json!("exited"), &json!(7)));

    let tells = |world: &World, what: &str| {
        let status = world.rta(&["status"]);
        let check = world.rta(&["check", "-v"]);
        let page = world.web.get("/").body;
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
    tells(&world, "at first");

    world.next_agent(|_| children = ChildProcesses::default());
    world.until_down("unwatched", "it is not running: ended while its agent was not running");
    for ((component, reason), cause) in expected.iter().zip(&causes) {
        assert_eq!(world.until_down(component, reason), *cause, "{component}");
    }
    tells(&world, "by the next agent");
    world.next_aggregator();
    for ((component, reason), cause) in expected.iter().zip(&causes) {
        assert_eq!(world.until_down(component, reason), *cause, "{component}");
    }
    tells(&world, "by the next aggregator");

    // A running component has no cause, and a later end has its own.
    children.adopt(world.site.start_stand_in("never"));
    world.until_running("never");
    assert_eq!(world.instance("never")["down_cause"], Value::Null);
}

/// Returns the kernel's version.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

impl World {
    /// Waits until an operator has stopped `component`; returns the reported name with the plan.
    fn until_down_by_somebody(&self, component: &str) -> String {
        wait_for("a stop to be told", || {
            let instance = self.instance(component);
            let by = instance["down_cause"]["by"]["user"].as_str()?;
            Some(format!("{by} (plan {})", instance["stopped_by"]["plan"].as_u64()?))
        })
    }
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
    let site = TestConfig::new();
    // The only process in its group, so that the kernel has no other choice.
    let app = gated(&site, "app", "x=x; while :; do x=$x$x; done");
    let world = World::new(site, &app, &[]);
    let said = world.rta(&["start", "app"]);
    world.until_running("app");
    let pid = world.site.find_process("app").unwrap_or_else(|| panic!("{said}"));
    std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
    std::fs::write(world.site.path("gate"), "").unwrap();
    world.until_down("app", "it is not running: ended by SIGKILL (out of memory)");
}

/// A changed configuration ends no process.
#[test]
fn process_that_no_longer_matches_is_told_to_be_there_and_gets_no_second_one() {
    let site = TestConfig::new();
    // It would be started again at once, had it ended.
    let kept =
        "depends_on = []\nwanted = \"running\"\nrestart = { when = \"always\", backoff = \"100ms\" }\n";
    let component = site.component_toml("app", "", "").replace("depends_on = []\n", kept);
    let mut children = ChildProcesses::default();
    let child = site.start_stand_in("app");
    let pid = child.id();
    children.adopt(child);
    let mut world = World::new(site, &component, &[]);
    world.until_running("app");
    let text = std::fs::read_to_string(world.site.folder().join("site.toml")).unwrap();
    world.site.write("site.toml", &text.replace("'^--token=app-", "'^--other=app-"));
    let said = world.rta(&["config", "reload"]);
    let reason = format!("it is not running: pid {pid} stopped matching its criteria, and is still there");
    world.until_down("app", &reason);
    world.next_aggregator();
    world.until_down("app", &reason);
    assert!(world.site.find_process("app").is_some(), "{said}");

    let refused = world.rta(&["start", "app"]);
    assert!(refused.contains("is still there, and does not match its criteria any more"), "{refused}");
    world.next_agent(|_| {});
    world.until_down("app", &reason);
    let refused = world.rta(&["start", "app"]);
    assert!(refused.contains("is still there, and does not match its criteria any more"), "{refused}");
    for _ in 0..20 {
        world.rta(&["refresh"]);
        assert_eq!(world.site.processes().len(), 1);
    }
    children.kill(pid);
    wait_for("its end to be seen", || {
        let instance = world.instance("app");
        let reason = instance["reason"].as_str().unwrap();
        (!reason.contains("is still there")).then_some(())
    });
}
