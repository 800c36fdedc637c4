//! Secrets on command lines and in logs do not leave a host.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::process::Output;

use rta_tests::{TestCluster, TestConfig, wait_for};

/// Secret that must not be visible.
const SECRET: &str = "s3cret";

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

#[test]
fn secrets_are_hidden_wherever_command_lines_and_logs_are_shown() {
    let config = TestConfig::new();
    // The component prints its password and has it on its command line, as do its probe and its stop command.
    let script = format!(
        "echo \"connecting with password={SECRET}\"\nexec \"$stand_in\" --token=app-$token -p {SECRET} -Dpass={SECRET}"
    );
    let more = format!(
        "[component.stop]\ncommand = [\"/bin/bash\", \"-c\", 'echo db://ann:{SECRET}@h; exit 3', \"--dbpw={SECRET}\"]\n\
         [component.probe]\ncommand = [\"/bin/bash\", \"-c\", 'echo \"PASSWORD={SECRET} is wrong\"; exit 1', \"x\", \"--password\", \"{SECRET}\"]\n\
         interval = \"1s\"\nfailures = 1\ngrace = \"0s\"\n"
    );
    let app = config
        .scripted_component_toml("app", &script, &more)
        .replace("criteria = [", "criteria = [{ index = 3, regex = 's3cret|x' }, ")
        .replace("/app.sh\"]", &format!("/app.sh\", \"--password={SECRET}\"]"))
        .replace("timeout = \"20s\"", "timeout = \"2s\"");
    let cluster = TestCluster::builder(config).components(&app).host("h", &["app"]).start();
    let (web, agent, aggregator) =
        (cluster.aggregator.web, &cluster.agents[0].process, &cluster.aggregator.process);
    let rta = |arguments: &[&str]| said(&cluster.aggregator.rta(arguments));

    // The probe never passes: the failure includes its command, its output, and the end of the log.
    let start = wait_for("the agent to be known", || {
        Some(rta(&["start", "app"])).filter(|said| said.contains("probe"))
    });
    wait_for("the app to run", || cluster.config.find_process("app"));
    let logs = rta(&["logs", "app"]);
    assert!(logs.contains("connecting with password=***"), "{logs}");
    assert!(start.contains("PASSWORD=*** is wrong"), "{start}");
    let explained = rta(&["explain", "app", "--json"]);
    assert!(explained.contains("\"found\": \"***\""), "{explained}");
    let page = web.get("/instance?environment=TEST&host=h&component=app").body;
    assert!(page.contains("-Dpass=***"), "{page}");
    let stop = rta(&["stop", "app", "--yes"]);
    assert!(stop.contains("db://ann:***@h"), "{stop}");
    let shown = [
        start,
        logs,
        explained,
        page,
        stop,
        rta(&["status", "--verbose"]),
        rta(&["status", "--json"]),
        rta(&["events"]),
        web.get("/").body,
        web.get("/api/v1/overview").body,
        web.get("/api/v1/events").body,
        web.get("/log?environment=TEST&host=h&component=app").body,
        agent.log().join("\n"),
        aggregator.log().join("\n"),
    ];
    for text in &shown {
        // The criterion contains it: that comes from the configuration, not from the command line.
        assert!(!text.replace("s3cret|x", "").contains(SECRET), "{text}");
    }
    let launched = agent.log().into_iter().find(|line| line.contains("\"launched\"")).unwrap();
    assert!(launched.contains("--password=***"), "{launched}");
}
