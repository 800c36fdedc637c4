//! `rta learn` and `rta discover`: from running processes to a configuration.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};

use rta_tests::{TestConfig, binary, run_binary};
use serde_json::Value;

/// Stand-in for a Java program, ended when this is dropped.
struct FakeJava(Child);

impl FakeJava {
    /// Starts a program distinguished by `configuration`; the token, which identifies the test's
    /// processes, looks secret.
    fn start(config: &TestConfig, class: &str, configuration: &str) -> Self {
        let child = Command::new(binary("stand-in"))
            .arg0("/opt/jdk/bin/java")
            .args(["-Xmx1G", "-Dlog4j.configuration=file:config/log4j.properties", "-cp", ":libs/*", class])
            .args([configuration, &format!("--token=java-{}", config.token())])
            .env("STAND_IN_LEASE", std::process::id().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for FakeJava {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the test's token as letters, because consecutive digits look like a variable part.
fn unique_word(config: &TestConfig) -> String {
    let letter = |character: char| character.to_digit(10).map_or('x', |digit| char::from(b'a' + digit as u8));
    config.token().chars().map(letter).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn learn(arguments: &[&str]) -> Output {
    run_binary("rta", ["learn"].iter().chain(arguments))
}

#[test]
fn what_is_learnt_is_a_configuration_that_matches_this_process_alone() {
    let config = TestConfig::new();
    let word = unique_word(&config);
    let broker = FakeJava::start(&config, "kafka.Kafka", &format!("config/server-{word}.properties"));
    let _other = FakeJava::start(&config, "kafka.Kafka", &format!("config/other-{word}.properties"));
    let learnt = learn(&[&broker.pid()]);
    assert_eq!(learnt.status.code(), Some(0), "{learnt:?}");
    let toml = text(&learnt.stdout);
    let expected = format!(
        "[[component]]\nname = \"kafka server {word}\"\ncriteria = [\n    \
         {{ index = 0, regex = '(^|/)java$' }},\n    {{ regex = '^kafka\\.Kafka$' }},\n    \
         {{ regex = '(^|/)config/server-{word}\\.properties$' }},\n]\n# matches pid {} and none of the ",
        broker.pid()
    );
    assert!(toml.starts_with(&expected), "{toml}");

    config.write("learnt.toml", &toml);
    config.write(
        "host.toml",
        &format!("[[environment]]\nname = \"T\"\nhost = [{{ name = \"h\", components = [\"kafka server {word}\"] }}]\n"),
    );
    let folder = config.folder();
    let folder = folder.to_str().unwrap();
    let check = run_binary("rta", ["config", "check", folder]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let local = run_binary("rta", ["local", "h", "--config", folder]);
    assert_eq!(local.status.code(), Some(0), "{local:?}");
    let explain =
        ["explain", &format!("kafka server {word}"), "--host", "h", "--local", "--config", folder, "--json"];
    let json: Value = serde_json::from_slice(&run_binary("rta", explain).stdout).unwrap();
    let holds =
        |process: &&Value| process["criteria"].as_array().unwrap().iter().all(|one| one["holds"] == true);
    let matched: Vec<_> = json["parts"][0]["processes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(holds)
        .map(|one| one["pid"].to_string())
        .collect();
    assert_eq!(matched, [broker.pid()]);

    // The second time, a note says that the process already has a component, and the proposed name differs.
    let again = learn(&[&broker.pid(), "--config", folder, "--host", "h"]);
    let expected =
        format!("rta: pid {} already is the process of component \"kafka server {word}\"\n", broker.pid());
    assert_eq!(text(&again.stderr), expected);
    assert!(text(&again.stdout).contains(&format!("name = \"kafka server {word} 2\"\n")), "{again:?}");
    let taken = learn(&[
        &broker.pid(),
        "--config",
        folder,
        "--host",
        "h",
        "--name",
        &format!("Kafka  server {word}"),
    ]);
    assert_eq!(taken.status.code(), Some(2));
    assert!(text(&taken.stderr).contains("is in the configuration already"), "{taken:?}");
}

#[test]
fn the_hosts_variables_are_used() {
    let config = TestConfig::new();
    let word = unique_word(&config);
    config.write(
        "host.toml",
        &format!(
            "[[component]]\nname = \"x\"\ncriteria = [{{ regex = '^no such argument$' }}]\n\
             [[environment]]\nname = \"T\"\nvariables = {{ home = \"/opt/{word}\" }}\n\
             [[environment.host]]\nname = \"h\"\ncomponents = [\"x\"]\nip = [\"192.0.2.7\"]\n"
        ),
    );
    let worker =
        FakeJava::start(&config, "a.Worker", &format!("--at=/opt/{word}/bin,192.0.2.7:7077,192.0.2.77"));
    let _other =
        FakeJava::start(&config, "a.Worker", &format!("--at=/opt/{word}/bin,192.0.2.8:7077,192.0.2.77"));
    let folder = config.folder();
    let learnt =
        learn(&[&worker.pid(), "--config", folder.to_str().unwrap(), "--host", "h", "--name", "it's"]);
    let toml = text(&learnt.stdout);
    assert!(toml.contains(r"{ regex = '^--at=${home}/bin,${ip}:7077,192\.0\.2\.77$' }"), "{learnt:?}");
    config.write("learnt.toml", &toml);
    let check = run_binary("rta", ["config", "check", folder.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
}

#[test]
fn a_text_finds_its_process_or_says_why_not() {
    let config = TestConfig::new();
    let word = unique_word(&config);
    let one = FakeJava::start(&config, "a.Main", &format!("config/one-{word}.conf"));
    let two = FakeJava::start(&config, "a.Main", &format!("config/two-{word}.conf"));
    let found = learn(&["--match", &format!("a.Main config/two-{word}")]);
    assert!(text(&found.stdout).contains(&format!("# matches pid {} and", two.pid())), "{found:?}");
    let several = learn(&["--match", &format!("-{word}.conf")]);
    assert_eq!(several.status.code(), Some(2));
    let said = text(&several.stderr);
    assert!(
        said.starts_with(&format!(
            "rta: 2 processes have \"-{word}.conf\" in their command lines; give a PID:"
        ))
    );
    assert!(said.contains(&one.pid()) && said.contains(&two.pid()), "{said}");
    let nothing = learn(&["--match", &format!("{word}{word}\u{1b}")]);
    assert_eq!(nothing.status.code(), Some(4));
    let expected = format!("rta: no process has \"{word}{word}\\u{{1b}}\" in its command line\n");
    assert_eq!(text(&nothing.stderr), expected);
    let name = learn(&[&one.pid(), "--name", "a/b"]);
    assert_eq!(name.status.code(), Some(2));
    assert!(text(&name.stderr).contains("a name cannot contain \"/\""), "{name:?}");
    let none = learn(&["4294967295"]);
    assert_eq!(none.status.code(), Some(4));
    assert_eq!(text(&none.stderr), "rta: pid 4294967295 does not exist; it may have ended\n");
}

#[test]
fn what_cannot_be_told_apart_is_named() {
    let config = TestConfig::new();
    let configuration = format!("config/{}.conf", unique_word(&config));
    let (one, two) = (
        FakeJava::start(&config, "a.Main", &configuration),
        FakeJava::start(&config, "a.Main", &configuration),
    );
    let learnt = learn(&[&one.pid()]);
    assert_eq!(learnt.status.code(), Some(1));
    let said = text(&learnt.stderr);
    let expected = format!(
        "rta: the command line of pid {} does not tell it from 1 other process; arguments that look secret were not \
         used:\n",
        one.pid()
    );
    assert!(said.starts_with(&expected) && said.contains(&two.pid()), "{said}");
}

#[test]
fn services_without_a_component_are_discovered() {
    let config = TestConfig::new();
    let word = unique_word(&config);
    config.write(
        "a.toml",
        &format!(
            "[[component]]\nname = \"claimed\"\ncriteria = [{{ regex = 'claimed-{word}' }}]\n\
             [[environment]]\nname = \"T\"\nhost = [{{ name = \"h\", components = [\"claimed\"] }}]\n"
        ),
    );
    let free = FakeJava::start(&config, "a.Main", &format!("free-{word}"));
    let claimed = FakeJava::start(&config, "a.Main", &format!("claimed-{word}"));
    let (agent, address) = config.start_agent("h");
    let folder = config.folder();
    let place = ["--config", folder.to_str().unwrap(), "--host", "h"];
    let discover = |more: &[&str]| run_binary("rta", ["discover"].iter().chain(&place).chain(more));
    let json: Value = serde_json::from_slice(&discover(&["--json", "--min-age", "0s"]).stdout).unwrap();
    let candidates = json["candidates"].as_array().unwrap();
    let find = |pid: u32| candidates.iter().find(|one| one["pid"] == pid);
    let seen = find(free.0.id()).unwrap();
    assert_eq!((&seen["what"], &seen["listens"]), (&"a.Main".into(), &Value::Array(vec![])));
    assert!(find(claimed.0.id()).is_none());
    assert!(find(std::process::id()).is_none(), "what led to the command is no candidate");
    assert_eq!(find(agent.pid()).unwrap()["listens"][0], address.to_string());

    let table = text(&discover(&["--min-age", "0s"]).stdout);
    let line = table.lines().find(|line| line.starts_with(&free.pid())).unwrap();
    let command = format!("rta learn {} --config {} --host h", free.pid(), folder.display());
    assert!(line.ends_with(&command) && line.contains(" a.Main "), "{table}");
    let old = text(&discover(&["--min-age", "1000000h"]).stdout);
    assert_eq!(old, "no process that looks like a service belongs to no component\n");
}
