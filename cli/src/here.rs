//! Configuration and variables of this machine, for commands that inspect its processes.

use rta_agent::host::process_inventory::InventoryProcess;
use rta_shared::config::{HostConfig, Platform, load_folder};
use rta_shared::name::Name;

use crate::command::Here;
use crate::exit::{Failure, USAGE};
use crate::local::find_host;

/// Local machine, with or without a configuration.
pub(crate) struct Known {
    /// Platform configuration, and this machine's part of it.
    pub(crate) config: Option<(Platform, HostConfig)>,
    /// Variables as pairs of name and value; a name appears once for each of its values.
    pub(crate) variables: Vec<(String, String)>,
}

impl Known {
    /// Reads the configuration, if one is given.
    pub(crate) fn new(here: &Here) -> Result<Self, Failure> {
        let addresses = rta_agent::interface_addresses();
        let named = |name: &str, value: String| (name.to_owned(), value);
        let Some(folder) = &here.config else {
            let mut variables = vec![named("hostname", rta_agent::machine_name())];
            variables.extend(addresses.iter().map(|address| named("ip", address.to_string())));
            return Ok(Self { config: None, variables });
        };
        let platform = load_folder(folder).map_err(|error| Failure::new(USAGE, error.to_string()))?;
        let host = find_host(&platform, here.host.as_deref())?;
        let mut config =
            platform.host_config(host, &addresses).map_err(|reason| Failure::new(USAGE, reason))?;
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
    pub(crate) fn claimant(&self, process: &InventoryProcess) -> Option<&Name> {
        let (_, config) = self.config.as_ref()?;
        let component =
            config.components.iter().find(|component| process.belongs_to(component) != Ok(false))?;
        Some(&component.name)
    }
}
