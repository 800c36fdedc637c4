//! Section of one environment: its verdict, its problems, its hosts.

use std::cmp::Reverse;

use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::{EnvironmentOverview, Health, HealthCounts, HostOverview, InstanceOverview};
use rta_shared::planned_outage::on_purpose_note;
use rta_shared::root_cause::{RootCause, counts_sentence};

use crate::web::pages::graph;
use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::host_grid;
use crate::web::pages::overview::{causes, host};
use crate::web::parts::anchors::environment_id;
use crate::web::parts::health::{HealthTone, badge, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};

/// Maximum number of hosts shown as cards; beyond it, only those that are not up.
const MAX_CARDS: usize = 24;

/// Renders the section of an environment.
pub(crate) fn environment(
    environment: &EnvironmentOverview,
    root_causes: &[RootCause<'_>],
    shown: &OverviewContext<'_>,
) -> HtmlNode {
    let id = environment_id(&environment.name);
    let children = vec![
        head(environment, shown, &id),
        causes::causes(environment, root_causes, shown, &id),
        hosts(environment, shown, &id),
    ];
    HtmlNode::group(id, GroupTag::Section, "environment", children)
}

fn head(environment: &EnvironmentOverview, shown: &OverviewContext<'_>, id: &str) -> HtmlNode {
    let counts = environment.counts();
    let stopped = environment.planned_stops();
    let tone = HealthTone::new(environment.health, shown.planned.explains_environment(environment));
    let id = format!("{id}:head");
    let element = html! {
        div.environment-head #(id) {
            h2 { (text(environment.name.as_str())) }
            (badge(tone))
            p { (counts_sentence(counts)) (on_purpose_note(stopped)) }
            a href=(graph::view::address(&environment.name)) { "Graph" }
            (bar(counts, stopped))
        }
    };
    HtmlNode::leaf(id, &element)
}

/// Renders the selected hosts. A few are all cards, the worst first; many are a wall of tiles below the cards
/// of those that are not up.
fn hosts(environment: &EnvironmentOverview, shown: &OverviewContext<'_>, id: &str) -> HtmlNode {
    let all: Vec<(&HostOverview, Vec<&InstanceOverview>)> = environment
        .hosts
        .iter()
        .map(|host| (&**host, shown.selection.of(host)))
        .filter(|(_, instances)| !instances.is_empty())
        .collect();
    let is_many = all.len() > MAX_CARDS;
    let mut cards: Vec<&(&HostOverview, Vec<&InstanceOverview>)> =
        all.iter().filter(|(host, _)| !is_many || host.health != Health::Up).collect();
    // A stable sort keeps hosts of the same health in the configuration's order.
    cards.sort_by_key(|(host, _)| Reverse(host.health));
    let more = cards.len().saturating_sub(MAX_CARDS);
    cards.truncate(MAX_CARDS);
    let nodes =
        cards.iter().map(|(host, instances)| host::host(environment, host, instances, shown)).collect();
    let mut children = vec![HtmlNode::group(format!("{id}:hosts"), GroupTag::Division, "hosts", nodes)];
    let note = match (all.len(), more) {
        (0, _) if !shown.selection.is_everything() => "Nothing here fits what is looked for.".to_owned(),
        (0, _) => "No host of it carries a component.".to_owned(),
        (_, 0) => String::new(),
        (_, more) => {
            format!("{} more are not up: see the tiles, or look for them by name.", counted(more, "host"))
        }
    };
    let note_id = format!("{id}:note");
    children.push(HtmlNode::leaf(note_id.clone(), &html! { p.hosts-note #(note_id) { (note) } }));
    if is_many {
        let hosts: Vec<&HostOverview> = all.iter().map(|(host, _)| *host).collect();
        children.push(host_grid::host_grid(environment, &hosts, shown.planned));
    }
    HtmlNode::group(format!("{id}:all"), GroupTag::Division, "hosts-all", children)
}

/// Renders the counts as one bar; the words beside it state the same.
fn bar(counts: HealthCounts, stopped: usize) -> Markup {
    let mut x = 0;
    let healths = Health::ALL.map(|health| match health {
        Health::Down => (HealthTone::from(health), counts.down.saturating_sub(stopped)),
        _ => (HealthTone::from(health), counts.of(health)),
    });
    let planned = (HealthTone::new(Health::Down, true), stopped);
    let parts: Vec<(HealthTone, usize, usize)> = healths
        .into_iter()
        .chain([planned])
        .map(|(tone, width)| {
            let from = x;
            x += width;
            (tone, from, width)
        })
        .collect();
    html! {
        svg.bar viewBox={ "0 0 " (counts.total().max(1)) " 1" } preserveAspectRatio="none" aria-hidden="true" {
            @for (tone, from, width) in parts {
                @if width > 0 { rect class=(tone.class()) x=(from) y="0" width=(width) height="1" {} }
            }
        }
    }
}
