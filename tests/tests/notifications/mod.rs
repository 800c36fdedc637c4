//! Notifications of a real aggregator: to a sink that counts, to a chat, by a command, to a real Alertmanager, and by
//! mail over TLS; and its dead man's switch.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod alertmanager;
mod channels;
mod mail;
mod sink;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rta_shared::proto::v1::State;
use rta_tests::{FakeAgents, TestCluster, TestConfig, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use sink::CountingSink;

/// Components of each simulated host, of which the first is Kafka.
const COMPONENTS: usize = 5;
/// Rules with short times.
const RULES: &str = "for = \"1s\"\nend_delay = \"1s\"\n[[route]]\nchannels = [\"ops\"]\n";

/// Platform of simulated hosts, on which everything needs the Kafka of the first one, and its aggregator.
struct Platform {
    agents: FakeAgents,
    cluster: TestCluster,
    file: PathBuf,
}

impl Platform {
    /// Starts an aggregator with this file of notifications.
    fn start(hosts: usize, notify: &str) -> Self {
        let agents = FakeAgents::new(hosts, COMPONENTS);
        let config = TestConfig::new();
        let file = config.path("notify.toml");
        write_private(&file, notify);
        let cluster = TestCluster::builder(config)
            .components(&platform_toml(&agents.toml()))
            .data()
            .aggregator_arguments(["--notify", file.to_str().unwrap()])
            .start();
        let platform = Self { agents, cluster, file };
        platform.wait_until_up();
        platform
    }

    fn wait_until_up(&self) {
        self.cluster.aggregator.wait_until_ready();
        wait_for("everything to be up", || {
            self.cluster.aggregator.instances().iter().all(|one| one["health"] == "up").then_some(())
        });
    }

    fn stop_kafka(&self) {
        self.agents.set_state(0, 0, State::Stopped);
    }

    fn start_kafka(&self) {
        self.agents.set_state(0, 0, State::Running);
    }
}

/// Writes a file that nobody else may write.
fn write_private(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Returns the platform of the agents in `chain`, in which all other components need the Kafka of the first
/// host.
fn platform_toml(chain: &str) -> String {
    let mut toml = "[[component]]\nname = \"component 0\"\ncriteria = [{ regex = 'kafka' }]\n\
                    labels = { team = \"data\" }\nrunbook = \"https://wiki.example.com/kafka\"\n"
        .to_owned();
    for at in 1..COMPONENTS {
        let _ = writeln!(
            toml,
            "[[component]]\nname = \"component {at}\"\ncriteria = [{{ regex = '{at}' }}]\ndepends_on = [\"component 0\"]"
        );
    }
    let names: Vec<String> = (0..COMPONENTS).map(|at| format!("component {at}")).collect();
    let _ = writeln!(toml, "[[role]]\nname = \"r\"\ncomponents = {:?}", &names[1..]);
    let hosts = chain.split_once("[[environment]]").unwrap().1;
    let first = format!("components = {names:?}");
    toml.push_str("[[environment]]");
    toml.push_str(&hosts.replacen("role = \"r\"", &first, 1));
    toml
}

fn webhook(sink: &CountingSink, secret: &std::path::Path) -> String {
    format!(
        "{RULES}[[channel]]\nname = \"ops\"\nwebhook = {{ url = \"http://{}/hook\", secret = {{ file = \"{}\" }} }}\n",
        sink.address,
        secret.display()
    )
}

fn secret(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("secret");
    std::fs::write(&path, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    path
}

#[test]
fn stopped_kafka_under_200_dependents_is_one_notification_and_one_at_its_end() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), CountingSink::start());
    let mut platform = Platform::start(50, &webhook(&sink, &secret(&folder)));
    platform.stop_kafka();
    let begin = sink.wait_for_deliveries(1).remove(0);
    assert_eq!((&begin.body["kind"], &begin.body["severity"]), (&"begin".into(), &"critical".into()));
    assert_eq!(begin.body["cause"]["component"], "component 0");
    assert_eq!(begin.body["affected"]["count"], 200, "{}", begin.body);
    assert_eq!(begin.body["cause"]["labels"]["team"], "data");
    assert_eq!(begin.body["cause"]["runbook"], "https://wiki.example.com/kafka");
    assert_eq!(begin.body["summary"], "component 0 on h0000 (E) is down; 200 instances degraded by it");
    assert_eq!(begin.header("webhook-id"), begin.body["key"].as_str());
    assert!(begin.header("webhook-signature").unwrap().starts_with("v1,"));
    let aggregator = &mut platform.cluster.aggregator;
    assert!(aggregator.rta_success(&["notify", "status"]).contains("1 root cause notified and not over"));
    // A restart repeats nothing and forgets nothing.
    aggregator.stop(Signal::KILL);
    aggregator.start_again();
    aggregator.wait_until_ready();
    platform.start_kafka();
    let end = sink.wait_for_deliveries(2).remove(1);
    assert_eq!((&end.body["kind"], &end.body["end_reason"]), (&"end".into(), &"recovered".into()));
    assert_eq!(end.body["incident"], begin.body["incident"]);
    assert_ne!(end.body["key"], begin.body["key"]);
    assert_described(&platform, [&begin.body, &end.body]);
    // The next message is that of another outage: nothing came in between.
    platform.wait_until_up();
    platform.agents.set_state(7, 1, State::Stopped);
    let other = sink.wait_for_deliveries(3).remove(2);
    assert_eq!((&other.body["kind"], &other.body["cause"]["host"]), (&"begin".into(), &"h0007".into()));
    assert_eq!(sink.requests().len(), 3);
    let aggregator = &platform.cluster.aggregator;
    let events = wait_for("all deliveries to be recorded", || {
        Some(aggregator.events("kind=notification")).filter(|events| events.len() == 3)
    });
    assert_eq!(events[2]["component"], "component 0");
    let dry_run = aggregator.rta_success(&["notify", "dry-run", "--since", "7d"]);
    assert!(dry_run.contains("ops") && dry_run.contains("component 0 on h0000 (E) is down"), "{dry_run}");
    assert!(!dry_run.contains("nobody"), "{dry_run}");
}

/// Asserts that the description of the API has these messages, with each of their members.
fn assert_described(platform: &Platform, messages: [&Value; 2]) {
    let document = platform.cluster.aggregator.web.get("/api/v1/openapi.json").body;
    let document: Value = serde_json::from_str(&document).unwrap();
    let body = document.pointer("/webhooks/notification/post/requestBody/content/application~1json/schema");
    let whole = serde_json::json!({ "allOf": [body.unwrap()], "components": document["components"] });
    let validator = jsonschema::draft202012::options().build(&whole).unwrap();
    let schema = &document["components"]["schemas"]["Notification"]["properties"];
    for message in messages {
        let errors: Vec<String> = validator.iter_errors(message).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?} {message}");
        let objects = [(message, schema)].into_iter();
        let inner = ["cause", "affected"].map(|key| (&message[key], &schema[key]["properties"]));
        for (object, described) in objects.chain(inner) {
            let keys = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            let unknown: Vec<String> =
                keys(object).into_iter().filter(|key| described.get(key).is_none()).collect();
            assert!(unknown.is_empty(), "{unknown:?}");
        }
    }
}

#[test]
fn killed_aggregator_delivers_with_the_same_key_and_only_once() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), CountingSink::start());
    let mut platform = Platform::start(2, &webhook(&sink, &secret(&folder)));
    sink.refuse(true);
    platform.stop_kafka();
    wait_for("an attempt", || (!sink.requests().is_empty()).then_some(()));
    let warned = platform.cluster.aggregator.wait_for_overview("the failure to be shown", |overview| {
        overview["impairments"].as_array().unwrap().iter().any(|one| one["part"] == "notifications")
    });
    let reported = warned["impairments"].to_string();
    assert!(reported.contains("channel ops does not deliver") && reported.contains("503"), "{reported}");
    assert_eq!(platform.cluster.aggregator.rta(&["notify", "status"]).status.code(), Some(3));
    platform.cluster.aggregator.stop(Signal::KILL);
    sink.refuse(false);
    platform.cluster.aggregator.start_again();
    let delivered = sink.wait_for_deliveries(1).remove(0);
    let requests = sink.requests();
    assert!(requests.len() > 1 && requests.iter().all(|one| one.body["key"] == delivered.body["key"]));
    platform.start_kafka();
    let all = sink.wait_for_deliveries(2);
    assert_eq!((&all[0].body["kind"], &all[1].body["kind"]), (&"begin".into(), &"end".into()));
    platform.cluster.aggregator.wait_for_overview("the warning to end", |overview| {
        overview["impairments"].as_array().unwrap().iter().all(|one| one["part"] != "notifications")
    });
}

#[test]
fn flapping_is_the_message() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), CountingSink::start());
    let platform =
        Platform::start(1, &webhook(&sink, &secret(&folder)).replacen("for = \"1s\"", "for = \"0s\"", 1));
    let aggregator = &platform.cluster.aggregator;
    for _ in 0..8 {
        platform.stop_kafka();
        aggregator.wait_for_health("component 0", "down");
        std::thread::sleep(std::time::Duration::from_millis(700));
        platform.start_kafka();
        aggregator.wait_for_health("component 0", "up");
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    let messages = wait_for("the message that it flaps", || {
        Some(sink.deliveries()).filter(|all| all.iter().any(|one| one.body["kind"] == "flapping"))
    });
    assert!(messages.len() <= 3, "{messages:?}");
}

#[test]
fn maintenance_is_silent_and_a_changed_file_is_loaded() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), CountingSink::start());
    let text = webhook(&sink, &secret(&folder));
    let platform =
        Platform::start(1, &text.replacen("[\"ops\"]\n", "[\"ops\"]\nenvironment = [\"none\"]\n", 1));
    let aggregator = &platform.cluster.aggregator;
    aggregator.rta_success(&["notify", "test", "ops"]);
    assert_eq!(sink.wait_for_deliveries(1)[0].body["kind"], "test");
    let unknown = aggregator.rta_output(&["notify", "test", "osp"]);
    assert!(unknown.contains("there is no channel \"osp\"; did you mean \"ops\"?"), "{unknown}");
    // An invalid file changes nothing, and is shown.
    write_private(&platform.file, "fro = 1\n");
    aggregator.wait_for_overview("the refusal to be shown", |overview| {
        overview["impairments"]
            .to_string()
            .contains("key \\\"fro\\\" is not known; did you mean \\\"for\\\"?")
    });
    write_private(&platform.file, &text);
    aggregator.wait_for_overview("the new file to be used", |overview| {
        !overview["impairments"].to_string().contains("notifications")
    });
    aggregator.rta_success(&["maintenance", "on", "component 0", "--for", "1h"]);
    platform.stop_kafka();
    aggregator.wait_for_health("component 0", "down");
    platform.agents.set_state(0, 1, State::Stopped);
    // Its own failure is notified, although what it needs is in maintenance.
    // On a busy machine a host may be lost for a moment, which is notified, too.
    let begins = |count: usize| {
        wait_for(&format!("{count} components to be told as down"), || {
            let all = sink.deliveries().into_iter().map(|one| one.body);
            let told = all.filter(|body| body["kind"] == "begin" && !body["cause"]["component"].is_null());
            let told: Vec<Value> = told.map(|body| body["cause"]["component"].clone()).collect();
            (told.len() >= count).then_some(told)
        })
    };
    assert_eq!(begins(1), ["component 1"]);
    aggregator.rta_success(&["maintenance", "off", "component 0"]);
    assert_eq!(begins(2), ["component 1", "component 0"]);
}
