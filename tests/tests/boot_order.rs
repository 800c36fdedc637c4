//! Automatic starts wait for dependencies, on the same host and on others.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;

use rta_tests::{ChildProcesses, ServerProcess, TestConfig, run_binary, wait_for};
use serde_json::Value;

/// Restart rule whose limit is reached within moments.
const WANTED: &str =
    "wanted = \"running\"\nrestart = { when = \"on-failure\", backoff = \"100ms\", limit = 2 }";

/// Hosts with their agents, and an aggregator.
struct World {
    site: TestConfig,
    _agents: Vec<ServerProcess>,
    _aggregator: ServerProcess,
    grpc: String,
}

impl World {
    /// Starts the programs; each host is a name and its components.
    fn new<const N: usize>(site: TestConfig, components: &str, hosts: [(&str, &str); N]) -> Self {
        site.write("components.toml", components);
        let content = |agents: [SocketAddr; N]| {
            let host = |((name, carried), agent): ((&str, &str), SocketAddr)| {
                format!("{{ name = \"{name}\", components = [{carried}], agent = \"http://{agent}\" }}")
            };
            let hosts: Vec<String> = hosts.into_iter().zip(agents).map(host).collect();
            format!("[[environment]]\nname = \"T\"\nhost = [{}]\n", hosts.join(", "))
        };
        let agents = site.start_agents(hosts.map(|(name, _)| name), &[], "hosts.toml", content);
        let config = site.folder();
        let config = config.to_str().unwrap();
        let mut aggregator = ServerProcess::start(
            "rta-aggregator",
            ["--config", config, "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        );
        let grpc = aggregator.address("grpc").to_string();
        let agents = agents.into_iter().map(|(agent, _)| agent).collect();
        Self { site, _agents: agents, _aggregator: aggregator, grpc }
    }

    /// Waits until `component` in the overview meets `is_so`, and returns it.
    fn until(&self, component: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            let output = run_binary("rta", ["--aggregator", &self.grpc, "list", "--json"]);
            let overview: Value = serde_json::from_slice(&output.stdout).ok()?;
            let hosts = overview["environments"][0]["hosts"].as_array()?;
            let mut instances = hosts.iter().flat_map(|host| host["instances"].as_array().unwrap());
            instances
                .find(|instance| instance["component"] == component)
                .filter(|found| is_so(found))
                .cloned()
        })
    }

    fn launches(&self, component: &str) -> usize {
        let counted = std::fs::read_to_string(self.site.path(&format!("{component}.launches")));
        counted.unwrap_or_default().lines().count()
    }
}

/// Returns a component that counts its launches and then runs `becomes`.
fn counted(site: &TestConfig, name: &str, needs: &str, becomes: &str) -> String {
    let count = site.path(&format!("{name}.launches"));
    let script = format!("echo launched >> {}\n{becomes}", count.display());
    let component = site.scripted_component_toml(name, &script, "");
    component.replacen("depends_on = []", &format!("depends_on = [{needs}]"), 1).replacen(
        "criteria = ",
        &format!("{WANTED}\ncriteria = "),
        1,
    )
}

/// After a boot everything is wanted at once. A component with a dependency on its own host is launched when
/// the dependency is up, and not given up for an early attempt.
#[test]
fn what_is_wanted_comes_up_after_what_it_needs() {
    let site = TestConfig::new();
    let gate = site.path("gate");
    let gate = gate.display();
    let kafka = format!("while ! [ -e {gate} ]; do sleep 0.05; done\nexec $stand_in --token=kafka-$token");
    // The process exits without Kafka.
    let writer = format!("[ -e {gate} ] || exit 1\nexec $stand_in --token=writer-$token");
    let components = counted(&site, "kafka", "", &kafka) + &counted(&site, "writer", "\"kafka\"", &writer);
    let world = World::new(site, &components, [("h", "\"writer\", \"kafka\"")]);
    let kafka = world.until("kafka", "a launch", |kafka| kafka["state"] == "starting");
    assert_eq!(kafka["reason"], "it is being started");
    let waiting = world.until("writer", "a wait", |writer| writer["autostart"]["waiting_for"] == "kafka");
    assert_eq!(waiting["reason"], "it is not running: never seen running; waiting for kafka");
    assert_eq!(world.launches("writer"), 0);
    std::fs::write(world.site.path("gate"), "").unwrap();
    let writer = world.until("writer", "its turn", |writer| writer["health"] == "up");
    assert_eq!((&writer["autostart"]["restarts"], world.launches("writer")), (&1.into(), 1));
    assert_eq!(writer["autostart"]["waiting_for"], "");
}

/// Only the aggregator knows dependencies on other hosts, and informs the agent.
#[test]
fn what_is_wanted_waits_for_another_host() {
    let site = TestConfig::new();
    let writer = counted(&site, "writer", "\"kafka\"", "exec $stand_in --token=writer-$token");
    let components = site.component_toml("kafka", "", "") + &writer;
    let world = World::new(site, &components, [("w", "\"writer\""), ("k", "\"kafka\"")]);
    let waits = |why: &'static str| {
        move |writer: &Value| {
            let reason = writer["reason"].as_str().unwrap_or_default();
            reason.starts_with(&format!("it is not running: {why}"))
                && reason.ends_with("; waiting for kafka on k")
                && writer["autostart"]["next_at"].is_null()
        }
    };
    world.until("writer", "a wait", waits("never seen running"));
    let status = run_binary("rta", ["--aggregator", &world.grpc, "status"]);
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains("waiting for kafka on k"), "{said}");
    assert_eq!(world.launches("writer"), 0);

    let mut children = ChildProcesses::default();
    children.adopt(world.site.start_stand_in("kafka"));
    world.until("writer", "its turn", |writer| writer["health"] == "up");
    assert_eq!(world.launches("writer"), 1);
    // A running component is not touched when Kafka ends; if it ends then, its restart waits for Kafka.
    drop(children);
    world.until("writer", "to miss it", |writer| writer["health"] == "degraded");
    world.site.kill_component("writer");
    world.until("writer", "a wait", waits("ended by SIGKILL"));
    assert_eq!(world.launches("writer"), 1);
    let mut children = ChildProcesses::default();
    children.adopt(world.site.start_stand_in("kafka"));
    world.until("writer", "its turn", |writer| writer["health"] == "up");
    assert_eq!(world.launches("writer"), 2);
}
