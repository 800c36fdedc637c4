//! `rta local`: checks this machine alone, without an agent or aggregator.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use rta_agent::host::scanner::Scanner;
use rta_agent::probe;
use rta_aggregator::evaluate_host;
use rta_shared::config::{Host, HostConfig, Platform, load_folder};
use rta_shared::overview::Health;
use rta_shared::report::{ConfigStatus, Report, WatchStatus};
use rta_shared::sanitize::printable;
use tokio::runtime::{Builder, Runtime};

use crate::exit::{CANNOT_TELL, Failure, NOT_UP, OK, Outcome, USAGE};
use crate::render::Style;
use crate::render::table::table;

/// Scans this machine for the components of `host`, runs their probes, and writes the table to `out`. Health
/// follows the aggregator's own rules; dependencies on other hosts are unknown here.
pub(crate) fn local(host: Option<&str>, folder: &Path, style: Style, out: &mut dyn Write) -> Outcome {
    let platform = load(folder)?;
    let config = config_of(&platform, find_host(&platform, host)?)?;
    let name = config.host.clone();
    let mut scan = Scanner::new(config.clone()).scan();
    match &mut scan.components {
        Ok(reports) => runtime()?.block_on(probe::probe_all(&config.components, reports)),
        Err(reason) => return Err(Failure::new(CANNOT_TELL, format!("host {name}: {reason}"))),
    }
    let report = Report {
        host: name,
        boot_id: String::new(),
        scan: scan.figures,
        components: scan.components,
        watch: WatchStatus::scans_only(),
        config: ConfigStatus { digest: platform.digest.clone(), error: None },
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        certificate_ends: None,
        impairments: vec![],
    };
    let overview = evaluate_host(&platform, report, Timestamp::now());
    write!(out, "{}", table(&overview, style, overview.generated_at))?;
    Ok(match overview.counts().worst() {
        Some(Health::Up) => OK,
        Some(Health::Degraded | Health::Down) => NOT_UP,
        Some(Health::Unknown) | None => CANNOT_TELL,
    })
}

/// Creates a single-threaded runtime for the probes.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(CANNOT_TELL, format!("no runtime: {error}")))
}

/// Loads the configuration from `folder`.
pub(crate) fn load(folder: &Path) -> Result<Platform, Failure> {
    load_folder(folder).map_err(|error| Failure::new(USAGE, error.to_string()))
}

/// Returns the configuration of `host`, with the addresses of this machine.
pub(crate) fn config_of(platform: &Platform, host: &Host) -> Result<HostConfig, Failure> {
    let config = platform.host_config(host, &rta_agent::interface_addresses());
    config.map_err(|reason| Failure::new(USAGE, reason))
}

/// Finds the host of this name, or this machine, in the configuration.
pub(crate) fn find_host<'p>(platform: &'p Platform, host: Option<&str>) -> Result<&'p Host, Failure> {
    let name = host.map_or_else(rta_agent::machine_name, str::to_owned);
    platform.find_host(&name).ok_or_else(|| {
        let mut message =
            format!("host \"{}\" is not in the configuration; supported hosts:", printable(&name));
        for environment in &platform.environments {
            let hosts: Vec<_> = environment.hosts.iter().map(|host| host.name.as_str()).collect();
            // Writing to a String cannot fail.
            let _ = write!(message, "\n  {}: {}", environment.name, hosts.join(", "));
        }
        Failure::new(CANNOT_TELL, message)
    })
}
