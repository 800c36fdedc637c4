//! Name and addresses of this machine.

use std::net::IpAddr;

use sysinfo::{Networks, System};

/// Returns the machine's host name from the kernel (gethostname(2)); empty if it has none.
pub fn machine_name() -> String {
    System::host_name().unwrap_or_default()
}

/// Returns every address of every interface, those of the loopback interface last; empty if they cannot be
/// read.
pub fn interface_addresses() -> Vec<IpAddr> {
    let networks = match Networks::new_with_refreshed_list() {
        Ok(networks) => networks,
        Err(error) => {
            tracing::warn!(%error, "the interfaces' addresses cannot be read");
            return Vec::new();
        }
    };
    let mut addresses: Vec<IpAddr> = networks
        .values()
        .flat_map(|interface| interface.ip_networks().iter().map(|network| network.addr))
        .collect();
    // The map is unordered, and commands use the first address, so the order must be stable: IPv4 before
    // IPv6.
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6(), *address));
    addresses.dedup();
    addresses
}
