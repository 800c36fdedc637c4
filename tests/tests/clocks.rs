//! Hosts whose clocks differ from the aggregator's.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use rta_tests::{FakeAgents, ServerProcess, TestConfig, WebClient, run_binary, wait_for};

const TWO_HOURS: i64 = 2 * 60 * 60;

/// Returns the seconds of each `last seen <seconds> s ago`.
fn last_seen(status: &str) -> Vec<u64> {
    status.split("last seen ").skip(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn ages_are_true_and_skew_is_reported_whatever_the_hosts_clocks_say() {
    let hosts = FakeAgents::with_clocks(&[TWO_HOURS, 0, -TWO_HOURS], 1);
    let config = TestConfig::new();
    config.write("site.toml", &hosts.toml());
    let folder = config.folder();
    let arguments = ["--config", folder.to_str().unwrap(), "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut aggregator = ServerProcess::start("rta-aggregator", arguments);
    let (web, grpc) = (WebClient(aggregator.address("web")), aggregator.address("grpc").to_string());
    let rta = |arguments: &[&str]| {
        let output = run_binary("rta", ["--aggregator", &grpc].iter().chain(arguments));
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (_, status) = wait_for("the skew to be reported", || {
        Some(rta(&["status", "--verbose"])).filter(|(_, status)| {
            status.contains("warning: h0000: this host's clock is 2 h ahead of the aggregator's")
                && status.contains("warning: h0002: this host's clock is 2 h behind the aggregator's")
        })
    });
    assert!(!status.contains("h0001: this host's clock"), "{status}");
    assert!(!status.contains(" h ago") && status.contains(" seen "), "{status}");
    let (code, line) = rta(&["check"]);
    assert!(code == Some(1) && line.contains("E/h0000: this host's clock is 2 h ahead"), "{line}");
    let page = web.get("/").body;
    assert!(page.contains("clock is 2 h behind") && !page.contains(" h ago"), "{page}");

    // Ages of lost hosts follow the aggregator's clock.
    drop(hosts);
    wait_for("all three to be lost, and to grow old", || {
        let (_, status) = rta(&["status"]);
        let ages = if status.contains("min ago") { Vec::new() } else { last_seen(&status) };
        (ages.len() == 3 && ages.iter().all(|age| *age >= 2)).then_some(())
    });
}
