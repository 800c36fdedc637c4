//! Links to instances.

use maud::{Markup, html};
use rta_shared::overview::{HostOverview, InstanceId, LocatedInstance};

use super::health::text;
use crate::web::address::with_query;

/// Maximum number of links in a list.
const MAX_LINKS: usize = 12;

/// Returns the address of the instance's page.
pub(super) fn address(id: &InstanceId) -> String {
    named("/instance", id, &[])
}

/// Returns the address of the instance's log.
pub(super) fn log_address(id: &InstanceId) -> String {
    named("/log", id, &[])
}

/// Returns an address whose query names an instance, followed by the parameters in `more`.
pub(super) fn named(path: &str, id: &InstanceId, more: &[(&str, &str)]) -> String {
    let named = [
        ("environment", id.environment.as_str()),
        ("host", id.host.as_str()),
        ("component", id.component.as_str()),
    ];
    with_query(path, &[&named, more].concat())
}

/// Renders links to the first of `instances`, with their hosts unless they are on `host`.
pub(super) fn names(instances: &[LocatedInstance<'_>], host: Option<&HostOverview>) -> Markup {
    html! {
        @for (at, other) in instances.iter().take(MAX_LINKS).enumerate() {
            @if at > 0 { ", " }
            a href=(address(&other.id())) { (text(other.instance.component.as_str())) }
            @if host.is_none_or(|host| other.host.name != host.name) { " on " (text(other.host.name.as_str())) }
        }
        @if instances.len() > MAX_LINKS { " and " (instances.len() - MAX_LINKS) " more" }
    }
}
