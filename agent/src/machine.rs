//! This machine's name and addresses.

use std::net::IpAddr;

use sysinfo::{Networks, System};

/// The machine's host name as the kernel has it (gethostname(2)); empty where it has none.
pub fn machine_name() -> String {
    System::host_name().unwrap_or_default()
}

/// Every address of every interface, those of the loopback interface last; empty where they cannot be read.
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
    // The map has no order of its own, and commands use the first: the same one each time, IPv4 before IPv6.
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6(), *address));
    addresses.dedup();
    addresses
}
