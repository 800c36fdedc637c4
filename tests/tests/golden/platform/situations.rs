//! Configuration of the observed platform, and the state in which it settles.

use std::fmt::Write as _;
use std::net::SocketAddr;

use rta_tests::TestConfig;
use serde_json::Value;

/// Unit that exists on no machine.
const UNIT: &str = "rta-golden-test.service";

/// Returns the instance of a component; each component is on one host.
pub(super) fn find_instance<'o>(overview: &'o Value, component: &str) -> &'o Value {
    let hosts = only_hosts(overview);
    let mut instances = hosts.flat_map(|host| host["instances"].as_array().unwrap());
    instances.find(|instance| instance["component"] == component).unwrap()
}

/// Returns the only host of each environment.
pub(super) fn only_hosts(overview: &Value) -> impl Iterator<Item = &Value> {
    overview["environments"].as_array().unwrap().iter().map(|environment| &environment["hosts"][0])
}

/// Returns true for the host whose agent does not answer.
pub(super) fn is_lost(host: &Value) -> bool {
    host["name"] == "lost"
}

/// Returns true if the platform is in the situations of [the platform's table](super).
pub(super) fn are_situations(overview: &Value) -> bool {
    let situations = [
        ("base", "/health", "up"),
        ("base", "/probe/state", "passing"),
        ("kept", "/health", "up"),
        ("ill", "/probe/state", "failing"),
        ("halves", "/state", "partial"),
        ("frozen", "/processes/0/suspension", "signal"),
        ("dead", "/health", "down"),
        ("follower", "/cause/component", "dead"),
        ("broken", "/health", "down"),
        ("unseen", "/health", "unknown"),
        ("paused", "/health", "down"),
        ("service", "/unit/name", UNIT),
    ];
    let is_so = |(component, pointer, word): &(&str, &str, &str)| {
        find_instance(overview, component).pointer(pointer) == Some(&Value::from(*word))
    };
    let is_measured = |host: &Value| is_lost(host) || (!host["usage"].is_null() && !host["agent"].is_null());
    situations.iter().all(is_so) && only_hosts(overview).all(is_measured)
}

/// Returns an overview with and without an error of systemd, which depends on the machine.
pub(super) fn with_any_unit_error(overview: Value) -> [Value; 2] {
    [Value::Null, "a text".into()].map(|error| {
        let mut overview = overview.clone();
        *overview.pointer_mut("/environments/4/hosts/0/instances/1/unit/error").unwrap() = error;
        overview
    })
}

/// Returns the TOML of all components and of the role of host `up`.
pub(super) fn components(config: &TestConfig, listener: SocketAddr) -> String {
    let token = config.token();
    let probe =
        |address: &str, more: &str| format!("probe = {{ tcp = \"{address}\", interval = \"1s\"{more} }}\n");
    let keys = |component: String, keys: &str| {
        component.replacen("[component.start]", &format!("{keys}[component.start]"), 1)
    };
    let watched = |name: &str| {
        format!("[[component]]\nname = \"{name}\"\ncriteria = [{{ regex = '^--token={name}-{token}$' }}]\n")
    };
    // Starts when its gate is opened, and exits with the test.
    let slow = format!(
        "while [ ! -e {gate} ]; do [ -d {folder} ] || exit 1; sleep 0.05; done\n\
         exec \"$stand_in\" --token=slow-$token",
        gate = config.path("gate").display(),
        folder = config.folder().display(),
    );
    let mut text = keys(config.component_toml("base", "", ""), &probe(&listener.to_string(), ""));
    text += &keys(
        config.component_toml("kept", "\"base\"", ""),
        "restart = { when = \"always\", backoff = \"100ms\" }\n",
    );
    text += &watched("ill");
    text += &probe("127.0.0.1:1", ", failures = 1, grace = \"0s\"");
    text += "[[component]]\nname = \"halves\"\n";
    // The second process has its token at another position.
    for (part, index) in [("first", -1), ("second", 0)] {
        write!(
            text,
            "[[component.process]]\nname = \"{part}\"\n\
             criteria = [{{ index = {index}, regex = '^--token={part}-{token}$' }}]\n"
        )
        .unwrap();
    }
    text += &watched("frozen");
    text += &config.component_toml("dead", "", "");
    text += &config.component_toml("follower", "\"dead\"", "");
    text += &watched("watched");
    text += &config.scripted_component_toml("broken", "echo the disk is gone; exit 3", "");
    text += &config.component_toml("after broken", "\"broken\"", "");
    text += &config.scripted_component_toml("slow", &slow, "").replace("\"20s\"", "\"10m\"");
    text += &config.component_toml("unseen", "", "");
    text += &watched("paused");
    text += &watched("service");
    text += &format!("start = {{ systemd = \"{UNIT}\" }}\n");
    text + "[[role]]\nname = \"main\"\ncomponents = [\"base\", \"kept\"]\n"
}

/// Returns the TOML of the environments, whose agents listen at these addresses.
pub(super) fn environments(agents: &[SocketAddr]) -> String {
    let &[up, mixed, down, serviced] = agents else { panic!("four of the hosts have agents: {agents:?}") };
    // Nothing listens at port 1. Until the agents have ports, the first of them uses it on 127.0.0.1.
    let lost = SocketAddr::from(([127, 0, 0, 2], 1));
    let down_components =
        "components = [\"dead\", \"follower\", \"watched\", \"broken\", \"after broken\", \"slow\"]";
    let host = |environment: &str, name: &str, agent: SocketAddr, components: &str| {
        format!(
            "[[environment]]\nname = \"{environment}\"\n[[environment.host]]\nname = \"{name}\"\n\
             agent = \"http://{agent}\"\n{components}\n"
        )
    };
    [
        host("UP", "up", up, "role = \"main\""),
        host("DEGRADED", "mixed", mixed, "components = [\"ill\", \"halves\", \"frozen\"]"),
        host("DOWN", "down", down, down_components),
        host("UNKNOWN", "lost", lost, "components = [\"unseen\"]"),
        host("MAINTENANCE", "serviced", serviced, "components = [\"paused\", \"service\"]"),
    ]
    .concat()
}
