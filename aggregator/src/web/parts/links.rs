//! Links to instances and graphs.

use maud::{Markup, html};
use rta_shared::name::Name;
use rta_shared::overview::{EnvironmentOverview, HostOverview, InstanceId, LocatedInstance};

use crate::web::address::with_query;
use crate::web::parts::health::text;
use crate::web::what_if_query::HOST_DOWN;

/// Maximum number of links in a list.
const MAX_LINKS: usize = 12;

/// Returns the address of the instance's page.
pub(crate) fn address(id: &InstanceId) -> String {
    named("/instance", id, &[])
}

/// Returns the address of an environment's graph.
pub(crate) fn graph_address(environment: &Name) -> String {
    with_query("/graph", &[("environment", environment.as_str())])
}

/// Returns the address of the instance's log.
pub(crate) fn log_address(id: &InstanceId) -> String {
    named("/log", id, &[])
}

/// Returns an address whose query names an instance, followed by the parameters in `more`.
pub(crate) fn named(path: &str, id: &InstanceId, more: &[(&str, &str)]) -> String {
    let named = [
        ("environment", id.environment.as_str()),
        ("host", id.host.as_str()),
        ("component", id.component.as_str()),
    ];
    with_query(path, &[&named, more].concat())
}

/// Returns the address of the overview as it would be without the host.
pub(crate) fn host_down_address(environment: &EnvironmentOverview, host: &HostOverview) -> String {
    let query =
        [("action", HOST_DOWN), ("environment", environment.name.as_str()), ("host", host.name.as_str())];
    with_query("/what-if", &query)
}

/// Renders links to the first of `instances`, with their hosts unless they are on `host`.
pub(crate) fn names(instances: &[LocatedInstance<'_>], host: Option<&HostOverview>) -> Markup {
    html! {
        @for (at, other) in instances.iter().take(MAX_LINKS).enumerate() {
            @if at > 0 { ", " }
            a href=(address(&other.id())) { (text(other.instance.component.as_str())) }
            @if host.is_none_or(|host| other.host.name != host.name) { " on " (text(other.host.name.as_str())) }
        }
        @if instances.len() > MAX_LINKS { " and " (instances.len() - MAX_LINKS) " more" }
    }
}
