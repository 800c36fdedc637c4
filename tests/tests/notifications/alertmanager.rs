//! A real Alertmanager.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use rta_tests::{WebClient, wait_for};
use serde_json::Value;

use super::{Platform, RULES};

/// Names of the program.
const PROGRAMS: [&str; 2] = ["/usr/bin/prometheus-alertmanager", "/usr/bin/alertmanager"];

/// Running Alertmanager, killed when this is dropped.
struct Alertmanager {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts an Alertmanager; `None` if none is installed. In the gate it must be.
    fn start() -> Option<Self> {
        let Some(program) = PROGRAMS.into_iter().find(|path| std::path::Path::new(path).exists()) else {
            assert!(std::env::var_os("RTA_GATE").is_none(), "prometheus-alertmanager is not installed");
            // Standard error may be closed.
            let _ = writeln!(std::io::stderr(), "SKIPPED: prometheus-alertmanager is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("alertmanager.yml");
        std::fs::write(&config, "route:\n  receiver: none\nreceivers:\n- name: none\n").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the Alertmanager to listen", || std::net::TcpStream::connect(address).ok());
        Some(Self { child, address, _folder: folder })
    }

    /// Returns the active alerts.
    fn alerts(&self) -> Vec<Value> {
        let answer = WebClient(self.address).get("/api/v2/alerts?active=true").body;
        let alerts: Value = serde_json::from_str(&answer).unwrap_or_default();
        alerts.as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn alert_begins_and_ends_in_a_real_alertmanager() {
    let Some(alertmanager) = Alertmanager::start() else { return };
    let notify = format!(
        "{RULES}[[channel]]\nname = \"ops\"\nalertmanager = {{ url = \"http://{}\", labels = {{ team = \"data\" }} }}\n",
        alertmanager.address
    );
    let platform = Platform::start(2, &notify);
    platform.stop_kafka();
    let alerts = wait_for("the alert", || Some(alertmanager.alerts()).filter(|alerts| !alerts.is_empty()));
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let labels = &alerts[0]["labels"];
    for (name, value) in [
        ("alertname", "RtaComponent"),
        ("environment", "E"),
        ("host", "h0000"),
        ("component", "component 0"),
        ("severity", "critical"),
        ("team", "data"),
    ] {
        assert_eq!(labels[name], value, "{labels}");
    }
    assert_eq!(alerts[0]["annotations"]["affected"], "8");
    platform.start_kafka();
    wait_for("the alert to end", || alertmanager.alerts().is_empty().then_some(()));
}
