//! Wall of many hosts: one tile each, always at the same place. Of too many, those that are up are counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::name::Name;
use rta_shared::overview::{EnvironmentOverview, Health, HealthCounts, HostOverview};
use rta_shared::planned_outage::PlannedStopIndex;
use rta_shared::root_cause::counts_sentence;

use crate::web::pages::overview::content::{TileRoom, host_counts};
use crate::web::pages::overview::selection::Selection;
use crate::web::parts::anchors::slug;
use crate::web::parts::health::{HealthTone, icon, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};

/// Groups hosts by role, those without one first.
pub(crate) fn hosts_by_role<'o>(
    hosts: impl IntoIterator<Item = &'o HostOverview>,
) -> BTreeMap<&'o str, Vec<&'o HostOverview>> {
    let mut by_role: BTreeMap<&str, Vec<&HostOverview>> = BTreeMap::new();
    for host in hosts {
        let role = host.role.as_ref().map_or("", |role| role.as_str());
        by_role.entry(role).or_default().push(host);
    }
    by_role
}

/// Renders the hosts of an environment by role, in the configuration's order, as far as there is `room`.
/// Hosts that are down by `planned` stops alone are muted.
pub(crate) fn host_grid(
    environment: &EnvironmentOverview,
    hosts: &[&HostOverview],
    planned: &PlannedStopIndex,
    room: TileRoom,
) -> HtmlNode {
    let by_role = hosts_by_role(hosts.iter().copied());
    let id = format!("wall:{}", slug(environment.name.as_str()));
    let undrawn = by_role.len().saturating_sub(room.roles);
    let mut nodes: Vec<HtmlNode> = Vec::new();
    for (role, hosts) in by_role.into_iter().take(room.roles) {
        let id = format!("{id}:{}", slug(role));
        let more = |count: usize, what: &str, selection: Selection| {
            let id = format!("{id}:{}", if what == "up" { "up" } else { "more" });
            tile_of_many(&id, count, what, &selection)
        };
        let all = Selection::of_environment(&environment.name);
        let all = if role.is_empty() { all } else { all.with_role(&Name::from(role)) };
        let counts = host_counts(hosts.iter().copied());
        let mut tiles: Vec<HtmlNode> = Vec::new();
        match room.each {
            None => tiles.extend(hosts.iter().map(|host| tile(environment, host, planned))),
            Some(most) => {
                let mut bad: Vec<_> = hosts.iter().filter(|host| host.health != Health::Up).collect();
                bad.sort_by_key(|host| Reverse(host.health));
                tiles.extend(bad.iter().take(most).map(|host| tile(environment, host, planned)));
                if let rest @ 1.. = bad.len().saturating_sub(most) {
                    tiles.push(more(rest, "not up", all.clone().with_problems()));
                }
                if counts.up > 0 {
                    tiles.push(more(counts.up, "up", all.with_health(Health::Up)));
                }
            }
        }
        nodes.push(HtmlNode::leaf(format!("{id}:head"), &role_head(&id, role, counts)));
        nodes.push(HtmlNode::group(id, GroupTag::List, "tiles", tiles));
    }
    if undrawn > 0 {
        let id = format!("{id}::roles");
        let note = html! { p.hosts-note #(id) { "and " (counted(undrawn, "more role")) ": look for them by name." } };
        nodes.push(HtmlNode::leaf(id, &note));
    }
    HtmlNode::group(id, GroupTag::Division, "wall", nodes)
}

fn role_head(id: &str, role: &str, counts: HealthCounts) -> Markup {
    let title = if role.is_empty() { "without a role" } else { role };
    html! {
        h3.role-head id={ (id) ":head" } {
            (text(title)) " " span { (counted(counts.total(), "host")) ", " (counts.up) " up" }
        }
    }
}

/// Renders the tile that stands for many hosts and leads to them.
fn tile_of_many(id: &str, count: usize, what: &str, selection: &Selection) -> HtmlNode {
    let element = html! {
        li #(id) class="tile many" { a href=(selection.address()) { (counted(count, "host")) " " (what) } }
    };
    HtmlNode::leaf(id, &element)
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
