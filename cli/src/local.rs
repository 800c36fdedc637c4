//! `rta local`: this machine alone, without agent and aggregator.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use rta_agent::scan::Scanner;
use rta_shared::alone::alone;
use rta_shared::config::{Host, HostConfig, Platform, load_folder};
use rta_shared::name::Name;
use rta_shared::overview::{EnvironmentOverview, Health, HostOverview, InstanceOverview, Overview};
use rta_shared::report::ComponentReport;
use rta_shared::text::printable;

use crate::exit::{CANNOT_TELL, Failure, NOT_UP, OK, Outcome, USAGE};
use crate::render::Style;
use crate::render::table::table;

/// Scans this machine for the components of `host`, and writes the table to `out`. Dependencies are not
/// looked at: those on other hosts cannot be seen from here.
pub(crate) fn local(host: Option<&str>, folder: &Path, style: Style, out: &mut dyn Write) -> Outcome {
    let (config, role) = host_config(host, folder)?;
    let startable = |seen: &ComponentReport| {
        config.components.iter().any(|known| known.name == seen.component && known.start.is_some())
    };
    let scan = Scanner::new(config.clone()).scan();
    let components = scan
        .components
        .map_err(|reason| Failure::new(CANNOT_TELL, format!("host {}: {reason}", config.host)))?;
    let instances: Vec<InstanceOverview> = components
        .iter()
        .map(|seen| {
            let (health, reason) = alone(seen);
            InstanceOverview {
                component: seen.component.clone(),
                state: Some(seen.state),
                health,
                processes: seen.processes.clone(),
                reason,
                cause: None,
                startable: startable(seen),
                parts: seen.parts.clone(),
                probe: None,
                action: None,
                unit: None,
                autostart: None,
                maintenance: None,
                has_log: false,
                since: None,
            }
        })
        .collect();
    let health = instances.iter().map(|instance| instance.health).max().unwrap_or(Health::Unknown);
    let host = HostOverview {
        name: config.host.clone(),
        role,
        health,
        reachable: true,
        scanned_at: Some(scan.figures.scanned_at),
        error: None,
        instances,
        agent: None,
        usage: None,
        maintenance: None,
        impairments: vec![],
    };
    let environment = EnvironmentOverview { name: config.environment.clone(), health, hosts: vec![host] };
    let overview = Overview {
        generated_at: Timestamp::now(),
        environments: vec![environment],
        config_digest: config.digest.clone(),
        config_error: None,
        impairments: vec![],
    };
    write!(out, "{}", table(&overview, style))?;
    Ok(if health == Health::Up { OK } else { NOT_UP })
}

/// The share of `host`, or of this machine, in the configuration in `folder`, and its role.
pub(crate) fn host_config(host: Option<&str>, folder: &Path) -> Result<(HostConfig, Option<Name>), Failure> {
    let platform = load_folder(folder).map_err(|error| Failure::new(USAGE, error.to_string()))?;
    let host = find_host(&platform, host)?;
    let config = platform
        .host_config(host, &rta_agent::interface_addresses())
        .map_err(|reason| Failure::new(USAGE, reason))?;
    Ok((config, host.role.clone()))
}

/// The host of this name, or this machine, in the configuration.
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
