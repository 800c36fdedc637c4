//! Sections of environments: verdict, problems, hosts.

use std::cmp::Reverse;

use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::{EnvironmentOverview, Health, HealthCounts, HostOverview};
use rta_shared::planned_outage::on_purpose_note;
use rta_shared::root_cause::{RootCause, counts_sentence};

use crate::web::pages::overview::content::{SelectedEnvironment, SelectedHost, TileRoom, problem_cards};
use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::selection::Selection;
use crate::web::pages::overview::{causes, host, host_grid};
use crate::web::parts::anchors::environment_id;
use crate::web::parts::health::{HealthTone, badge, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::links;

/// Maximum number of hosts shown as cards; beyond it, only those that are not up.
const MAX_CARDS: usize = 24;

/// Renders the section of an environment that is shown as a whole, one of `sharing` on the page.
pub(crate) fn whole_environment(
    selected: &SelectedEnvironment<'_>,
    root_causes: &[RootCause<'_>],
    sharing: usize,
    shown: &OverviewContext<'_>,
) -> HtmlNode {
    let environment = selected.environment;
    let id = environment_id(&environment.name);
    let is_many = selected.hosts.len() > MAX_CARDS;
    let mut cards: Vec<&SelectedHost<'_>> =
        selected.hosts.iter().filter(|selected| !is_many || selected.host.health != Health::Up).collect();
    // A stable sort keeps hosts of the same health in the configuration's order.
    cards.sort_by_key(|selected| Reverse(selected.host.health));
    let more = cards.len().saturating_sub(MAX_CARDS);
    cards.truncate(MAX_CARDS);
    let mut children = hosts(selected, &cards, more, shown, &id);
    if is_many {
        children.push(wall(selected, TileRoom::share(&[]), shown));
    }
    section(environment, root_causes, sharing, children, shown)
}

/// Renders the section of the only environment on the page, which is too large to be shown as a whole.
pub(crate) fn large_environment(
    selected: &SelectedEnvironment<'_>,
    root_causes: &[RootCause<'_>],
    shown: &OverviewContext<'_>,
) -> HtmlNode {
    let id = environment_id(&selected.environment.name);
    let (cards, more) = problem_cards(std::slice::from_ref(selected));
    let mut children = hosts(selected, &cards.iter().collect::<Vec<_>>(), more, shown, &id);
    children.push(wall(selected, TileRoom::share(&[hosts_and_roles(selected)]), shown));
    section(selected.environment, root_causes, 1, children, shown)
}

/// Renders the section of one of several environments: its hosts are tiles.
pub(crate) fn folded_environment(
    selected: &SelectedEnvironment<'_>,
    room: TileRoom,
    shown: &OverviewContext<'_>,
) -> HtmlNode {
    let environment = selected.environment;
    let id = environment_id(&environment.name);
    let children = vec![head(environment, shown, &id), wall(selected, room, shown)];
    HtmlNode::group(id, GroupTag::Section, "environment", children)
}

fn section(
    environment: &EnvironmentOverview,
    root_causes: &[RootCause<'_>],
    sharing: usize,
    hosts: Vec<HtmlNode>,
    shown: &OverviewContext<'_>,
) -> HtmlNode {
    let id = environment_id(&environment.name);
    let children = vec![
        head(environment, shown, &id),
        causes::causes(environment, root_causes, sharing, shown, &id),
        HtmlNode::group(format!("{id}:all"), GroupTag::Division, "hosts-all", hosts),
    ];
    HtmlNode::group(id, GroupTag::Section, "environment", children)
}

/// Renders the head of an environment's section, with a link to it alone unless it is alone.
pub(crate) fn head(environment: &EnvironmentOverview, shown: &OverviewContext<'_>, id: &str) -> HtmlNode {
    let counts = environment.counts();
    let stopped = environment.planned_stops();
    let tone = HealthTone::new(environment.health, shown.planned.explains_environment(environment));
    let id = format!("{id}:head");
    let element = html! {
        div.environment-head #(id) {
            h2 {
                @if shown.links_environments {
                    a href=(Selection::of_environment(&environment.name).address()) { (text(environment.name.as_str())) }
                } @else { (text(environment.name.as_str())) }
            }
            (badge(tone))
            p { (counts_sentence(counts)) (on_purpose_note(stopped)) }
            a href=(links::graph_address(&environment.name)) { "Graph" }
            (bar(counts, stopped))
        }
    };
    HtmlNode::leaf(id, &element)
}

/// Renders cards, and a note on the `more` hosts that are not up.
fn hosts(
    selected: &SelectedEnvironment<'_>,
    cards: &[&SelectedHost<'_>],
    more: usize,
    shown: &OverviewContext<'_>,
    id: &str,
) -> Vec<HtmlNode> {
    let nodes = cards.iter().map(|card| host::host(card, shown)).collect();
    let rest = Selection::of_environment(&selected.environment.name);
    let note = match (selected.hosts.len(), more) {
        (0, _) if !shown.selection.is_everything() => html! { "Nothing here fits what is looked for." },
        (0, _) => html! { "No host of it carries a component." },
        (_, more) => more_problems(more, &rest),
    };
    let note_id = format!("{id}:note");
    vec![
        HtmlNode::group(format!("{id}:hosts"), GroupTag::Division, "hosts", nodes),
        HtmlNode::leaf(note_id.clone(), &html! { p.hosts-note #(note_id) { (note) } }),
    ]
}

/// Renders the note on hosts that are not up and have no card; empty if there are none.
pub(crate) fn more_problems(more: usize, rest: &Selection) -> Markup {
    html! {
        @if more > 0 {
            a href=(rest.clone().with_problems().address()) { (counted(more, "more host")) }
            (if more == 1 { " is" } else { " are" }) " not up."
        }
    }
}

fn wall(selected: &SelectedEnvironment<'_>, room: TileRoom, shown: &OverviewContext<'_>) -> HtmlNode {
    let hosts: Vec<&HostOverview> = selected.hosts.iter().map(|selected| selected.host).collect();
    host_grid::host_grid(selected.environment, &hosts, shown.planned, room)
}

/// Returns the numbers of hosts and of their roles.
pub(crate) fn hosts_and_roles(selected: &SelectedEnvironment<'_>) -> (usize, usize) {
    let roles = host_grid::hosts_by_role(selected.hosts.iter().map(|selected| selected.host));
    (selected.hosts.len(), roles.len())
}

/// Renders the counts as one bar; the words beside it state the same.
pub(crate) fn bar(counts: HealthCounts, stopped: usize) -> Markup {
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
