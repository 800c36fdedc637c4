//! `rta local`: checks this machine alone, without an agent or aggregator.

use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use rta_agent::host::scanner::Scanner;
use rta_agent::probe;
use rta_aggregator::evaluate_host;
use rta_shared::overview::Health;
use rta_shared::report::{ConfigStatus, Report, WatchStatus};
use tokio::runtime::{Builder, Runtime};

use crate::exit::{CommandFailure, CommandResult, NOT_UP, OK, UNAVAILABLE};
use crate::local_config::{find_host, host_config, load_platform};
use crate::output::OutputStyle;
use crate::output::instance_table::instance_table;

/// Scans this machine for the components of `host`, runs their probes, and writes the table to `out`. Health
/// follows the aggregator's own rules; dependencies on other hosts are unknown here.
pub(crate) fn run_local(
    host: Option<&str>,
    folder: &Path,
    style: OutputStyle,
    out: &mut dyn Write,
) -> CommandResult {
    let platform = load_platform(folder)?;
    let config = host_config(&platform, find_host(&platform, host)?)?;
    let name = config.host.clone();
    let mut scan = Scanner::new(config.clone()).scan();
    match &mut scan.components {
        Ok(reports) => probe_runtime()?.block_on(probe::probe_all(&config.components, reports)),
        Err(reason) => return Err(CommandFailure::new(UNAVAILABLE, format!("host {name}: {reason}"))),
    }
    let report = Report {
        host: name,
        boot_id: String::new(),
        scan: scan.figures,
        components: scan.components,
        watch: WatchStatus::scans_only(),
        config: ConfigStatus { digest: platform.digest.clone(), error: None },
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent_run_id: String::new(),
        certificate_ends: None,
        impairments: vec![],
    };
    let overview = evaluate_host(&platform, report, Timestamp::now());
    write!(out, "{}", instance_table(&overview, style, overview.generated_at))?;
    Ok(match overview.counts().worst() {
        Some(Health::Up) => OK,
        Some(Health::Degraded | Health::Down) => NOT_UP,
        Some(Health::Unknown) | None => UNAVAILABLE,
    })
}

/// Creates a single-threaded runtime for the probes.
fn probe_runtime() -> Result<Runtime, CommandFailure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CommandFailure::new(UNAVAILABLE, format!("no runtime: {error}")))
}
