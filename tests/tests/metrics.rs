//! Metrics on the real binaries: who may read them, and what a real Prometheus makes of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rta_tests::{
    CertificateFiles, ChildProcesses, OutputReader, TestAgent, TestCa, TestCluster, TestConfig, WebClient,
    wait_for,
};
use serde_json::Value;

/// Returns true if Prometheus and its tool are installed.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn has_prometheus() -> bool {
    let has = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if has("prometheus") && has("promtool") {
        return true;
    }
    let why = "prometheus and promtool are not installed: apt-get install prometheus";
    assert!(std::env::var_os("RTA_GATE").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
    false
}

fn monitoring_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/monitoring").join(name)
}

/// Starts a cluster with the components `app`, which has a probe, `never`, and `busy`, which uses CPU time;
/// an agent with a listener for metrics, and an aggregator with users and one, too.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let work = "while :; do for ((i = 0; i < 20000; i++)); do :; done; sleep 0.1; done";
    let token = format!("--token=busy-{}", config.token());
    let busy = format!(
        "[[component]]\nname = \"busy\"\ncriteria = [{{ regex = '^{token}$' }}]\n[component.start]\n\
         command = [\"/bin/bash\", \"-c\", \"{work}\", \"{token}\"]\nsettle = \"0s\"\n"
    );
    let probe = "[component.probe]\ncommand = [\"/bin/true\"]\ninterval = \"1s\"";
    let components =
        [config.component_toml("app", "", probe), config.component_toml("never", "", ""), busy].concat();
    let cluster = TestCluster::builder(config)
        .components(&components)
        .host("h", &["app", "never", "busy"])
        .users("closed")
        .agent_arguments(["--metrics-listen", "127.0.0.1:0"])
        .aggregator_arguments(["--metrics-listen", "127.0.0.1:0"])
        .start();
    wait_for("the host to be known", || {
        let metrics = scrape(&cluster, "");
        metrics.contains("rta_host_reachable{environment=\"TEST\",host=\"h\"} 1").then_some(())
    });
    cluster
}

/// Starts a component over the API of the page, as an operator.
fn start(cluster: &TestCluster, component: &str) {
    let token = format!("Bearer {}", cluster.users().operator_token);
    let form = format!("environment=TEST&host=h&component={component}");
    let started = cluster.aggregator.web.request("POST", "/start", &[("Authorization", &token)], &form);
    assert_eq!(started.code, 303, "{started:?}");
}

/// Reads the metrics from the page's server, as a viewer.
fn scrape(cluster: &TestCluster, accept: &str) -> String {
    let token = format!("Bearer {}", cluster.users().viewer_token);
    let headers = [("Authorization", token.as_str()), ("Accept", accept)];
    let response = cluster.aggregator.web.request("GET", "/metrics", &headers, "");
    assert_eq!(response.code, 200, "{response:?}");
    response.body
}

#[test]
fn metrics_need_the_rights_of_a_viewer_on_both_listeners() {
    let mut cluster = start_cluster();
    let own = WebClient(cluster.aggregator.process.address("metrics"));
    let viewer = format!("Bearer {}", cluster.users().viewer_token);
    for server in [cluster.aggregator.web, own] {
        let get = |path: &str, headers: &[(&str, &str)]| server.request("GET", path, headers, "");
        let refused = get("/metrics", &[]);
        assert_eq!((refused.code, refused.header("www-authenticate")), (401, Some("bearer")), "{refused:?}");
        assert_eq!(get("/metrics", &[("Authorization", "Bearer rta_wrong")]).code, 401);
        assert_eq!(get("/metrics", &[("Host", "evil.example")]).code, 403);
        let text = get("/metrics", &[("Authorization", &viewer)]);
        assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert!(text.body.contains("\n# TYPE rta_events_total counter\n"), "{}", text.body);
        let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let open = get("/metrics", &[("Authorization", &viewer), ("Accept", accept)]);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(open.header("content-type"), Some(kind));
        assert!(open.body.contains("\n# TYPE rta_events counter\n") && open.body.contains("\n# EOF\n"));
    }
    // Nothing but metrics is on their own listener.
    for path in ["/", "/events", "/api/v1/overview", "/healthz"] {
        assert_eq!(own.request("GET", path, &[("Authorization", &viewer)], "").code, 404, "{path}");
    }
    let operator = format!("Bearer {}", cluster.users().operator_token);
    assert_eq!(own.request("POST", "/stop", &[("Authorization", &operator)], "").code, 404);
}

#[test]
fn listener_beyond_loopback_needs_a_certificate() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let folder = config.folder();
    let arguments = ["--config", folder.to_str().unwrap(), "--socket", "none", "--web", "127.0.0.1:0"];
    let output =
        rta_tests::run_binary("rta-aggregator", arguments.iter().chain(&["--metrics-listen", "0.0.0.0:0"]));
    assert_eq!(output.status.code(), Some(2));
    let reported = String::from_utf8(output.stderr).unwrap();
    assert!(
        reported.contains("0.0.0.0:0 is beyond loopback") && reported.contains("--web-cert"),
        "{reported}"
    );
}

#[test]
fn agents_metrics_beyond_loopback_are_for_clients_with_a_certificate() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let ca = TestCa::new(config.path("pki"));
    let own = ca.create_host("h");
    let mut arguments = own.flags(&ca.ca());
    arguments.extend(["--metrics-listen".to_owned(), "0.0.0.0:0".to_owned()]);
    let mut agent = TestAgent::start(&config, "h", &arguments);
    let port = agent.process.address("metrics").port();
    let metrics = |own: Option<&CertificateFiles>| {
        let mut stream = ca.connect(SocketAddr::from(([127, 0, 0, 1], port)), "h", own);
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        // The agent may end the connection without a farewell.
        let _ = stream.read_to_string(&mut response);
        response
    };
    let refused = metrics(None);
    assert!(refused.starts_with("HTTP/1.1 401 ") && !refused.contains("rta_instance"), "{refused}");
    let prometheus = ca.create_user("prometheus");
    let own_certificate = metrics(Some(&prometheus));
    assert!(own_certificate.starts_with("HTTP/1.1 200 "), "{own_certificate}");
    let end = "rta_agent_certificate_expiry_timestamp_seconds{environment=\"TEST\",host=\"h\"} ";
    assert!(own_certificate.contains(end), "{own_certificate}");
    let other = TestCa::new(config.path("other-pki")).create_user("prometheus");
    let foreign = metrics(Some(&other));
    assert!(!foreign.contains("rta_"), "{foreign}");
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(plain, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut clear = Vec::new();
    let _ = plain.read_to_end(&mut clear);
    assert!(!String::from_utf8_lossy(&clear).contains("rta_"));
}

#[test]
fn promtool_has_no_complaint() {
    if !has_prometheus() {
        return;
    }
    let mut cluster = start_cluster();
    let agent = WebClient(cluster.agents[0].process.address("metrics"));
    start(&cluster, "app");
    wait_for("the usage of app", || {
        let metrics = scrape(&cluster, "");
        let has = |series: &str| metrics.contains(&format!("\n{series}{{"));
        (has("rta_instance_open_files") && has("rta_probe_duration_seconds")).then_some(())
    });
    check_metrics(&scrape(&cluster, ""));
    let own = agent.get("/metrics");
    assert_eq!(own.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    check_metrics(&own.body);
    let app = "environment=\"TEST\",host=\"h\",component=\"app\"";
    for series in [
        format!("rta_instance_state{{{app},state=\"running\"}} 1"),
        "rta_instance_state{environment=\"TEST\",host=\"h\",component=\"never\",state=\"stopped\"} 1"
            .to_owned(),
        format!("rta_probe_duration_seconds{{{app}}} "),
        format!("rta_instance_resident_memory_bytes{{{app}}} "),
    ] {
        assert!(own.body.contains(&format!("\n{series}")), "{series}: {}", own.body);
    }
    // It serves nothing else, and nobody whom another name led here.
    assert_eq!((agent.get("/").code, agent.post("/metrics", "").code), (404, 405));
    assert_eq!(agent.request("GET", "/metrics", &[("Host", "evil.example")], "").code, 403);
    let rules = monitoring_file("prometheus-rules.yaml");
    let output = Command::new("promtool").args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Asserts that promtool has no complaint about these metrics.
fn check_metrics(metrics: &str) {
    let mut tool = Command::new("promtool");
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    tool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let reported = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && reported.is_empty(), "{reported}");
}

/// Real Prometheus with a configuration of the test.
struct Prometheus {
    web: WebClient,
    _process: ChildProcesses,
}

impl Prometheus {
    /// Starts it with the shipped rules; it scrapes `target` with a token once a second, and `agent`.
    fn start(config: &TestConfig, target: SocketAddr, agent: SocketAddr, token: &str) -> Self {
        let file = config.path("prometheus.yml");
        let rules = monitoring_file("prometheus-rules.yaml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{}\"]\nscrape_configs:\n  - job_name: rta\n    authorization: {{ credentials: {token} }}\n    \
             static_configs: [{{ targets: [\"{target}\"] }}]\n  - job_name: rta-agent\n    \
             static_configs: [{{ targets: [\"{agent}\"] }}]\n",
            rules.display()
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", config.path("prometheus-data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = OutputReader::collect(child.stderr.take().unwrap());
        let mut process = ChildProcesses::default();
        process.adopt(child);
        let address = wait_for("Prometheus to listen", || {
            let lines = log.lines();
            let line = lines.iter().find(|line| line.contains("msg=\"Listening on\""))?;
            line.split_once("address=")?.1.split(' ').next()?.trim_matches('"').parse().ok()
        });
        Self { web: WebClient(address), _process: process }
    }

    /// Returns the value of a query, or `None` if it has no result. The query must name one series: a second series
    /// (of the agent, say) would otherwise decide the answer as long as the first is absent.
    fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let response = self.web.get(&format!("/api/v1/query?query={encoded}"));
        let answer: Value = serde_json::from_str(&response.body).ok()?;
        match answer["data"]["result"].as_array()?.as_slice() {
            [] => None,
            [one] => one["value"][1].as_str()?.parse().ok(),
            several => panic!("{query} has several results: {several:?}"),
        }
    }

    fn wait_for(&self, query: &str, fits: impl Fn(f64) -> bool) -> f64 {
        wait_for(query, || self.query(query).filter(|value| fits(*value)))
    }
}

#[test]
fn real_prometheus_sees_an_outage_and_what_never_ran() {
    if !has_prometheus() {
        return;
    }
    let mut cluster = start_cluster();
    let target = cluster.aggregator.process.address("metrics");
    let agent = cluster.agents[0].process.address("metrics");
    let prometheus = Prometheus::start(&cluster.config, target, agent, &cluster.users().viewer_token);
    prometheus.wait_for("up{job=\"rta\"}", |up| up == 1.0);
    prometheus.wait_for("up{job=\"rta-agent\"}", |up| up == 1.0);
    let health = |component: &str, health: &str| {
        format!("rta_instance_health{{host=\"h\",component=\"{component}\",health=\"{health}\"}}")
    };
    prometheus.wait_for(&health("never", "down"), |value| value == 1.0);
    assert_eq!(prometheus.query(&health("never", "up")), Some(0.0));
    start(&cluster, "app");
    prometheus.wait_for(&health("app", "up"), |value| value == 1.0);
    let uptime = prometheus
        .wait_for("time() - rta_instance_start_time_seconds{component=\"app\",job=\"rta\"}", |_| true);
    assert!((-1.0..600.0).contains(&uptime), "{uptime}");
    prometheus
        .wait_for("rta_probe_duration_seconds{component=\"app\",job=\"rta\"}", |seconds| seconds < 10.0);
    prometheus.wait_for("rta_instance_resident_memory_bytes{component=\"app\",job=\"rta\"}", |bytes| {
        bytes > 100_000.0
    });
    prometheus.wait_for("rta_instance_open_files{component=\"app\",job=\"rta\"}", |files| files >= 3.0);

    // The CPU time grows with a process, and does not fall when that ends.
    start(&cluster, "busy");
    let cpu = "rta_instance_cpu_seconds_total{component=\"busy\",job=\"rta\"}";
    let used = prometheus.wait_for(cpu, |seconds| seconds > 0.0);
    cluster.config.kill_component("busy");
    prometheus.wait_for(&health("busy", "down"), |value| value == 1.0);
    assert!(prometheus.query(cpu).is_some_and(|after| after >= used), "{used}");

    cluster.config.kill_component("app");
    prometheus.wait_for(&health("app", "down"), |value| value == 1.0);
    assert_eq!(prometheus.query(&health("app", "up")), Some(0.0));
    let events = "rta_events_total{kind=\"health\"}";
    prometheus.wait_for(events, |count| count >= 4.0);
    let alert = "ALERTS{alertname=\"RtaRootCauseDown\",component=\"app\"}";
    prometheus.wait_for(alert, |value| value == 1.0);
    // It was down for longer, but it never ran, and nothing that runs needs it.
    assert_eq!(prometheus.query("ALERTS{alertname=\"RtaRootCauseDown\",component=\"never\"}"), None);
    // The agent has its own view of it.
    prometheus.wait_for("rta_instance_state{component=\"app\",state=\"stopped\"}", |value| value == 1.0);

    // A host that is lost has no figures, and its components are unknown, not down.
    cluster.agents[0].stop(rustix::process::Signal::KILL);
    prometheus.wait_for(&health("app", "unknown"), |value| value == 1.0);
    assert_eq!(prometheus.query("rta_host_reachable{host=\"h\"}"), Some(0.0));
    assert_eq!(prometheus.query("rta_host_scan_duration_seconds{host=\"h\",job=\"rta\"}"), None);
}
