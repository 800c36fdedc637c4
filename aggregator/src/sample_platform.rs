//! Platforms of hosts that carry one component, and their reports, for tests.

use std::time::Duration;

use jiff::Timestamp;
use rta_shared::config::{Platform, Source, load_sources};
use rta_shared::report::{ConfigStatus, Report, ScanFigures, WatchStatus};

/// Creates the platform of the environment `E` with these hosts, whose agents are at these ports of loopback. Each
/// carries the component `c`.
pub(crate) fn platform_of_hosts(hosts: &[(&str, u16)]) -> Platform {
    let host = |(name, port): &(&str, u16)| {
        format!("{{ name = \"{name}\", components = [\"c\"], agent = \"http://127.0.0.1:{port}\" }}")
    };
    let hosts: Vec<String> = hosts.iter().map(host).collect();
    let text = format!(
        "[[component]]\nname = \"c\"\ncriteria = [{{ regex = 'c' }}]\n[[environment]]\nname = \"E\"\nhost = [{}]\n",
        hosts.join(", ")
    );
    load_sources(&[Source { name: "x.toml".to_owned(), text }]).unwrap()
}

/// Returns the figures of a scan at this time that saw no process.
pub(crate) fn scan_at(at: Timestamp) -> ScanFigures {
    ScanFigures { scanned_at: at, duration: Duration::ZERO, processes_seen: 0, seen_at: at }
}

/// Returns the report of a host without components.
pub(crate) fn empty_report(host: &str, scan: ScanFigures) -> Report {
    Report {
        host: host.into(),
        boot_id: "boot".to_owned(),
        scan,
        components: Ok(vec![]),
        watch: WatchStatus::scans_only(),
        config: ConfigStatus::default(),
        agent_version: String::new(),
        agent_run_id: String::new(),
        certificate_ends: None,
        impairments: vec![],
    }
}
