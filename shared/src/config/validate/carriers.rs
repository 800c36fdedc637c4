//! Hosts that carry each component, gathered once for all checks.

use std::collections::HashMap;

use super::super::platform::{Component, Host, Platform};
use crate::name::Name;

/// Hosts that carry each component, in the configuration's order.
pub(super) struct Carriers<'p>(HashMap<&'p Name, Vec<&'p Host>>);

impl<'p> Carriers<'p> {
    pub(super) fn new(platform: &'p Platform) -> Self {
        let mut carriers: HashMap<_, Vec<_>> = HashMap::new();
        for host in platform.hosts() {
            for component in &host.components {
                carriers.entry(component).or_default().push(host);
            }
        }
        Self(carriers)
    }

    /// Returns the hosts that carry `component`.
    pub(super) fn hosts_of(&self, component: &Component) -> &[&'p Host] {
        self.0.get(&component.name).map(Vec::as_slice).unwrap_or_default()
    }
}
