//! Configuration and variables of this machine, for commands that inspect its processes.

use std::fmt::Write as _;
use std::path::Path;

use rta_agent::host::process_inventory::InventoryProcess;
use rta_shared::config::{Host, HostConfig, Platform, load_folder};
use rta_shared::name::Name;
use rta_shared::sanitize::printable;

use crate::args::LocalConfigArgs;
use crate::exit::{CommandFailure, UNAVAILABLE, USAGE};

/// Local machine, with or without a configuration.
pub(crate) struct LocalConfig {
    /// Platform configuration, and this machine's part of it.
    pub(crate) config: Option<(Platform, HostConfig)>,
    /// Variables as pairs of name and value; a name appears once for each of its values.
    pub(crate) variables: Vec<(String, String)>,
}

impl LocalConfig {
    /// Reads the configuration, if one is given.
    pub(crate) fn new(here: &LocalConfigArgs) -> Result<Self, CommandFailure> {
        let addresses = rta_agent::interface_addresses();
        let named = |name: &str, value: String| (name.to_owned(), value);
        let Some(folder) = &here.config else {
            let mut variables = vec![named("hostname", rta_agent::machine_name())];
            variables.extend(addresses.iter().map(|address| named("ip", address.to_string())));
            return Ok(Self { config: None, variables });
        };
        let platform = load_folder(folder).map_err(|error| CommandFailure::new(USAGE, error.to_string()))?;
        let host = find_host(&platform, here.host.as_deref())?;
        let mut config =
            platform.host_config(host, &addresses).map_err(|reason| CommandFailure::new(USAGE, reason))?;
        rta_agent::resolve_users(&mut config);
        let addresses = if host.ip.is_empty() { &addresses } else { &host.ip };
        // The configured variables take precedence over the machine's own name.
        let mut variables: Vec<_> =
            host.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        variables.push(named("hostname", host.name.as_str().to_owned()));
        variables.extend(addresses.iter().map(|address| named("ip", address.to_string())));
        Ok(Self { config: Some((platform, config)), variables })
    }

    /// Returns the component of this machine that a process belongs to, or may belong to if
    /// that cannot be determined.
    pub(crate) fn find_owner(&self, process: &InventoryProcess) -> Option<&Name> {
        let (_, config) = self.config.as_ref()?;
        let component =
            config.components.iter().find(|component| process.belongs_to(component) != Ok(false))?;
        Some(&component.name)
    }
}

/// Loads the configuration from `folder`.
pub(crate) fn load_platform(folder: &Path) -> Result<Platform, CommandFailure> {
    load_folder(folder).map_err(|error| CommandFailure::new(USAGE, error.to_string()))
}

/// Returns the configuration of `host`, with the addresses of this machine.
pub(crate) fn host_config(platform: &Platform, host: &Host) -> Result<HostConfig, CommandFailure> {
    let config = platform.host_config(host, &rta_agent::interface_addresses());
    config.map_err(|reason| CommandFailure::new(USAGE, reason))
}

/// Finds the host of this name, or this machine, in the configuration.
pub(crate) fn find_host<'p>(platform: &'p Platform, host: Option<&str>) -> Result<&'p Host, CommandFailure> {
    let name = host.map_or_else(rta_agent::machine_name, str::to_owned);
    platform.find_host(&name).ok_or_else(|| {
        let mut message =
            format!("host \"{}\" is not in the configuration; supported hosts:", printable(&name));
        for environment in &platform.environments {
            let hosts: Vec<_> = environment.hosts.iter().map(|host| host.name.as_str()).collect();
            // Writing to a String cannot fail.
            let _ = write!(message, "\n  {}: {}", environment.name, hosts.join(", "));
        }
        CommandFailure::new(UNAVAILABLE, message)
    })
}
