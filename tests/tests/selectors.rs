//! Every command and page that takes names, against every form of a name.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeSet;

use rta_tests::{TestCluster, TestConfig, wait_for};
use serde_json::Value;

const KAFKA: &str = "TEST/h1/kafka server";
const CONNECT: &str = "TEST/h1/kafka connect";
const WRITERS: [&str; 2] = ["TEST/h1/raw writer", "TEST/h2.example.net/raw writer"];

/// Names that select exactly one instance. Each is a name, what `--env` and `--host` say, and the instance.
const WHOLE: [(&str, &str, &str, &str); 12] = [
    ("kafka server", "", "", KAFKA),
    ("broker", "", "", KAFKA),
    ("KAFKA  Server", "", "", KAFKA),
    ("Broker", "test", "", KAFKA),
    ("broker", "", "H1", KAFKA),
    ("broker", "", "h1.example.net", KAFKA),
    ("raw writer", "", "h2", WRITERS[1]),
    ("raw writer", "TEST", "H2.example.net", WRITERS[1]),
    ("TEST/h1/kafka server", "", "", KAFKA),
    ("test/h1.example.net/BROKER", "", "", KAFKA),
    ("h2/raw writer", "", "", WRITERS[1]),
    ("h2/raw writer", "TEST", "h1", WRITERS[1]),
];

/// The beginning of a name, or a word of it.
const PARTS: [(&str, &str, &str, &str); 7] = [
    ("kafka s", "", "", KAFKA),
    ("ka s", "", "", KAFKA),
    ("bro", "", "", KAFKA),
    ("connect", "", "", CONNECT),
    ("broker", "te", "", KAFKA),
    ("raw writer", "", "h2.e", WRITERS[1]),
    ("TEST/h2/raw", "", "", WRITERS[1]),
];

/// Names that select nothing, and a part of the answer.
const NOTHING: [(&str, &str, &str, &str); 6] = [
    ("zzz", "", "", "component \"zzz\" is not known; known: "),
    ("kafka sever", "", "", "component \"kafka sever\" is not known; did you mean \"kafka server\"?"),
    (
        "kafka",
        "",
        "",
        "component \"kafka\" is not known; did you mean one of \"kafka server\", \"kafka connect\"?",
    ),
    ("broker", "TSET", "", "environment \"TSET\" is not known; did you mean \"TEST\"?"),
    ("broker", "", "x9", "host \"x9\" is not known; known: h1, h2.example.net"),
    ("broker", "", "h", "host \"h\" is not known; did you mean one of \"h1\", \"h2.example.net\"?"),
];

/// The exit code, standard output and standard error.
type CommandResult = (i32, String, String);

/// Starts two hosts, of which one has its full name, and records an event of each instance.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let component = |name: &str, aliases: &str| {
        config.component_toml(name, "", "").replace("depends_on = []\n", &format!("aliases = [{aliases}]\n"))
    };
    let components = component("kafka server", "\"broker\"")
        + &component("kafka connect", "")
        + &component("raw writer", "\"raw writter\"");
    std::fs::create_dir_all(config.path("log")).unwrap();
    for name in ["kafka server", "kafka connect", "raw writer"] {
        std::fs::write(config.log_path(name), format!("log of {name}\n")).unwrap();
    }
    let cluster = TestCluster::builder(config)
        .components(&components)
        .host("h1", &["kafka server", "kafka connect", "raw writer"])
        .host("h2.example.net", &["raw writer"])
        .data()
        .start();
    wait_for("all to be known as down", || {
        let (_, said, _) = rta(&cluster, &["check"]);
        said.contains("unknown=0 down=4").then_some(())
    });
    // An event of each instance.
    for change in ["on", "off"] {
        for instance in [KAFKA, CONNECT].iter().chain(&WRITERS) {
            assert_eq!(rta(&cluster, &["maintenance", change, instance]).0, 0, "{instance}");
        }
    }
    cluster
}

fn rta(cluster: &TestCluster, arguments: &[&str]) -> CommandResult {
    let output = cluster.aggregator.rta(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs `command` with a place, and a name behind `before` where there is one.
fn named(
    cluster: &TestCluster,
    command: &[&str],
    before: &[&str],
    name: &str,
    environment: &str,
    host: &str,
) -> CommandResult {
    let mut arguments = [command, before].concat();
    arguments.extend(Some(name).filter(|name| !name.is_empty()));
    for (flag, value) in [("--env", environment), ("--host", host)] {
        if !value.is_empty() {
            arguments.extend([flag, value]);
        }
    }
    rta(cluster, &arguments)
}

fn address(path: &str, name: &str, environment: &str, host: &str) -> String {
    let encoded = |text: &str| text.replace(' ', "%20").replace('/', "%2F");
    format!("{path}?component={}&environment={}&host={}", encoded(name), encoded(environment), encoded(host))
}

/// The instances that each surface for reading says are selected.
fn read(
    cluster: &TestCluster,
    name: &str,
    environment: &str,
    host: &str,
) -> Vec<(&'static str, Result<BTreeSet<String>, String>)> {
    let json = |(code, out, err): CommandResult, ids: fn(&Value) -> BTreeSet<String>| match code {
        0 | 3 => Ok(ids(&serde_json::from_str(&out).unwrap())),
        4 => Err(err),
        _ => panic!("exit code {code}: {err}"),
    };
    let page = |path: &str, ids: fn(&Value) -> BTreeSet<String>| {
        let answer = cluster.aggregator.web.get(&address(path, name, environment, host));
        let value: Value = serde_json::from_str(&answer.body).unwrap();
        match answer.code {
            200 => Ok(ids(&value)),
            404 => Err(value["detail"].as_str().unwrap_or_default().to_owned()),
            status => panic!("status {status}: {}", answer.body),
        }
    };
    vec![
        ("status", json(named(cluster, &["status", "--json"], &[], name, environment, host), in_overview)),
        (
            "events",
            json(named(cluster, &["events", "--json"], &["--component"], name, environment, host), in_events),
        ),
        ("/api/v1/history", page("/api/v1/history", in_history)),
        ("/api/v1/events", page("/api/v1/events", |found| in_events(&found["events"]))),
    ]
}

fn id(of: &Value) -> String {
    let part = |key: &str| of[key].as_str().unwrap_or_default();
    format!("{}/{}/{}", part("environment"), part("host"), part("component"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn in_overview(overview: &Value) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for environment in list(&overview["environments"]) {
        for host in list(&environment["hosts"]) {
            for instance in list(&host["instances"]) {
                let names = [&environment["name"], &host["name"], &instance["component"]];
                ids.insert(names.map(|name| name.as_str().unwrap()).join("/"));
            }
        }
    }
    ids
}

fn in_events(events: &Value) -> BTreeSet<String> {
    list(events).filter(|event| event["kind"] == "maintenance").map(id).collect()
}

fn in_history(found: &Value) -> BTreeSet<String> {
    list(&found["instances"]).map(id).collect()
}

fn in_plan(plan: &Value) -> BTreeSet<String> {
    list(&plan["steps"]).filter(|step| step["named"] == true).map(|step| id(&step["instance"])).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn every_surface_understands_every_form_of_a_name() {
    let cluster = start_cluster();

    for (name, environment, host, instance) in WHOLE.into_iter().chain(PARTS) {
        let form = format!("{name}, environment {environment:?}, host {host:?}");
        for (surface, selected) in read(&cluster, name, environment, host) {
            assert_eq!(selected, Ok(set(&[instance])), "{surface}: {form}");
        }
        let (code, out, err) = named(&cluster, &["explain", "--json"], &[], name, environment, host);
        assert_eq!(code, 3, "explain: {form}: {err}");
        assert_eq!(id(&serde_json::from_str::<Value>(&out).unwrap()["instance"]), instance, "{form}");
        let (code, out, err) = named(&cluster, &["logs"], &[], name, environment, host);
        let component = instance.rsplit('/').next().unwrap();
        assert_eq!((code, out), (0, format!("log of {component}\n")), "logs: {form}: {err}");
        for path in ["/instance", "/log"] {
            let answer = cluster.aggregator.web.get(&address(path, name, environment, host));
            assert_eq!(answer.code, 200, "{path}: {form}");
            assert!(answer.body.contains(component), "{path}: {form}");
        }
        let page = cluster.aggregator.web.get(&address("/history", name, environment, host));
        assert_eq!(page.code, 200, "/history: {form}");
    }

    for (name, environment, host, instance) in WHOLE {
        let form = format!("{name}, environment {environment:?}, host {host:?}");
        let (code, out, err) = named(&cluster, &["start", "--plan", "--json"], &[], name, environment, host);
        assert_eq!(code, 0, "start: {form}: {err}");
        assert_eq!(in_plan(&serde_json::from_str(&out).unwrap()), set(&[instance]), "start: {form}");
        for command in ["stop", "restart"] {
            // What is down is not stopped; the name is understood.
            let (code, _, err) = named(&cluster, &[command, "--plan"], &[], name, environment, host);
            assert_eq!(code, 0, "{command}: {form}: {err}");
        }
        let [_, at, component] = instance.split('/').collect::<Vec<_>>()[..] else { panic!("{instance}") };
        for change in ["on", "off"] {
            let (code, out, err) = named(&cluster, &["maintenance", change], &[], name, environment, host);
            assert_eq!(code, 0, "maintenance {change}: {form}: {err}");
            assert!(out.contains(at) && out.contains(component), "maintenance {change}: {form}: {out}");
        }
    }
}

#[test]
fn parts_of_names_are_suggested_where_something_would_be_done() {
    let cluster = start_cluster();
    let acting: [&[&str]; 5] = [
        &["start", "--plan"],
        &["stop", "--plan"],
        &["restart", "--plan"],
        &["maintenance", "on"],
        &["maintenance", "off"],
    ];
    for (name, environment, host, _) in PARTS {
        for command in acting {
            let (code, _, err) = named(&cluster, command, &[], name, environment, host);
            assert!(code == 4 && err.contains("did you mean \""), "{command:?} {name}: {code}: {err}");
        }
    }
    assert_eq!(rta(&cluster, &["maintenance"]).1, "nothing is in maintenance\n");
    for (name, environment, host, expected) in NOTHING {
        for (surface, selected) in read(&cluster, name, environment, host) {
            let error = selected.unwrap_err();
            assert!(error.contains(expected), "{surface}: {error}");
        }
        let reading: [&[&str]; 2] = [&["explain"], &["logs"]];
        for command in reading.into_iter().chain(acting) {
            let (code, _, err) = named(&cluster, command, &[], name, environment, host);
            assert!(code == 4 && err.contains(expected), "{command:?}: {code}: {err}");
        }
    }
    // A name that several instances have.
    for (surface, selected) in read(&cluster, "raw writter", "", "") {
        assert_eq!(selected, Ok(set(&WRITERS)), "{surface}");
    }
    for command in [&["explain"][..], &["logs"]].into_iter().chain(acting) {
        let (code, _, err) = named(&cluster, command, &[], "raw writter", "", "");
        let ids = WRITERS.join(", ");
        assert!(code == 1 && err.contains("is on several hosts") && err.contains(&ids), "{command:?}: {err}");
    }
}

#[test]
fn places_have_the_same_names_for_every_command() {
    let cluster = start_cluster();
    let on_one = set(&[KAFKA, CONNECT, WRITERS[0]]);
    for (environment, host, expected) in [
        ("", "h1", on_one.clone()),
        ("", "H1", on_one.clone()),
        ("", "h1.example.net", on_one.clone()),
        ("test", "h1", on_one),
        ("", "h2", set(&[WRITERS[1]])),
        ("", "h2.example.net", set(&[WRITERS[1]])),
        ("test", "", set(&[KAFKA, CONNECT, WRITERS[0], WRITERS[1]])),
    ] {
        for command in ["list", "status"] {
            let (_, out, err) = named(&cluster, &[command, "--json"], &[], "", environment, host);
            assert!(err.is_empty(), "{command} {host}: {err}");
            assert_eq!(in_overview(&serde_json::from_str(&out).unwrap()), expected, "{command} {host}");
        }
        let (code, out, _) = named(&cluster, &["check"], &[], "", environment, host);
        assert!(code == 2 && out.contains(&format!("down={} ", expected.len())), "check {host}: {out}");
        for command in ["maintenance", "events"] {
            let (code, _, err) = named(&cluster, &[command], &[], "", environment, host);
            assert_eq!(code, 0, "{command} {host}: {err}");
        }
    }
    // The beginning of a name is enough to read. A check could turn to another host than it was set up for.
    for command in ["list", "status"] {
        let (_, out, err) = named(&cluster, &[command, "--json"], &[], "", "TE", "h2.e");
        assert!(err.is_empty(), "{command}: {err}");
        assert_eq!(in_overview(&serde_json::from_str(&out).unwrap()), set(&[WRITERS[1]]), "{command}");
    }
    let (code, out, _) = named(&cluster, &["check"], &[], "", "", "h2.e");
    assert!(
        code == 3 && out.contains("host \"h2.e\" is not known; did you mean \"h2.example.net\"?"),
        "check: {out}"
    );
    for (environment, host, expected) in [
        ("", "x9", "host \"x9\" is not known; known: h1, h2.example.net"),
        ("", "h", "did you mean one of \"h1\", \"h2.example.net\"?"),
        ("TSET", "", "environment \"TSET\" is not known; did you mean \"TEST\"?"),
    ] {
        let commands: [&[&str]; 6] = [
            &["list"],
            &["status"],
            &["maintenance"],
            &["events"],
            &["start", "--plan"],
            &["maintenance", "on"],
        ];
        for command in commands {
            let (code, _, err) = named(&cluster, command, &[], "", environment, host);
            assert!(code == 4 && err.contains(expected), "{command:?}: {code}: {err}");
        }
        let (code, out, _) = named(&cluster, &["check"], &[], "", environment, host);
        assert!(code == 3 && out.contains(expected), "check: {out}");
    }
}
