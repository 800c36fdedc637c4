//! `rta check` as a Nagios plugin.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::TcpListener;

use rta_tests::{TestCluster, TestConfig, run_binary, wait_for};

/// Runs a command; returns its exit code and output.
fn rta(arguments: &[&str]) -> (i32, String) {
    let output = run_binary("rta", arguments);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
fn help_version_and_wrong_usage_are_unknown_for_a_plugin_alone() {
    let (code, said) = rta(&["check", "-V"]);
    assert_eq!((code, said.trim()), (3, concat!("rta-check ", env!("CARGO_PKG_VERSION"))));
    let (code, said) = rta(&["--aggregator", "127.0.0.1:1", "check", "--help"]);
    assert!(code == 3 && said.contains("--critical"), "{said}");
    for wrong in [&["-w", "20:10"][..], &["-c", "slow=1"], &["-t", "0"], &["--nope"]] {
        let (code, said) = rta(&[&["check"], wrong].concat());
        assert_eq!(code, 3, "{wrong:?}: {said}");
    }
    assert_eq!(rta(&["--version"]).0, 0);
    assert_eq!(rta(&["config", "check", "--nope"]).0, 2);
}

#[test]
fn address_whose_port_is_none_leads_nowhere() {
    for (address, expected) in [
        ("http://127.0.0.1:80800", "has a port that is no number from 1 to 65535"),
        ("http://ann:s3cret@127.0.0.1:7600", "http://ann:***@127.0.0.1:7600\" has a user name or a password"),
    ] {
        let (code, said) = rta(&["--aggregator", address, "status"]);
        assert!(code == 2 && said.contains(expected), "{said}");
        let (code, said) = rta(&["--aggregator", address, "check"]);
        assert!(code == 3 && said.starts_with("RTA UNKNOWN - ") && said.contains(expected), "{said}");
    }
}

#[test]
fn aggregator_that_does_not_answer_is_unknown_after_the_timeout() {
    // Accepts connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, said) = rta(&["--aggregator", &address, "check", "-t", "1"]);
    assert_eq!((code, said.trim()), (3, "RTA UNKNOWN - no answer of the aggregator within 1 s"));
}

#[test]
fn thresholds_judge_what_is_printed() {
    let config = TestConfig::new();
    let components = config.component_toml("one", "", "") + &config.component_toml("two", "", "");
    let cluster = TestCluster::builder(config).components(&components).host("h", &["one", "two"]).start();
    let grpc = cluster.aggregator.grpc.to_string();
    let check = |more: &[&str]| rta(&[&["--aggregator", &grpc, "check"], more].concat());
    // The agent read the configuration before it contained the agent's port; the difference
    // would raise a warning.
    wait_for("the agent to read the configuration", || {
        (rta(&["--aggregator", &grpc, "config", "reload"]).0 == 0).then_some(())
    });
    let critical = wait_for("both to be known as down", || {
        Some(check(&[])).filter(|(_, said)| said.contains("| up=0 degraded=0 unknown=0 down=2 "))
    });
    assert_eq!(critical.0, 2, "{}", critical.1);
    let (code, said) = check(&["-w", "1", "-c", "2"]);
    assert!(code == 1 && said.starts_with("RTA WARNING - 2 down") && said.contains("down=2;1;2"), "{said}");
    assert_eq!(check(&["-w", "2"]).0, 0);
    let (code, said) = check(&["--critical", "up=1:", "--warning=down=2", "-v"]);
    assert!(code == 2 && said.contains("up=0;;1:") && said.lines().count() == 3, "{said}");
}
