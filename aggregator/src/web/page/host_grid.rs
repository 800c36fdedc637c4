//! Wall of many hosts: one tile each, always at the same place.

use std::collections::BTreeMap;

use maud::html;
use rta_shared::format::counted;
use rta_shared::overview::{EnvironmentOverview, HealthCounts, HostOverview};
use rta_shared::planned_outage::PlannedStopIndex;
use rta_shared::root_cause::counts_sentence;

use super::health::{HealthTone, icon, text};
use super::selection::Selection;
use super::slug;
use crate::web::page::html_patch::{GroupTag, HtmlNode};

/// Renders the hosts of an environment by role, in the configuration's order. Hosts that are down by
/// `planned` stops alone are muted.
pub(crate) fn host_grid(
    environment: &EnvironmentOverview,
    hosts: &[&HostOverview],
    planned: &PlannedStopIndex,
) -> HtmlNode {
    let mut by_role: BTreeMap<&str, Vec<&HostOverview>> = BTreeMap::new();
    for host in hosts {
        let role = host.role.as_ref().map_or("", |role| role.as_str());
        by_role.entry(role).or_default().push(host);
    }
    let id = format!("wall:{}", slug(environment.name.as_str()));
    let roles = by_role.into_iter().flat_map(|(role, hosts)| {
        let id = format!("{id}:{}", slug(role));
        let title = if role.is_empty() { "without a role" } else { role };
        let counts: HealthCounts = hosts.iter().map(|host| host.health).collect();
        let head = html! {
            h3.role-head id={ (id) ":head" } {
                (text(title)) " " span { (counted(hosts.len(), "host")) ", " (counts.up) " up" }
            }
        };
        let tiles = hosts.into_iter().map(|host| tile(environment, host, planned)).collect();
        [HtmlNode::leaf(format!("{id}:head"), &head), HtmlNode::group(id, GroupTag::List, "tiles", tiles)]
    });
    HtmlNode::group(id.clone(), GroupTag::Division, "wall", roles.collect())
}

fn tile(environment: &EnvironmentOverview, host: &HostOverview, planned: &PlannedStopIndex) -> HtmlNode {
    let tone = HealthTone::new(host.health, planned.explains_host(environment, host));
    let id = format!("tile:{}:{}", slug(environment.name.as_str()), slug(host.name.as_str()));
    let counts: HealthCounts = host.instances.iter().map(|instance| instance.health).collect();
    let element = html! {
        li id=(id) class={ "tile " (tone.class()) } {
            a href=(Selection::of_host(environment, host).address()) title=(counts_sentence(counts)) {
                (icon(tone)) (text(host.name.as_str())) span.unseen { " " (host.health) }
            }
        }
    };
    HtmlNode::leaf(id, &element)
}
