//! Problem of many hosts: one component that fails on all of them, or the hosts themselves.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::LocatedInstance;
use rta_shared::root_cause::RootCause;
use rta_shared::root_cause_groups::RootCauseGroup;

use crate::web::pages::overview::selection::Selection;
use crate::web::parts::anchors::slug;
use crate::web::parts::health::{icon, reason, text};
use crate::web::parts::html_patch::HtmlNode;
use crate::web::parts::links::{address, names};
use crate::web::parts::maintenance;

/// Maximum number of hosts named.
const MAX_NAMED: usize = 8;

/// Renders a group of root causes; `rest` leads to those that are not named.
pub(super) fn cause_group(
    group: &RootCauseGroup<'_, '_>,
    rest: &Selection,
    now: Timestamp,
    id: &str,
) -> HtmlNode {
    let health = group.health();
    let maintenance = group.first.maintenance();
    let component = group.component();
    let kind = component.map_or_else(|| ":host".to_owned(), |component| slug(component.as_str()));
    let quiet = if maintenance.is_some() { ":maintained" } else { "" };
    let id = format!("{id}:{kind}:{health}{quiet}");
    let hosts = counted(group.causes.len(), "host");
    let environments = group.environment_count();
    let consequence = group.affected_sentence();
    let element = html! {
        li #(id) class={ "trouble " (health) } {
            (icon(health))
            div {
                @if let Some(maintenance) = maintenance { p { (maintenance::badge(maintenance)) } }
                p {
                    @match component {
                        Some(component) => {
                            strong { (text(component.as_str())) } " is " strong { (health) } " on " strong { (hosts) }
                        }
                        None => { strong { (hosts) } " are " strong { (health) } }
                    }
                    @if environments > 1 { " of " (counted(environments, "environment")) }
                    ": " (hosts_of(group, rest))
                }
                (example(group.first, now))
                @if !consequence.is_empty() {
                    p.affected { (consequence) ": " (names(&group.affected(), None)) }
                }
            }
        }
    };
    HtmlNode::leaf(id, &element)
}

/// Renders links to the first of them, and one to all.
fn hosts_of(group: &RootCauseGroup<'_, '_>, rest: &Selection) -> Markup {
    let found = rest.clone().with_health(group.health());
    let found = match group.component() {
        Some(component) => found.with_name(component),
        None => found,
    };
    let more = group.causes.len().saturating_sub(MAX_NAMED);
    html! {
        @for (at, cause) in group.causes.iter().take(MAX_NAMED).enumerate() {
            @if at > 0 { ", " }
            a href=(cause_address(cause)) { (text(cause.host.name.as_str())) }
        }
        @if more > 0 { " " a href=(found.address()) { "and " (more) " more" } }
    }
}

fn cause_address(cause: &RootCause<'_>) -> String {
    let RootCause { environment, host, .. } = cause;
    match cause.instance {
        Some(instance) => address(&LocatedInstance { environment, host, instance }.id()),
        None => Selection::of_host(environment, host).address(),
    }
}

/// Renders why the first of them is not up.
fn example(first: &RootCause<'_>, now: Timestamp) -> Markup {
    let host = text(first.host.name.as_str());
    html! {
        @match (first.instance, &first.host.error) {
            (Some(instance), _) => p.affected { (host) ": " (reason(instance, now)) },
            (None, Some(error)) => p.affected { (host) ": " (text(error)) },
            (None, None) => {}
        }
    }
}
