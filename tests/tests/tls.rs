//! TLS on the real binaries: trust and renewed files. Attacks on the aggregator are tested in `hostile`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use rta_tests::{
    CertificateFiles, ServerProcess, TestAgent, TestAggregator, TestCa, TestConfig, run_binary, wait_for,
};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

/// Returns a host in the overview, which the page serves without TLS.
fn host(aggregator: &TestAggregator, name: &str) -> Value {
    let overview = aggregator.overview();
    let hosts = overview["environments"][0]["hosts"].as_array().unwrap();
    hosts.iter().find(|host| host["host"] == name || host["name"] == name).unwrap().clone()
}

fn wait_until_reached(aggregator: &TestAggregator, name: &str) {
    wait_for(&format!("{name} to be reached"), || {
        (host(aggregator, name)["reachable"] == true).then_some(())
    });
}

fn wait_until_unreachable(aggregator: &TestAggregator, name: &str, reason: &str) {
    wait_for(&format!("{name} to be told with: {reason}"), || {
        let host = host(aggregator, name);
        assert_ne!(host["reachable"], true, "{host}");
        host["error"].as_str()?.contains(reason).then_some(())
    });
}

fn write_hosts(config: &TestConfig, hosts: &[(&str, &str)]) {
    let hosts = hosts
        .iter()
        .map(|(name, agent)| format!("{{ name = \"{name}\", components = [\"app\"], agent = \"{agent}\" }}"));
    let hosts: Vec<String> = hosts.collect();
    config.write("host.toml", &format!("[[environment]]\nname = \"TEST\"\nhost = [{}]\n", hosts.join(", ")));
}

/// Creates a configuration whose hosts `h` and `g` have no agent yet.
fn create_config() -> TestConfig {
    let config = TestConfig::new();
    config.write("components.toml", &config.component_toml("app", "", ""));
    write_hosts(&config, &[("h", "https://127.0.0.1:1"), ("g", "https://127.0.0.1:2")]);
    config
}

fn start_agent(config: &TestConfig, host: &str, own: &CertificateFiles, ca: &Path) -> TestAgent {
    TestAgent::start(config, host, &own.flags(ca))
}

fn logged(program: &ServerProcess, text: &str) {
    wait_for(&format!("a log line with: {text}"), || {
        program.log().iter().any(|line| line.contains(text)).then_some(())
    });
}

#[test]
fn an_agent_obeys_only_the_aggregators_certificate_and_is_believed_only_under_its_own_name() {
    let config = create_config();
    let pki = TestCa::new(config.path("pki"));
    let foreign = TestCa::new(config.path("foreign"));
    let ca = pki.ca();
    let h = start_agent(&config, "h", &pki.create_host("h"), &ca);
    let h_address = h.address;
    // This agent presents the certificate of another host.
    let _g = start_agent(&config, "g", &pki.create_host("somebody"), &ca);
    let g_address = _g.address;
    let hosts = [("h", format!("https://{h_address}")), ("g", format!("https://{g_address}"))];
    write_hosts(&config, &hosts.each_ref().map(|(name, address)| (*name, address.as_str())));

    let right = TestAggregator::start(&config, &pki.create_host("aggregator").flags(&ca));
    wait_until_reached(&right, "h");
    wait_until_unreachable(&right, "g", "its certificate is invalid: certificate not valid for name \"g\"");

    let without = TestAggregator::start(&config, &[""; 0]);
    wait_until_unreachable(&without, "h", "was started without --tls-cert");
    let rows = [
        (foreign.create_host("aggregator"), "which is of another CA"),
        (pki.create_host("other"), "it does not obey the name"),
        (pki.create_user("aggregator"), "it does not obey the name"),
        (pki.create_expired("aggregator"), "has expired"),
    ];
    for (own, reason) in rows {
        // A user's certificate is not valid for any listener, but the aggregator can listen with another one.
        let wrong = TestAggregator::start(&config, &own.flags(&ca));
        wait_until_unreachable(&wrong, "h", reason);
    }
    let distrustful = TestAggregator::start(&config, &pki.files("hosts/aggregator").flags(&foreign.ca()));
    wait_until_unreachable(&distrustful, "h", "its certificate is of another CA");
    logged(&h.process, "a connection was refused");

    write_hosts(&config, &[("h", &format!("http://{h_address}")), ("g", "http://127.0.0.1:2")]);
    let clear = TestAggregator::start(&config, &[""; 0]);
    wait_for("clear to be refused", || host(&clear, "h")["error"].as_str().map(drop));
    wait_until_reached(&right, "h");
}

#[test]
fn a_certificate_that_ends_soon_is_told_on_the_page_and_by_check() {
    let config = create_config();
    let pki = TestCa::new(config.path("pki"));
    let (ca, person) = (pki.ca(), pki.create_user("ann"));
    let aggregator = TestAggregator::start(&config, &pki.create_expiring_in("aggregator", 12).flags(&ca));
    let said = wait_for("check to warn", || {
        let output = aggregator.rta_over_tls(&ca, Some(&person), &["check"]);
        Some(String::from_utf8(output.stdout).unwrap())
            .filter(|said| said.contains("ends in 12 days; renew it"))
    });
    assert!(said.starts_with("RTA ") && said.contains("the certificate "), "{said}");
    let status = aggregator.rta_over_tls(&ca, Some(&person), &["status"]);
    assert!(String::from_utf8(status.stdout).unwrap().contains("ends in 12 days; renew it"));
    let later = TestAggregator::start(&config, &pki.create_expiring_in("aggregator", 40).flags(&ca));
    wait_for("the hosts to be given up", || host(&later, "h")["error"].as_str().map(drop));
    let quiet = later.rta_over_tls(&ca, Some(&person), &["check"]);
    assert!(!String::from_utf8(quiet.stdout).unwrap().contains("renew it"));

    // The same applies to an agent's certificate, which the agent reports.
    let _h = start_agent(&config, "h", &pki.create_expiring_in("h", 3), &ca);
    let h_address = _h.address;
    write_hosts(&config, &[("h", &format!("https://{h_address}")), ("g", "https://127.0.0.1:2")]);
    let aggregator = TestAggregator::start(&config, &pki.create_expiring_in("aggregator", 40).flags(&ca));
    wait_for("check to warn", || {
        let output = aggregator.rta_over_tls(&ca, Some(&person), &["check"]);
        let said = String::from_utf8(output.stdout).unwrap();
        said.contains("the certificate of the agent on TEST/h ends in 3 days; renew it").then_some(())
    });
    let all = aggregator.rta_over_tls(&ca, Some(&person), &["status", "--verbose"]);
    assert!(String::from_utf8(all.stdout).unwrap().contains("certificate ends in 3 days"));
}

#[test]
fn the_command_acts_under_the_name_of_its_certificate() {
    let config = create_config();
    let pki = TestCa::new(config.path("pki"));
    let ca = pki.ca();
    let _h = start_agent(&config, "h", &pki.create_host("h"), &ca);
    let address = _h.address;
    write_hosts(&config, &[("h", &format!("https://{address}"))]);
    let aggregator = TestAggregator::start(&config, &pki.create_host("aggregator").flags(&ca));
    wait_until_reached(&aggregator, "h");
    let ann = pki.create_user("ann");
    let started = aggregator.rta_over_tls(&ca, Some(&ann), &["start", "app", "--yes"]);
    assert!(started.status.success(), "{started:?}");
    assert!(config.find_process("app").is_some());
    let events = aggregator.rta_over_tls(&ca, Some(&ann), &["events", "--component", "app", "--json"]);
    let events: Value = serde_json::from_slice(&events.stdout).unwrap();
    let by = events.as_array().unwrap().iter().filter_map(|event| event["by"]["user"].as_str());
    let by: Vec<&str> = by.collect();
    assert!(!by.is_empty() && by.iter().all(|by| *by == "ann"), "{events:#}");
}

/// Returns the certificate that the page presents, and the start of its response.
fn page(address: SocketAddr, pki: &TestCa) -> Option<(CertificateDer<'static>, String)> {
    let mut stream = pki.connect(address, "page", None);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut start = [0; 15];
    stream.read_exact(&mut start).ok()?;
    let shown = stream.conn.peer_certificates()?.first()?.clone().into_owned();
    Some((shown, String::from_utf8_lossy(&start).into_owned()))
}

#[test]
fn renewed_files_are_used_without_a_restart_and_broken_ones_are_not() {
    let config = create_config();
    let pki = TestCa::new(config.path("pki"));
    let ca = pki.ca();
    let (right_h, right_a, ann) =
        (pki.create_host("h"), pki.create_host("aggregator"), pki.create_user("ann"));
    let other = pki.create_host("other");
    let (own_h, own_a) = (other.copy(&config, "h"), other.copy(&config, "a"));
    let web = pki.create_host("page").copy(&config, "page");
    let _h = start_agent(&config, "h", &own_h, &ca);
    let address = _h.address;
    write_hosts(&config, &[("h", &format!("https://{address}"))]);
    let aggregator = TestAggregator::start(&config, &own_a.flags(&ca));
    wait_until_unreachable(&aggregator, "h", "certificate not valid for name");
    right_h.replace(&own_h);
    wait_until_unreachable(&aggregator, "h", "it does not obey the name");
    right_a.replace(&own_a);
    wait_until_reached(&aggregator, "h");
    let list = || aggregator.rta_over_tls(&ca, Some(&ann), &["list"]);
    wait_for("the command to be answered with it", || list().status.success().then_some(()));
    std::fs::write(&own_a.certificate, "rubbish").unwrap();
    logged(&aggregator.process, "TLS files are broken");
    assert!(list().status.success(), "those from before go on");
    wait_until_reached(&aggregator, "h");
    std::fs::write(&own_h.certificate, "rubbish").unwrap();
    for (part, file) in [(String::new(), &own_a), ("h: ".to_owned(), &own_h)] {
        let file = file.certificate.display();
        let warning = format!("warning: {part}the certificate {file}: there is none in it");
        wait_for("the broken file to be told", || {
            let status = aggregator.rta_over_tls(&ca, Some(&ann), &["status"]);
            String::from_utf8_lossy(&status.stdout).contains(&warning).then_some(())
        });
    }

    let paged = TestAggregator::start(&config, &web.web_flags());
    let (before, start) = page(paged.web.0, &pki).unwrap();
    assert_eq!(start, "HTTP/1.1 200 OK");
    pki.run_pki(&["host", "page", "--force"]);
    pki.files("hosts/page").replace(&web);
    wait_for("the renewed certificate", || (page(paged.web.0, &pki)?.0 != before).then_some(()));
}

#[test]
fn beyond_loopback_a_certificate_is_as_good_as_being_told_insecure_and_broken_files_are_said_at_once() {
    let config = create_config();
    let pki = TestCa::new(config.path("pki"));
    let folder = config.folder();
    let folder = folder.to_str().unwrap();
    let beyond = ["--config", folder, "--host", "h", "--listen", "0.0.0.0:0"];
    let refused = run_binary("rta-agent", beyond);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("give --tls-cert"), "{refused:?}");
    let flags = pki.create_host("h").flags(&pki.ca());
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (_agent, address) = config.start_agent_with("h", "0.0.0.0:0", &flags);
    assert!(address.ip().is_unspecified());

    std::fs::write(pki.files("hosts/h").key, "rubbish").unwrap();
    let broken = run_binary("rta-agent", beyond.iter().chain(&flags));
    assert_eq!(broken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("h-key.pem"), "{broken:?}");
    let answer = run_binary("rta", ["--aggregator", "https://127.0.0.1:1", "list"]);
    assert_eq!(answer.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&answer.stderr).contains("--ca"), "{answer:?}");
}
