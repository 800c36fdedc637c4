//! A chat with a template, a command, and the dead man's switch.

use std::path::Path;

use rta_tests::wait_for;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::sink::CountingSink;
use super::{Platform, RULES};

#[test]
fn chat_and_command_have_the_message_and_the_switch_is_served_while_rta_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, switch) = (CountingSink::start(), CountingSink::start());
    let received = folder.path().join("received");
    let rules = RULES.replace("[\"ops\"]", "[\"chat\", \"pager\"]");
    let text = format!(
        "{rules}[[channel]]\nname = \"chat\"\n[channel.chat]\nurl = \"http://{}/room\"\n\
         template = '{{\"room\": \"rta\", \"line\": \"${{severity}} ${{kind}}: ${{summary}}\"}}'\n\
         [[channel]]\nname = \"pager\"\n[channel.command]\n\
         run = [\"/bin/sh\", \"-c\", \"echo $RTA_KIND $(cat) >> {}\"]\n\
         [dead_mans_switch]\nurl = \"http://{}/ping\"\ninterval = \"1s\"\n",
        chat.address,
        received.display(),
        switch.address
    );
    let platform = Platform::start(1, &text);
    platform.stop_kafka();
    let line = "critical begin: component 0 on h0000 (E) is down; 4 instances degraded by it";
    let posted = chat.wait_for_deliveries(1).remove(0);
    assert_eq!(posted.body, json!({ "room": "rta", "line": line }));
    assert!(posted.header("idempotency-key").is_some());
    platform.start_kafka();
    chat.wait_for_deliveries(2);
    let lines = wait_for("both messages of the command", || {
        let text = std::fs::read_to_string(&received).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() == 2).then_some(lines)
    });
    for (line, kind) in lines.iter().zip(["begin", "end"]) {
        let (word, message) = line.split_once(' ').unwrap();
        let message: Value = serde_json::from_str(message).unwrap();
        assert_eq!((word, &message["kind"]), (kind, &kind.into()));
        assert_eq!(message["cause"]["component"], "component 0");
    }

    // While nothing can be recorded rta is not well, and the switch is not served.
    switch.wait_for_deliveries(2);
    let data = platform.cluster.config.path("data");
    let aside = platform.cluster.config.path("data-aside");
    std::fs::rename(&data, &aside).unwrap();
    std::fs::write(&data, "a file, no folder").unwrap();
    platform.agents.set_state(0, 1, rta_shared::proto::v1::State::Stopped);
    let unserved = |count: usize| {
        wait_for("the switch not to be served", || {
            let log = platform.cluster.aggregator.process.log();
            (log.iter().filter(|line| line.contains("switch is not served")).count() >= count).then_some(())
        });
    };
    unserved(1);
    let served = switch.deliveries().len();
    unserved(3);
    assert_eq!(switch.deliveries().len(), served);
    std::fs::remove_file(&data).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    switch.wait_for_deliveries(served + 1);
}

#[test]
fn command_of_a_killed_aggregator_is_killed_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let rules = RULES.replace("[\"ops\"]", "[\"pager\"]");
    let text = format!(
        "{rules}[[channel]]\nname = \"pager\"\n[channel.command]\ntimeout = \"10m\"\n\
         run = [\"/bin/sh\", \"-c\", \"sleep 1000 & echo $$ $! >> {}; wait\"]\n",
        file.display()
    );
    let mut platform = Platform::start(1, &text);
    platform.stop_kafka();
    let runs = |count: usize| {
        wait_for(&format!("{count} runs of the command"), || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let runs: Vec<String> = text.lines().map(str::to_owned).collect();
            (runs.len() == count).then_some(runs)
        })
    };
    let is_running = |pid: &str| {
        let line = std::fs::read(Path::new("/proc").join(pid).join("cmdline"));
        line.is_ok_and(|line| !line.is_empty())
    };
    let first = runs(1).remove(0);
    platform.cluster.aggregator.stop(Signal::KILL);
    assert!(first.split(' ').all(is_running), "{first}");
    platform.cluster.aggregator.start_again();
    wait_for("the command and its child to end", || (!first.split(' ').any(is_running)).then_some(()));
    let second = runs(2).remove(1);
    assert!(second.split(' ').all(is_running), "{second}");
    // An orderly end leaves none.
    platform.cluster.aggregator.stop(Signal::TERM);
    wait_for("the second command to end", || (!second.split(' ').any(is_running)).then_some(()));
}
